#include <cassert>
#include <vector>

#include "phy/equalize/equalize.h"

namespace noroshi::phy::ref {
namespace {

using Matrix = std::vector<std::vector<cf64>>;

// Gauss-Jordan with pivoting. What has no inverse gives zeros.
Matrix inverse(Matrix a) {
  const std::size_t n = a.size();
  Matrix b(n, std::vector<cf64>(n));
  for (std::size_t i = 0; i < n; ++i) b[i][i] = 1;
  for (std::size_t j = 0; j < n; ++j) {
    std::size_t pivot = j;
    for (std::size_t i = j; i < n; ++i)
      if (std::norm(a[i][j]) > std::norm(a[pivot][j])) pivot = i;
    if (a[pivot][j] == cf64(0)) return Matrix(n, std::vector<cf64>(n));
    std::swap(a[j], a[pivot]);
    std::swap(b[j], b[pivot]);
    const cf64 scale = 1.0 / a[j][j];
    for (std::size_t k = 0; k < n; ++k) a[j][k] *= scale, b[j][k] *= scale;
    for (std::size_t i = 0; i < n; ++i) {
      if (i == j) continue;
      const cf64 factor = a[i][j];
      for (std::size_t k = 0; k < n; ++k) a[i][k] -= factor * a[j][k], b[i][k] -= factor * b[j][k];
    }
  }
  return b;
}

}  // namespace

void equalize(Equalizer kind, View<const cf64, 3> channel, View<const cf64, 2> received,
              View<const cf64, 2> covariance, View<cf64, 2> symbols,
              View<double, 2> inverse_noise) {
  const std::size_t antennas = channel.extent(0), layers = channel.extent(1);
  assert(received.extent(0) == antennas && received.extent(1) == channel.extent(2));
  assert(covariance.extent(0) == antennas && covariance.extent(1) == antennas);
  assert(symbols.extent(0) == channel.extent(2) && symbols.extent(1) == layers);
  Matrix noise(antennas, std::vector<cf64>(antennas));
  for (std::size_t a = 0; a < antennas; ++a)
    for (std::size_t b = 0; b < antennas; ++b) noise[a][b] = covariance(a, b);
  const Matrix noise_inverse = inverse(noise);
  for (std::size_t k = 0; k < channel.extent(2); ++k) {
    Matrix matched(layers, std::vector<cf64>(antennas));  // H^H R^-1
    for (std::size_t i = 0; i < layers; ++i)
      for (std::size_t a = 0; a < antennas; ++a)
        for (std::size_t b = 0; b < antennas; ++b)
          matched[i][a] += std::conj(channel(b, i, k)) * noise_inverse[b][a];
    Matrix gram(layers, std::vector<cf64>(layers));
    for (std::size_t i = 0; i < layers; ++i)
      for (std::size_t j = 0; j < layers; ++j) {
        gram[i][j] = i == j && kind != Equalizer::zero_forcing ? 1 : 0;
        for (std::size_t a = 0; a < antennas; ++a) gram[i][j] += matched[i][a] * channel(a, j, k);
      }
    const Matrix left = inverse(gram);
    for (std::size_t i = 0; i < layers; ++i) {
      cf64 symbol = 0;
      for (std::size_t j = 0; j < layers; ++j)
        for (std::size_t a = 0; a < antennas; ++a)
          symbol += left[i][j] * matched[j][a] * received(a, k);
      const double error = left[i][i].real();
      const double bias = kind == Equalizer::zero_forcing ? 1 : 1 - error;
      const bool dead = !(error > 0) || !(bias > 0);
      symbols(k, i) = dead ? 0 : symbol / bias;
      inverse_noise(k, i) = dead ? 0 : bias / error;
    }
  }
}

}  // namespace noroshi::phy::ref
