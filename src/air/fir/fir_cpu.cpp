#include "air/fir/fir.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "air/fir/fir_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::air::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Eight vectors of output in registers: enough independent sums to hide the latency of a
// multiply-add, and few enough for 16 registers. At most 64 samples, in multiples of which the
// callers' blocks come.
using D = hn::CappedTag<float, 16>;

struct Sums {
  hn::Vec<D> s0, s1, s2, s3, s4, s5, s6, s7;
};

HWY_INLINE Sums convolve(const float* h, int taps, const float* x, const float* xj) {
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  const auto zero = hn::Zero(d);
  Sums s{zero, zero, zero, zero, zero, zero, zero, zero};
  for (int k = 0; k < taps; ++k) {
    const auto re = hn::Set(d, h[2 * k]);
    const auto im = hn::Set(d, h[2 * k + 1]);
    const float* const a = x - 2 * k;
    const float* const b = xj - 2 * k;
    s.s0 = hn::MulAdd(im, hn::LoadU(d, b), hn::MulAdd(re, hn::LoadU(d, a), s.s0));
    s.s1 = hn::MulAdd(im, hn::LoadU(d, b + lanes), hn::MulAdd(re, hn::LoadU(d, a + lanes), s.s1));
    s.s2 = hn::MulAdd(im, hn::LoadU(d, b + 2 * lanes),
                      hn::MulAdd(re, hn::LoadU(d, a + 2 * lanes), s.s2));
    s.s3 = hn::MulAdd(im, hn::LoadU(d, b + 3 * lanes),
                      hn::MulAdd(re, hn::LoadU(d, a + 3 * lanes), s.s3));
    s.s4 = hn::MulAdd(im, hn::LoadU(d, b + 4 * lanes),
                      hn::MulAdd(re, hn::LoadU(d, a + 4 * lanes), s.s4));
    s.s5 = hn::MulAdd(im, hn::LoadU(d, b + 5 * lanes),
                      hn::MulAdd(re, hn::LoadU(d, a + 5 * lanes), s.s5));
    s.s6 = hn::MulAdd(im, hn::LoadU(d, b + 6 * lanes),
                      hn::MulAdd(re, hn::LoadU(d, a + 6 * lanes), s.s6));
    s.s7 = hn::MulAdd(im, hn::LoadU(d, b + 7 * lanes),
                      hn::MulAdd(re, hn::LoadU(d, a + 7 * lanes), s.s7));
  }
  return s;
}

HWY_INLINE void add(const Sums& s, float* y) {
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  const hn::Vec<D>* const sums[] = {&s.s0, &s.s1, &s.s2, &s.s3, &s.s4, &s.s5, &s.s6, &s.s7};
  for (int i = 0; i < 8; ++i) {
    hn::StoreU(hn::Add(hn::LoadU(d, y + i * lanes), *sums[i]), d, y + i * lanes);
  }
}

void fir_add(View<const cf32, 1> coefficients, View<const cf32, 1> input,
             View<const cf32, 1> input_j, View<cf32, 1> output) {
  const D d;
  const auto* const h = reinterpret_cast<const float*>(coefficients.data());
  const int taps = static_cast<int>(coefficients.size());
  const auto* const x = reinterpret_cast<const float*>(input.data() + taps - 1);
  const auto* const xj = reinterpret_cast<const float*>(input_j.data() + taps - 1);
  auto* const y = reinterpret_cast<float*>(output.data());
  const std::size_t count = 2 * output.size();
  const std::size_t step = 8 * hn::Lanes(d);
  std::size_t n = 0;
  for (; n + step <= count; n += step) add(convolve(h, taps, x + n, xj + n), y + n);
  if (n < count) {
    HWY_ALIGN float last[8 * hn::MaxLanes(d)] = {};
    for (std::size_t i = n; i < count; ++i) last[i - n] = y[i];
    add(convolve(h, taps, x + n, xj + n), last);
    for (std::size_t i = n; i < count; ++i) y[i] = last[i - n];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::air::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::air::cpu {

HWY_EXPORT(fir_add);

void fir_add(View<const cf32, 1> coefficients, View<const cf32, 1> input,
             View<const cf32, 1> input_j, View<cf32, 1> output) {
  assert(coefficients.size() >= 1);
  assert(input.size() == output.size() + coefficients.size() - 1);
  assert(input_j.size() == input.size());
  HWY_DYNAMIC_DISPATCH(fir_add)(coefficients, input, input_j, output);
}

}  // namespace noroshi::air::cpu
#endif
