// Catches: a wrong choice of code, CRC or number of code blocks, a block that starts at the wrong
// bit, a chain that does not come back without noise or at another amplitude, noise that passes as
// a message.

#include "fec/uci/uci.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/prng.h"
#include "fec/uci/pucch_uci.h"
#include "fec/uci/pusch_uci.h"
#include "fec/uci/pusch_uci_test_configs.h"

namespace noroshi::fec {
namespace {

std::size_t size_of(int count) { return static_cast<std::size_t>(count); }

std::vector<std::uint8_t> random_message(int bits, Prng& prng) {
  std::vector<std::uint8_t> message(bytes_for_bits(size_of(bits)));
  for (int k = 0; k < bits; ++k) set_bit(message.data(), size_of(k), (prng() & 1) != 0);
  return message;
}

std::vector<SoftBit> soft_bits_of(const std::vector<std::uint8_t>& coded, int bits, int amplitude) {
  std::vector<SoftBit> soft_bits(size_of(bits));
  for (std::size_t i = 0; i < soft_bits.size(); ++i) {
    soft_bits[i] = static_cast<SoftBit>(bit_at(coded.data(), i) ? -amplitude : amplitude);
  }
  return soft_bits;
}

TEST(Uci, CodesOfTheClause) {
  // TS 38.212 6.3.1.2.1.
  const auto code = [](int bits, int coded_bits) {
    return *make_uci_code({.bits = bits, .coded_bits = coded_bits});
  };
  EXPECT_EQ(code(12, 64).polar.config.message_bits, 18);
  EXPECT_EQ(code(19, 64).polar.config.message_bits, 25);
  EXPECT_EQ(code(20, 64).polar.config.message_bits, 31);
  EXPECT_EQ(code(359, 1500).code_blocks, 1);
  EXPECT_EQ(code(360, 1087).code_blocks, 1);
  EXPECT_EQ(code(360, 1088).code_blocks, 2);
  EXPECT_EQ(code(360, 1088).polar.config.message_bits, 191);
  EXPECT_EQ(code(360, 1089).polar.config.coded_bits, 544);
  EXPECT_EQ(code(361, 1089).polar.config.message_bits, 192);
  EXPECT_EQ(code(361, 1089).leading_zeros, 1);
  EXPECT_EQ(code(1013, 4000).code_blocks, 2);
  EXPECT_EQ(code(1706, 4000).polar.config.message_bits, 864);
}

TEST(Uci, EveryLengthComesBackAtEveryAmplitude) {
  constexpr std::uint64_t seed = 101;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  for (int round = 0; round < 600; ++round) {
    const int bits = 1 + static_cast<int>(prng.below(round % 3 == 0 ? 1706 : 60));
    const int least = bits > 11 ? bits + 11 * uci_code_blocks(bits, 4000) + 10 : 3 * bits;
    const int coded_bits = least + static_cast<int>(prng.below(static_cast<std::uint64_t>(least)));
    const auto code = make_uci_code({.bits = bits, .coded_bits = coded_bits, .bits_per_symbol = 1});
    SCOPED_TRACE("A " + std::to_string(bits) + " E " + std::to_string(coded_bits));
    ASSERT_TRUE(code.ok()) << code.error().message;
    const auto message = random_message(bits, prng);
    std::vector<std::uint8_t> coded(bytes_for_bits(size_of(coded_bits) + 5), 0xff);
    uci_encode(*code, message, coded, 5);
    std::vector<std::uint8_t> shifted(coded.size());
    for (int i = 0; i < coded_bits; ++i) {
      set_bit(shifted.data(), size_of(i), bit_at(coded.data(), size_of(i + 5)));
    }
    // Bits behind the code blocks are 0.
    for (int i = coded_bits / code->code_blocks * code->code_blocks; i < coded_bits; ++i) {
      ASSERT_FALSE(bit_at(shifted.data(), size_of(i)));
    }
    constexpr int amplitudes[] = {1, 10, 100, 127};  // 42 dB
    UciDecodeOptions options;
    options.list = 1 << (round % 4);
    std::vector<std::uint8_t> decoded(message.size(), 0xff);
    const auto result =
        uci_decode(*code, soft_bits_of(shifted, coded_bits, amplitudes[round / 4 % 4]), options,
                   decoded, workspace);
    ASSERT_EQ(decoded, message);
    ASSERT_TRUE(result.ok || code->threshold >= 1);
  }
}

TEST(Uci, AWrongBitInEitherBlockIsNoticed) {
  constexpr std::uint64_t seed = 102;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  const auto code = *make_uci_code({.bits = 401, .coded_bits = 1200});
  for (const int block : {0, 1}) {
    const auto message = random_message(401, prng);
    std::vector<std::uint8_t> coded(150);
    uci_encode(code, message, coded, 0);
    auto soft_bits = soft_bits_of(coded, 1200, 20);
    // Half of a block's soft bits say the opposite.
    for (int i = 0; i < 600; i += 2) {
      SoftBit& soft = soft_bits[size_of(600 * block + i)];
      soft = static_cast<SoftBit>(-soft);
    }
    std::vector<std::uint8_t> decoded(51);
    EXPECT_FALSE(uci_decode(code, soft_bits, {}, decoded, workspace).ok);
  }
}

TEST(Uci, NoiseAloneIsRarelyAMessage) {
  constexpr std::uint64_t seed = 103;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  // CRC11 and a list of 8: at most 8 chances in 2048.
  for (const auto& [bits, rate] : {std::pair{8, 0.01}, std::pair{30, 8.0 / 2048}}) {
    const auto code = *make_uci_code({.bits = bits, .coded_bits = 120, .false_alarm = 0.01});
    constexpr int trials = 4000;
    int passed = 0;
    std::vector<SoftBit> soft_bits(120);
    std::vector<std::uint8_t> decoded(4);
    for (int trial = 0; trial < trials; ++trial) {
      for (auto& soft : soft_bits) {
        soft = static_cast<SoftBit>(std::lround(std::clamp(30 * prng.normal(), -127.0, 127.0)));
      }
      passed += uci_decode(code, soft_bits, {}, decoded, workspace).ok ? 1 : 0;
    }
    EXPECT_LT(passed, trials * rate + 4 * std::sqrt(trials * rate)) << bits;
  }
  // Soft bits that say nothing.
  const auto code = *make_uci_code({.bits = 8, .coded_bits = 120});
  std::vector<std::uint8_t> decoded(1);
  EXPECT_FALSE(uci_decode(code, std::vector<SoftBit>(120), {}, decoded, workspace).ok);
}

// Every part of a PUSCH, from bits over the multiplexed and scrambled codeword back to bits.
void expect_round_trip(const PuschUciConfig& config, Prng& prng, PuschUciLayout& layout,
                       PolarWorkspace& workspace, int& parts_seen) {
  SCOPED_TRACE(describe(config));
  const auto made = make_pusch_uci_layout(config, layout);
  ASSERT_TRUE(made.ok()) << made.error().message;
  std::array<std::vector<std::uint8_t>, pusch_parts> messages;
  std::array<std::vector<std::uint8_t>, pusch_parts> coded;
  std::array<std::vector<SoftBit>, pusch_parts> soft_bits;
  std::array<UciCode, pusch_parts> codes;
  PuschCodedBits parts;
  PuschSoftBits soft_parts;
  for (std::size_t p = 0; p < pusch_parts; ++p) {
    const auto part = static_cast<PuschPart>(p);
    const int coded_bits = layout.coded_bits(part);
    coded[p].assign(bytes_for_bits(size_of(coded_bits)), 0x5a);
    soft_bits[p].resize(size_of(coded_bits));
    if (layout.information_bits(part) > 0) {
      const auto code = make_uci_code({.bits = layout.information_bits(part),
                                       .coded_bits = coded_bits,
                                       .bits_per_symbol = config.bits_per_symbol});
      ASSERT_TRUE(code.ok()) << code.error().message;
      codes[p] = *code;
      messages[p] = random_message(codes[p].config.bits, prng);
      uci_encode(codes[p], messages[p], coded[p], 0);
    }
    parts.of[p] = coded[p];
    soft_parts.of[p] = soft_bits[p];
  }
  const auto bits = size_of(layout.coded_bits());
  std::vector<std::uint8_t> scrambling(bytes_for_bits(bits));
  for (auto& byte : scrambling) byte = static_cast<std::uint8_t>(prng());
  std::vector<std::uint8_t> codeword(bytes_for_bits(bits));
  pusch_uci_multiplex(layout, parts, codeword);
  for (std::size_t i = 0; i < codeword.size(); ++i) codeword[i] ^= scrambling[i];
  pusch_uci_scramble_placeholders(layout, codeword);
  for (std::size_t i = 0; i < codeword.size(); ++i) codeword[i] ^= scrambling[i];
  auto received = soft_bits_of(codeword, layout.coded_bits(), 30);
  pusch_uci_descramble_placeholders(layout, scrambling, received);
  pusch_uci_demultiplex(layout, received, soft_parts);
  for (std::size_t p = 1; p < pusch_parts; ++p) {
    if (codes[p].config.bits == 0) continue;
    const auto part = static_cast<PuschPart>(p);
    // So much of CSI part 2 overwritten that its code has no chance.
    if (4 * static_cast<int>(layout.punctured(part).size()) > layout.elements(part)) continue;
    std::vector<std::uint8_t> decoded(messages[p].size(), 0xff);
    const auto result = uci_decode(codes[p], soft_bits[p], {}, decoded, workspace);
    ASSERT_EQ(decoded, messages[p]) << "part " << p;
    ASSERT_TRUE(result.ok || codes[p].threshold > 0.8) << "part " << p;
    ++parts_seen;
  }
}

TEST(Uci, EveryCombinationOnPuschComesBack) {
  constexpr std::uint64_t seed = 104;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  PuschUciLayout layout;
  int parts_seen = 0;
  for (std::uint64_t harq = 0; harq < 5; ++harq) {
    for (std::uint64_t csi1 = 0; csi1 < 5; ++csi1) {
      for (std::uint64_t csi2 = 0; csi2 < (csi1 == 0 ? 1u : 5u); ++csi2) {
        for (const int variant : {0, 1, 2, 3, 4, 5, 6, 7}) {
          const bool data = (variant & 1) != 0;
          if (!data && harq == 0 && csi1 == 0) continue;
          PuschUciConfig config = full_pusch(3, 0b00010000000100);
          config.hop_symbol = (variant & 2) != 0 ? 7 : 0;
          config.layers = (variant & 4) != 0 ? 2 : 1;
          constexpr int qms[] = {1, 2, 4, 6, 8};
          config.bits_per_symbol = qms[prng.below(5)];
          // R = 0.8: with the beta offsets below 1.9 coded bits a bit, for all parts together less
          // than the PUSCH has.
          config.code_block_bits = data ? 346 * config.layers * config.bits_per_symbol : 0;
          config.code_rate_x10240 = 8192;
          config.harq_bits = uci_bits_of_kind(prng, harq);
          config.csi1_bits = uci_bits_of_kind(prng, csi1);
          config.csi2_bits = uci_bits_of_kind(prng, csi2);
          config.harq_beta_x8 = 12;
          config.csi1_beta_x8 = 12;
          config.csi2_beta_x8 = 12;
          expect_round_trip(config, prng, layout, workspace, parts_seen);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
  EXPECT_GT(parts_seen, 1500);
}

TEST(Uci, BothPartsOnPucchComeBack) {
  constexpr std::uint64_t seed = 105;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  for (int round = 0; round < 200; ++round) {
    PucchUciConfig config{.format = 3, .symbols = 4, .rbs = 4, .bits = 3};
    config.symbols = 4 + static_cast<int>(prng.below(11));
    config.bits = 3 + static_cast<int>(prng.below(40));
    config.csi2_bits = static_cast<int>(prng.below(30));
    config.max_code_rate_x100 = 35;
    const auto layout = make_pucch_uci_layout(config);
    ASSERT_TRUE(layout.ok()) << layout.error().message;
    std::array<std::vector<std::uint8_t>, 2> messages;
    std::array<std::vector<std::uint8_t>, 2> coded;
    std::array<std::vector<SoftBit>, 2> soft_bits;
    std::array<UciCode, 2> codes;
    for (std::size_t p = 0; p < 2; ++p) {
      coded[p].resize(bytes_for_bits(size_of(layout->parts[p].coded_bits)));
      soft_bits[p].resize(size_of(layout->parts[p].coded_bits));
      if (layout->parts[p].bits == 0) continue;
      const auto code = make_uci_code(layout->parts[p]);
      ASSERT_TRUE(code.ok()) << code.error().message;
      codes[p] = *code;
      messages[p] = random_message(layout->parts[p].bits, prng);
      uci_encode(codes[p], messages[p], coded[p], 0);
    }
    std::vector<std::uint8_t> codeword(bytes_for_bits(size_of(layout->coded_bits())));
    pucch_uci_multiplex(*layout, coded[0], coded[1], codeword);
    pucch_uci_demultiplex(*layout, soft_bits_of(codeword, layout->coded_bits(), 30), soft_bits[0],
                          soft_bits[1]);
    for (std::size_t p = 0; p < 2; ++p) {
      if (layout->parts[p].bits == 0) continue;
      std::vector<std::uint8_t> decoded(messages[p].size());
      EXPECT_TRUE(uci_decode(codes[p], soft_bits[p], {}, decoded, workspace).ok);
      EXPECT_EQ(decoded, messages[p]);
    }
  }
}

TEST(Uci, RefusesWithTheFieldAndItsValue) {
  const auto message = [](const UciConfig& config) {
    const auto code = make_uci_code(config);
    return code.ok() ? std::string() : code.error().message;
  };
  EXPECT_NE(message({.bits = 0, .coded_bits = 100}).find("bits is 0"), std::string::npos);
  EXPECT_NE(message({.bits = 1707, .coded_bits = 4000}).find("bits is 1707"), std::string::npos);
  EXPECT_NE(message({.bits = 20, .coded_bits = 0}).find("coded_bits is 0"), std::string::npos);
  EXPECT_NE(message({.bits = 20, .coded_bits = 30}).find("coded_bits is 30"), std::string::npos);
  EXPECT_NE(message({.bits = 20, .coded_bits = 9000}).find("coded_bits is 9000"),
            std::string::npos);
  EXPECT_NE(
      message({.bits = 2, .coded_bits = 30, .bits_per_symbol = 5}).find("bits_per_symbol is 5"),
      std::string::npos);
  EXPECT_NE(message({.bits = 2, .coded_bits = 30, .false_alarm = 0}).find("false_alarm is 0"),
            std::string::npos);
}

}  // namespace
}  // namespace noroshi::fec
