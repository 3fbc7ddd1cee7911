// Catches: a bit of the payload in another's place, timing bits that are scrambled, a scrambling
// stretch of the wrong length or of another cell.

#include "fec/pbch/pbch.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "base/prng.h"

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
