// Catches: a wrong generator, a wrong folding constant, a length whose odd bytes or bits are read
// wrongly, a parity that is not written where it belongs, parts
// that do not add up to the whole.

#include "fec/crc/crc.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"

namespace noroshi::fec {
namespace {

constexpr Crc all_crcs[] = {Crc::crc6,   Crc::crc11,  Crc::crc16,
                            Crc::crc24a, Crc::crc24b, Crc::crc24c};

std::vector<std::uint8_t> random_bytes(Prng& prng, std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(prng());
  return bytes;
}

TEST(Crc, CheckValuesOfTheCatalogue) {
  // "123456789" in ASCII, from the public catalogue of CRC parameters (CRC-16/XMODEM,
  // CRC-24/LTE-A, CRC-24/LTE-B): the generators that NR shares with the world.
  const std::string text = "123456789";
  const std::vector<std::uint8_t> message(text.begin(), text.end());
  EXPECT_EQ(ref::crc(Crc::crc16, message, 72), 0x31c3u);
  EXPECT_EQ(ref::crc(Crc::crc24a, message, 72), 0xcde703u);
  EXPECT_EQ(ref::crc(Crc::crc24b, message, 72), 0x23ef52u);
}

TEST(Crc, EveryLengthIsTheReference) {
  constexpr std::uint64_t seed = 21;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (const Crc crc : all_crcs) {
      for (std::size_t bits = 0; bits < 1200; bits += 1 + bits / 300) {
        const auto message = random_bytes(prng, bytes_for_bits(bits));
        ASSERT_EQ(cpu::crc(crc, message, bits), ref::crc(crc, message, bits))
            << "crc " << static_cast<int>(crc) << " bits " << bits;
      }
      std::vector<std::size_t> lengths = {8424, 8448, 8441, 30'000};
      for (int i = 0; i < 30; ++i) lengths.push_back(1200 + prng.below(12'000));
      for (const std::size_t bits : lengths) {
        const auto message = random_bytes(prng, bytes_for_bits(bits));
        ASSERT_EQ(cpu::crc(crc, message, bits), ref::crc(crc, message, bits)) << "bits " << bits;
      }
    }
  });
}

TEST(Crc, AttachedParityChecksAndMaskShows) {
  constexpr std::uint64_t seed = 22;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  for (const Crc crc : all_crcs) {
    for (int round = 0; round < 40; ++round) {
      const std::size_t bits = 1 + prng.below(700);
      const std::size_t total = bits + static_cast<std::size_t>(crc_bits(crc));
      auto message = random_bytes(prng, bytes_for_bits(total) + 1);
      const std::uint8_t guard = message.back();
      crc_attach(crc, message, bits);
      EXPECT_EQ(ref::crc(crc, message, total), 0u);
      EXPECT_EQ(message.back(), guard);
      const std::uint32_t mask = static_cast<std::uint32_t>(prng.below(1u << crc_bits(crc)));
      crc_attach(crc, message, bits, mask);
      EXPECT_EQ(ref::crc(crc, message, total) == 0, mask == 0);
      const std::size_t flipped = prng.below(bits);
      crc_attach(crc, message, bits);
      set_bit(message.data(), flipped, !bit_at(message.data(), flipped));
      EXPECT_NE(cpu::crc(crc, message, total), 0u);
    }
  }
}

TEST(Crc, PartsMakeTheWhole) {
  constexpr std::uint64_t seed = 23;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  for (const Crc crc : all_crcs) {
    for (int round = 0; round < 60; ++round) {
      const std::size_t parts = round == 0 ? 0 : 1 + prng.below(round < 50 ? 12 : 160);
      const std::size_t part_bytes = 1 + prng.below(round % 2 == 0 ? 40 : 1100);
      const auto message = random_bytes(prng, parts * part_bytes);
      std::vector<std::uint32_t> parities;
      for (std::size_t i = 0; i < parts; ++i)
        parities.push_back(
            cpu::crc(crc, {message.data() + i * part_bytes, part_bytes}, 8 * part_bytes));
      const std::uint32_t whole = cpu::crc(crc, message, 8 * message.size());
      ASSERT_EQ(cpu::crc_of_parts(crc, parities, 8 * part_bytes), whole)
          << "crc " << static_cast<int>(crc) << ", " << parts << " parts of " << part_bytes;
      // Of any length in bits the reference can tell.
      const std::size_t part_bits = prng.below(9000);
      ASSERT_EQ(cpu::crc_of_parts(crc, parities, part_bits),
                ref::crc_of_parts(crc, parities, part_bits))
          << "crc " << static_cast<int>(crc) << ", parts of " << part_bits << " bits";
    }
  }
}

}  // namespace
}  // namespace noroshi::fec
