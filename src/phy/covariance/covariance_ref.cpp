#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "phy/covariance/covariance.h"

namespace noroshi::phy::ref {
namespace {

using Matrix = std::vector<std::vector<cf64>>;

double trace(const Matrix& m) {
  double sum = 0;
  for (std::size_t i = 0; i < m.size(); ++i) sum += m[i][i].real();
  return sum;
}

// Of a Hermitian positive definite matrix, column by column of the identity: Cholesky.
double inverse_trace(Matrix m) {
  const std::size_t n = m.size();
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < j; ++k)
      for (std::size_t i = j; i < n; ++i) m[i][j] -= m[i][k] * std::conj(m[j][k]);
    const double pivot = std::sqrt(std::max(m[j][j].real(), 1e-300));
    for (std::size_t i = j; i < n; ++i) m[i][j] /= pivot;
  }
  double sum = 0;
  for (std::size_t column = 0; column < n; ++column) {
    std::vector<cf64> x(n);
    for (std::size_t i = column; i < n; ++i) {
      x[i] = i == column ? 1 : 0;
      for (std::size_t k = column; k < i; ++k) x[i] -= m[i][k] * x[k];
      x[i] /= m[i][i];
      sum += std::norm(x[i]);
    }
  }
  return sum;
}

double shrinkage(const Matrix& s, double f) {
  const double antennas = static_cast<double>(s.size());
  double p = 0;
  for (const auto& row : s)
    for (const cf64& value : row) p += std::norm(value);
  const double q = trace(s) * trace(s), squares = f * (p - q / antennas);
  if (f <= 1 || squares <= 1e-6 * f * q) return 1;
  const double both = 1 - 1 / (f * f);
  const double p_true = (p - q / f) / both, q_true = (q - p / f) / both;
  return std::clamp((q_true - p_true / antennas) / squares, 0.0, 1.0);
}

Matrix regularise(const Matrix& s, double f) {
  const double antennas = static_cast<double>(s.size());
  const double rho = shrinkage(s, f), mean = trace(s) / antennas;
  double load = rho * mean;
  if (f > antennas + 2) {
    Matrix safe = s;
    for (std::size_t a = 0; a < s.size(); ++a) safe[a][a] += 1e-5 * mean + 1e-30;
    const double h = antennas / inverse_trace(safe) / (1 - antennas / f);
    load = (rho + (1 - rho) * antennas / f) * (rho * mean + (1 - rho) * h);
  }
  Matrix r = s;
  for (std::size_t a = 0; a < s.size(); ++a) {
    for (cf64& value : r[a]) value *= 1 - rho;
    r[a][a] += load;
  }
  return r;
}

}  // namespace

void noise_covariance(const CovarianceInput& input, View<const cf64, 4> residuals,
                      View<cf64, 3> covariance) {
  const std::size_t antennas = static_cast<std::size_t>(input.antennas);
  const std::size_t per_rb = static_cast<std::size_t>(input.pilots_per_rb);
  const std::size_t blocks = static_cast<std::size_t>(input.allocation->rb_count);
  assert(input.freedom.size() == blocks && covariance.extent(0) == blocks);
  std::vector<int> crb;
  for (const RbRun& run : *input.allocation)
    for (int i = 0; i < run.count; ++i) crb.push_back(run.first + i);
  for (std::size_t block = 0; block < blocks; ++block) {
    Matrix s(antennas, std::vector<cf64>(antennas));
    double f = 0;
    for (std::size_t other = block == 0 ? 0 : block - 1; other < std::min(block + 2, blocks);
         ++other) {
      if (std::abs(crb[other] - crb[block]) > 1) continue;
      f += static_cast<double>(input.freedom[other]);
      for (std::size_t c = 0; c < static_cast<std::size_t>(input.combs); ++c)
        for (std::size_t t = 0; t < static_cast<std::size_t>(input.times); ++t)
          for (std::size_t m = per_rb * other; m < per_rb * (other + 1); ++m)
            for (std::size_t a = 0; a < antennas; ++a)
              for (std::size_t b = 0; b < antennas; ++b)
                s[a][b] += residuals(a, c, t, m) * std::conj(residuals(b, c, t, m));
    }
    for (auto& row : s)
      for (cf64& value : row) value *= input.scale / std::max(f, 1e-3);
    const Matrix r = regularise(s, f);
    for (std::size_t a = 0; a < antennas; ++a)
      for (std::size_t b = 0; b < antennas; ++b)
        covariance(block, a, b) = r[a][b] + (a == b ? input.floor : 0.0);
  }
}

}  // namespace noroshi::phy::ref
