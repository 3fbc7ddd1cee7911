// Any rate matching that the preconditions allow gives what ref:: gives, bits and soft bits, and
// touches nothing else.

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "fec/rate_match/rate_match.h"

namespace {

struct Bytes {
  const std::uint8_t* data;
  std::size_t size;

  std::uint32_t take(int bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes && size != 0; ++i, ++data, --size) value = value << 8 | *data;
    return value;
  }
  int below(std::uint32_t bound) { return static_cast<int>(take(2) % bound); }
};

void expect(bool right) {
  if (!right) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi;
  using namespace noroshi::fec;
  constexpr int qms[] = {1, 2, 4, 6, 8, 10};

  Bytes bytes{data, size};
  RateMatch match;
  match.buffer_bits = 1 + bytes.below(3000);
  const auto buffer_bits = static_cast<std::uint32_t>(match.buffer_bits);
  match.start = bytes.below(buffer_bits);
  match.filler_start = bytes.below(buffer_bits + 1);
  match.filler_bits = bytes.below(buffer_bits + 50);
  if (match.filler_start == 0)
    match.filler_bits = std::min(match.filler_bits, match.buffer_bits - 1);
  match.bits_per_symbol = qms[bytes.take(1) % 6];
  match.coded_bits = match.bits_per_symbol * bytes.below(1200);
  const auto coded_bits = static_cast<std::size_t>(match.coded_bits);
  // The rest of the input, over and over.
  auto next = [&, i = std::size_t{0}]() mutable -> int {
    return bytes.size == 0 ? 0x5a : bytes.data[i++ % bytes.size];
  };

  std::vector<std::uint8_t> codeword(bytes_for_bits(buffer_bits));
  for (auto& byte : codeword) byte = static_cast<std::uint8_t>(next());
  const std::size_t out_bit = static_cast<std::size_t>(next()) % 64;
  std::vector<std::uint8_t> expected(bytes_for_bits(out_bit + coded_bits), 0xa5);
  auto actual = expected;
  ref::rate_match(match, codeword, expected, out_bit);
  cpu::rate_match(match, codeword, actual, out_bit);
  expect(actual == expected);

  // Sums that cannot saturate: where a bit comes twice, the order of a saturating sum is free.
  const int kept = std::max(
      1, match.buffer_bits - std::min(match.filler_bits, match.buffer_bits - match.filler_start));
  const int amplitude = 127 / (match.coded_bits / kept + 2);
  const auto next_soft = [&] {
    return static_cast<SoftBit>(amplitude == 0 ? 0 : next() % (2 * amplitude + 1) - amplitude);
  };
  std::vector<SoftBit> soft_bits(coded_bits);
  for (auto& soft : soft_bits) soft = next_soft();
  const int valid = next() * match.buffer_bits / 255;
  std::vector<SoftBit> expected_soft(buffer_bits, 99);
  for (int i = 0; i < valid; ++i) expected_soft[static_cast<std::size_t>(i)] = next_soft();
  auto actual_soft = expected_soft;
  const int end = ref::rate_recover(match, soft_bits, expected_soft, valid);
  expect(cpu::rate_recover(match, soft_bits, actual_soft, valid) == end);
  expect(end == std::max(valid, rate_match_end(match)));
  expect(actual_soft == expected_soft);
  return 0;
}
