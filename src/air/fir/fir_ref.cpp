#include "air/fir/fir.h"

namespace noroshi::air::ref {

void fir_add(View<const cf32, 1> coefficients, View<const float, 1> real,
             View<const float, 1> imaginary, View<cf32, 1> output) {
  const std::size_t taps = coefficients.size();
  assert(taps >= 1 && real.size() == output.size() + taps - 1);
  assert(imaginary.size() == real.size());
  for (std::size_t n = 0; n < output.size(); ++n) {
    cf64 sum = output[n];
    for (std::size_t k = 0; k < taps; ++k) {
      const std::size_t at = n + taps - 1 - k;
      sum += cf64(coefficients[k]) * cf64(real[at], imaginary[at]);
    }
    output[n] = cf32(sum);
  }
}

}  // namespace noroshi::air::ref
