// Catches: a wrong tap or start of a register, a jump that lands elsewhere, a chunk that does not
// go on where the last one ended, a tail that writes one element too many, on every instruction
// set.

#include "nr/prbs/prbs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"

namespace noroshi::nr {
namespace {

std::uint32_t random_c_init(Prng& prng) {
  return static_cast<std::uint32_t>(prng.below(std::uint64_t{1} << 31));
}

// Sizes around every chunk and vector border, and small ones.
const std::size_t sizes[] = {0,    1,    2,    3,    4,    5,    31,   32,   33,    63,   65,
                             123,  124,  125,  127,  128,  129,  500,  1023, 1024,  1025, 1150,
                             2047, 2048, 2049, 4096, 8191, 8192, 8193, 8200, 16400, 30001};

TEST(Prbs, KnownStart) {
  // c_init = 10; the first 20 elements as published by the python_5gtoolbox project (MATLAB).
  // Independent of both versions here.
  std::vector<std::uint8_t> packed(3);
  for (const auto make : {ref::prbs_packed, cpu::prbs_packed}) {
    make(10, 0, packed);
    std::string text;
    for (std::size_t i = 0; i < 20; ++i) text += bit_at(packed.data(), i) ? '1' : '0';
    EXPECT_EQ(text, "01100010001011110111");
  }
}

TEST(Prbs, PackedIsTheReference) {
  constexpr std::uint64_t seed = 11;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (const std::size_t size : sizes) {
      const std::uint32_t c_init = random_c_init(prng);
      const std::size_t first = prng.below(2) == 0 ? 0 : prng.below(20'000);
      std::vector<std::uint8_t> expected(size + 1, 0xa5);
      auto actual = expected;
      ref::prbs_packed(c_init, first, {expected.data(), size});
      cpu::prbs_packed(c_init, first, {actual.data(), size});
      ASSERT_EQ(actual, expected) << "size " << size << " first " << first;
      // The other order of bits: its reference from the first one's bits.
      ref::prbs_masks(c_init, first, {actual.data(), size});
      for (std::size_t i = 0; i < 8 * size; ++i)
        ASSERT_EQ((actual[i / 8] >> i % 8 & 1) != 0, bit_at(expected.data(), i)) << i;
      expected = actual;
      cpu::prbs_masks(c_init, first, {actual.data(), size});
      ASSERT_EQ(actual, expected) << "masks, size " << size << " first " << first;
    }
  });
}

TEST(Prbs, FarJumpIsAsGoodAsWalking) {
  std::vector<std::uint8_t> walked(1 << 17);
  cpu::prbs_packed(0x1234567, 0, walked);
  std::vector<std::uint8_t> jumped(64);
  cpu::prbs_packed(0x1234567, 8 * (walked.size() - 64), jumped);
  EXPECT_TRUE(std::equal(jumped.begin(), jumped.end(), walked.end() - 64));
}

TEST(Prbs, ScrambleIsTheReference) {
  constexpr std::uint64_t seed = 12;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (const std::size_t bits : sizes) {
      const std::uint32_t c_init = random_c_init(prng);
      const std::size_t first = prng.below(3) == 0 ? prng.below(5000) : 0;
      std::vector<std::uint8_t> expected(bytes_for_bits(bits) + 2);
      for (auto& byte : expected) byte = static_cast<std::uint8_t>(prng());
      auto actual = expected;
      ref::scramble(c_init, first, expected, bits);
      cpu::scramble(c_init, first, actual, bits);
      ASSERT_EQ(actual, expected) << "bits " << bits << " first " << first;
    }
  });
}

TEST(Prbs, DescrambleIsTheReference) {
  constexpr std::uint64_t seed = 13;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (const std::size_t size : sizes) {
      const std::uint32_t c_init = random_c_init(prng);
      const std::size_t first = prng.below(3) == 0 ? prng.below(5000) : 0;
      std::vector<SoftBit> expected(size + 3);
      for (auto& soft : expected) soft = static_cast<SoftBit>(prng());
      auto actual = expected;
      ref::descramble(c_init, first, {expected.data(), size});
      cpu::descramble(c_init, first, {actual.data(), size});
      ASSERT_EQ(actual, expected) << "size " << size << " first " << first;
    }
  });
}

TEST(Prbs, DmrsSymbolsAreTheReference) {
  constexpr std::uint64_t seed = 14;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (const std::size_t size : {0, 1, 2, 3, 4, 5, 6, 7, 100, 1650, 3300, 4097, 5001}) {
      const std::uint32_t c_init = random_c_init(prng);
      const std::size_t first = prng.below(3000);
      std::vector<cf32> expected(size + 1, cf32(7, 8));
      auto actual = expected;
      ref::dmrs_qpsk(c_init, first, {expected.data(), size});
      cpu::dmrs_qpsk(c_init, first, {actual.data(), size});
      ASSERT_EQ(actual, expected) << "size " << size << " first " << first;
    }
  });
}

}  // namespace
}  // namespace noroshi::nr
