// Catches: a wrong twiddle factor, order or butterfly in any of the sizes that the standard has, an
// inverse that is not one, a scale that is not unitary, a vector that overlaps its neighbour
// wrongly or runs over the end, a size too many or too few.

#include "phy/dft/dft.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"
#include "nr/carrier.h"

namespace noroshi::phy {
namespace {

std::vector<cf64> random_values(std::size_t size, Prng& prng) {
  std::vector<cf64> values(size);
  for (cf64& value : values) value = {prng.normal(), prng.normal()};
  return values;
}

TEST(Dft, TakesTheProductsOfTwoThreeAndFive) {
  std::vector<bool> expected(nr::rb_max + 2, false);
  for (int a = 1; a <= nr::rb_max; a *= 2)
    for (int b = a; b <= nr::rb_max; b *= 3)
      for (int c = b; c <= nr::rb_max; c *= 5) expected[static_cast<std::size_t>(c)] = true;
  for (int rb_count = -1; rb_count <= nr::rb_max + 1; ++rb_count)
    EXPECT_EQ(is_dft_rb_count(rb_count),
              rb_count >= 0 && expected[static_cast<std::size_t>(rb_count)])
        << rb_count;
}

// One value at a time, so that the equation can be written down.
TEST(Dft, ReferenceIsTheEquation) {
  const std::size_t size = 60;
  for (std::size_t at : {0u, 1u, 7u, 59u}) {
    std::vector<cf64> in(size), out(size);
    in[at] = cf64(0.5, -2);
    for (FftDirection direction : {FftDirection::forward, FftDirection::inverse}) {
      ref::dft(direction, in, out);
      const double sign = direction == FftDirection::forward ? -1 : 1;
      for (std::size_t k = 0; k < size; ++k) {
        const double angle = sign * 2 * std::numbers::pi * static_cast<double>(at * k) / 60;
        ASSERT_LT(std::abs(out[k] - in[at] * std::polar(1 / std::sqrt(60.0), angle)), 1e-12)
            << at << ' ' << k;
      }
    }
  }
}

TEST(Dft, EveryTargetIsTheReferenceAtEverySize) {
  constexpr std::uint64_t seed = 9;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  DftPlans plans(nr::rb_max);
  for (int rb_count = 1; rb_count <= nr::rb_max; ++rb_count) {
    if (!is_dft_rb_count(rb_count)) continue;
    const std::size_t size = static_cast<std::size_t>(rb_count) * nr::subcarriers_per_rb;
    const FftDirection direction =
        rb_count % 2 == 0 ? FftDirection::forward : FftDirection::inverse;
    const std::vector<cf64> in = random_values(size, prng);
    std::vector<cf64> expected(size);
    ref::dft(direction, in, expected);
    on_every_target([&](const char* target) {
      SCOPED_TRACE(target);
      // On the heap and of exact size, so that a sanitizer sees a value too many.
      std::vector<cf32> narrow(in.begin(), in.end()), out(size);
      cpu::dft(plans, direction, narrow, out);
      for (std::size_t k = 0; k < size; ++k)
        ASSERT_LT(std::abs(cf64(out[k]) - expected[k]), 2e-6) << rb_count << " RB, " << k;
      cpu::dft(plans, direction, narrow, narrow);
      ASSERT_EQ(narrow, out) << "in place, " << rb_count << " RB";
    });
  }
}

TEST(Dft, BackAndForthIsTheSame) {
  constexpr std::uint64_t seed = 10;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    DftPlans plans(270);
    EXPECT_EQ(plans.rb_count_max(), 270);
    for (int rb_count = 1; rb_count <= 270; ++rb_count) {
      if (!is_dft_rb_count(rb_count)) continue;
      const std::vector<cf64> in =
          random_values(static_cast<std::size_t>(rb_count) * nr::subcarriers_per_rb, prng);
      const std::vector<cf32> narrow(in.begin(), in.end());
      std::vector<cf32> out(in.size());
      cpu::dft(plans, FftDirection::forward, narrow, out);
      cpu::dft(plans, FftDirection::inverse, out, out);
      for (std::size_t i = 0; i < in.size(); ++i)
        ASSERT_LT(std::abs(cf64(out[i]) - in[i]), 4e-6) << rb_count << " RB, " << i;
    }
  });
}

}  // namespace
}  // namespace noroshi::phy
