// Catches: a CRC that forgets its ones or the RNTI, a short format that is not padded, a decoder
// that takes a candidate meant for somebody else.

#include "fec/dci/dci.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/prng.h"

namespace noroshi::fec {
namespace {

struct Candidate {
  std::vector<std::uint8_t> payload;
  std::vector<SoftBit> soft_bits;
};

Candidate send(const DciCode& code, std::uint16_t rnti, Prng& prng) {
  Candidate out;
  const auto bits = static_cast<std::size_t>(code.payload_bits);
  out.payload.resize(bytes_for_bits(bits));
  for (std::size_t i = 0; i < bits; ++i) set_bit(out.payload.data(), i, prng.below(2) != 0);
  const auto e = static_cast<std::size_t>(code.polar.config.coded_bits);
  std::vector<std::uint8_t> coded(bytes_for_bits(e));
  dci_encode(code, out.payload, rnti, coded, 0);
  for (std::size_t i = 0; i < e; ++i) out.soft_bits.push_back(bit_at(coded.data(), i) ? -20 : 20);
  return out;
}

TEST(Dci, EverySizeAndAggregationLevelComesBack) {
  constexpr std::uint64_t seed = 61;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  for (int bits = 1; bits <= dci_payload_bits_max; ++bits) {
    for (const int level : {1, 2, 4, 8, 16}) {
      const auto code = make_dci_code(bits, 108 * level);
      if (!code.ok()) {
        EXPECT_GT(std::max(bits, 12) + 24, 108 * level);
        continue;
      }
      SCOPED_TRACE(std::to_string(bits) + " bits, level " + std::to_string(level));
      const auto rnti = static_cast<std::uint16_t>(prng());
      const Candidate sent = send(*code, rnti, prng);
      const int list = 1 << (bits % 4);
      std::vector<std::uint8_t> payload(sent.payload.size());
      const auto other = static_cast<std::uint16_t>(rnti ^ (1u << prng.below(16)));
      EXPECT_FALSE(dci_decode(*code, sent.soft_bits, other, list, payload, workspace).crc_ok);
      EXPECT_EQ(payload, std::vector<std::uint8_t>(payload.size()));
      ASSERT_TRUE(dci_decode(*code, sent.soft_bits, rnti, list, payload, workspace).crc_ok);
      ASSERT_EQ(payload, sent.payload);
    }
  }
}

// What is no DCI passes as rarely as 24 bits and 8 paths allow: here never.
TEST(Dci, NoiseIsRefused) {
  constexpr std::uint64_t seed = 62;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  const auto code = make_dci_code(40, 432);
  ASSERT_TRUE(code.ok());
  std::vector<std::uint8_t> payload(5);
  std::vector<SoftBit> noise(432);
  for (int round = 0; round < 2000; ++round) {
    for (auto& soft : noise) soft = static_cast<SoftBit>(static_cast<int>(prng.below(255)) - 127);
    EXPECT_FALSE(dci_decode(*code, noise, 0x1234, 8, payload, workspace).crc_ok);
  }
}

TEST(Dci, AFormatOfOtherLengthIsRefused) {
  constexpr std::uint64_t seed = 63;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PolarWorkspace workspace;
  const auto twelve = make_dci_code(12, 108);
  const auto nine = make_dci_code(9, 108);
  ASSERT_TRUE(twelve.ok() && nine.ok());
  Candidate sent = send(*twelve, 7, prng);
  while ((sent.payload[1] & 0x70) == 0) sent = send(*twelve, 7, prng);
  std::vector<std::uint8_t> payload(2);
  EXPECT_TRUE(dci_decode(*twelve, sent.soft_bits, 7, 8, payload, workspace).crc_ok);
  EXPECT_FALSE(dci_decode(*nine, sent.soft_bits, 7, 8, payload, workspace).crc_ok);
}

TEST(Dci, ErrorsNameFieldAndValue) {
  EXPECT_EQ(make_dci_code(0, 108).error().message, "DCI: payload_bits is 0, must be 1 to 140");
  EXPECT_EQ(make_dci_code(141, 1728).error().message, "DCI: payload_bits is 141, must be 1 to 140");
  EXPECT_EQ(make_dci_code(100, 108).error().message,
            "DCI: polar code: coded_bits is 108, allowed: as many as message and parity-check "
            "bits, up to "
            "8192");
}

}  // namespace
}  // namespace noroshi::fec
