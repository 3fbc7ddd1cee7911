// Codewords of the transmitter: DL-SCH or UL-SCH, with UCI where there is some, scrambled.

#include <algorithm>
#include <cassert>
#include <cstring>

#include "fec/uci/uci.h"
#include "nr/prbs/prbs.h"
#include "phy/shared_channel/transmit_state.h"

namespace noroshi::phy {
namespace {

using State = TransmitWorkspace::State;
using fec::PuschPart;

// What UCI leaves of the codeword to UL-SCH.
fec::SchConfig ul_sch_config(const nr::SharedChannel& pusch, const fec::PuschUciLayout& layout) {
  fec::SchConfig config = sch_config(pusch);
  config.coded_bits = layout.coded_bits(PuschPart::ul_sch);
  return config;
}

void encode_uci(PuschPart part, View<const std::uint8_t, 1> bits, int bits_given, State& state) {
  const int count = state.layout.information_bits(part);
  if (count == 0) return;
  assert(bits.size() == bytes_for_bits(static_cast<std::size_t>(bits_given)));
  // HARQ-ACK may be sent with zeros behind the bits given (fec::pusch_harq_bits).
  std::uint8_t message[bytes_for_bits(fec::uci_bits_max)] = {};
  std::copy_n(bits.data(), bits.size(), message);
  const Refusal no = fec::make_uci_code({.bits = count,
                                         .coded_bits = state.layout.coded_bits(part),
                                         .bits_per_symbol = state.layout.bits_per_symbol()},
                                        state.uci_code);
  assert(!no);
  static_cast<void>(no);
  fec::uci_encode(state.uci_code, {message, bytes_for_bits(static_cast<std::size_t>(count))},
                  state.parts[static_cast<std::size_t>(part)], 0);
}

void make_codeword_with_uci(const nr::SharedChannel& pusch, const Payload& payload, State& state) {
  const auto config = fec::pusch_uci_config(pusch);
  const auto made = fec::make_pusch_uci_layout(config.value(), state.layout);
  assert(made.ok());
  static_cast<void>(made);
  const auto bytes_of = [&](PuschPart part) {
    return bytes_for_bits(static_cast<std::size_t>(state.layout.coded_bits(part)));
  };
  if (pusch.tb_bits > 0)
    fec::sch_encode(ul_sch_config(pusch, state.layout), payload.tb[0],
                    {state.parts[0].data(), bytes_of(PuschPart::ul_sch)}, state.sch);
  encode_uci(PuschPart::harq, payload.uci.harq, pusch.uci.harq_bits, state);
  encode_uci(PuschPart::csi1, payload.uci.csi1, pusch.uci.csi1_bits, state);
  encode_uci(PuschPart::csi2, payload.uci.csi2, pusch.uci.csi2_bits, state);
  fec::PuschCodedBits coded;
  for (std::size_t i = 0; i < fec::pusch_parts; ++i)
    coded.of[i] = {state.parts[i].data(), bytes_of(static_cast<PuschPart>(i))};
  const auto bits = static_cast<std::size_t>(state.layout.coded_bits());
  const View<std::uint8_t, 1> codeword(state.codeword[0].data(), bytes_for_bits(bits));
  fec::pusch_uci_multiplex(state.layout, coded, codeword);
  nr::cpu::scramble(data_scrambling_init(pusch), codeword, bits);
  fec::pusch_uci_scramble_placeholders(state.layout, codeword);
}

}  // namespace

void make_codeword(const nr::SharedChannel& channel, int codeword, const Payload& payload,
                   State& state) {
  if (channel.uci.any()) return make_codeword_with_uci(channel, payload, state);
  const fec::SchConfig config = sch_config(channel, codeword, state.elements_count);
  const View<const std::uint8_t, 1> tb = payload.tb[static_cast<std::size_t>(codeword)];
  assert(tb.size() == static_cast<std::size_t>(config.tb_bits) / 8);
  const auto bits = static_cast<std::size_t>(config.coded_bits);
  const View<std::uint8_t, 1> bytes(state.codeword[static_cast<std::size_t>(codeword)].data(),
                                    bytes_for_bits(bits));
  fec::sch_encode(config, tb, bytes, state.sch);
  nr::cpu::scramble(data_scrambling_init(channel, codeword), bytes, bits);
}

Refusal refuse_uci(const nr::SharedChannel& pusch, fec::PuschUciLayout& scratch) {
  if (!pusch.uci.any()) return {};
  fec::PuschUciConfig config;
  if (const Refusal no = fec::pusch_uci_config(pusch, config)) return no;
  if (const Refusal no = fec::place_pusch_uci(config, scratch)) return no;
  if (pusch.tb_bits > 0)
    if (const Refusal no = fec::refuse(ul_sch_config(pusch, scratch))) return no;
  for (const PuschPart part : {PuschPart::harq, PuschPart::csi1, PuschPart::csi2}) {
    const int bits = scratch.information_bits(part);
    if (bits == 0) continue;
    if (const Refusal no =
            fec::refuse(fec::UciConfig{.bits = bits,
                                       .coded_bits = scratch.coded_bits(part),
                                       .bits_per_symbol = scratch.bits_per_symbol()}))
      return no;
  }
  return {};
}

Result<void> check_uci_fits(const nr::SharedChannel& pusch) {
  if (!pusch.uci.any()) return {};
  fec::PuschUciLayout layout;
  return as_result(refuse_uci(pusch, layout));
}

}  // namespace noroshi::phy
