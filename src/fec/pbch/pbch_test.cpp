// Catches: a bit of the payload in another's place, timing bits that are scrambled, a scrambling
// stretch of the wrong length or of another cell.

#include "fec/pbch/pbch.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/prng.h"
#include "fec/crc/crc.h"
#include "nr/prbs/prbs.h"

namespace noroshi::fec {
namespace {

PbchBlock random_block(const PbchConfig& config, Prng& prng) {
  PbchBlock block;
  const auto draw = [&](int count) {
    return static_cast<int>(prng.below(static_cast<std::uint64_t>(count)));
  };
  block.mib.sfn = draw(1024);
  block.mib.subcarrier_spacing_common = draw(2);
  block.mib.k_ssb = draw(config.l_max == 64 ? 16 : 32);
  block.mib.dmrs_type_a_position = draw(2);
  block.mib.pdcch_config_sib1 = draw(256);
  block.mib.cell_barred = draw(2);
  block.mib.intra_freq_reselection = draw(2);
  block.mib.spare = draw(2);
  block.half_frame = draw(2) != 0;
  block.ssb_index = draw(config.l_max);
  return block;
}

std::vector<std::uint8_t> encode(const PbchConfig& config, const PolarCode& code,
                                 const PbchBlock& block) {
  std::vector<std::uint8_t> coded(pbch_coded_bits / 8);
  pbch_encode(config, code, block, coded);
  return coded;
}

std::vector<SoftBit> soft_bits(const std::vector<std::uint8_t>& coded) {
  std::vector<SoftBit> out;
  for (std::size_t i = 0; i < pbch_coded_bits; ++i) {
    out.push_back(bit_at(coded.data(), i) ? -10 : 10);
  }
  return out;
}

TEST(Pbch, WhatIsSentComesBack) {
  constexpr std::uint64_t seed = 71;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  const PolarCode code = make_pbch_code();
  for (int round = 0; round < 300; ++round) {
    PbchConfig config;
    config.cell_id = static_cast<int>(prng.below(1008));
    config.l_max = round % 3 == 0 ? 4 : round % 3 == 1 ? 8 : 64;
    const PbchBlock block = random_block(config, prng);
    ASSERT_TRUE(check(config, block).ok());
    const auto decoded = pbch_decode(config, code, soft_bits(encode(config, code, block)),
                                     1 << (round % 4), workspace);
    ASSERT_TRUE(decoded.polar.crc_ok);
    EXPECT_EQ(pbch_payload(config, decoded.block), pbch_payload(config, block));
    EXPECT_EQ(decoded.block.mib.sfn, block.mib.sfn);
    EXPECT_EQ(decoded.block.mib.k_ssb, block.mib.k_ssb);
    EXPECT_EQ(decoded.block.half_frame, block.half_frame);
    EXPECT_EQ(decoded.block.ssb_index, config.l_max == 64 ? block.ssb_index / 8 * 8 : 0);
    // Another cell's scrambling leaves the timing and nothing else.
    config.cell_id = (config.cell_id + 1) % 1008;
    const auto other =
        pbch_decode(config, code, soft_bits(encode(config, code, block)), 1, workspace);
    EXPECT_TRUE(other.polar.crc_ok);
  }
}

// 7.1.1 to 7.1.5 bit by bit, with their own loops.
std::vector<std::uint8_t> by_the_clauses(const PbchConfig& config, const PolarCode& code,
                                         const PbchBlock& block) {
  constexpr int g[32] = {16, 23, 18, 17, 8,  30, 10, 6,  24, 7,  0,  5,  3,  2,  1,  4,
                         9,  11, 12, 13, 14, 15, 19, 20, 21, 22, 25, 26, 27, 28, 29, 31};
  const std::uint32_t payload = pbch_payload(config, block);
  int ordered[32];
  bool timing[32] = {};  // half frame, index, 2nd and 3rd LSB of the SFN
  int j_sfn = 0;
  int j_ssb = 11;
  int j_other = 14;
  for (int i = 0; i < 32; ++i) {
    const bool sfn = (i >= 1 && i <= 6) || (i >= 24 && i <= 27);
    const int place = sfn ? j_sfn++ : i == 28 ? 10 : i >= 29 ? j_ssb++ : j_other++;
    ordered[g[place]] = static_cast<int>((payload >> (31 - i)) & 1);
    timing[g[place]] = i == 25 || i == 26 || i == 28 || (i >= 29 && config.l_max == 64);
  }
  const int m = config.l_max == 64 ? 26 : 29;
  const int v = (block.mib.sfn & 6) >> 1;
  std::vector<std::uint8_t> c(16);
  nr::ref::prbs_packed(static_cast<std::uint32_t>(config.cell_id), 0, c);
  std::vector<std::uint8_t> message(7);
  int j = 0;
  for (int i = 0; i < 32; ++i) {
    const bool flip = !timing[i] && bit_at(c.data(), static_cast<std::size_t>(j++ + v * m));
    set_bit(message.data(), static_cast<std::size_t>(i), (ordered[i] != 0) != flip);
  }
  const std::uint32_t parity = ref::crc(Crc::crc24c, message, 32);
  for (std::size_t i = 0; i < 24; ++i) {
    set_bit(message.data(), 32 + i, ((parity >> (23 - i)) & 1) != 0);
  }
  std::vector<std::uint8_t> coded(pbch_coded_bits / 8);
  ref::polar_encode(code, message, coded, 0);
  return coded;
}

TEST(Pbch, EncoderIsTheClauses) {
  constexpr std::uint64_t seed = 72;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  const PolarCode code = make_pbch_code();
  for (int round = 0; round < 60; ++round) {
    PbchConfig config;
    config.cell_id = static_cast<int>(prng.below(1008));
    config.l_max = round % 3 == 0 ? 4 : round % 3 == 1 ? 8 : 64;
    const PbchBlock block = random_block(config, prng);
    ASSERT_EQ(encode(config, code, block), by_the_clauses(config, code, block));
  }
}

TEST(Pbch, PayloadIsTheStandards) {
  PbchConfig config;
  PbchBlock block;
  block.mib.sfn = 0x2a5;  // 101010 0101
  block.mib.k_ssb = 0x13;
  block.mib.subcarrier_spacing_common = 1;
  block.mib.pdcch_config_sib1 = 0xa5;
  block.mib.cell_barred = 1;
  block.half_frame = true;
  EXPECT_EQ(mib_bits(block.mib), 0b0'101010'1'0011'0'10100101'1'0'0u);
  EXPECT_EQ(pbch_payload(config, block), mib_bits(block.mib) << 8 | 0b0101'1'100u);
  config.l_max = 64;
  block.mib.k_ssb = 3;
  block.ssb_index = 0b101'011;
  EXPECT_EQ(pbch_payload(config, block) & 0xff, 0b0101'1'101u);
}

TEST(Pbch, ErrorsNameFieldAndValue) {
  const auto error = [](const PbchConfig& config, const PbchBlock& block) {
    return check(config, block).error().message;
  };
  EXPECT_EQ(error({.cell_id = 1008}, {}), "PBCH: cell_id is 1008, must be 0 to 1007");
  EXPECT_EQ(error({.l_max = 20}, {}), "PBCH: l_max is 20, must be 4, 8 or 64");
  EXPECT_EQ(error({}, {.mib = {.sfn = 1024}, .half_frame = false, .ssb_index = 0}),
            "PBCH: sfn is 1024, must be 0 to 1023");
  EXPECT_EQ(error({}, {.mib = {}, .half_frame = false, .ssb_index = 8}),
            "PBCH: ssb_index is 8, must be 0 to 7");
  EXPECT_EQ(error({.l_max = 64}, {.mib = {.k_ssb = 16}, .half_frame = false, .ssb_index = 0}),
            "PBCH: k_ssb is 16, must be 0 to 15");
}

}  // namespace
}  // namespace noroshi::fec
