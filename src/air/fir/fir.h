#pragma once

// Convolution with a short complex impulse response, added to the output:
//
//   y[n] += sum_{k < K} h[k] x[n + K - 1 - k],   n = 0 .. N - 1
//
// The input lies in two planes, real and imaginary: K - 1 samples of the past and then N, in
// buffers that go on for fir_padding more readable floats. Each loaded vector then serves two
// multiply-adds; interleaved complex numbers would need two copies of the input and twice the
// loads. Each sample's sum runs over k in ascending order whatever
// N is: cutting a call in two changes no bit.

#include "base/units.h"
#include "base/view.h"

namespace noroshi::air {

inline constexpr int fir_padding = 64;

namespace ref {
// Double precision.
void fir_add(View<const cf32, 1> coefficients, View<const float, 1> real,
             View<const float, 1> imaginary, View<cf32, 1> output);
}  // namespace ref

namespace cpu {
void fir_add(View<const cf32, 1> coefficients, View<const float, 1> real,
             View<const float, 1> imaginary, View<cf32, 1> output);

// real + j imaginary = gain * samples. All of one size.
void to_planes(float gain, View<const cf32, 1> samples, View<float, 1> real,
               View<float, 1> imaginary);
}  // namespace cpu

}  // namespace noroshi::air
