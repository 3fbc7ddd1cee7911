#pragma once

// A cell's downlink and uplink with what they need beside them, for tests.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "air/handset.h"
#include "base/prng.h"
#include "fec/bits/bits.h"
#include "site/cell.h"
#include "site/pdu_test_samples.h"
#include "site/slot_guard.h"

namespace noroshi::site {

inline constexpr std::uint64_t seed = 20261125;

// A cell's downlink with the data for its PDUs.
struct Downlink {
  Downlink() : cell(sample_cell(), PrecodingTable::make(sample_config()).value()) {
    const auto count = static_cast<std::size_t>(nr::slot_samples_max(limits.carrier));
    samples.resize(static_cast<std::size_t>(limits.transmit_antennas) * count);
    bytes.resize(1 << 16);
    Prng prng(seed);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(prng());
  }

  void add(const fapi::PdschPdu& pdu) {
    const auto i = static_cast<std::size_t>(dl_tti.n_pdus++);
    dl_tti.pdus[i] = pdu;
    dl_tti.pdus[i].pdu_index = static_cast<std::uint16_t>(100 + i);
    fapi::TxDataRequest::Pdu& data = tx_data.pdus[static_cast<std::size_t>(tx_data.n_pdus++)];
    data.pdu_index = dl_tti.pdus[i].pdu_index;
    const View<const std::uint8_t, 1> all(bytes.data(), bytes.size());
    const std::size_t first = std::min<std::size_t>(pdu.codewords[0].tb_size, 30'000);
    const std::size_t second = std::min<std::size_t>(pdu.codewords[1].tb_size, 30'000);
    data.data = {all.subview(0, first), all.subview(first, second)};
  }

  void transmit() {
    const SlotScope scope;  // the guard of slot_guard_test.cpp ends a program that allocates
    cell.transmit(dl_tti, tx_data, samples_view());
  }
  View<cf32, 2> samples_view() {
    return {samples.data(), static_cast<std::size_t>(limits.transmit_antennas),
            samples.size() / static_cast<std::size_t>(limits.transmit_antennas)};
  }

  CellLimits limits = sample_cell();
  CellDownlink cell;
  fapi::DlTtiRequest dl_tti;
  fapi::TxDataRequest tx_data;
  std::vector<cf32> samples;
  std::vector<std::uint8_t> bytes;
};

// A cell's uplink and two handsets of four antennas.
struct Uplink {
  Uplink()
      : cell(sample_cell(), {17, 18}, {}),
        count(static_cast<std::size_t>(nr::slot_samples_max(limits.carrier))),
        received(static_cast<std::size_t>(limits.receive_antennas) * count),
        sent(4 * count) {
    report.bytes.resize(slot_payload_bytes(limits.carrier, 4));
    for (const std::uint16_t rnti : {17, 18})
      handsets.emplace_back(limits.carrier, rnti, seed, fec::SchDecodeOptions{},
                            air::HandsetLimits{.transmit_antennas = 4, .uplink_layers = 4});
    std::iota(uci.begin(), uci.end(), std::uint8_t{0x5a});
  }

  void add(const fapi::PuschPdu& pdu) {
    ul_tti.pdus[static_cast<std::size_t>(ul_tti.n_pdus++)] = pdu;
  }

  // What the handset sends for a PDU reaches antenna a from its antenna (a + shift) mod 4.
  View<const std::uint8_t, 1> send(const fapi::PuschPdu& pdu, std::size_t shift = 0) {
    nr::SharedChannel channel;
    EXPECT_FALSE(read_pusch(limits, pdu, channel));
    const auto layers = static_cast<std::size_t>(channel.layers);
    const View<cf32, 2> out(sent.data(), layers, count);
    const auto bits = [&](int length) {
      return View<const std::uint8_t, 1>(uci.data(),
                                         bytes_for_bits(static_cast<std::size_t>(length)));
    };
    const auto tb = handsets[pdu.rnti - 17u].transmit_pusch(
        ul_tti.slot, channel, pdu.data.harq_process_id, pdu.data.new_data != 0, {},
        {bits(channel.uci.harq_bits), bits(channel.uci.csi1_bits), bits(channel.uci.csi2_bits)},
        out);
    for (std::size_t layer = 0; layer < layers; ++layer)
      for (std::size_t i = 0; i < count; ++i)
        received[((layer + shift) % 4) * count + i] += out(layer, i);
    return tb;
  }

  void receive() {
    const SlotScope scope;
    cell.receive(ul_tti,
                 {received.data(), static_cast<std::size_t>(limits.receive_antennas), count},
                 report);
  }

  CellLimits limits = sample_cell();
  CellUplink cell;
  fapi::UlTtiRequest ul_tti;
  UplinkReport report;
  std::size_t count;
  std::vector<cf32> received, sent;
  std::vector<air::Handset> handsets;
  std::array<std::uint8_t, 214> uci{};
};

inline bool names_a_value(const RefusedPdu& refused) {
  const std::string words = words_of(refused);
  return refused.why.field != nullptr && words.find(" is ") != std::string::npos &&
         words.find("allowed: ") != std::string::npos && *refused.why.allowed != '\0';
}

}  // namespace noroshi::site
