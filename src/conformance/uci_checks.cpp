// Uplink control information (TS 38.212 5.3.3, 6.3). Where a kernel has a ref:: and a cpu::
// version, both must pass.

#include <algorithm>

#include "conformance/components.h"
#include "fec/small_block/small_block.h"

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
  std::vector<SoftBit> soft_bits(expected->size());
  for (std::size_t i = 0; i < soft_bits.size(); ++i) {
    soft_bits[i] = bit_at(cpu.data(), i) ? SoftBit{-9} : SoftBit{9};
  }
  std::vector<std::uint8_t> decoded(message.size());
  fec::cpu::small_block_decode(block, soft_bits, decoded);
  return decoded == message ? passed() : failed("decoded to another word");
}

}  // namespace noroshi::conformance
