// Catches: a wrong k0, a selection that does not skip fillers or does not wrap, a shuffle that
// mixes rows or symbols, a tail that is lost or that writes over its neighbours, a sum that wraps.

#include "fec/rate_match/rate_match.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"
#include "fec/bits/bits.h"

namespace noroshi::fec {
namespace {

constexpr int qms[] = {1, 2, 4, 6, 8, 10};

// Real and odd buffers; E from one symbol to several turns of the buffer.
RateMatch random_match(Prng& prng, int buffer_max, int turns_max) {
  RateMatch match;
  match.bits_per_symbol = qms[prng.below(6)];
  match.buffer_bits = 2 + static_cast<int>(prng.below(static_cast<std::uint64_t>(buffer_max) - 1));
  match.start = static_cast<int>(prng.below(static_cast<std::uint64_t>(match.buffer_bits)));
  match.filler_start =
      1 + static_cast<int>(prng.below(static_cast<std::uint64_t>(match.buffer_bits)));
  match.filler_bits = static_cast<int>(prng.below(static_cast<std::uint64_t>(match.buffer_bits)));
  const auto symbols_max =
      static_cast<std::uint64_t>(turns_max * match.buffer_bits / match.bits_per_symbol) + 1;
  match.coded_bits = match.bits_per_symbol * (1 + static_cast<int>(prng.below(symbols_max)));
  return match;
}

std::string describe(const RateMatch& match) {
  return "Ncb " + std::to_string(match.buffer_bits) + " k0 " + std::to_string(match.start) +
         " fillers " + std::to_string(match.filler_start) + "+" +
         std::to_string(match.filler_bits) + " E " + std::to_string(match.coded_bits) + " Qm " +
         std::to_string(match.bits_per_symbol);
}

void expect_same_bits(const RateMatch& match, Prng& prng) {
  SCOPED_TRACE(describe(match));
  std::vector<std::uint8_t> codeword(bytes_for_bits(static_cast<std::size_t>(match.buffer_bits)));
  for (auto& byte : codeword) byte = static_cast<std::uint8_t>(prng());
  const std::size_t out_bit = prng.below(40);
  std::vector<std::uint8_t> expected(
      bytes_for_bits(out_bit + static_cast<std::size_t>(match.coded_bits)) + 2);
  for (auto& byte : expected) byte = static_cast<std::uint8_t>(prng());
  auto actual = expected;
  ref::rate_match(match, codeword, expected, out_bit);
  // What lies beyond the end does not matter.
  const auto end = static_cast<std::size_t>(rate_match_end(match));
  ASSERT_GT(end, 0u);
  for (std::size_t i = end; i < static_cast<std::size_t>(match.buffer_bits); ++i) {
    set_bit(codeword.data(), i, !bit_at(codeword.data(), i));
  }
  cpu::rate_match(match, codeword, actual, out_bit);
  ASSERT_EQ(actual, expected);
}

TEST(RateMatch, IsTheReference) {
  constexpr std::uint64_t seed = 31;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (int round = 0; round < 600; ++round) expect_same_bits(random_match(prng, 300, 4), prng);
    for (int round = 0; round < 30; ++round) expect_same_bits(random_match(prng, 25'344, 1), prng);
  });
}

void expect_same_soft_bits(const RateMatch& match, int amplitude, Prng& prng) {
  SCOPED_TRACE(describe(match));
  const auto random_soft = [&] {
    return static_cast<SoftBit>(static_cast<int>(prng.below(2u * amplitude + 1)) - amplitude);
  };
  std::vector<SoftBit> soft_bits(static_cast<std::size_t>(match.coded_bits));
  for (auto& soft : soft_bits) soft = random_soft();
  std::vector<SoftBit> expected(static_cast<std::size_t>(match.buffer_bits) + 3, 99);
  const int valid = static_cast<int>(prng.below(static_cast<std::uint64_t>(match.buffer_bits) + 1));
  for (int i = 0; i < valid; ++i) expected[static_cast<std::size_t>(i)] = random_soft();
  auto actual = expected;
  const int expected_valid = ref::rate_recover(match, soft_bits, expected, valid);
  const int actual_valid = cpu::rate_recover(match, soft_bits, actual, valid);
  ASSERT_EQ(actual_valid, expected_valid);
  ASSERT_EQ(actual_valid, std::max(valid, rate_match_end(match)));
  ASSERT_EQ(actual, expected);
}

TEST(RateRecover, IsTheReference) {
  constexpr std::uint64_t seed = 32;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    // Several turns with sums that never saturate, so that their order cannot show.
    for (int round = 0; round < 600; ++round) {
      const RateMatch match = random_match(prng, 300, 3);
      const int kept = std::max(1, match.buffer_bits - match.filler_bits);
      const int sums = match.coded_bits / kept + 2;
      if (sums <= 127) expect_same_soft_bits(match, 127 / sums, prng);
    }
    // At most once each, over the whole range.
    for (int round = 0; round < 60; ++round) {
      RateMatch match = random_match(prng, 25'344, 1);
      match.filler_bits = std::min(match.filler_bits, match.buffer_bits / 2);
      match.coded_bits = std::min(match.coded_bits, match.buffer_bits - match.filler_bits) /
                         match.bits_per_symbol * match.bits_per_symbol;
      expect_same_soft_bits(match, 127, prng);
    }
  });
}

TEST(RateRecover, SumsSaturateAndMinus128IsMinus127) {
  on_every_target([](const char* target) {
    SCOPED_TRACE(target);
    RateMatch match;
    match.buffer_bits = 200;
    match.coded_bits = 400;
    match.bits_per_symbol = 2;
    const std::vector<SoftBit> soft_bits(400, -128);
    std::vector<SoftBit> buffer(200);
    EXPECT_EQ(cpu::rate_recover(match, soft_bits, buffer, 0), 200);
    EXPECT_EQ(std::ranges::count(buffer, -127), 200);
  });
}

TEST(RateMatch, RecoverUndoesMatch) {
  constexpr std::uint64_t seed = 33;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  for (int round = 0; round < 200; ++round) {
    const RateMatch match = random_match(prng, 3000, 2);
    SCOPED_TRACE(describe(match));
    std::vector<std::uint8_t> codeword(bytes_for_bits(static_cast<std::size_t>(match.buffer_bits)));
    for (auto& byte : codeword) byte = static_cast<std::uint8_t>(prng());
    std::vector<std::uint8_t> sent(bytes_for_bits(static_cast<std::size_t>(match.coded_bits)));
    cpu::rate_match(match, codeword, sent, 0);
    std::vector<SoftBit> soft_bits(static_cast<std::size_t>(match.coded_bits));
    for (std::size_t i = 0; i < soft_bits.size(); ++i) {
      soft_bits[i] = bit_at(sent.data(), i) ? -20 : 20;
    }
    std::vector<SoftBit> buffer(static_cast<std::size_t>(match.buffer_bits));
    const int valid = cpu::rate_recover(match, soft_bits, buffer, 0);
    int nonzero = 0;
    for (int i = 0; i < valid; ++i) {
      const SoftBit sum = buffer[static_cast<std::size_t>(i)];
      if (sum == 0) continue;
      ++nonzero;
      EXPECT_EQ(sum < 0, bit_at(codeword.data(), static_cast<std::size_t>(i)));
    }
    const int fillers_within =
        std::clamp(match.buffer_bits - match.filler_start, 0, match.filler_bits);
    EXPECT_EQ(nonzero, std::min(match.coded_bits, match.buffer_bits - fillers_within));
  }
}

TEST(RateMatch, StartsOfTheTable) {
  // TS 38.212 table 5.4.2.1-2: without a limited buffer the factors are exact multiples of Zc.
  for (const int zc : {2, 15, 384}) {
    EXPECT_EQ(rate_match_start(1, zc, 66 * zc, 0), 0);
    EXPECT_EQ(rate_match_start(1, zc, 66 * zc, 1), 17 * zc);
    EXPECT_EQ(rate_match_start(1, zc, 66 * zc, 2), 33 * zc);
    EXPECT_EQ(rate_match_start(1, zc, 66 * zc, 3), 56 * zc);
    EXPECT_EQ(rate_match_start(2, zc, 50 * zc, 1), 13 * zc);
    EXPECT_EQ(rate_match_start(2, zc, 50 * zc, 2), 25 * zc);
    EXPECT_EQ(rate_match_start(2, zc, 50 * zc, 3), 43 * zc);
  }
  EXPECT_EQ(rate_match_start(1, 384, 17'000, 1), 4224);  // floor(17 * 17000 / 25344) = 11
}

TEST(Bits, CopyTouchesNothingElse) {
  constexpr std::uint64_t seed = 34;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (int round = 0; round < 3000; ++round) {
      const std::size_t count = prng.below(round % 2 == 0 ? 40 : 3000);
      const std::size_t to_bit = prng.below(20);
      const std::size_t from_bit = prng.below(20);
      // Exact sizes, so that the address sanitizer sees a byte too far.
      std::vector<std::uint8_t> from(bytes_for_bits(from_bit + count));
      std::vector<std::uint8_t> expected(bytes_for_bits(to_bit + count));
      for (auto& byte : from) byte = static_cast<std::uint8_t>(prng());
      for (auto& byte : expected) byte = static_cast<std::uint8_t>(prng());
      auto actual = expected;
      for (std::size_t i = 0; i < count; ++i) {
        set_bit(expected.data(), to_bit + i, bit_at(from.data(), from_bit + i));
      }
      copy_bits(actual.data(), to_bit, from.data(), from_bit, count);
      ASSERT_EQ(actual, expected) << "to " << to_bit << " from " << from_bit << " count " << count;
    }
  });
}

TEST(Bits, WriteTouchesNothingElse) {
  constexpr std::uint64_t seed = 35;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  for (int round = 0; round < 3000; ++round) {
    const std::size_t bit = prng.below(20);
    const std::size_t count = prng.below(33);
    const auto value = static_cast<std::uint32_t>(prng());
    std::vector<std::uint8_t> expected(bytes_for_bits(bit + count));
    for (auto& byte : expected) byte = static_cast<std::uint8_t>(prng());
    auto actual = expected;
    for (std::size_t i = 0; i < count; ++i) {
      set_bit(expected.data(), bit + i, ((value >> (count - 1 - i)) & 1) != 0);
    }
    write_bits(actual.data(), bit, count, value);
    ASSERT_EQ(actual, expected) << "bit " << bit << " count " << count;
  }
}

}  // namespace
}  // namespace noroshi::fec
