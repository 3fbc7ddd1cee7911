#include "phy/estimate/smoother.h"

#include <cassert>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace noroshi::phy {
namespace {

constexpr int N = Smoother::taps_max;
using Matrix = std::array<std::array<double, N>, N>;
using Vector = std::array<double, N>;

// Lower Cholesky factor in place, n x n.
void factor(Matrix& a, int n) {
  for (int j = 0; j < n; ++j) {
    for (int k = 0; k < j; ++k)
      for (int i = j; i < n; ++i) a[i][j] -= a[i][k] * a[j][k];
    const double pivot = std::sqrt(a[j][j]);
    for (int i = j; i < n; ++i) a[i][j] /= pivot;
  }
}

Vector solve(const Matrix& l, int n, Vector b) {
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < i; ++k) b[i] -= l[i][k] * b[k];
    b[i] /= l[i][i];
  }
  for (int i = n - 1; i >= 0; --i) {
    for (int k = i + 1; k < n; ++k) b[i] -= l[k][i] * b[k];
    b[i] /= l[i][i];
  }
  return b;
}

double sum(const Vector& v, int n) {
  double total = 0;
  for (int i = 0; i < n; ++i) total += v[i];
  return total;
}

Smoother::Filter make_filter(int spread_class, double snr, int taps) {
  Smoother::Filter filter;
  filter.taps = taps;
  filter.weight.assign(static_cast<std::size_t>(taps) * Smoother::row_stride, 0.0f);
  Matrix r{};
  for (int i = 0; i < taps; ++i)
    for (int j = 0; j < taps; ++j)
      r[i][j] = Smoother::correlation(spread_class, i - j) + (i == j ? 1 / snr : 0);
  factor(r, taps);
  Vector ones{};
  ones.fill(1);
  const Vector inverse_ones = solve(r, taps, ones);
  for (int p = -1; p < 2 * taps; ++p) {
    Vector target{};
    for (int j = 0; j < taps; ++j) target[j] = Smoother::correlation(spread_class, p / 2.0 - j);
    Vector w = solve(r, taps, target);
    const double lambda = (1 - sum(w, taps)) / sum(inverse_ones, taps);
    const std::size_t row = static_cast<std::size_t>(p + 1);
    for (int j = 0; j < taps; ++j) {
      w[j] += lambda * inverse_ones[j];
      filter.weight[static_cast<std::size_t>(j) * Smoother::row_stride + row] =
          static_cast<float>(w[j]);
      filter.noise_gain[row] += static_cast<float>(w[j] * w[j]);
    }
    if (p >= 0 && p % 2 == 0) filter.own_weight[row] = static_cast<float>(w[p / 2]);
  }
  return filter;
}

}  // namespace

double Smoother::correlation(int spread_class, double distance) {
  const double x =
      2 * std::numbers::pi * spreads[static_cast<std::size_t>(spread_class)] * distance;
  return 1 / (1 + x * x / 2);
}

Smoother::Smoother() {
  static_assert(2 * taps_max + 1 <= row_stride);
  for (std::size_t spread = 0; spread < spreads.size(); ++spread)
    for (double snr_db : snrs_db)
      for (int taps : {6, 12, 18, taps_max})
        filters_.push_back(
            make_filter(static_cast<int>(spread), std::pow(10.0, snr_db / 10), taps));
}

const Smoother& smoother() {
  static const Smoother instance;
  return instance;
}

}  // namespace noroshi::phy
