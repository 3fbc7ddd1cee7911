#include "air/fir/fir.h"

namespace noroshi::air::ref {

void fir_add(View<const cf32, 1> coefficients, View<const cf32, 1> input,
             View<const cf32, 1> /*input_j*/, View<cf32, 1> output) {
  const std::size_t taps = coefficients.size();
  assert(taps >= 1 && input.size() == output.size() + taps - 1);
  for (std::size_t n = 0; n < output.size(); ++n) {
    cf64 sum = output[n];
    for (std::size_t k = 0; k < taps; ++k) {
      sum += cf64(coefficients[k]) * cf64(input[n + taps - 1 - k]);
    }
    output[n] = cf32(sum);
  }
}

}  // namespace noroshi::air::ref
