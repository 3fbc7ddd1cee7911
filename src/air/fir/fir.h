#pragma once

// Convolution with a short complex impulse response, added to the output:
//
//   y[n] += sum_{k < K} h[k] x[n + K - 1 - k],   n = 0 .. N - 1
//
// input: x, K - 1 samples of the past and then N; it lies in a buffer that goes on for
// fir_padding more readable samples. input_j: j x, laid out alike, so that a complex product is two
// real multiply-adds on whole vectors. output: y, N samples. Each sample's sum runs over k in
// ascending order whatever N is: cutting a call in two changes no bit.

#include "base/units.h"
#include "base/view.h"

namespace noroshi::air {

inline constexpr int fir_padding = 64;

namespace ref {
// Double precision; ignores input_j.
void fir_add(View<const cf32, 1> coefficients, View<const cf32, 1> input,
             View<const cf32, 1> input_j, View<cf32, 1> output);
}  // namespace ref

namespace cpu {
void fir_add(View<const cf32, 1> coefficients, View<const cf32, 1> input,
             View<const cf32, 1> input_j, View<cf32, 1> output);
}  // namespace cpu

}  // namespace noroshi::air
