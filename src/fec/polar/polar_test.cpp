// Catches: a wrong information set, parity-check bit or permutation, a block of the wrong size, a
// transform or a rate matching that is not the definition's, a configuration that is let through or
// refused wrongly.

#include "fec/polar/polar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/prng.h"
#include "fec/polar/polar_test_configs.h"

namespace noroshi::fec {
namespace {

TEST(PolarCode, EncoderIsTheReference) {
  constexpr std::uint64_t seed = 41;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  for (int round = 0; round < 300; ++round) {
    const PolarCode code = random_polar_code(prng);
    SCOPED_TRACE(describe(code));
    std::vector<std::uint8_t> message(bytes_for_bits(code.message_position.size()));
    for (auto& byte : message) byte = static_cast<std::uint8_t>(prng());
    std::vector<std::uint8_t> expected(bytes_for_bits(static_cast<std::size_t>(code.block_bits)));
    auto actual = expected;
    ref::polar_codeword(code, message, expected);
    cpu::polar_codeword(code, message, actual);
    ASSERT_EQ(actual, expected);
    const std::size_t out_bit = prng.below(20);
    std::vector<std::uint8_t> sent(bytes_for_bits(out_bit + code.coded_source.size()) + 2);
    for (auto& byte : sent) byte = static_cast<std::uint8_t>(prng());
    auto also_sent = sent;
    auto encoded = sent;
    ref::polar_rate_match(code, expected, sent, out_bit);
    cpu::polar_rate_match(code, expected, also_sent, out_bit);
    cpu::polar_encode(code, message, encoded, out_bit);
    ASSERT_EQ(also_sent, sent);
    ASSERT_EQ(encoded, sent);
  }
}

// What 5.4.1 promises whatever the table says: shortened bits are zero, punctured ones are not
// sent, every other bit of the block is.
TEST(PolarCode, SelectionIsAsDefined) {
  constexpr std::uint64_t seed = 42;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  int of_kind[3] = {};
  int with_parity = 0;
  for (int round = 0; round < 300; ++round) {
    const PolarCode code = random_polar_code(prng);
    SCOPED_TRACE(describe(code));
    ++of_kind[static_cast<int>(code.selection)];
    with_parity += code.parity_bits != 0 ? 1 : 0;
    const auto n = static_cast<std::size_t>(code.block_bits);
    std::vector<int> sent(n);
    for (const auto d : code.coded_source) ++sent[d];
    const auto e = static_cast<std::size_t>(code.config.coded_bits);
    const int least = static_cast<int>(e / n);
    ASSERT_EQ(std::ranges::count(sent, least) + std::ranges::count(sent, least + 1),
              code.block_bits);
    ASSERT_EQ(code.information.size(),
              code.message_position.size() + static_cast<std::size_t>(code.parity_bits));
    std::vector<std::uint8_t> message(bytes_for_bits(code.message_position.size()));
    for (auto& byte : message) byte = static_cast<std::uint8_t>(prng());
    std::vector<std::uint8_t> codeword(bytes_for_bits(n));
    cpu::polar_codeword(code, message, codeword);
    for (std::size_t i = 0; i < n && code.selection == PolarSelection::shorten; ++i) {
      ASSERT_FALSE(sent[i] == 0 && bit_at(codeword.data(), i)) << i;
    }
  }
  for (const int count : of_kind) EXPECT_GT(count, 20);
  EXPECT_GT(with_parity, 10);
}

TEST(PolarCode, ErrorsNameFieldAndValue) {
  const auto error = [](const PolarConfig& config) {
    const auto result = check(config);
    return result.ok() ? std::string() : result.error().message;
  };
  EXPECT_EQ(error({.message_bits = 64, .coded_bits = 432, .interleave_input = true}), "");
  EXPECT_EQ(error({.message_bits = 11, .coded_bits = 432}),
            "polar code: message_bits is 11, must be 12 to 1023");
  EXPECT_EQ(error({.message_bits = 165, .coded_bits = 432, .interleave_input = true}),
            "polar code: message_bits is 165, must be 12 to 164");
  EXPECT_EQ(error({.message_bits = 64, .coded_bits = 63}),
            "polar code: coded_bits is 63, must be 64 to 8192 for 64 message bits");
  EXPECT_EQ(error({.message_bits = 20, .coded_bits = 22}),
            "polar code: coded_bits is 22, must be 23 to 8192 for 20 message bits");
  EXPECT_EQ(error({.message_bits = 64, .coded_bits = 8193}),
            "polar code: coded_bits is 8193, must be 64 to 8192 for 64 message bits");
  EXPECT_EQ(error({.message_bits = 64, .coded_bits = 100, .n_max = 11}),
            "polar code: n_max is 11, must be 9 or 10");
  EXPECT_EQ(error({.message_bits = 513, .coded_bits = 1000}),
            "polar code: message_bits is 513, must be at most 512 in a block of 512 bits");
  EXPECT_FALSE(make_polar_code({.message_bits = 0, .coded_bits = 0}).ok());
}

}  // namespace
}  // namespace noroshi::fec
