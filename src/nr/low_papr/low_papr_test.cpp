// Catches: a wrong table entry (the base sequences of a length are distinct and of unit amplitude,
// and their cyclic shifts orthogonal where the clause uses them), a wrong root or prime, a phase
// that loses precision in long sequences.

#include "nr/low_papr/low_papr.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace noroshi::nr {
namespace {

constexpr double pi = std::numbers::pi;

std::vector<cf64> sequence(int u, int v, double alpha, std::size_t length) {
  std::vector<cf64> result(length);
  low_papr_type1(u, v, alpha, View<cf64, 1>(result));
  return result;
}

cf64 correlation(const std::vector<cf64>& a, const std::vector<cf64>& b) {
  cf64 sum = 0;
  for (std::size_t n = 0; n < a.size(); ++n) sum += std::conj(a[n]) * b[n];
  return sum / static_cast<double>(a.size());
}

TEST(LowPapr, GroupsDiffer) {
  for (std::size_t length : {6u, 12u, 18u, 24u, 30u, 36u, 72u, 144u}) {
    for (int u = 0; u < 30; ++u) {
      const std::vector<cf64> own = sequence(u, 0, 0, length);
      for (const cf64& value : own) ASSERT_NEAR(std::abs(value), 1, 1e-12);
      for (int other = 0; other < u; ++other)
        ASSERT_LT(std::abs(correlation(own, sequence(other, 0, 0, length))), 0.99)
            << length << ": " << u << ' ' << other;
      if (length >= 72) {
        ASSERT_LT(std::abs(correlation(own, sequence(u, 1, 0, length))), 0.8) << length << ' ' << u;
      }
    }
  }
}

// Low PAPR is what they are for: of the sequence as an OFDM symbol, oversampled 16 times.
TEST(LowPapr, PeaksAreLow) {
  for (std::size_t length : {6u, 12u, 18u, 24u, 30u, 36u, 96u})
    for (int u = 0; u < 30; ++u) {
      const std::vector<cf64> own = sequence(u, 0, 0, length);
      double peak = 0;
      const std::size_t points = 16 * length;
      for (std::size_t t = 0; t < points; ++t) {
        cf64 sample = 0;
        for (std::size_t k = 0; k < length; ++k)
          sample += own[k] * std::polar(1.0, 2 * pi * static_cast<double>(k * t % points) /
                                                 static_cast<double>(points));
        peak = std::max(peak, std::norm(sample));
      }
      // 30 is not searched for but a formula.
      EXPECT_LT(10 * std::log10(peak / static_cast<double>(length)), length == 30 ? 6 : 5.3)
          << length << ' ' << u;
    }
}

TEST(LowPapr, CyclicShiftsAreOrthogonal) {
  for (int shift = 1; shift < 12; ++shift)
    EXPECT_LT(std::abs(correlation(sequence(7, 0, 0, 12), sequence(7, 0, shift * pi / 6, 12))),
              1e-12);
}

TEST(LowPapr, LongOnesAreZadoffChu) {
  // M = 36: N = 31, q = u + 1 exactly (qbar is whole), v = 0.
  for (int u : {0, 5, 29}) {
    const std::vector<cf64> own = sequence(u, 0, 0.3, 36);
    for (int n = 0; n < 36; ++n) {
      const int m = n % 31;
      const cf64 expected = std::polar(1.0, 0.3 * n - pi * (u + 1) * m * (m + 1) / 31.0);
      EXPECT_LT(std::abs(own[static_cast<std::size_t>(n)] - expected), 1e-11) << u << ' ' << n;
    }
  }
  // M = 72, N = 71, u = 3: qbar = 9.1613, q = 9 for v = 0; floor(2 qbar) = 18: q = 10 for v = 1.
  for (int v : {0, 1}) {
    const std::vector<cf64> own = sequence(3, v, 0, 72);
    for (int n = 0; n < 72; ++n) {
      const int m = n % 71;
      const cf64 expected = std::polar(1.0, -pi * (9 + v) * m * (m + 1) / 71.0);
      EXPECT_LT(std::abs(own[static_cast<std::size_t>(n)] - expected), 1e-9) << v << ' ' << n;
    }
  }
  // The longest: float and double agree, so nothing overflowed.
  std::vector<cf32> narrow(3300);
  low_papr_type1(29, 1, 1.0, View<cf32, 1>(narrow));
  const std::vector<cf64> wide = sequence(29, 1, 1.0, 3300);
  for (std::size_t n = 0; n < wide.size(); ++n)
    ASSERT_LT(std::abs(cf64(narrow[n]) - wide[n]), 1e-7) << n;
}

}  // namespace
}  // namespace noroshi::nr
