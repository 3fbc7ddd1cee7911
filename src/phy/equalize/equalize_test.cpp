// Catches: a wrong conjugate, a bias of the symbols, wrong noise, tails of odd length that are not
// written or write too far, on every instruction set that this machine has.

#include "phy/equalize/equalize.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/every_target.h"
#include "base/prng.h"

namespace noroshi::phy {
namespace {

void compare(std::size_t antennas, std::size_t count, Prng& prng) {
  const std::size_t padded = cpu::equalize_padding(count + 5), first = 5;
  std::vector<cf64> channel(antennas * count), received(antennas * count), symbols(count);
  std::vector<double> inverse_noise(count);
  std::vector<float> planes(antennas * 2 * padded), noise(padded);
  std::vector<cf32> grid(antennas * 3 * (count + 7));
  const View<float, 3> h(planes.data(), antennas, 2, padded);
  const View<cf32, 3> rows(grid.data(), antennas, 3, count + 7);
  for (std::size_t a = 0; a < antennas; ++a)
    for (std::size_t k = 0; k < count; ++k) {
      const cf32 gain{static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
      const cf32 value{static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
      h(a, 0, first + k) = gain.real();
      h(a, 1, first + k) = gain.imag();
      rows(a, 1, 7 + k) = value;
      channel[a * count + k] = cf64(gain);
      received[a * count + k] = cf64(value);
    }
  ref::equalize({channel.data(), antennas, count}, {received.data(), antennas, count}, 0.37,
                symbols, inverse_noise);
  std::vector<cf32> out(count + 1, cf32(77, 77));
  cpu::combining_weights(h, first + count, 0.37f, h, noise);
  cpu::combine(h, first, rows, 1, 7, View<cf32, 1>(out.data(), count));
  for (std::size_t k = 0; k < count; ++k) {
    const double scale = 1 + std::abs(symbols[k]);
    ASSERT_LT(std::abs(cf64(out[k]) - symbols[k]), 2e-6 * scale * scale) << k;
    ASSERT_NEAR(static_cast<double>(noise[first + k]) / inverse_noise[k], 1, 1e-5) << k;
  }
  ASSERT_EQ(out[count], cf32(77, 77));
}

TEST(Equalize, CpuEqualsRefOnEveryTarget) {
  constexpr std::uint64_t seed = 21;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    for (std::size_t antennas = 1; antennas <= 4; ++antennas)
      for (std::size_t count : {1u, 12u, 13u, 24u, 31u, 36u, 132u}) compare(antennas, count, prng);
  });
}

TEST(Equalize, DeadChannelGivesUnknownBits) {
  std::vector<float> planes(2 * 64, 0.0f), noise(64, 1.0f);
  std::vector<cf32> grid(14 * 12, cf32(1, 1)), out(12, cf32(5, 5));
  const View<float, 3> h(planes.data(), 1, 2, 64);
  cpu::combining_weights(h, 12, 0.1f, h, noise);
  cpu::combine(h, 0, View<const cf32, 3>(grid.data(), 1, 14, 12), 0, 0, out);
  for (int k = 0; k < 12; ++k) {
    EXPECT_EQ(out[k], cf32(0, 0));
    EXPECT_EQ(noise[k], 0.0f);
  }
}

}  // namespace
}  // namespace noroshi::phy
