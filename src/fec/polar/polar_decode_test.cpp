// Catches: a leaf, a shuffle of paths or a tail of a vector that is wrong on some target, a scale
// that decoding depends on, a CRC mask that is ignored, soft bits that overflow.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"
#include "fec/polar/polar.h"
#include "fec/polar/polar_test_configs.h"

namespace noroshi::fec {
namespace {

struct Transmission {
  std::vector<std::uint8_t> message;
  std::vector<double> received;  // log-likelihood ratios, on the scale of the noise
};

// CRC11 ends the message.
Transmission transmit(const PolarCode& code, double noise, Prng& prng) {
  Transmission out;
  const std::size_t k = code.message_position.size();
  out.message.resize(bytes_for_bits(k));
  for (std::size_t i = 0; i < k; ++i) set_bit(out.message.data(), i, prng.below(2) != 0);
  crc_attach(Crc::crc11, out.message, k - 11);
  std::vector<std::uint8_t> sent(bytes_for_bits(code.coded_source.size()));
  cpu::polar_encode(code, out.message, sent, 0);
  for (std::size_t i = 0; i < code.coded_source.size(); ++i) {
    out.received.push_back((bit_at(sent.data(), i) ? -1 : 1) + noise * prng.normal());
  }
  return out;
}

std::vector<SoftBit> soft_bits(const std::vector<double>& received, double amplitude) {
  std::vector<SoftBit> out;
  for (const double r : received) {
    out.push_back(static_cast<SoftBit>(std::clamp(std::round(r * amplitude), -127.0, 127.0)));
  }
  return out;
}

constexpr PolarCrc crc11{.crc = Crc::crc11};

TEST(PolarDecode, NoiselessIsExactOnEveryTarget) {
  constexpr std::uint64_t seed = 51;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    PolarWorkspace workspace;
    for (int round = 0; round < 400; ++round) {
      const PolarCode code = random_polar_code(prng);
      SCOPED_TRACE(describe(code));
      const Transmission sent = transmit(code, 0, prng);
      const int list = 1 << prng.below(4);
      const auto amplitude = static_cast<double>(1 + prng.below(127));
      std::vector<std::uint8_t> message(sent.message.size());
      const auto result = cpu::polar_decode(code, soft_bits(sent.received, amplitude), list, crc11,
                                            message, workspace);
      ASSERT_TRUE(result.crc_ok) << "list " << list;
      ASSERT_EQ(result.rank, 0);
      ASSERT_EQ(message, sent.message);
    }
  });
}

// Same sums up to rounding, same on every target.
TEST(PolarRateRecover, IsTheReferenceInItsOwnScale) {
  constexpr std::uint64_t seed = 52;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    PolarWorkspace workspace;
    for (int round = 0; round < 300; ++round) {
      const PolarCode code = random_polar_code(prng);
      SCOPED_TRACE(describe(code));
      const auto amplitude = 1 + static_cast<int>(prng.below(127));
      std::vector<SoftBit> coded(static_cast<std::size_t>(code.config.coded_bits));
      std::vector<double> wide;
      for (auto& soft : coded) {
        const auto draw =
            static_cast<int>(prng.below(static_cast<std::uint64_t>(2 * amplitude + 1)));
        soft = static_cast<SoftBit>(amplitude == 127 && draw == 0 ? -128 : draw - amplitude);
        wide.push_back(std::max<int>(soft, -127));
      }
      const auto n = static_cast<std::size_t>(code.block_bits);
      std::vector<double> sums(n);
      ref::polar_rate_recover(code, wide, 1e9, sums);
      double total = 0;
      double known = 0;
      for (const double sum : sums) {
        if (sum == 0 || sum == 1e9) continue;
        total += std::abs(sum);
        ++known;
      }
      std::vector<SoftBit> actual(n);
      cpu::polar_rate_recover(code, coded, actual, workspace);
      for (std::size_t i = 0; i < n; ++i) {
        const double expected =
            std::clamp(sums[i] * polar_mean_magnitude * known / total, -127.0, 127.0);
        ASSERT_NEAR(actual[i], expected, 0.502) << "bit " << i;
      }
      // -128 is -127.
      for (auto& soft : coded) soft = soft < 0 ? SoftBit{-127} : soft;
      cpu::polar_rate_recover(code, coded, actual, workspace);
      for (auto& soft : coded) soft = soft < 0 ? SoftBit{-128} : soft;
      std::vector<SoftBit> same(n);
      cpu::polar_rate_recover(code, coded, same, workspace);
      ASSERT_EQ(same, actual);
    }
  });
}

// A replay does not depend on the machine: noise gives the same answers everywhere, ties included.
TEST(PolarDecode, IsTheSameOnEveryTarget) {
  constexpr std::uint64_t seed = 58;
  RecordProperty("seed", std::to_string(seed));
  std::vector<std::uint64_t> answers[8];
  int targets = 0;
  on_every_target([&](const char*) {
    Prng prng(seed);
    PolarWorkspace workspace;
    std::vector<std::uint64_t>& answer = answers[targets++ % 8];
    for (int round = 0; round < 300; ++round) {
      const PolarCode code = random_polar_code(prng);
      const int list = 1 << prng.below(4);
      const auto amplitude = 1 + prng.below(6);  // coarse: ties
      std::vector<SoftBit> soft(code.coded_source.size());
      for (auto& s : soft) {
        const auto draw = static_cast<int>(prng.below(2 * amplitude + 1));
        s = static_cast<SoftBit>(draw - static_cast<int>(amplitude));
      }
      std::vector<std::uint8_t> message(bytes_for_bits(code.message_position.size()));
      const auto result = cpu::polar_decode(code, soft, list, crc11, message, workspace);
      answer.push_back(static_cast<std::uint64_t>(result.metric) << 8 |
                       static_cast<std::uint64_t>(result.rank));
      for (const std::uint8_t byte : message) answer.push_back(byte);
    }
  });
  for (int i = 1; i < std::min(targets, 8); ++i)
    EXPECT_EQ(answers[i], answers[0]) << "target " << i;
}

// Every word is decoded that the reference decodes, but for a few at the edge: both see the same
// noise, at error rates where lists help.
TEST(PolarDecode, FailsNoMoreOftenThanTheReference) {
  constexpr std::uint64_t seed = 53;
  RecordProperty("seed", std::to_string(seed));
  struct Case {
    PolarConfig config;
    double snr_db;
  };
  constexpr Case cases[] = {{{64, 432, 9, true, false}, -4.5},  {{56, 864, 9, true, false}, -8.5},
                            {{60, 200, 10, false, true}, -0.5}, {{22, 70, 10, false, true}, -0.5},
                            {{24, 300, 10, false, true}, -7.5}, {{120, 200, 9, true, false}, 3.0},
                            {{40, 64, 10, false, true}, 4.0}};
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    PolarWorkspace workspace;
    int failed[2] = {};
    int trials = 0;
    for (const Case& c : cases) {
      const PolarCode code = *make_polar_code(c.config);
      Prng prng(seed);
      for (int round = 0; round < 60; ++round) {
        const Transmission sent = transmit(code, std::pow(10, -c.snr_db / 20), prng);
        const int list = 1 << (round % 4);
        std::vector<std::uint8_t> message(sent.message.size());
        ref::polar_decode(code, sent.received, list, crc11, message);
        failed[0] += message != sent.message ? 1 : 0;
        cpu::polar_decode(code, soft_bits(sent.received, 16), list, crc11, message, workspace);
        failed[1] += message != sent.message ? 1 : 0;
        ++trials;
      }
    }
    EXPECT_GT(failed[0], trials / 20);
    EXPECT_LT(failed[0], trials / 3);
    EXPECT_LT(std::abs(failed[0] - failed[1]), trials / 40) << failed[0] << " and " << failed[1];
  });
}

// With whole-numbered soft bits that never saturate, a list large enough for all messages is
// maximum likelihood: no codeword costs less than the path that is chosen.
TEST(PolarDecode, SmallCodesAreMaximumLikelihood) {
  constexpr std::uint64_t seed = 54;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  int equal = 0;
  constexpr int rounds = 60;
  for (int round = 0; round < rounds; ++round) {
    const PolarCode code = *make_polar_code({12, 32 + 4 * (round % 8), 10, false, true});
    const Transmission sent = transmit(code, 0.8, prng);
    std::vector<std::uint8_t> word(bytes_for_bits(sent.received.size()));
    double best = -1e9;
    std::uint32_t best_message = 0;
    for (std::uint32_t m = 0; m < 1u << 12; ++m) {
      const std::vector<std::uint8_t> message = {static_cast<std::uint8_t>(m >> 4),
                                                 static_cast<std::uint8_t>(m << 4)};
      cpu::polar_encode(code, message, word, 0);
      double sum = 0;
      for (std::size_t i = 0; i < sent.received.size(); ++i) {
        sum += bit_at(word.data(), i) ? -sent.received[i] : sent.received[i];
      }
      if (sum > best) {
        best = sum;
        best_message = m;
      }
    }
    std::vector<std::uint8_t> message(2);
    cpu::polar_decode(code, soft_bits(sent.received, 20), 8, std::nullopt, message, workspace);
    equal += (message[0] << 4 | message[1] >> 4) == static_cast<int>(best_message) ? 1 : 0;
  }
  EXPECT_GT(equal, rounds * 9 / 10);
}

// 40 dB: from a mean of one step to clipping.
TEST(PolarDecode, AmplitudeDoesNotMatter) {
  constexpr std::uint64_t seed = 55;
  RecordProperty("seed", std::to_string(seed));
  constexpr PolarConfig configs[] = {
      {64, 432, 9, true, false}, {300, 1024, 10, false, true}, {100, 140, 10, false, true}};
  constexpr double snr_db[] = {0, 3.5, 11};
  PolarWorkspace workspace;
  for (std::size_t c = 0; c < 3; ++c) {
    const PolarCode code = *make_polar_code(configs[c]);
    SCOPED_TRACE(describe(code));
    Prng prng(seed);
    for (int round = 0; round < 40; ++round) {
      const Transmission sent = transmit(code, std::pow(10, -snr_db[c] / 20), prng);
      for (const double amplitude : {1.0, 3.0, 10.0, 30.0, 100.0}) {
        for (const int list : {1, 8}) {
          std::vector<std::uint8_t> message(sent.message.size());
          const auto result = cpu::polar_decode(code, soft_bits(sent.received, amplitude), list,
                                                crc11, message, workspace);
          ASSERT_TRUE(result.crc_ok && message == sent.message)
              << "amplitude " << amplitude << " list " << list;
        }
      }
    }
  }
}

TEST(PolarDecode, ZerosAndFullScaleAreDefined) {
  constexpr std::uint64_t seed = 56;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    PolarWorkspace workspace;
    for (int round = 0; round < 60; ++round) {
      const PolarCode code = random_polar_code(prng);
      SCOPED_TRACE(describe(code));
      const std::size_t e = code.coded_source.size();
      std::vector<std::uint8_t> message(bytes_for_bits(code.message_position.size()), 0xff);
      for (const int list : {1, 2, 4, 8}) {
        // Nothing is known: zeros are the answer, whatever was there.
        cpu::polar_decode(code, std::vector<SoftBit>(e, 0), list, crc11, message, workspace);
        if (list == 1) {
          EXPECT_EQ(message, std::vector<std::uint8_t>(message.size()));
        }
        // The zero codeword at full scale.
        const auto clear =
            cpu::polar_decode(code, std::vector<SoftBit>(e, 127), list, crc11, message, workspace);
        EXPECT_TRUE(clear.crc_ok);
        EXPECT_EQ(message, std::vector<std::uint8_t>(message.size()));
        // All of it wrong, and with the value that never occurs: some message, no fault.
        cpu::polar_decode(code, std::vector<SoftBit>(e, -128), list, crc11, message, workspace);
        std::vector<SoftBit> wild(e);
        for (auto& soft : wild) soft = prng.below(2) != 0 ? SoftBit{-128} : SoftBit{127};
        cpu::polar_decode(code, wild, list, crc11, message, workspace);
      }
    }
  });
}

TEST(PolarDecode, CrcMaskAndLeadingOnesCount) {
  constexpr std::uint64_t seed = 57;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  for (int round = 0; round < 100; ++round) {
    const PolarCode code = random_polar_code(prng);
    SCOPED_TRACE(describe(code));
    const std::size_t k = code.message_position.size();
    const int ones = round % 2 == 0 ? 24 : 0;
    const auto mask = static_cast<std::uint32_t>(prng.below(1 << 11));
    const auto flaw = static_cast<std::uint32_t>(1 + prng.below((1 << 11) - 1));
    std::vector<std::uint8_t> all(bytes_for_bits(24 + k));
    for (std::size_t i = 0; i < 24 + k; ++i) {
      set_bit(all.data(), i, i < 24 || prng.below(2) != 0);
    }
    const auto before = static_cast<std::size_t>(24 - ones) / 8;
    const View<std::uint8_t, 1> checked(all.data() + before, all.size() - before);
    crc_attach(Crc::crc11, checked, static_cast<std::size_t>(ones) + k - 11, mask);
    std::vector<std::uint8_t> sent(bytes_for_bits(code.coded_source.size()));
    cpu::polar_encode(code, {all.data() + 3, all.size() - 3}, sent, 0);
    std::vector<SoftBit> soft;
    std::vector<double> wide;
    for (std::size_t i = 0; i < code.coded_source.size(); ++i) {
      soft.push_back(bit_at(sent.data(), i) ? -5 : 5);
      wide.push_back(soft.back());
    }
    std::vector<std::uint8_t> message(bytes_for_bits(k));
    for (const int list : {1, 8}) {
      const auto decode = [&](PolarCrc crc) {
        return cpu::polar_decode(code, soft, list, crc, message, workspace).crc_ok;
      };
      EXPECT_TRUE(decode({Crc::crc11, mask, ones}));
      EXPECT_TRUE(
          ref::polar_decode(code, wide, list, PolarCrc{Crc::crc11, mask, ones}, message).crc_ok);
      if (list == 1) {
        EXPECT_FALSE(decode({Crc::crc11, mask ^ flaw, ones}));
        EXPECT_FALSE(decode({Crc::crc11, mask, 24 - ones}));
      }
      EXPECT_FALSE(cpu::polar_decode(code, soft, list, std::nullopt, message, workspace).crc_ok);
    }
  }
}

}  // namespace
}  // namespace noroshi::fec
