// Catches: a wrong row of the basis or a wrong pattern of placeholders, a transform whose words are
// numbered wrongly, a sum that saturates or forgets the tail, a metric that depends on the scale or
// whose false alarms are more frequent than stated.

#include "fec/small_block/small_block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"

namespace noroshi::fec {
namespace {

constexpr int qms[] = {1, 2, 4, 6, 8};

std::string describe(const SmallBlock& block) {
  return "K " + std::to_string(block.bits) + " E " + std::to_string(block.coded_bits) + " Qm " +
         std::to_string(block.bits_per_symbol);
}

SmallBlock random_block(Prng& prng, int coded_max) {
  SmallBlock block;
  block.bits = 1 + static_cast<int>(prng.below(11));
  block.bits_per_symbol = qms[prng.below(5)];
  block.coded_bits = 1 + static_cast<int>(prng.below(static_cast<std::uint64_t>(coded_max)));
  return block;
}

std::vector<std::uint8_t> random_message(int bits, Prng& prng) {
  std::vector<std::uint8_t> message(bytes_for_bits(static_cast<std::size_t>(bits)));
  for (int k = 0; k < bits; ++k) {
    set_bit(message.data(), static_cast<std::size_t>(k), (prng() & 1) != 0);
  }
  return message;
}

std::vector<std::uint8_t> encoded(const SmallBlock& block,
                                  const std::vector<std::uint8_t>& message) {
  std::vector<std::uint8_t> out(bytes_for_bits(static_cast<std::size_t>(block.coded_bits)));
  ref::small_block_encode(block, message, out, 0);
  return out;
}

std::string text_of(const SmallBlock& block, const std::vector<std::uint8_t>& message) {
  const auto coded = encoded(block, message);
  std::string text;
  for (int k = 0; k < block.coded_bits; ++k) {
    const CodedBit kind = small_block_coded_bit(block, k);
    const bool bit = bit_at(coded.data(), static_cast<std::size_t>(k));
    text += kind == CodedBit::one ? 'x' : kind == CodedBit::again ? 'y' : bit ? '1' : '0';
  }
  return text;
}

TEST(SmallBlock, PlaceholdersOfTheTables) {
  // TS 38.212 tables 5.3.3.1-1 and 5.3.3.2-1.
  EXPECT_EQ(text_of({1, 3, 1}, {0x80}), "111");
  EXPECT_EQ(text_of({1, 4, 2}, {0x80}), "1y1y");
  EXPECT_EQ(text_of({1, 5, 4}, {0x80}), "1yxx1");
  EXPECT_EQ(text_of({1, 6, 6}, {0x00}), "0yxxxx");
  EXPECT_EQ(text_of({1, 8, 8}, {0x80}), "1yxxxxxx");
  EXPECT_EQ(text_of({2, 4, 1}, {0x80}), "1011");
  EXPECT_EQ(text_of({2, 6, 2}, {0x80}), "101101");
  EXPECT_EQ(text_of({2, 12, 4}, {0x80}), "10xx11xx01xx");
  EXPECT_EQ(text_of({2, 18, 6}, {0x40}), "01xxxx10xxxx11xxxx");
  EXPECT_EQ(text_of({2, 26, 8}, {0xc0}), "11xxxxxx01xxxxxx10xxxxxx11");
  EXPECT_EQ(small_block_used_bits({2, 26, 8}), 8);
  EXPECT_EQ(small_block_used_bits({1, 5, 4}), 3);
  EXPECT_EQ(small_block_used_bits({7, 50, 4}), 50);
}

TEST(SmallBlock, EncodersAgreeAndTouchNothingElse) {
  constexpr std::uint64_t seed = 71;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  for (int round = 0; round < 2000; ++round) {
    const SmallBlock block = random_block(prng, 200);
    SCOPED_TRACE(describe(block));
    const auto message = random_message(block.bits, prng);
    const std::size_t out_bit = prng.below(30);
    std::vector<std::uint8_t> expected(
        bytes_for_bits(out_bit + static_cast<std::size_t>(block.coded_bits)));
    for (auto& byte : expected) byte = static_cast<std::uint8_t>(prng());
    auto actual = expected;
    ref::small_block_encode(block, message, expected, out_bit);
    cpu::small_block_encode(block, message, actual, out_bit);
    ASSERT_EQ(actual, expected);
  }
}

void expect_same_decision(const SmallBlock& block, const std::vector<SoftBit>& soft_bits) {
  SCOPED_TRACE(describe(block));
  std::vector<std::uint8_t> expected(bytes_for_bits(static_cast<std::size_t>(block.bits)), 0xff);
  std::vector<std::uint8_t> actual = expected;
  const auto by_search = ref::small_block_decode(block, soft_bits, expected);
  const auto by_transform = cpu::small_block_decode(block, soft_bits, actual);
  ASSERT_EQ(actual, expected);
  ASSERT_EQ(by_transform.correlation, by_search.correlation);
  ASSERT_EQ(by_transform.metric, by_search.metric);
}

// ref:: is the exhaustive search.
TEST(SmallBlock, DecodesTheMostLikelyWordOnEveryTarget) {
  constexpr std::uint64_t seed = 72;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (int round = 0; round < 400; ++round) {
      const SmallBlock block = random_block(prng, round % 10 == 0 ? 3000 : 150);
      // Small amplitudes: ties are frequent.
      const auto amplitude = static_cast<std::uint64_t>(round % 4 == 0 ? 127 : 1 + round % 5);
      std::vector<SoftBit> soft_bits(static_cast<std::size_t>(block.coded_bits));
      for (auto& soft : soft_bits) {
        const auto value = static_cast<int>(prng.below(2 * amplitude + 1));
        soft = static_cast<SoftBit>(value - static_cast<int>(amplitude));
      }
      expect_same_decision(block, soft_bits);
    }
    for (const int bits : {1, 2, 3, 6, 11}) {
      for (const SoftBit soft : {SoftBit{0}, SoftBit{127}, SoftBit{-127}, SoftBit{-128}}) {
        for (const int qm : {2, 8}) {
          const SmallBlock block{bits, 40'000, qm};
          expect_same_decision(block, std::vector<SoftBit>(40'000, soft));
        }
      }
    }
  });
}

TEST(SmallBlock, LongestBlockAtFullScaleDoesNotOverflow) {
  const SmallBlock block{11, small_block_coded_bits_max, 2};
  const std::vector<SoftBit> soft_bits(static_cast<std::size_t>(block.coded_bits), 127);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    std::vector<std::uint8_t> message(2, 0xff);
    const auto decoded = cpu::small_block_decode(block, soft_bits, message);
    EXPECT_EQ(message, (std::vector<std::uint8_t>{0, 0}));
    EXPECT_EQ(decoded.correlation, 127 << 20);
    EXPECT_FLOAT_EQ(decoded.metric, 1);
  });
}

TEST(SmallBlock, EveryWordComesBackAtEveryAmplitude) {
  constexpr std::uint64_t seed = 73;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  for (int bits = 1; bits <= 11; ++bits) {
    const SmallBlock block{bits, bits > 2 ? 32 : 24, 4};
    for (std::uint32_t word = 0; word < 1u << bits; ++word) {
      std::vector<std::uint8_t> message(bytes_for_bits(static_cast<std::size_t>(bits)));
      for (int k = 0; k < bits; ++k) {
        set_bit(message.data(), static_cast<std::size_t>(k), ((word >> k) & 1) != 0);
      }
      const auto coded = encoded(block, message);
      const int amplitude = word % 2 == 0 ? 1 : 100;  // 40 dB
      std::vector<SoftBit> soft_bits(static_cast<std::size_t>(block.coded_bits));
      for (std::size_t i = 0; i < soft_bits.size(); ++i) {
        const bool used = small_block_coded_bit(block, static_cast<int>(i)) != CodedBit::one;
        const auto junk = static_cast<int>(prng.below(255)) - 127;
        soft_bits[i] =
            static_cast<SoftBit>(used ? (bit_at(coded.data(), i) ? -amplitude : amplitude) : junk);
      }
      std::vector<std::uint8_t> decoded(message.size(), 0xff);
      const auto result = cpu::small_block_decode(block, soft_bits, decoded);
      ASSERT_EQ(decoded, message) << describe(block);
      ASSERT_FLOAT_EQ(result.metric, 1);
    }
  }
}

TEST(SmallBlock, ThresholdsAreInvertedAndOrdered) {
  for (const int bits : {1, 2, 3, 11}) {
    for (const int coded : {2, 16, 64, 1000, 100'000}) {
      const SmallBlock block{bits, coded, 2};
      double before = 0;
      for (const double rate : {0.1, 0.01, 1e-4}) {
        const double threshold = small_block_threshold(block, rate);
        EXPECT_GE(threshold, before);
        EXPECT_LE(threshold, 1);
        EXPECT_LE(small_block_false_alarm(block, threshold), rate);
        if (threshold < 0.99) {
          EXPECT_NEAR(small_block_false_alarm(block, threshold) / rate, 1, 1e-4);
        }
        before = threshold;
      }
    }
  }
  // Two soft bits: their direction is uniform, so one of the two words is within an angle a of it
  // with probability 2 a / pi.
  EXPECT_NEAR(small_block_false_alarm({1, 2, 2}, std::cos(0.3)), 2 * 0.3 / 3.14159265358979, 1e-9);
  // Many soft bits: a normal distribution.
  EXPECT_NEAR(small_block_false_alarm({1, 100'000, 1}, 3 / std::sqrt(100'000.0)),
              std::erfc(3 / std::sqrt(2.0)), 1e-5);
}

// How often pure noise passes the threshold.
double false_alarms(const SmallBlock& block, double rate, double scale, int trials, Prng& prng) {
  const double threshold = small_block_threshold(block, rate);
  int passed = 0;
  std::vector<SoftBit> soft_bits(static_cast<std::size_t>(block.coded_bits));
  std::vector<std::uint8_t> message(2);
  for (int trial = 0; trial < trials; ++trial) {
    for (auto& soft : soft_bits) {
      soft = static_cast<SoftBit>(std::lround(std::clamp(scale * prng.normal(), -127.0, 127.0)));
    }
    passed += cpu::small_block_decode(block, soft_bits, message).metric > threshold ? 1 : 0;
  }
  return passed / static_cast<double>(trials);
}

TEST(SmallBlock, FalseAlarmsAreAsRareAsStated) {
  constexpr std::uint64_t seed = 74;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  constexpr double rate = 0.02;
  constexpr int trials = 10'000;
  const double deviation = std::sqrt(rate * (1 - rate) / trials);
  for (const double scale : {5.0, 30.0}) {
    // One word and its opposite: exact.
    EXPECT_NEAR(false_alarms({1, 24, 2}, rate, scale, trials, prng), rate, 4 * deviation);
    EXPECT_NEAR(false_alarms({1, 48, 4}, rate, scale, trials, prng), rate, 4 * deviation);
    // More words: a bound, and no loose one.
    for (const SmallBlock& block : {SmallBlock{2, 36, 2}, SmallBlock{4, 32, 2},
                                    SmallBlock{6, 64, 2}, SmallBlock{11, 64, 2}}) {
      SCOPED_TRACE(describe(block));
      const double alarms = false_alarms(block, rate, scale, trials, prng);
      EXPECT_LT(alarms, rate + 4 * deviation);
      EXPECT_GT(alarms, rate / 4);
    }
  }
}

TEST(SmallBlock, RefusesWhatIsNoBlock) {
  const auto message = [](const SmallBlock& block) { return check(block).error().message; };
  EXPECT_TRUE(check({1, 1, 1}).ok());
  EXPECT_TRUE(check({11, small_block_coded_bits_max, 8}).ok());
  EXPECT_NE(message({0, 32, 2}).find("bits is 0"), std::string::npos);
  EXPECT_NE(message({12, 32, 2}).find("bits is 12"), std::string::npos);
  EXPECT_NE(message({5, 0, 2}).find("coded_bits is 0"), std::string::npos);
  EXPECT_NE(message({5, 1 << 21, 2}).find("coded_bits is 2097152"), std::string::npos);
  EXPECT_NE(message({1, 30, 3}).find("bits_per_symbol is 3"), std::string::npos);
}

}  // namespace
}  // namespace noroshi::fec
