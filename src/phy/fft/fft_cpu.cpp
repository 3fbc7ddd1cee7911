#include <hwy/aligned_allocator.h>

#include <bit>
#include <cassert>
#include <cmath>
#include <numbers>
#include <vector>

#include "phy/fft/fft.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/fft/fft_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

// What all targets share.
#ifndef NOROSHI_PHY_FFT_CPU_PLAN
#define NOROSHI_PHY_FFT_CPU_PLAN
namespace noroshi::phy {

// A pass turns sub-transforms of length n = 4 m, interleaved with stride s = N / n, into ones of
// length m with stride 4 s (or of 2, in the last pass of an odd log2 N).
//
//   y[q + s (4 p + k)] = w_n^(k p) sum_j x[q + s (p + m j)] exp(-j 2 pi j k / 4),  p < m, q < s
struct FftPlan::State {
  struct Pass {
    std::size_t m, s;
    hwy::AlignedFreeUniquePtr<float[]> twiddles;  // [re1 im1 re2 im2 re3 im3][values]
    std::size_t
        values;  // m; in the pass of stride 4 each of them four times, to be read as vectors
  };

  std::size_t size;
  std::vector<Pass> passes;  // all but the last, which has no twiddle factors
  hwy::AlignedFreeUniquePtr<float[]> scratch;
  float* re[2];
  float* im[2];
};

namespace cpu {

// The last pass's constants.
struct LastPass {
  float* out;
  cf32 factor;
  bool swapped;  // inverse: imaginary and real parts have changed places
};

}  // namespace cpu
}  // namespace noroshi::phy
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

struct Complex {
  V re, im;
};

HWY_INLINE Complex operator+(Complex a, Complex b) {
  return {hn::Add(a.re, b.re), hn::Add(a.im, b.im)};
}
HWY_INLINE Complex operator-(Complex a, Complex b) {
  return {hn::Sub(a.re, b.re), hn::Sub(a.im, b.im)};
}
HWY_INLINE Complex operator*(Complex a, Complex b) {
  return {hn::NegMulAdd(a.im, b.im, hn::Mul(a.re, b.re)),
          hn::MulAdd(a.re, b.im, hn::Mul(a.im, b.re))};
}

struct Quad {
  Complex v[4];
};

HWY_INLINE Quad butterfly(const Complex& a, const Complex& b, const Complex& c, const Complex& d) {
  const Complex ac = a + c, bd = b + d, a_c = a - c, b_d = b - d;
  return {{ac + bd,
           {hn::Add(a_c.re, b_d.im), hn::Sub(a_c.im, b_d.re)},
           ac - bd,
           {hn::Sub(a_c.re, b_d.im), hn::Add(a_c.im, b_d.re)}}};
}

HWY_INLINE Complex load(const float* re, const float* im, std::size_t at) {
  return {hn::LoadU(D(), re + at), hn::LoadU(D(), im + at)};
}

HWY_INLINE Quad load_butterfly(const float* re, const float* im, std::size_t at,
                               std::size_t quarter) {
  return butterfly(load(re, im, at), load(re, im, at + quarter), load(re, im, at + 2 * quarter),
                   load(re, im, at + 3 * quarter));
}

// Stride 1, from interleaved input.
void first_pass(const FftPlan::State::Pass& pass, const float* HWY_RESTRICT in, bool swapped,
                float* HWY_RESTRICT re, float* HWY_RESTRICT im) {
  const D d;
  const float* const w = pass.twiddles.get();
  const std::size_t m = pass.m;
  for (std::size_t p = 0; p < m; p += hn::Lanes(d)) {
    Complex x[4];
    for (std::size_t j = 0; j < 4; ++j) {
      hn::LoadInterleaved2(d, in + 2 * (p + m * j), x[j].re, x[j].im);
      if (swapped) std::swap(x[j].re, x[j].im);
    }
    Quad y = butterfly(x[0], x[1], x[2], x[3]);
    for (std::size_t k = 1; k < 4; ++k)
      y.v[k] = y.v[k] * load(w + (2 * k - 2) * m, w + (2 * k - 1) * m, p);
    hn::StoreInterleaved4(y.v[0].re, y.v[1].re, y.v[2].re, y.v[3].re, d, re + 4 * p);
    hn::StoreInterleaved4(y.v[0].im, y.v[1].im, y.v[2].im, y.v[3].im, d, im + 4 * p);
  }
}

// Groups of four lanes, 16 floats apart.
template <class DV>
HWY_INLINE void store_groups(DV d, hn::Vec<DV> v, float* to) {
#if HWY_TARGET != HWY_SCALAR  // which has no halves
  if constexpr (hn::MaxLanes(DV()) > 4) {
    const hn::Half<DV> half;
    store_groups(half, hn::LowerHalf(half, v), to);
    store_groups(half, hn::UpperHalf(half, v), to + 4 * hn::Lanes(half));
  } else {
    hn::StoreU(v, d, to);
  }
#else
  hn::StoreU(v, d, to);
#endif
}

// Stride 4: p and q together are a running index, and so are vectors.
void second_pass(const FftPlan::State::Pass& pass, const float* HWY_RESTRICT in_re,
                 const float* HWY_RESTRICT in_im, float* HWY_RESTRICT re, float* HWY_RESTRICT im) {
  const D d;
  const float* const w = pass.twiddles.get();
  const std::size_t quarter = 4 * pass.m;
  for (std::size_t i = 0; i < quarter; i += hn::Lanes(d)) {
    Quad y = load_butterfly(in_re, in_im, i, quarter);
    const std::size_t to = 16 * (i / 4) + i % 4;
    for (std::size_t k = 0; k < 4; ++k) {
      if (k > 0) y.v[k] = y.v[k] * load(w + (2 * k - 2) * quarter, w + (2 * k - 1) * quarter, i);
      store_groups(d, y.v[k].re, re + to + 4 * k);
      store_groups(d, y.v[k].im, im + to + 4 * k);
    }
  }
}

// Stride 16 and more: one set of factors serves s / lanes vectors.
void middle_pass(const FftPlan::State::Pass& pass, const float* HWY_RESTRICT in_re,
                 const float* HWY_RESTRICT in_im, float* HWY_RESTRICT re, float* HWY_RESTRICT im) {
  const D d;
  const float* const w = pass.twiddles.get();
  const std::size_t m = pass.m, s = pass.s, quarter = m * s;
  for (std::size_t p = 0; p < m; ++p) {
    Complex factor[4];
    for (std::size_t k = 1; k < 4; ++k)
      factor[k] = {hn::Set(d, w[(2 * k - 2) * m + p]), hn::Set(d, w[(2 * k - 1) * m + p])};
    for (std::size_t q = 0; q < s; q += hn::Lanes(d)) {
      Quad y = load_butterfly(in_re, in_im, q + s * p, quarter);
      for (std::size_t k = 0; k < 4; ++k) {
        if (k > 0) y.v[k] = y.v[k] * factor[k];
        const std::size_t to = q + s * (4 * p + k);
        hn::StoreU(y.v[k].re, d, re + to);
        hn::StoreU(y.v[k].im, d, im + to);
      }
    }
  }
}

HWY_INLINE void store_last(Complex y, Complex factor, bool swapped, float* out) {
  const Complex result = (swapped ? Complex{y.im, y.re} : y) * factor;
  hn::StoreInterleaved2(result.re, result.im, D(), out);
}

void last_pass(std::size_t size, const float* HWY_RESTRICT re, const float* HWY_RESTRICT im,
               const LastPass& last) {
  const D d;
  const Complex factor = {hn::Set(d, last.factor.real()), hn::Set(d, last.factor.imag())};
  if (std::countr_zero(size) % 2 == 1) {
    const std::size_t half = size / 2;
    for (std::size_t q = 0; q < half; q += hn::Lanes(d)) {
      const Complex a = load(re, im, q), b = load(re, im, q + half);
      store_last(a + b, factor, last.swapped, last.out + 2 * q);
      store_last(a - b, factor, last.swapped, last.out + 2 * (q + half));
    }
    return;
  }
  const std::size_t quarter = size / 4;
  for (std::size_t q = 0; q < quarter; q += hn::Lanes(d)) {
    const Quad y = load_butterfly(re, im, q, quarter);
    for (std::size_t k = 0; k < 4; ++k)
      store_last(y.v[k], factor, last.swapped, last.out + 2 * (q + quarter * k));
  }
}

void transform(FftPlan::State& state, const float* in, const LastPass& last) {
  first_pass(state.passes[0], in, last.swapped, state.re[0], state.im[0]);
  second_pass(state.passes[1], state.re[0], state.im[0], state.re[1], state.im[1]);
  std::size_t from = 1;
  for (std::size_t i = 2; i < state.passes.size(); ++i, from ^= 1)
    middle_pass(state.passes[i], state.re[from], state.im[from], state.re[from ^ 1],
                state.im[from ^ 1]);
  last_pass(state.size, state.re[from], state.im[from], last);
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy {
namespace {

std::unique_ptr<FftPlan::State> make_state(std::size_t size) {
  assert(std::has_single_bit(size) && size >= fft_size_min && size <= fft_size_max);
  auto state = std::make_unique<FftPlan::State>();
  state->size = size;
  for (std::size_t n = size; n > 4; n /= 4) {
    const std::size_t m = n / 4, s = size / n;
    const std::size_t repeats = s == 4 ? 4 : 1, values = m * repeats;
    FftPlan::State::Pass pass{m, s, hwy::AllocateAligned<float>(6 * values), values};
    for (std::size_t i = 0; i < values; ++i)
      for (std::size_t k = 1; k < 4; ++k) {
        const double angle =
            -2 * std::numbers::pi * static_cast<double>(k * (i / repeats)) / static_cast<double>(n);
        pass.twiddles[(2 * k - 2) * values + i] = static_cast<float>(std::cos(angle));
        pass.twiddles[(2 * k - 1) * values + i] = static_cast<float>(std::sin(angle));
      }
    state->passes.push_back(std::move(pass));
  }
  // The parts are 64 bytes apart from a power of two, so that equal indices do not share a cache
  // set.
  const std::size_t part = size + 16;
  state->scratch = hwy::AllocateAligned<float>(4 * part);
  for (std::size_t i = 0; i < 2; ++i) {
    state->re[i] = state->scratch.get() + 2 * i * part;
    state->im[i] = state->scratch.get() + (2 * i + 1) * part;
  }
  return state;
}

}  // namespace

FftPlan::FftPlan(std::size_t size) : state_(make_state(size)) {}
FftPlan::~FftPlan() = default;
FftPlan::FftPlan(FftPlan&&) noexcept = default;
FftPlan& FftPlan::operator=(FftPlan&&) noexcept = default;
std::size_t FftPlan::size() const { return state_->size; }

namespace cpu {

HWY_EXPORT(transform);

void fft(FftPlan& plan, FftDirection direction, cf32 factor, View<const cf32, 1> in,
         View<cf32, 1> out) {
  assert(in.size() == plan.size() && out.size() == plan.size());
  const LastPass last{reinterpret_cast<float*>(out.data()), factor,
                      direction == FftDirection::inverse};
  HWY_DYNAMIC_DISPATCH(transform)
  (plan.state(), reinterpret_cast<const float*>(in.data()), last);
}

}  // namespace cpu
}  // namespace noroshi::phy
#endif
