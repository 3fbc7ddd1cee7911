// Catches: a wrong twiddle factor or order in a pass, a size whose log2 is odd, an inverse that is
// not one, a factor that is applied before the swap, a vector width that some target gets wrong.

#include "phy/fft/fft.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"

namespace noroshi::phy {
namespace {

std::vector<cf64> random_values(std::size_t size, Prng& prng) {
  std::vector<cf64> values(size);
  for (cf64& value : values) value = {prng.normal(), prng.normal()};
  return values;
}

// O(n^2), by the definition.
std::vector<cf64> definition(FftDirection direction, const std::vector<cf64>& in) {
  const std::size_t size = in.size();
  const double sign = direction == FftDirection::forward ? -1 : 1;
  std::vector<cf64> out(size);
  for (std::size_t k = 0; k < size; ++k)
    for (std::size_t n = 0; n < size; ++n)
      out[k] +=
          in[n] * std::polar(1.0, sign * 2 * std::numbers::pi * static_cast<double>(k * n % size) /
                                      static_cast<double>(size));
  return out;
}

TEST(Fft, ReferenceIsTheDefinition) {
  constexpr std::uint64_t seed = 1;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (std::size_t size : {1u, 2u, 8u, 128u})
    for (FftDirection direction : {FftDirection::forward, FftDirection::inverse}) {
      const std::vector<cf64> in = random_values(size, prng);
      const std::vector<cf64> expected = definition(direction, in);
      std::vector<cf64> out(size);
      ref::fft(direction, cf64(0.5, -2), in, out);
      for (std::size_t k = 0; k < size; ++k)
        ASSERT_LT(std::abs(out[k] - cf64(0.5, -2) * expected[k]), 1e-10) << size << ' ' << k;
    }
}

TEST(Fft, EveryTargetIsTheReference) {
  constexpr std::uint64_t seed = 2;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (std::size_t size = fft_size_min; size <= fft_size_max; size *= 2) {
      FftPlan plan(size);
      for (FftDirection direction : {FftDirection::forward, FftDirection::inverse}) {
        const std::vector<cf64> in = random_values(size, prng);
        const cf64 factor(0.7, -0.3);
        std::vector<cf64> expected(size);
        ref::fft(direction, factor, in, expected);
        std::vector<cf32> narrow(in.begin(), in.end()), out(size);
        cpu::fft(plan, direction, static_cast<cf32>(factor), narrow, out);
        // Outputs have rms |factor| sqrt(2 N); stated error: 1e-6 of that, the worst of all.
        const double limit = 1e-6 * std::abs(factor) * std::sqrt(2.0 * static_cast<double>(size));
        for (std::size_t k = 0; k < size; ++k)
          ASSERT_LT(std::abs(cf64(out[k]) - expected[k]), limit) << size << ' ' << k;
        cpu::fft(plan, direction, static_cast<cf32>(factor), narrow, narrow);
        ASSERT_EQ(narrow, out) << "in place, size " << size;
      }
    }
  });
}

}  // namespace
}  // namespace noroshi::phy
