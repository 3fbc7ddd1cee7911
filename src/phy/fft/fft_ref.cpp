#include <bit>
#include <cassert>
#include <cmath>
#include <numbers>
#include <vector>

#include "phy/fft/fft.h"

namespace noroshi::phy::ref {
namespace {

// The halves by even and odd index, each transformed, and joined.
std::vector<cf64> transform(std::vector<cf64> x, double sign) {
  const std::size_t size = x.size();
  if (size == 1) return x;
  std::vector<cf64> even(size / 2), odd(size / 2);
  for (std::size_t i = 0; i < size / 2; ++i) {
    even[i] = x[2 * i];
    odd[i] = x[2 * i + 1];
  }
  even = transform(std::move(even), sign);
  odd = transform(std::move(odd), sign);
  for (std::size_t k = 0; k < size / 2; ++k) {
    const double angle =
        sign * 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(size);
    const cf64 turned = std::polar(1.0, angle) * odd[k];
    x[k] = even[k] + turned;
    x[k + size / 2] = even[k] - turned;
  }
  return x;
}

}  // namespace

void fft(FftDirection direction, cf64 factor, View<const cf64, 1> in, View<cf64, 1> out) {
  assert(in.size() == out.size() && std::has_single_bit(in.size()));
  const std::vector<cf64> result = transform(std::vector<cf64>(in.begin(), in.end()),
                                             direction == FftDirection::forward ? -1 : 1);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = factor * result[i];
}

}  // namespace noroshi::phy::ref
