// Catches: a wrong information set, parity-check bit or permutation, a block of the wrong size, a
// transform or a rate matching that is not the definition's, a configuration that is let through or
// refused wrongly.

#include "fec/polar/polar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "base/prng.h"
#include "fec/polar/polar_tables.h"
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

// The clauses once more, word by word and as slowly as they are written.
struct ByTheClause {
  int n = 0;
  std::set<int> information;
  std::set<int> parity;
};

ByTheClause by_the_clause(const PolarConfig& c) {
  const double e = c.coded_bits;
  const double k = c.message_bits;
  const double log_e = std::ceil(std::log2(e));
  const double n1 = e <= 9.0 / 8 * std::exp2(log_e - 1) && k / e < 9.0 / 16 ? log_e - 1 : log_e;
  const double n2 = std::ceil(std::log2(k * 8));
  ByTheClause out;
  out.n = 1 << std::max(static_cast<int>(std::min({n1, n2, static_cast<double>(c.n_max)})), 5);
  const auto j = [&](int i) {
    return polar_subblock_interleaver[32 * i / out.n] * (out.n / 32) + i % (out.n / 32);
  };
  std::set<int> frozen;
  if (e < out.n && k / e <= 7.0 / 16) {
    for (int i = 0; i < out.n - c.coded_bits; ++i) frozen.insert(j(i));
    const double first =
        e >= 0.75 * out.n ? std::ceil(0.75 * out.n - e / 2) : std::ceil(9.0 / 16 * out.n - e / 4);
    for (int i = 0; i < first; ++i) frozen.insert(i);
  } else if (e < out.n) {
    for (int i = c.coded_bits; i < out.n; ++i) frozen.insert(j(i));
  }
  const int n_pc = c.interleave_input || c.message_bits < 18 || c.message_bits > 25 ? 0 : 3;
  std::vector<int> ascending;  // Q_I by reliability
  for (const int q : polar_sequence) {
    if (q < out.n && !frozen.contains(q)) ascending.push_back(q);
  }
  ascending.erase(ascending.begin(), ascending.end() - (c.message_bits + n_pc));
  out.information = {ascending.begin(), ascending.end()};
  if (n_pc == 0) return out;
  const int by_weight = e - k + 3 > 192 ? 1 : 0;
  out.parity = {ascending.begin(), ascending.begin() + n_pc - by_weight};
  const auto weight = [&](int row) {
    int ones = 0;
    for (int column = 0; column < out.n; ++column) ones += (row & column) == column ? 1 : 0;
    return ones;
  };
  int best = ascending[static_cast<std::size_t>(n_pc)];
  for (std::size_t i = static_cast<std::size_t>(n_pc); i < ascending.size(); ++i) {
    if (weight(ascending[i]) <= weight(best)) best = ascending[i];
  }
  if (by_weight != 0) out.parity.insert(best);
  return out;
}

void expect_the_clauses(const PolarCode& code) {
  SCOPED_TRACE(describe(code));
  const ByTheClause expected = by_the_clause(code.config);
  ASSERT_EQ(code.block_bits, expected.n);
  ASSERT_EQ(std::set<int>(code.information.begin(), code.information.end()), expected.information);
  ASSERT_EQ(std::set<int>(code.parity_position.begin(), code.parity_position.end()),
            expected.parity);
}

TEST(PolarCode, ConstructionIsTheClauses) {
  constexpr std::uint64_t seed = 40;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  for (int round = 0; round < 300; ++round) expect_the_clauses(random_polar_code(prng));
  // All borders: of parity-check bits, of N, of puncturing and shortening.
  for (int k = 18; k <= 25; ++k) {
    for (int e = k + 3; e < 230; ++e) {
      if (const auto code = make_polar_code({k, e, 10, false, true}); code.ok()) {
        expect_the_clauses(*code);
      }
    }
  }
  for (int e = 64; e < 1200; ++e) {
    expect_the_clauses(*make_polar_code({64, e, 9, true, false}));
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
            "polar code: message_bits is 11, allowed: 12 to 1023");
  EXPECT_EQ(error({.message_bits = 165, .coded_bits = 432, .interleave_input = true}),
            "polar code: message_bits is 165, allowed: 12 to 164");
  EXPECT_EQ(error({.message_bits = 64, .coded_bits = 63}),
            "polar code: coded_bits is 63, allowed: as many as message and parity-check bits, up "
            "to 8192");
  EXPECT_EQ(error({.message_bits = 20, .coded_bits = 22}),
            "polar code: coded_bits is 22, allowed: as many as message and parity-check bits, up "
            "to 8192");
  EXPECT_EQ(error({.message_bits = 64, .coded_bits = 8193}),
            "polar code: coded_bits is 8193, allowed: as many as message and parity-check bits, up "
            "to 8192");
  EXPECT_EQ(error({.message_bits = 64, .coded_bits = 100, .n_max = 11}),
            "polar code: n_max is 11, allowed: 9, 10");
  EXPECT_EQ(error({.message_bits = 513, .coded_bits = 1000}),
            "polar code: message_bits is 513, allowed: as many as the block has room for beside "
            "parity-check bits");
  EXPECT_FALSE(make_polar_code({.message_bits = 0, .coded_bits = 0}).ok());
}

}  // namespace
}  // namespace noroshi::fec
