// Polar codes and what is made of them (TS 38.212 5.3.1, 5.4.1, 7.1, 7.3). Where a kernel has a
// ref:: and a cpu:: version, both must pass.

#include <algorithm>

#include "conformance/components.h"
#include "fec/dci/dci.h"
#include "fec/pbch/pbch.h"
#include "fec/polar/polar.h"

namespace noroshi::conformance {
namespace {

// What both must give.
Outcome same_bits(const std::vector<std::uint8_t>& ref, const std::vector<std::uint8_t>& cpu,
                  const std::vector<std::uint8_t>& want) {
  for (const auto& [what, got] : {std::pair{"ref: ", &ref}, std::pair{"cpu: ", &cpu}}) {
    const std::string wrong = difference(unpacked(*got, want.size()), want);
    if (!wrong.empty()) return failed(what + wrong);
  }
  return passed();
}

// The code that K, E and N of a rate matching case stand for: N decides n_max where both could be.
Result<fec::PolarCode> code_of_block(const VectorCase& c) {
  auto k = c.integer("K");
  if (!k) return k.error();
  auto e = c.integer("E");
  if (!e) return e.error();
  auto n = c.integer("N");
  if (!n) return n.error();
  auto interleave = c.integer("iBIL");
  if (!interleave) return interleave.error();
  for (const int n_max : {9, 10}) {
    auto code = fec::make_polar_code({.message_bits = *k,
                                      .coded_bits = *e,
                                      .n_max = n_max,
                                      .interleave_input = false,
                                      .interleave_coded = *interleave != 0});
    if (!code) return code.error();
    if (code->block_bits == *n) return code;
  }
  return Error{"no polar code with K " + std::to_string(*k) + " and E " + std::to_string(*e) +
               " has N " + std::to_string(*n)};
}

}  // namespace

Outcome check_polar_encode(const VectorCase& c) {
  NOROSHI_CASE_VALUE(k, c.integer("K"));
  NOROSHI_CASE_VALUE(e, c.integer("E"));
  NOROSHI_CASE_VALUE(n_max, c.integer("nMax"));
  NOROSHI_CASE_VALUE(interleave, c.integer("iIL"));
  NOROSHI_CASE_VALUE(in, c.array("in"));
  NOROSHI_CASE_VALUE(expected, c.array("outd"));
  NOROSHI_CASE_VALUE(code, fec::make_polar_code({.message_bits = k,
                                                 .coded_bits = e,
                                                 .n_max = n_max,
                                                 .interleave_input = interleave != 0,
                                                 .interleave_coded = false}));
  if (in->size() != static_cast<std::size_t>(k) ||
      expected->size() != static_cast<std::size_t>(code.block_bits)) {
    return failed("in has not K or outd not " + std::to_string(code.block_bits) + " bits");
  }
  const std::vector<std::uint8_t> message = packed(bits_of(*in, 0, in->size()));
  std::vector<std::uint8_t> ref(bytes_for_bits(expected->size()));
  std::vector<std::uint8_t> cpu(ref.size());
  fec::ref::polar_codeword(code, message, ref);
  fec::cpu::polar_codeword(code, message, cpu);
  return same_bits(ref, cpu, bits_of(*expected, 0, expected->size()));
}

Outcome check_polar_rate_match(const VectorCase& c) {
  NOROSHI_CASE_VALUE(in, c.array("in"));
  NOROSHI_CASE_VALUE(expected, c.array("outd"));
  NOROSHI_CASE_VALUE(code, code_of_block(c));
  if (in->size() != static_cast<std::size_t>(code.block_bits) ||
      expected->size() != static_cast<std::size_t>(code.config.coded_bits)) {
    return failed("in has not N or outd not E bits");
  }
  const std::vector<std::uint8_t> codeword = packed(bits_of(*in, 0, in->size()));
  std::vector<std::uint8_t> ref(bytes_for_bits(expected->size()));
  std::vector<std::uint8_t> cpu(ref.size());
  fec::ref::polar_rate_match(code, codeword, ref, 0);
  fec::cpu::polar_rate_match(code, codeword, cpu, 0);
  return same_bits(ref, cpu, bits_of(*expected, 0, expected->size()));
}

Outcome check_polar_rate_recover(const VectorCase& c) {
  NOROSHI_CASE_VALUE(in, c.array("in"));
  NOROSHI_CASE_VALUE(expected, c.array("outd"));
  NOROSHI_CASE_VALUE(code, code_of_block(c));
  const auto n = static_cast<std::size_t>(code.block_bits);
  const auto e = static_cast<std::size_t>(code.config.coded_bits);
  if (in->size() != e || expected->size() != n) return failed("in has not E or outd not N bits");
  std::vector<double> soft(e);
  std::vector<SoftBit> soft_bits(e);
  for (std::size_t i = 0; i < e; ++i) {
    soft[i] = in->real[i] > 0 ? -1 : 1;
    soft_bits[i] = in->real[i] > 0 ? -1 : 1;
  }
  std::vector<double> ref(n);
  std::vector<SoftBit> cpu(n);
  fec::ref::polar_rate_recover(code, soft, 1e9, ref);
  fec::PolarWorkspace workspace;
  fec::cpu::polar_rate_recover(code, soft_bits, cpu, workspace);
  for (std::size_t i = 0; i < n; ++i) {
    const std::string bit = "bit " + std::to_string(i);
    if ((ref[i] > 0) != (cpu[i] > 0) || (ref[i] < 0) != (cpu[i] < 0)) {
      return failed(bit + " differs between ref and cpu");
    }
    const bool punctured = code.selection == fec::PolarSelection::puncture &&
                           !std::ranges::count(code.coded_source, static_cast<std::uint16_t>(i));
    if (punctured != (cpu[i] == 0)) return failed(bit + " is known where it should not be");
    // The source has 0 for what is unknown.
    if (!punctured && (cpu[i] < 0) != (expected->real[i] > 0)) {
      return failed(bit + " has the wrong sign");
    }
  }
  return passed();
}

Outcome check_dci_encode(const VectorCase& c) {
  NOROSHI_CASE_VALUE(bits, c.integer("A"));
  NOROSHI_CASE_VALUE(e, c.integer("E"));
  NOROSHI_CASE_VALUE(crc, c.integer("crc"));
  NOROSHI_CASE_VALUE(rnti, c.integer("rnti"));
  NOROSHI_CASE_VALUE(in, c.array("dciBits"));
  NOROSHI_CASE_VALUE(expected, c.array("dciCW"));
  NOROSHI_CASE_VALUE(code, fec::make_dci_code(bits, e));
  if (in->size() != static_cast<std::size_t>(bits) ||
      expected->size() != static_cast<std::size_t>(e)) {
    return failed("dciBits has not A or dciCW not E bits");
  }
  if (rnti < 0 || rnti > 0xffff) return failed("rnti has more than 16 bits");
  const auto id = static_cast<std::uint16_t>(rnti);
  const std::vector<std::uint8_t> payload = packed(bits_of(*in, 0, in->size()));
  const std::uint32_t parity = fec::dci_parity(code, payload, id);
  if (parity != static_cast<std::uint32_t>(crc)) {
    return failed("the parity is " + std::to_string(parity) + ", expected " + std::to_string(crc));
  }
  std::vector<std::uint8_t> coded(bytes_for_bits(expected->size()));
  fec::dci_encode(code, payload, id, coded, 0);
  const std::vector<std::uint8_t> want = bits_of(*expected, 0, expected->size());
  const std::string wrong = difference(unpacked(coded, want.size()), want);
  if (!wrong.empty()) return failed(wrong);

  // And back.
  std::vector<SoftBit> soft_bits;
  for (const std::uint8_t bit : want) soft_bits.push_back(bit != 0 ? -1 : 1);
  std::vector<std::uint8_t> decoded(payload.size());
  fec::PolarWorkspace workspace;
  if (!fec::dci_decode(code, soft_bits, id, 8, decoded, workspace).crc_ok || decoded != payload) {
    return failed("what was sent is not decoded");
  }
  return passed();
}

Outcome check_mib(const VectorCase& c) {
  fec::PbchBlock block;
  const std::pair<const char*, int*> fields[] = {
      {"sfn", &block.mib.sfn},
      {"SubcarrierSpacingCommon", &block.mib.subcarrier_spacing_common},
      {"kSSB", &block.mib.k_ssb},
      {"DMRSTypeAPosition", &block.mib.dmrs_type_a_position},
      {"PDCCHConfigSIB1", &block.mib.pdcch_config_sib1},
      {"CellBarred", &block.mib.cell_barred},
      {"IntraFreqReselection", &block.mib.intra_freq_reselection}};
  for (const auto& [name, field] : fields) {
    NOROSHI_CASE_VALUE(value, c.integer(name));
    *field = value;
  }
  if (const auto ok = fec::check(fec::PbchConfig{}, block); !ok) return failed(ok.error().message);
  NOROSHI_CASE_VALUE(expected, c.array("mib"));
  if (expected->size() != 24) return failed("a MIB has 24 bits");
  const std::uint32_t bits = fec::mib_bits(block.mib);
  std::vector<std::uint8_t> ours;
  for (int i = 23; i >= 0; --i) ours.push_back((bits >> i) & 1);
  const std::string wrong = difference(ours, bits_of(*expected, 0, 24));
  return wrong.empty() ? passed() : failed(wrong);
}

}  // namespace noroshi::conformance
