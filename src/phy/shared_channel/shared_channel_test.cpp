// Catches: any break between PDSCH/PUSCH transmission and reception: mapping, scrambling, DM-RS,
// scaling of soft bits, redundancy versions and their combination, delay, noise and power reports,
// allocations with holes, and configurations that the receiver must refuse by name.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/prng.h"
#include "nr/dmrs_symbols.h"
#include "nr/mcs.h"
#include "phy/pdsch.h"
#include "phy/pusch.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::phy {
namespace {

constexpr int symbols_per_slot = nr::symbols_per_slot;

nr::Carrier small_carrier() {
  const Result<nr::Carrier> carrier = nr::make_carrier(30, 20);
  EXPECT_TRUE(carrier.ok());
  return *carrier;
}

std::vector<std::uint8_t> random_bytes(std::size_t count, Prng& prng) {
  std::vector<std::uint8_t> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(prng());
  return bytes;
}

struct Link {
  nr::Carrier carrier = small_carrier();
  TransmitWorkspace transmit{carrier};
  ReceiveWorkspace receive{carrier};
  std::vector<cf32> sent;
  std::vector<cf32> received;

  void send(int slot, const nr::SharedChannel& channel, const std::vector<std::uint8_t>& tb) {
    sent.assign(static_cast<std::size_t>(symbols_per_slot * carrier.subcarriers()), 0);
    pdsch_transmit(carrier, slot, channel, tb,
                   View<cf32, 3>(sent.data(), 1, symbols_per_slot, carrier.subcarriers()),
                   transmit);
  }

  // A flat channel of magnitude 1 with its own phase at each antenna, late by delay_cycles.
  void pass(int antennas, double noise_power, double delay_cycles, Prng& prng) {
    received.clear();
    const double sigma = std::sqrt(noise_power / 2);
    for (int a = 0; a < antennas; ++a) {
      const double phase = 6.28 * prng.uniform();
      for (std::size_t i = 0; i < sent.size(); ++i) {
        const double k = static_cast<double>(i % static_cast<std::size_t>(carrier.subcarriers()));
        const cf64 turned = cf64(sent[i]) * std::polar(1.0, phase - 6.283185307 * delay_cycles * k);
        received.emplace_back(turned + cf64{sigma * prng.normal(), sigma * prng.normal()});
      }
    }
  }

  ReceiveResult decode(int slot, const nr::SharedChannel& channel, bool new_data,
                       fec::HarqBuffer& harq, std::vector<std::uint8_t>& tb) {
    const std::size_t antennas = received.size() / sent.size();
    return pusch_receive(
        carrier, slot, channel,
        View<const cf32, 3>(received.data(), antennas, symbols_per_slot, carrier.subcarriers()),
        new_data, {}, harq, tb, receive);
  }
};

nr::SharedChannel make_channel(int first_rb, int rbs, int mcs_index, nr::McsTable table) {
  nr::SharedChannel channel;
  channel.rnti = 0x4601;
  channel.scrambling_id = 77;
  for (int rb = first_rb; rb < first_rb + rbs; ++rb)
    channel.rbs[static_cast<std::size_t>(rb)] = true;
  const nr::Mcs mcs = nr::mcs(table, mcs_index).value();
  channel.modulation = mcs.modulation;
  channel.code_rate_x10240 = mcs.code_rate_x10240;
  channel.dmrs.symbol_mask = 1u << 2 | 1u << 11;
  channel.dmrs.scrambling_id = 1234;
  channel.tb_bits = nr::transport_block_bits(channel);
  return channel;
}

nr::SharedChannel random_channel(const nr::Carrier& carrier, Prng& prng) {
  const auto table = prng.below(2) == 0 ? nr::McsTable::qam64 : nr::McsTable::qam256;
  nr::SharedChannel channel = make_channel(
      0, 0, static_cast<int>(prng.below(static_cast<std::uint64_t>(nr::mcs_index_max(table)) + 1)),
      table);
  const std::uint64_t blocks = static_cast<std::uint64_t>(carrier.rb_count);
  if (prng.below(2) == 0) {
    const std::uint64_t count = 1 + prng.below(blocks), first = prng.below(blocks - count + 1);
    for (std::uint64_t rb = first; rb < first + count; ++rb) channel.rbs[rb] = true;
  } else {
    const std::uint64_t every = 1 + prng.below(5);
    for (std::uint64_t rb = 0; rb < blocks; ++rb) channel.rbs[rb] = prng.below(every) == 0;
    channel.rbs[prng.below(blocks)] = true;
  }
  channel.rnti = static_cast<std::uint16_t>(prng.below(65536));
  channel.scrambling_id = static_cast<std::uint16_t>(prng.below(1024));
  channel.symbol_start = static_cast<int>(prng.below(3));
  channel.symbol_count =
      8 + static_cast<int>(prng.below(static_cast<std::uint64_t>(7 - channel.symbol_start)));
  channel.dmrs.symbol_mask =
      nr::pdsch_dmrs_symbols(channel.symbol_start, channel.symbol_count,
                             {.additional_positions = static_cast<int>(prng.below(4))});
  channel.dmrs.cdm_groups_without_data = 1 + static_cast<int>(prng.below(2));
  channel.dmrs.port_mask = static_cast<std::uint16_t>(
      1u << prng.below(2 * static_cast<std::uint64_t>(channel.dmrs.cdm_groups_without_data)));
  channel.dmrs.scrambling_id = static_cast<std::uint16_t>(prng.below(65536));
  channel.dmrs.n_scid = static_cast<int>(prng.below(2));
  channel.rv = prng.below(2) == 0 ? 0 : 3;  // the two that can be decoded alone
  channel.tb_bits = nr::transport_block_bits(channel);
  // rv 3 carries most of the systematic bits only while the rate is low.
  if (channel.code_rate_x10240 > 5000) channel.rv = 0;
  return channel;
}

TEST(SharedChannel, RoundTripOfRandomAllocations) {
  constexpr std::uint64_t seed = 41;
  Prng prng(seed);
  Link link;
  for (int round = 0; round < 120; ++round) {
    const nr::SharedChannel channel = random_channel(link.carrier, prng);
    SCOPED_TRACE(testing::Message()
                 << "seed " << seed << " round " << round << " rbs " << channel.rbs.count()
                 << " Qm " << nr::bits_per_symbol(channel.modulation) << " R "
                 << channel.code_rate_x10240 << " rv " << channel.rv << " dmrs "
                 << channel.dmrs.symbol_mask << " symbols " << channel.symbol_start << "+"
                 << channel.symbol_count);
    const Result<void> allowed = check_pusch(link.carrier, channel);
    ASSERT_TRUE(allowed.ok()) << allowed.error().message;
    const auto tb = random_bytes(static_cast<std::size_t>(channel.tb_bits) / 8, prng);
    const int slot = static_cast<int>(prng.below(20));
    link.send(slot, channel, tb);
    const int antennas = 1 + static_cast<int>(prng.below(4));
    const double delay = 0.04 * (prng.uniform() - 0.5);
    link.pass(antennas, 1e-4, delay, prng);
    fec::HarqBuffer harq(channel.tb_bits);
    std::vector<std::uint8_t> decoded(tb.size());
    const ReceiveResult result = link.decode(slot, channel, true, harq, decoded);
    ASSERT_TRUE(result.crc_ok);
    ASSERT_EQ(decoded, tb);
    ASSERT_EQ(result.code_blocks_ok, result.code_blocks);
    ASSERT_NEAR(result.timing_offset_s * 30e3, delay, 5e-4);
    ASSERT_NEAR(result.sinr_db, 40 + 10 * std::log10(antennas), 5);
    const double beta = nr::dmrs_amplitude(channel.dmrs);
    ASSERT_NEAR(result.rsrp, beta * beta, 0.05);
  }
}

TEST(SharedChannel, NoiseAndSinrAreMeasured) {
  constexpr std::uint64_t seed = 42;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  Link link;
  const nr::SharedChannel channel = make_channel(3, 40, 4, nr::McsTable::qam64);
  const auto tb = random_bytes(static_cast<std::size_t>(channel.tb_bits) / 8, prng);
  fec::HarqBuffer harq(channel.tb_bits);
  std::vector<std::uint8_t> decoded(tb.size());
  link.send(1, channel, tb);
  for (double noise : {4.0, 1.0, 0.1, 0.01}) {
    link.pass(2, noise, 0, prng);
    const ReceiveResult result = link.decode(1, channel, true, harq, decoded);
    EXPECT_NEAR(result.noise_power / noise, 1, 0.1);
    EXPECT_NEAR(result.sinr_db, 10 * std::log10(2 / noise), 0.7);
  }
}

// At an SNR where one transmission fails, the second redundancy version closes the gap; and without
// the first one in the buffer it would not.
TEST(SharedChannel, HarqCombinesRedundancyVersions) {
  constexpr std::uint64_t seed = 43;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  Link link;
  nr::SharedChannel channel = make_channel(0, 51, 14, nr::McsTable::qam64);
  const auto tb = random_bytes(static_cast<std::size_t>(channel.tb_bits) / 8, prng);
  fec::HarqBuffer harq(channel.tb_bits), fresh(channel.tb_bits);
  std::vector<std::uint8_t> decoded(tb.size());
  const double noise = std::pow(10.0, -0.45);  // 3 dB below what MCS 14 needs
  link.send(2, channel, tb);
  link.pass(1, noise, 0, prng);
  EXPECT_FALSE(link.decode(2, channel, true, harq, decoded).crc_ok);
  channel.rv = 2;
  link.send(9, channel, tb);
  link.pass(1, noise, 0, prng);
  EXPECT_FALSE(link.decode(9, channel, true, fresh, decoded).crc_ok);
  EXPECT_TRUE(link.decode(9, channel, false, harq, decoded).crc_ok);
  EXPECT_EQ(decoded, tb);
}

// Block errors of a working point of the receiver table at a margin on either side: an
// implementation loss of some tenths of a dB turns one of them over. 51 blocks, 10 iterations.
TEST(SharedChannel, WorkingPointInWhiteNoise) {
  constexpr std::uint64_t seed = 44;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  Link link;
  struct Point {
    nr::McsTable table;
    int mcs;
    double snr_db;  // 10 % block errors
  };
  for (const Point& point : {Point{nr::McsTable::qam64, 0, -4.78},
                             {nr::McsTable::qam64, 16, 9.14},
                             {nr::McsTable::qam256, 27, 26.27}}) {
    const nr::SharedChannel channel = make_channel(0, 51, point.mcs, point.table);
    const auto tb = random_bytes(static_cast<std::size_t>(channel.tb_bits) / 8, prng);
    fec::HarqBuffer harq(channel.tb_bits);
    std::vector<std::uint8_t> decoded(tb.size());
    link.send(0, channel, tb);
    int errors_above = 0, errors_below = 0;
    for (int round = 0; round < 8; ++round) {
      link.pass(1, std::pow(10.0, -(point.snr_db + 0.7) / 10), 0, prng);
      errors_above += !link.decode(0, channel, true, harq, decoded).crc_ok;
      link.pass(1, std::pow(10.0, -(point.snr_db - 1.2) / 10), 0, prng);
      errors_below += !link.decode(0, channel, true, harq, decoded).crc_ok;
    }
    EXPECT_LE(errors_above, 1) << "MCS " << point.mcs;
    EXPECT_GE(errors_below, 6) << "MCS " << point.mcs;
  }
}

TEST(SharedChannel, PrecodedLayersAddUpOnTheirPorts) {
  constexpr std::uint64_t seed = 45;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  const nr::Carrier carrier = small_carrier();
  TransmitWorkspace workspace(carrier);
  for (int type : {1, 2}) {
    nr::SharedChannel channel = make_channel(5, 17, 10, nr::McsTable::qam64);
    channel.layers = 3;
    channel.dmrs.type = type;
    channel.dmrs.double_symbol = true;
    channel.dmrs.symbol_mask = 0x0c0c;
    channel.dmrs.port_mask = 0x13;
    channel.dmrs.cdm_groups_without_data = type;
    channel.tb_bits = nr::transport_block_bits(channel);
    const Result<void> allowed = check_pdsch(carrier, channel);
    ASSERT_TRUE(allowed.ok() || type == 2) << allowed.error().message;
    if (type == 2) channel.dmrs.cdm_groups_without_data = 3;
    channel.tb_bits = nr::transport_block_bits(channel);
    ASSERT_TRUE(check_pdsch(carrier, channel).ok());
    const auto tb = random_bytes(static_cast<std::size_t>(channel.tb_bits) / 8, prng);
    const std::size_t size = static_cast<std::size_t>(symbols_per_slot * carrier.subcarriers());
    std::vector<cf32> layers(3 * size), ports(4 * size), matrix(12);
    for (auto& weight : matrix)
      weight = cf32{static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
    const View<const cf32, 2> precoding(matrix.data(), 4, 3);
    shared_channel_transmit(carrier, 3, channel, {{tb, {}}, {}}, {},
                            {layers.data(), 3, symbols_per_slot, carrier.subcarriers()}, workspace);
    shared_channel_transmit(carrier, 3, channel, {{tb, {}}, {}}, {{matrix.data(), 1, 4, 3}, 0},
                            {ports.data(), 4, symbols_per_slot, carrier.subcarriers()}, workspace);
    for (std::size_t port = 0; port < 4; ++port)
      for (std::size_t i = 0; i < size; ++i) {
        cf32 sum = 0;
        for (std::size_t layer = 0; layer < 3; ++layer)
          sum += precoding(port, layer) * layers[layer * size + i];
        ASSERT_LT(std::abs(sum - ports[port * size + i]), 1e-4f) << port << " " << i;
      }
  }
}

TEST(SharedChannel, ElementsOutsideStay) {
  const nr::Carrier carrier = small_carrier();
  TransmitWorkspace workspace(carrier);
  nr::SharedChannel channel = make_channel(4, 9, 5, nr::McsTable::qam64);
  channel.rbs[20] = true;
  channel.symbol_start = 2;
  channel.symbol_count = 11;
  channel.tb_bits = nr::transport_block_bits(channel);
  const std::vector<std::uint8_t> tb(static_cast<std::size_t>(channel.tb_bits) / 8, 0x5a);
  const cf32 mark(9, 9);
  std::vector<cf32> grid(static_cast<std::size_t>(symbols_per_slot * carrier.subcarriers()), mark);
  pdsch_transmit(carrier, 0, channel, tb,
                 View<cf32, 3>(grid.data(), 1, symbols_per_slot, carrier.subcarriers()), workspace);
  for (int l = 0; l < symbols_per_slot; ++l)
    for (int k = 0; k < carrier.subcarriers(); ++k) {
      const bool inside = l >= 2 && l < 13 && channel.rbs[static_cast<std::size_t>(k / 12)];
      const cf32 value = grid[static_cast<std::size_t>(l * carrier.subcarriers() + k)];
      ASSERT_EQ(value != mark, inside) << l << " " << k;
    }
}

// Whatever the antennas deliver, a receiver reports a block error and a finite SINR.
TEST(SharedChannel, SilenceAndNonsenseAreBlockErrors) {
  Link link;
  const nr::SharedChannel channel = make_channel(0, 20, 12, nr::McsTable::qam64);
  fec::HarqBuffer harq(channel.tb_bits);
  std::vector<std::uint8_t> decoded(static_cast<std::size_t>(channel.tb_bits) / 8);
  const float infinity = std::numeric_limits<float>::infinity();
  for (float value : {0.0f, 1e-30f, 1e18f, 1e30f, infinity, std::nanf("")}) {
    link.sent.assign(static_cast<std::size_t>(symbols_per_slot * link.carrier.subcarriers()), 0);
    link.received.assign(link.sent.size(), cf32(value, -value));
    const ReceiveResult result = link.decode(0, channel, true, harq, decoded);
    EXPECT_FALSE(result.crc_ok) << value;
    EXPECT_TRUE(std::isfinite(result.sinr_db)) << value;
    if (value == 0) {
      EXPECT_LT(result.sinr_db, -50);
    }
    EXPECT_TRUE(std::isfinite(result.noise_power)) << value;
    EXPECT_TRUE(std::isfinite(result.timing_offset_s)) << value;
    link.received.assign(link.sent.size(), cf32(1, 0));
    link.received[5] = cf32(value, value);  // a data element of symbol 0
    (void)link.decode(0, channel, true, harq, decoded);
  }
}

TEST(SharedChannel, AmplitudeOverride) {
  nr::Dmrs dmrs;
  EXPECT_NEAR(nr::dmrs_amplitude(dmrs), std::pow(10.0, 3.0 / 20), 1e-9);
  dmrs.amplitude_override = 0.5f;
  EXPECT_EQ(nr::dmrs_amplitude(dmrs), 0.5);
}

TEST(SharedChannel, RefusalsNameTheField) {
  const nr::Carrier carrier = small_carrier();
  const nr::SharedChannel good = make_channel(0, 10, 5, nr::McsTable::qam64);
  ASSERT_TRUE(check_pusch(carrier, good).ok());
  const auto refused = [&](const char* field, auto change) {
    nr::SharedChannel bad = good;
    change(bad);
    const Result<void> result = check_pusch(carrier, bad);
    ASSERT_FALSE(result.ok()) << field;
    EXPECT_NE(result.error().message.find(field), std::string::npos) << result.error().message;
  };
  refused("rbs", [](auto& c) { c.rbs.reset(); });
  refused("rbs", [](auto& c) { c.rbs[51] = true; });
  refused("symbol_start", [](auto& c) { c.symbol_start = 14; });
  refused("symbol_count", [](auto& c) { c.symbol_count = 15; });
  refused("symbol_count", [](auto& c) { c.symbol_count = 0; });
  refused("modulation", [](auto& c) { c.modulation = nr::Modulation::pi2_bpsk; });
  refused("scrambling_id", [](auto& c) { c.scrambling_id = 1024; });
  refused("layers", [](auto& c) { c.layers = 5; });
  refused("rv", [](auto& c) { c.rv = 4; });
  refused("tb_bits", [](auto& c) { c.tb_bits = 0; });
  refused("dmrs.type", [](auto& c) { c.dmrs.type = 3; });
  refused("dmrs.symbol_mask", [](auto& c) { c.dmrs.double_symbol = true; });
  refused("dmrs.symbol_mask", [](auto& c) { c.dmrs.symbol_mask = 0; });
  refused("dmrs.symbol_mask", [](auto& c) { c.dmrs.symbol_mask = 0x3e; });
  refused("dmrs.symbol_mask", [](auto& c) { c.symbol_count = 10; });
  refused("dmrs.cdm_groups", [](auto& c) { c.dmrs.cdm_groups_without_data = 3; });
  refused("dmrs.port_mask", [](auto& c) { c.dmrs.port_mask = 3; });
  refused("dmrs.port_mask", [](auto& c) { c.dmrs.port_mask = 0x10; });
  refused("dmrs.port_mask",
          [](auto& c) { c.dmrs.cdm_groups_without_data = 1, c.dmrs.port_mask = 4; });
  refused("dmrs.n_scid", [](auto& c) { c.dmrs.n_scid = 2; });
  refused("dmrs.amplitude_override", [](auto& c) { c.dmrs.amplitude_override = -1; });
  refused("second.tb_bits", [](auto& c) { c.second.tb_bits = 800; });
  refused("vrb.bundle_rbs", [](auto& c) { c.vrb = {2, 0, 51, false}; });
  refused("reserved_count", [](auto& c) { c.reserved_count = 1; });
  refused("second_hop_rb", [](auto& c) { c.second_hop_rb = 42; });
  refused("uci.csi2_bits", [](auto& c) { c.uci.csi2_bits = 8; });
  refused("dmrs.scrambling_id",
          [](auto& c) { c.transform_precoding = true, c.dmrs.scrambling_id = 1234; });
}

}  // namespace
}  // namespace noroshi::phy
