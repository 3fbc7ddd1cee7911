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

double dot(const Vector& a, const Vector& b, int n) {
  double total = 0;
  for (int i = 0; i < n; ++i) total += a[i] * b[i];
  return total;
}

int last_row(CombKind kind, int taps) { return 12 * (taps / kind.pilots_per_rb()) - 1; }

// The rows' noise, summed as the filter is used on a run.
void sum_rows(Smoother::Filter& filter) {
  const CombKind kind = filter.kind;
  const int rbs = filter.taps / kind.pilots_per_rb();
  const int step = kind.type == 1 ? 1 : 2;
  for (int delta = 0; delta <= kind.lead(); delta += step) {
    const std::size_t d = static_cast<std::size_t>(delta);
    const int centre = filter.taps / 2 - (delta == 0 ? 1 : 0);
    for (int k = 0; k < 12 * rbs; ++k) {
      const int p = k - delta;
      const std::size_t row = static_cast<std::size_t>(p + kind.lead());
      const bool middle = kind.type == 1 ? k / 2 == centre : k / 12 == 1;
      // Rows that are no pilots have residual 0.
      for (auto* sums : {&filter.window_sums[d], middle ? &filter.middle_sums[d] : nullptr}) {
        if (sums == nullptr) continue;
        sums->noise += static_cast<double>(filter.noise_gain[row]);
        sums->residual += static_cast<double>(filter.residual[row]);
      }
    }
  }
}

Smoother::Filter make_filter(CombKind kind, int spread_class, double snr, int taps) {
  Smoother::Filter filter;
  filter.kind = kind;
  filter.taps = taps;
  filter.weight.assign(static_cast<std::size_t>(taps) * Smoother::row_stride, 0.0f);
  const auto sign = [](int i) { return i % 2 == 0 ? 1.0 : -1.0; };
  Matrix r{};
  for (int i = 0; i < taps; ++i)
    for (int j = 0; j < taps; ++j)
      r[i][j] = Smoother::correlation(spread_class, kind.offset(i) - kind.offset(j)) *
                    (kind.pair ? 1 + sign(i) * sign(j) : 1) +
                (i == j ? 1 / snr : 0);
  factor(r, taps);
  Vector ones{}, signs{};
  for (int i = 0; i < taps; ++i) ones[i] = 1, signs[i] = sign(i);
  const Vector inverse_ones = solve(r, taps, ones), inverse_signs = solve(r, taps, signs);
  const double oo = dot(ones, inverse_ones, taps), os = dot(ones, inverse_signs, taps),
               ss = dot(signs, inverse_signs, taps);
  for (int p = -kind.lead(); p <= last_row(kind, taps); ++p) {
    Vector target{};
    for (int j = 0; j < taps; ++j)
      target[j] = Smoother::correlation(spread_class, p - kind.offset(j));
    Vector w = solve(r, taps, target);
    const double miss = 1 - dot(ones, w, taps), leak = -dot(signs, w, taps);
    const double lambda = kind.pair ? (miss * ss - leak * os) / (oo * ss - os * os) : miss / oo;
    const double mu = kind.pair ? (leak * oo - miss * os) / (oo * ss - os * os) : 0;
    const std::size_t row = static_cast<std::size_t>(p + kind.lead());
    int own = -1;
    for (int j = 0; j < taps; ++j) {
      w[j] += lambda * inverse_ones[j] + mu * inverse_signs[j];
      filter.weight[static_cast<std::size_t>(j) * Smoother::row_stride + row] =
          static_cast<float>(w[j]);
      if (kind.offset(j) == p) own = j;
    }
    filter.noise_gain[row] = static_cast<float>(dot(w, w, taps));
    if (own < 0) continue;
    double left = 0;  // h0 + c h1 takes pilots of the own sign only, twice
    for (int j = 0; j < taps; ++j) {
      const double taken = kind.pair ? w[j] * (1 + sign(own) * sign(j)) : w[j];
      left += std::pow((j == own ? 1 : 0) - taken, 2);
    }
    filter.residual[row] = static_cast<float>(left);
  }
  sum_rows(filter);
  return filter;
}

}  // namespace

double Smoother::correlation(int spread_class, double subcarriers) {
  const double x = std::numbers::pi * spreads[static_cast<std::size_t>(spread_class)] * subcarriers;
  return 1 / (1 + x * x / 2);
}

Smoother::Smoother() {
  static_assert(12 * window_rbs + 4 + 16 <= row_stride);
  for (const CombKind kind : {CombKind{1, false}, {1, true}, {2, false}, {2, true}})
    for (std::size_t spread = 0; spread < spreads.size(); ++spread)
      for (double snr_db : snrs_db)
        for (int rbs = 1; rbs <= window_rbs; ++rbs)
          filters_.push_back(make_filter(kind, static_cast<int>(spread),
                                         std::pow(10.0, snr_db / 10), rbs * kind.pilots_per_rb()));
}

const Smoother& smoother() {
  static const Smoother instance;
  return instance;
}

}  // namespace noroshi::phy
