#include <cassert>
#include <cmath>
#include <numbers>
#include <vector>

#include "nr/carrier.h"
#include "phy/dft/dft.h"

namespace noroshi::phy {

bool is_dft_rb_count(int rb_count) {
  if (rb_count < 1 || rb_count > nr::rb_max) return false;
  for (int prime : {2, 3, 5})
    while (rb_count % prime == 0) rb_count /= prime;
  return rb_count == 1;
}

namespace ref {

// By the definition, with the M roots of unity at hand.
void dft(FftDirection direction, View<const cf64, 1> in, View<cf64, 1> out) {
  const std::size_t size = in.size();
  assert(size % nr::subcarriers_per_rb == 0 && out.size() == size);
  assert(is_dft_rb_count(static_cast<int>(size / nr::subcarriers_per_rb)));
  const double m = static_cast<double>(size);
  const double sign = direction == FftDirection::forward ? -1 : 1;
  std::vector<cf64> roots(size);
  for (std::size_t i = 0; i < size; ++i)
    roots[i] =
        std::polar(1 / std::sqrt(m), sign * 2 * std::numbers::pi * static_cast<double>(i) / m);
  const std::vector<cf64> x(in.begin(), in.end());
  for (std::size_t k = 0; k < size; ++k) {
    cf64 sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += x[i] * roots[i * k % size];
    out[k] = sum;
  }
}

}  // namespace ref
}  // namespace noroshi::phy
