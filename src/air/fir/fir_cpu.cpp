#include "air/fir/fir.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "air/fir/fir_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::air::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Four vectors of output, real and imaginary: enough independent sums to hide the latency of a
// multiply-add, and few enough for 16 registers. At most 64 samples, which the padding covers.
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

struct Sums {
  V re0, re1, re2, re3, im0, im1, im2, im3;
};

HWY_INLINE void accumulate(V h_re, V h_im, const float* re, const float* im, V& sum_re, V& sum_im) {
  const D d;
  const V x_re = hn::LoadU(d, re);
  const V x_im = hn::LoadU(d, im);
  sum_re = hn::NegMulAdd(h_im, x_im, hn::MulAdd(h_re, x_re, sum_re));
  sum_im = hn::MulAdd(h_im, x_re, hn::MulAdd(h_re, x_im, sum_im));
}

// re, im: at the first output sample; the taps reach backwards.
HWY_INLINE Sums convolve(const float* h, int taps, const float* re, const float* im) {
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  const V zero = hn::Zero(d);
  Sums s{zero, zero, zero, zero, zero, zero, zero, zero};
  for (int k = 0; k < taps; ++k) {
    const V h_re = hn::Set(d, h[2 * k]);
    const V h_im = hn::Set(d, h[2 * k + 1]);
    const float* const a = re - k;
    const float* const b = im - k;
    accumulate(h_re, h_im, a, b, s.re0, s.im0);
    accumulate(h_re, h_im, a + lanes, b + lanes, s.re1, s.im1);
    accumulate(h_re, h_im, a + 2 * lanes, b + 2 * lanes, s.re2, s.im2);
    accumulate(h_re, h_im, a + 3 * lanes, b + 3 * lanes, s.re3, s.im3);
  }
  return s;
}

HWY_INLINE void add_interleaved(V re, V im, float* y) {
  const D d;
  V old_re, old_im;
  hn::LoadInterleaved2(d, y, old_re, old_im);
  hn::StoreInterleaved2(hn::Add(old_re, re), hn::Add(old_im, im), d, y);
}

HWY_INLINE void add(const Sums& s, float* y) {
  const std::size_t step = 2 * hn::Lanes(D());
  add_interleaved(s.re0, s.im0, y);
  add_interleaved(s.re1, s.im1, y + step);
  add_interleaved(s.re2, s.im2, y + 2 * step);
  add_interleaved(s.re3, s.im3, y + 3 * step);
}

void fir_add(View<const cf32, 1> coefficients, View<const float, 1> real,
             View<const float, 1> imaginary, View<cf32, 1> output) {
  const D d;
  const auto* const h = reinterpret_cast<const float*>(coefficients.data());
  const int taps = static_cast<int>(coefficients.size());
  const float* const re = real.data() + taps - 1;
  const float* const im = imaginary.data() + taps - 1;
  auto* const y = reinterpret_cast<float*>(output.data());
  const std::size_t count = output.size();
  const std::size_t step = 4 * hn::Lanes(d);
  std::size_t n = 0;
  for (; n + step <= count; n += step) add(convolve(h, taps, re + n, im + n), y + 2 * n);
  if (n < count) {
    HWY_ALIGN float last[8 * hn::MaxLanes(d)] = {};
    for (std::size_t i = 2 * n; i < 2 * count; ++i) last[i - 2 * n] = y[i];
    add(convolve(h, taps, re + n, im + n), last);
    for (std::size_t i = 2 * n; i < 2 * count; ++i) y[i] = last[i - 2 * n];
  }
}

void to_planes(float gain, View<const cf32, 1> samples, View<float, 1> real,
               View<float, 1> imaginary) {
  const D d;
  const V scale = hn::Set(d, gain);
  const auto* const x = reinterpret_cast<const float*>(samples.data());
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t count = samples.size();
  std::size_t n = 0;
  for (; n + lanes <= count; n += lanes) {
    V re, im;
    hn::LoadInterleaved2(d, x + 2 * n, re, im);
    hn::StoreU(hn::Mul(re, scale), d, real.data() + n);
    hn::StoreU(hn::Mul(im, scale), d, imaginary.data() + n);
  }
  for (; n < count; ++n) {
    real[n] = gain * x[2 * n];
    imaginary[n] = gain * x[2 * n + 1];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::air::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::air::cpu {

HWY_EXPORT(fir_add);
HWY_EXPORT(to_planes);

void fir_add(View<const cf32, 1> coefficients, View<const float, 1> real,
             View<const float, 1> imaginary, View<cf32, 1> output) {
  assert(coefficients.size() >= 1);
  assert(real.size() == output.size() + coefficients.size() - 1);
  assert(imaginary.size() == real.size());
  HWY_DYNAMIC_DISPATCH(fir_add)(coefficients, real, imaginary, output);
}

void to_planes(float gain, View<const cf32, 1> samples, View<float, 1> real,
               View<float, 1> imaginary) {
  assert(real.size() == samples.size() && imaginary.size() == samples.size());
  HWY_DYNAMIC_DISPATCH(to_planes)(gain, samples, real, imaginary);
}

}  // namespace noroshi::air::cpu
#endif
