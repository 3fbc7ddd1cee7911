// Uplink control information (TS 38.212 5.3.3, 6.3). Where a kernel has a ref:: and a cpu::
// version, both must pass.

#include <algorithm>
#include <cmath>
#include <numbers>

#include "air/handset.h"
#include "conformance/channel_case.h"
#include "conformance/components.h"
#include "conformance/sch_case.h"
#include "fec/sch/sch.h"
#include "fec/small_block/small_block.h"
#include "fec/uci/pusch_uci.h"
#include "fec/uci/uci.h"
#include "nr/data_elements.h"
#include "nr/prbs/prbs.h"
#include "nr/pusch_precoding.h"
#include "phy/dft/dft.h"
#include "phy/modulation/modulation.h"

namespace noroshi::conformance {
namespace {

// As the vectors write them: 0, 1, -1 for x, -2 for y.
std::vector<double> with_placeholders(const fec::SmallBlock& block,
                                      const std::vector<std::uint8_t>& coded) {
  std::vector<double> values;
  for (int k = 0; k < block.coded_bits; ++k) {
    const fec::CodedBit kind = fec::small_block_coded_bit(block, k);
    const bool bit = bit_at(coded.data(), static_cast<std::size_t>(k));
    values.push_back(kind == fec::CodedBit::one     ? -1
                     : kind == fec::CodedBit::again ? -2
                                                    : static_cast<double>(bit));
  }
  return values;
}

std::string difference_of_values(const std::vector<double>& got, const double* expected) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == expected[i]) continue;
    return "bit " + std::to_string(i) + " of " + std::to_string(got.size()) + " is " +
           std::to_string(static_cast<int>(got[i])) + ", expected " +
           std::to_string(static_cast<int>(expected[i]));
  }
  return "";
}

std::vector<SoftBit> soft_bits_of(const std::vector<std::uint8_t>& coded, std::size_t bits) {
  std::vector<SoftBit> soft_bits(bits);
  for (std::size_t i = 0; i < bits; ++i) {
    soft_bits[i] = bit_at(coded.data(), i) ? SoftBit{-9} : SoftBit{9};
  }
  return soft_bits;
}

// Whether uci_decode() finds the message in these coded bits.
std::string decoding_difference(const fec::UciCode& code, View<const SoftBit, 1> soft_bits,
                                const std::vector<std::uint8_t>& message) {
  fec::PolarWorkspace workspace;
  std::vector<std::uint8_t> decoded(message.size());
  const auto result = fec::uci_decode(code, soft_bits, {}, decoded, workspace);
  if (!result.ok) return "decoding: not ok";
  return decoded == message ? "" : "decoding: another message";
}

}  // namespace

Outcome check_small_block(const VectorCase& c) {
  NOROSHI_CASE_VALUE(bits, c.integer("K"));
  NOROSHI_CASE_VALUE(modulation, c.integer("Qm"));
  NOROSHI_CASE_VALUE(in, c.array("inbits"));
  NOROSHI_CASE_VALUE(expected, c.array("dn"));
  const int coded_bits = static_cast<int>(expected->size());
  const fec::SmallBlock block{bits, coded_bits, bits > 2 ? 2 : modulation};
  if (const auto allowed = fec::check(block); !allowed) return failed(allowed.error().message);
  if (in->size() != static_cast<std::size_t>(bits) ||
      coded_bits != fec::small_block_codeword_bits(bits, block.bits_per_symbol)) {
    return failed("inbits or dn has not the length of the code");
  }
  const std::vector<std::uint8_t> message = packed(bits_of(*in, 0, in->size()));
  std::vector<std::uint8_t> ref(bytes_for_bits(expected->size()));
  std::vector<std::uint8_t> cpu(ref.size());
  fec::ref::small_block_encode(block, message, ref, 0);
  fec::cpu::small_block_encode(block, message, cpu, 0);
  for (const auto& [what, coded] : {std::pair{"ref", ref}, std::pair{"cpu", cpu}}) {
    const std::string wrong =
        difference_of_values(with_placeholders(block, coded), expected->real.data());
    if (!wrong.empty()) return failed(std::string(what) + ": " + wrong);
  }
  // And back.
  std::vector<std::uint8_t> decoded(message.size());
  fec::cpu::small_block_decode(block, soft_bits_of(cpu, expected->size()), decoded);
  return decoded == message ? passed() : failed("decoded to another word");
}

Outcome check_polar_segment(const VectorCase& c) {
  NOROSHI_CASE_VALUE(bits, c.integer("A"));
  NOROSHI_CASE_VALUE(coded_bits, c.integer("Euci"));
  NOROSHI_CASE_VALUE(blocks, c.integer("C"));
  NOROSHI_CASE_VALUE(block_coded_bits, c.integer("Er"));
  NOROSHI_CASE_VALUE(in, c.array("in"));
  NOROSHI_CASE_VALUE(expected, c.array("outd"));
  NOROSHI_CASE_VALUE(code, fec::make_uci_code({.bits = bits, .coded_bits = coded_bits}));
  if (bits <= fec::small_block_bits_max || in->size() != static_cast<std::size_t>(bits)) {
    return failed("in is not A > 11 bits");
  }
  const auto block_bits = static_cast<std::size_t>(code.polar.config.message_bits);
  if (code.code_blocks != blocks || code.polar.config.coded_bits != block_coded_bits ||
      expected->size() != static_cast<std::size_t>(blocks) * block_bits) {
    return failed(std::to_string(code.code_blocks) + " code blocks of " +
                  std::to_string(block_bits) + " bits, expected another shape");
  }
  const std::vector<std::uint8_t> message = packed(bits_of(*in, 0, in->size()));
  for (int block = 0; block < blocks; ++block) {
    std::vector<std::uint8_t> out(bytes_for_bits(block_bits));
    fec::uci_code_block(code, message, block, out);
    const std::string wrong =
        difference(unpacked(out, block_bits),
                   bits_of(*expected, static_cast<std::size_t>(block) * block_bits, block_bits));
    if (!wrong.empty()) return failed("block " + std::to_string(block) + ": " + wrong);
  }
  return passed();
}

Outcome check_polar_uci(const VectorCase& c) {
  NOROSHI_CASE_VALUE(bits, c.integer("A"));
  NOROSHI_CASE_VALUE(coded_bits, c.integer("E"));
  NOROSHI_CASE_VALUE(in, c.array("u"));
  NOROSHI_CASE_VALUE(expected, c.array("c"));
  NOROSHI_CASE_VALUE(code, fec::make_uci_code({.bits = bits, .coded_bits = coded_bits}));
  const std::size_t words = in->shape.size() == 2 ? in->shape[0] : 1;
  const auto width = static_cast<std::size_t>(bits);
  const auto coded_width = static_cast<std::size_t>(coded_bits);
  if (in->size() != words * width || expected->size() != words * coded_width) {
    return failed("u or c has not the length of the code");
  }
  for (std::size_t word = 0; word < words; ++word) {
    const auto message = packed(bits_of(*in, word * width, width));
    std::vector<std::uint8_t> coded(bytes_for_bits(coded_width));
    fec::uci_encode(code, message, coded, 0);
    std::string wrong = difference(unpacked(coded, coded_width),
                                   bits_of(*expected, word * coded_width, coded_width));
    if (wrong.empty()) {
      wrong = decoding_difference(code, soft_bits_of(coded, coded_width), message);
    }
    if (!wrong.empty()) return failed("word " + std::to_string(word) + ": " + wrong);
  }
  return passed();
}

namespace {

struct UciArrays {
  const char* enabled;
  const char* bits;
  const char* coded;
};
// In the order of PuschPart.
constexpr UciArrays uci_arrays[] = {{"EnableULSCH", "trblk_out", "codedULSCH_out"},
                                    {"EnableACK", "effACK_out", "codedACK_out"},
                                    {"EnableCSI1", "csi1_out", "codedCSI1_out"},
                                    {"EnableCSI2", "csi2_out", "codedCSI2_out"}};

Result<fec::PuschUciConfig> ulsch_uci_config(const VectorCase& c,
                                             const nr::SharedChannel& channel) {
  auto config = fec::pusch_uci_config(channel);
  if (!config) return config.error();
  const auto bits_of_part = [&](const UciArrays& part) {
    const auto enabled = c.integer(part.enabled);
    const auto array = c.array(part.bits);
    return enabled && *enabled != 0 && array ? static_cast<int>((*array)->shape.back()) : 0;
  };
  config->harq_bits = bits_of_part(uci_arrays[1]);
  config->csi1_bits = bits_of_part(uci_arrays[2]);
  config->csi2_bits = bits_of_part(uci_arrays[3]);
  const std::pair<const char*, int*> betas[] = {{"BetaOffsetACK", &config->harq_beta_x8},
                                                {"BetaOffsetCSI1", &config->csi1_beta_x8},
                                                {"BetaOffsetCSI2", &config->csi2_beta_x8}};
  for (const auto& [key, beta_x8] : betas) {
    const auto beta = c.number(key);
    if (!beta) return beta.error();
    *beta_x8 = static_cast<int>(std::lround(*beta * 8));
  }
  const auto alpha = c.number("UCIScaling");
  if (!alpha) return alpha.error();
  config->alpha_x100 = static_cast<int>(std::lround(*alpha * 100));
  return config;
}

// One slot's row of a [slot, bit] array.
Result<std::vector<std::uint8_t>> row_of(const VectorCase& c, const char* name, std::size_t row) {
  const auto array = c.array(name);
  if (!array) return array.error();
  const std::size_t rows = (*array)->shape.size() == 2 ? (*array)->shape[0] : 1;
  if ((*array)->is_complex || (*array)->size() == 0 || (rows > 1 && row >= rows)) {
    return Error{std::string(name) + " has no bits of slot row " + std::to_string(row)};
  }
  const std::size_t bits = (*array)->shape.back();
  return bits_of(**array, rows == 1 ? 0 : row * bits, bits);
}

struct CodedParts {
  std::array<std::vector<std::uint8_t>, fec::pusch_parts> packed;
  std::array<std::vector<double>, fec::pusch_parts> values;  // with placeholders
};

// Codes every part of one slot, compares it, and decodes UCI again.
std::string code_parts(const VectorCase& c, const fec::PuschUciLayout& layout,
                       const fec::SchConfig& sch, std::size_t row, CodedParts& parts) {
  for (std::size_t p = 0; p < fec::pusch_parts; ++p) {
    const auto part = static_cast<fec::PuschPart>(p);
    const auto coded_bits = static_cast<std::size_t>(layout.coded_bits(part));
    parts.packed[p].assign(bytes_for_bits(coded_bits), 0);
    parts.values[p].clear();
    if (coded_bits == 0) continue;
    const UciArrays& names = uci_arrays[p];
    const auto bits = row_of(c, names.bits, row);
    if (!bits) return bits.error().message;
    const std::vector<std::uint8_t> message = packed(*bits);
    const auto expected = c.array(names.coded);
    if (!expected) return expected.error().message;
    if ((*expected)->size() < (row + 1) * coded_bits || (*expected)->shape.back() != coded_bits) {
      return std::string(names.coded) + ": " + std::to_string(coded_bits) + " bits, expected " +
             std::to_string((*expected)->shape.back());
    }
    const fec::SmallBlock block{static_cast<int>(bits->size()), layout.coded_bits(part),
                                layout.bits_per_symbol()};
    if (part == fec::PuschPart::ul_sch) {
      fec::SchWorkspace workspace;
      fec::sch_encode(sch, message, parts.packed[p], workspace);
      for (const auto bit : unpacked(parts.packed[p], coded_bits)) parts.values[p].push_back(bit);
    } else {
      const auto code = fec::make_uci_code({.bits = block.bits,
                                            .coded_bits = block.coded_bits,
                                            .bits_per_symbol = block.bits_per_symbol});
      if (!code) return code.error().message;
      fec::uci_encode(*code, message, parts.packed[p], 0);
      if (block.bits <= 2) {
        parts.values[p] = with_placeholders(block, parts.packed[p]);
      } else {
        for (const auto bit : unpacked(parts.packed[p], coded_bits)) parts.values[p].push_back(bit);
      }
      const std::string wrong =
          decoding_difference(*code, soft_bits_of(parts.packed[p], coded_bits), message);
      if (!wrong.empty()) return std::string(names.bits) + ": " + wrong;
    }
    const std::string wrong =
        difference_of_values(parts.values[p], (*expected)->real.data() + row * coded_bits);
    if (!wrong.empty()) return std::string(names.coded) + ": " + wrong;
  }
  return "";
}

// The multiplexed codeword with its placeholders, and its bits.
std::string codeword_difference(const Array& expected, const fec::PuschUciLayout& layout,
                                const CodedParts& parts, std::size_t row,
                                std::vector<std::uint8_t>& codeword) {
  const auto bits = static_cast<std::size_t>(layout.coded_bits());
  if (expected.is_complex || expected.size() < (row + 1) * bits || expected.shape.back() != bits) {
    return "codeword_out has not " + std::to_string(bits) + " bits a slot";
  }
  std::vector<double> values(bits);
  fec::PuschCodedBits coded;
  for (const std::size_t p : {0u, 2u, 3u, 1u}) {  // HARQ-ACK overwrites
    coded.of[p] = parts.packed[p];
    std::size_t from = 0;
    for (const auto& run : layout.runs(static_cast<fec::PuschPart>(p))) {
      const auto count = static_cast<std::size_t>(run.count * layout.element_bits());
      std::copy_n(parts.values[p].begin() + static_cast<std::ptrdiff_t>(from), count,
                  values.begin() + run.first * layout.element_bits());
      from += count;
    }
  }
  const double* want = expected.real.data() + row * bits;
  if (const std::string wrong = difference_of_values(values, want); !wrong.empty()) return wrong;
  codeword.assign(bytes_for_bits(bits), 0);
  fec::pusch_uci_multiplex(layout, coded, codeword);
  for (std::size_t i = 0; i < bits; ++i) {
    if (want[i] >= 0 && bit_at(codeword.data(), i) != (want[i] > 0)) {
      return "multiplexing: bit " + std::to_string(i);
    }
  }
  return "";
}

// The codeword scrambled, with its placeholders, on two antenna ports: layer i on port i (TPMI 0 of
// TS 38.211 tables 6.3.1.5-1 and -4).
std::string codeword_symbols_difference(const VectorCase& c, const nr::SharedChannel& channel,
                                        const fec::PuschUciLayout& layout,
                                        std::vector<std::uint8_t> codeword, std::size_t slot) {
  const auto expected = c.array("layermap_out");
  const auto rnti = c.integer("RNTI");
  const auto id = c.integer("NID");
  const auto precoding = c.integer("TransformPrecoding");
  if (!expected || !rnti || !id || !precoding) return "layermap_out or its parameters are missing";
  const Array& want = **expected;
  const auto row = std::ranges::find(want.slots, static_cast<int>(slot));
  if (row == want.slots.end()) return "";  // not given for this slot
  const auto bits = static_cast<std::size_t>(layout.coded_bits());
  nr::cpu::scramble(static_cast<std::uint32_t>(*rnti) << 15 | static_cast<std::uint32_t>(*id),
                    codeword, bits);
  fec::pusch_uci_scramble_placeholders(layout, codeword);
  std::vector<cf64> symbols(bits / static_cast<std::size_t>(layout.bits_per_symbol()));
  phy::ref::modulate(channel.modulation, codeword, std::numbers::sqrt2 / 2, symbols);
  if (*precoding != 0) {
    const std::size_t width = 12 * channel.rbs.count();
    for (std::size_t first = 0; first + width <= symbols.size(); first += width) {
      const View<cf64, 1> part(symbols.data() + first, width);
      phy::ref::dft(phy::FftDirection::forward, part, part);
    }
  }
  const auto layers = static_cast<std::size_t>(channel.layers);
  const std::size_t each = symbols.size() / layers;
  if (want.shape.size() != 3 || want.shape[1] != 2 || want.shape[2] != each) {
    return "not two ports of " + std::to_string(each) + " symbols";
  }
  std::vector<cf32> ports(2 * each);
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    ports[i % layers * each + i / layers] = cf32(symbols[i]);
  }
  const auto from = static_cast<std::size_t>(row - want.slots.begin()) * ports.size();
  if (want.complex.size() < from + ports.size()) return "layermap_out is too small";
  return difference(ports, want.complex.data() + from, ports.size(), 1e-5);
}

// What the handset sends, on two antenna ports with TPMI 0, in the order in which symbols are
// mapped.
std::string sent_difference(const VectorCase& c, const nr::SharedChannel& base,
                            const fec::PuschUciConfig& uci, std::size_t row, std::size_t slot) {
  const auto expected = c.array("layermap_out");
  const auto rnti = c.integer("RNTI");
  const auto id = c.integer("NID");
  const auto transform_precoding = c.integer("TransformPrecoding");
  const auto rbs = c.integer("n_prb");
  const auto scs_khz = c.integer("scs");
  if (!expected || !rnti || !id || !transform_precoding || !rbs || !scs_khz)
    return "layermap_out or its parameters are missing";
  const Array& want = **expected;
  const auto at = std::ranges::find(want.slots, static_cast<int>(slot));
  if (at == want.slots.end()) return "";  // not given for this slot

  nr::SharedChannel pusch = base;
  pusch.rnti = static_cast<std::uint16_t>(*rnti);
  pusch.scrambling_id = static_cast<std::uint16_t>(*id);
  pusch.transform_precoding = *transform_precoding != 0;
  pusch.uci = {uci.harq_bits,    uci.csi1_bits,    uci.csi2_bits, uci.harq_beta_x8,
               uci.csi1_beta_x8, uci.csi2_beta_x8, uci.alpha_x100};
  const nr::Carrier carrier = carrier_of(*rbs, *scs_khz);
  if (const auto allowed = air::check_pusch_transmit(carrier, pusch); !allowed)
    return allowed.error().message;
  const auto precoder = nr::pusch_precoder(2, pusch.layers, 0, pusch.transform_precoding);
  if (!precoder) return precoder.error().message;
  std::vector<std::uint8_t> parts[fec::pusch_parts];
  const int bits[] = {pusch.tb_bits, uci.harq_bits, uci.csi1_bits, uci.csi2_bits};
  for (std::size_t p = 0; p < fec::pusch_parts; ++p) {
    if (bits[p] == 0) continue;
    const auto part = row_of(c, uci_arrays[p].bits, row);
    if (!part) return part.error().message;
    parts[p] = packed(*part);
  }
  SlotGrid grid(2, carrier);
  phy::TransmitWorkspace workspace(carrier);
  air::pusch_transmit(
      carrier, static_cast<int>(slot), pusch,
      {.tb = {View<const std::uint8_t, 1>(parts[0]), {}},
       .uci = {View<const std::uint8_t, 1>(parts[1]), View<const std::uint8_t, 1>(parts[2]),
               View<const std::uint8_t, 1>(parts[3])}},
      precoder->matrix(), grid.view(), workspace);
  nr::DataElements elements;
  nr::find_data_elements(pusch, elements);
  std::vector<cf32> sent;
  for (std::size_t port = 0; port < 2; ++port)
    for (int l = 0; l < nr::symbols_per_slot; ++l) {
      if (elements.symbols[static_cast<std::size_t>(l)].count == 0) continue;
      for (int k = 0; k < carrier.subcarriers(); ++k)
        if (pusch.rbs[static_cast<std::size_t>(k / 12)] &&
            (elements.mask(l, k / 12) >> (k % 12) & 1) != 0)
          sent.push_back(grid.view()(port, l, k));
    }
  const auto from = static_cast<std::size_t>(at - want.slots.begin()) * sent.size();
  if (want.shape.size() != 3 || want.shape[1] * want.shape[2] != sent.size() ||
      want.complex.size() < from + sent.size())
    return "layermap_out has not two ports of " + std::to_string(sent.size() / 2) + " symbols";
  return difference(sent, want.complex.data() + from, sent.size(), grid_tolerance);
}

}  // namespace

Outcome check_ulsch_uci(const VectorCase& c) {
  NOROSHI_CASE_VALUE(channel, matlab_shared_channel(c));
  NOROSHI_CASE_VALUE(config, ulsch_uci_config(c, channel));
  NOROSHI_CASE_VALUE(versions, c.numbers("rv_out"));
  NOROSHI_CASE_VALUE(buffer_bits, c.integer("N_ref_LBRM"));
  NOROSHI_CASE_VALUE(expected, c.array("codeword_out"));
  fec::PuschUciLayout layout;
  if (const auto made = fec::make_pusch_uci_layout(config, layout); !made) {
    return failed(made.error().message);
  }
  channel.limited_buffer_bits = buffer_bits;
  fec::SchConfig sch{.tb_bits = channel.tb_bits,
                     .code_rate_x10240 = channel.code_rate_x10240,
                     .bits_per_symbol = layout.bits_per_symbol(),
                     .layers = channel.layers,
                     .rv = 0,
                     .coded_bits = layout.coded_bits(fec::PuschPart::ul_sch),
                     .limited_buffer_bits = buffer_bits};
  const std::size_t rows = expected->shape.size() == 2 ? expected->shape[0] : 1;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t slot =
        row < expected->slots.size() ? static_cast<std::size_t>(expected->slots[row]) : row;
    if (slot >= versions.size()) return failed("no rv for slot " + std::to_string(slot));
    sch.rv = static_cast<int>(versions[slot]);
    if (channel.tb_bits > 0) {
      if (const auto allowed = fec::check(sch); !allowed) return failed(allowed.error().message);
    }
    CodedParts parts;
    std::string wrong = code_parts(c, layout, sch, row, parts);
    std::vector<std::uint8_t> codeword;
    if (wrong.empty()) wrong = codeword_difference(*expected, layout, parts, row, codeword);
    channel.rv = sch.rv;
    if (wrong.empty()) wrong = codeword_symbols_difference(c, channel, layout, codeword, slot);
    // With CSI part 1 alone TS 38.212 6.3.2.1.1 sends 2 HARQ-ACK bits, which the source leaves out.
    const bool as_standard =
        config.harq_bits == fec::pusch_harq_bits(config.harq_bits, channel.tb_bits > 0,
                                                 config.csi1_bits, config.csi2_bits);
    if (wrong.empty() && as_standard) wrong = sent_difference(c, channel, config, row, slot);
    if (!wrong.empty()) return failed("slot " + std::to_string(slot) + ": " + wrong);
  }
  return passed();
}

}  // namespace noroshi::conformance
