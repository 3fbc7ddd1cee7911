#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <numbers>
#include <type_traits>

#include "phy/fft/fft.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/fft/fft_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "phy/fft/butterflies-inl.h"

// What all targets share.
#ifndef NOROSHI_PHY_FFT_CPU_PLAN
#define NOROSHI_PHY_FFT_CPU_PLAN
namespace noroshi::phy {

// A column of S = r1 r2 values is transformed in two steps:
//
//   X[k + r1 b] = sum_(a < r2) w_r2^(a b) w_S^(a k) sum_(j < r1) w_r1^(j k) x[a + r2 j]
//
// Tables and memory between are cut into groups of 16 values, each its real parts and then its
// imaginary ones; a size of 8 leaves half a group empty.
struct FftPlan::State {
  static constexpr std::size_t group = 16;

  std::size_t n1, n2;
  hwy::AlignedFreeUniquePtr<float[]> between;  // w_N^(n2 k1): [n2 / 16][k1][re im][16]
  hwy::AlignedFreeUniquePtr<float[]> inner1;   // w_S^(a k) for S = N1: [a][k][re im]
  hwy::AlignedFreeUniquePtr<float[]> inner2;   // for S = N2
  hwy::AlignedFreeUniquePtr<float[]> scaled2;  // inner2 times the call's factor
  hwy::AlignedFreeUniquePtr<float[]> matrix;   // after the first columns: [k1 / 16][n2][re im][16]
  hwy::AlignedFreeUniquePtr<float[]> column;   // a vector of columns: [S][re im][lanes]
};

// The two radices of a column of S values.
constexpr std::size_t fft_radix1(std::size_t s) { return s == 16 ? 4 : 8; }

namespace cpu {

struct FftJob {
  FftPlan::State& plan;
  const float* const* in;  // [n1] rows
  float* const* out;       // [k2] rows
  bool swapped;            // inverse: imaginary and real parts change places, before and after
};

}  // namespace cpu
}  // namespace noroshi::phy
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::cpu {
namespace HWY_NAMESPACE {

// A vector of columns of r1 r2 values: load(n) gives value n of each, store(k, X) takes the
// results. scaled: inner holds a factor of the caller's too, so that no element of it is 1.
template <class D, std::size_t r1, std::size_t r2, bool scaled, class Load, class Store>
HWY_INLINE void transform_columns(D d, const float* HWY_RESTRICT inner, float* HWY_RESTRICT column,
                                  Load load, Store store) {
  using C = ComplexOf<D>;
  const std::size_t lanes = hn::Lanes(d);
  const auto short_columns = [&](std::size_t a, auto turned) HWY_ATTR {
    C x[r1];
    HWY_UNROLL(8)
    for (std::size_t j = 0; j < r1; ++j) x[j] = load(a + r2 * j);
    butterfly<r1>(x);
    const float* const w = inner + 2 * a * r1;
    float* const to = column + 2 * lanes * a * r1;
    HWY_UNROLL(8)
    for (std::size_t k = 0; k < r1; ++k) {
      if (scaled || (turned && k > 0))
        x[k] = x[k] * C{hn::Set(d, w[2 * k]), hn::Set(d, w[2 * k + 1])};
      hn::Store(x[k].re, d, to + 2 * lanes * k);
      hn::Store(x[k].im, d, to + 2 * lanes * k + lanes);
    }
  };
  short_columns(0, std::false_type());
  for (std::size_t a = 1; a < r2; ++a) short_columns(a, std::true_type());
  for (std::size_t k = 0; k < r1; ++k) {
    C x[r2];
    HWY_UNROLL(8)
    for (std::size_t a = 0; a < r2; ++a) {
      const float* const from = column + 2 * lanes * (a * r1 + k);
      x[a] = load_complex(d, from, from + lanes);
    }
    butterfly<r2>(x);
    HWY_UNROLL(8)
    for (std::size_t b = 0; b < r2; ++b) store(k + r1 * b, x[b]);
  }
}

// One vector out of blocks of four lanes, a row of the column apart by four.
template <class D>
HWY_INLINE hn::Vec<D> every_fourth_row(D d, const float* from, std::size_t row) {
#if HWY_TARGET != HWY_SCALAR  // which has no halves
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    return hn::Combine(d, every_fourth_row(half, from + hn::Lanes(half) * row, row),
                       every_fourth_row(half, from, row));
  }
#endif
  return hn::Load(d, from);
}

// Turns a square of lanes x lanes: row i of `from` (each `row` floats) becomes column i of `to`.
template <class D>
HWY_INLINE void transpose([[maybe_unused]] D d, const float* HWY_RESTRICT from,
                          [[maybe_unused]] std::size_t row, float* HWY_RESTRICT to) {
#if HWY_TARGET != HWY_SCALAR
  constexpr std::size_t to_row = 2 * FftPlan::State::group;
  const hn::Repartition<double, D> pairs;
  for (std::size_t j = 0; j < hn::Lanes(d); j += 4) {
    const auto v0 = every_fourth_row(d, from + j, row);
    const auto v1 = every_fourth_row(d, from + j + row, row);
    const auto v2 = every_fourth_row(d, from + j + 2 * row, row);
    const auto v3 = every_fourth_row(d, from + j + 3 * row, row);
    const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, v0, v1));
    const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, v2, v3));
    const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, v0, v1));
    const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, v2, v3));
    hn::Store(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, to + j * to_row);
    hn::Store(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, to + (j + 1) * to_row);
    hn::Store(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, to + (j + 2) * to_row);
    hn::Store(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, to + (j + 3) * to_row);
  }
#else
  *to = *from;
#endif
}

// The columns of the input, their twiddle factors, and the turn of the matrix.
template <std::size_t lanes_max, std::size_t r1, std::size_t r2>
void first_columns(const FftJob& job) {
  using D = hn::CappedTag<float, lanes_max>;
  constexpr std::size_t group = FftPlan::State::group, n1 = r1 * r2;
  const D d;
  const std::size_t lanes = hn::Lanes(d), n2 = job.plan.n2;
  float* const column = job.plan.column.get();
  for (std::size_t at = 0; at < n2; at += lanes) {
    const float* const between = job.plan.between.get() + at / group * n1 * 2 * group + at % group;
    transform_columns<D, r1, r2, false>(
        d, job.plan.inner1.get(), column,
        [&](std::size_t n) HWY_ATTR {
          ComplexOf<D> x;
          hn::LoadInterleaved2(d, job.in[n] + 2 * at, x.re, x.im);
          return job.swapped ? x.swapped() : x;
        },
        [&](std::size_t k, ComplexOf<D> x) HWY_ATTR {
          const float* const w = between + 2 * group * k;
          x = x * load_complex(d, w, w + group);
          hn::Store(x.re, d, column + 2 * lanes * k);
          hn::Store(x.im, d, column + 2 * lanes * k + lanes);
        });
    for (std::size_t k = 0; k < n1; k += lanes) {
      float* const to = job.plan.matrix.get() + (k / group * n2 + at) * 2 * group + k % group;
      transpose(d, column + 2 * lanes * k, 2 * lanes, to);
      transpose(d, column + 2 * lanes * k + lanes, 2 * lanes, to + group);
    }
  }
}

// The columns of the matrix, to the output.
template <std::size_t lanes_max, std::size_t r1, std::size_t r2>
void second_columns(const FftJob& job) {
  using D = hn::CappedTag<float, lanes_max>;
  constexpr std::size_t group = FftPlan::State::group, n2 = r1 * r2;
  const D d;
  for (std::size_t at = 0; at < job.plan.n1; at += hn::Lanes(d)) {
    const float* const from = job.plan.matrix.get() + at / group * n2 * 2 * group + at % group;
    transform_columns<D, r1, r2, true>(
        d, job.plan.scaled2.get(), job.plan.column.get(),
        [&](std::size_t n) HWY_ATTR {
          return load_complex(d, from + 2 * group * n, from + 2 * group * n + group);
        },
        [&](std::size_t k, ComplexOf<D> x) HWY_ATTR {
          if (job.swapped) x = x.swapped();
          hn::StoreInterleaved2(x.re, x.im, d, job.out[k] + 2 * at);
        });
  }
}

template <std::size_t lanes_max>
void transform_with(const FftJob& job) {
  switch (job.plan.n1) {
    case 8:
      first_columns<lanes_max, 8, 1>(job);
      break;
    case 16:
      first_columns<lanes_max, 4, 4>(job);
      break;
    case 32:
      first_columns<lanes_max, 8, 4>(job);
      break;
    default:
      first_columns<lanes_max, 8, 8>(job);
  }
  switch (job.plan.n2) {
    case 8:
      return second_columns<lanes_max, 8, 1>(job);
    case 16:
      return second_columns<lanes_max, 4, 4>(job);
    case 32:
      return second_columns<lanes_max, 8, 4>(job);
    default:
      return second_columns<lanes_max, 8, 8>(job);
  }
}

void transform(const FftJob& job) {
  if (std::min(job.plan.n1, job.plan.n2) < 16) return transform_with<8>(job);
  transform_with<16>(job);
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy {
namespace {

cf64 root(std::size_t step, std::size_t size) {
  return std::polar(
      1.0, -2 * std::numbers::pi * static_cast<double>(step % size) / static_cast<double>(size));
}

hwy::AlignedFreeUniquePtr<float[]> inner_factors(std::size_t s) {
  const std::size_t r1 = fft_radix1(s);
  auto factors = hwy::AllocateAligned<float>(2 * s);
  for (std::size_t i = 0; i < s; ++i) {
    const cf64 w = root(i / r1 * (i % r1), s);
    factors[2 * i] = static_cast<float>(w.real());
    factors[2 * i + 1] = static_cast<float>(w.imag());
  }
  return factors;
}

std::unique_ptr<FftPlan::State> make_state(std::size_t size) {
  assert(std::has_single_bit(size) && size >= fft_size_min && size <= fft_size_max);
  auto state = std::make_unique<FftPlan::State>();
  constexpr std::size_t group = FftPlan::State::group;
  const std::size_t n1 = std::size_t{1} << std::countr_zero(size) / 2, n2 = size / n1;
  state->n1 = n1;
  state->n2 = n2;
  const std::size_t padded = std::max(n1, group) * std::max(n2, group);
  state->between = hwy::AllocateAligned<float>(2 * padded);
  for (std::size_t c = 0; c < n2; ++c)
    for (std::size_t k = 0; k < n1; ++k) {
      const cf64 w = root(c * k, size);
      float* const to = state->between.get() + (c / group * n1 + k) * 2 * group + c % group;
      to[0] = static_cast<float>(w.real());
      to[group] = static_cast<float>(w.imag());
    }
  state->inner1 = inner_factors(n1);
  state->inner2 = inner_factors(n2);
  state->scaled2 = hwy::AllocateAligned<float>(2 * n2);
  state->matrix = hwy::AllocateAligned<float>(2 * padded);
  state->column = hwy::AllocateAligned<float>(2 * 16 * std::max(n1, n2));
  return state;
}

}  // namespace

FftPlan::FftPlan(std::size_t size) : state_(make_state(size)) {}
FftPlan::~FftPlan() = default;
FftPlan::FftPlan(FftPlan&&) noexcept = default;
FftPlan& FftPlan::operator=(FftPlan&&) noexcept = default;
std::size_t FftPlan::size() const { return state_->n1 * state_->n2; }
std::size_t FftPlan::in_rows() const { return state_->n1; }
std::size_t FftPlan::out_rows() const { return state_->n2; }

namespace cpu {

HWY_EXPORT(transform);

void fft_rows(FftPlan& plan, FftDirection direction, cf32 factor, View<const cf32* const, 1> in,
              View<cf32* const, 1> out) {
  FftPlan::State& state = plan.state();
  assert(in.size() == state.n1 && out.size() == state.n2);
  const bool swapped = direction == FftDirection::inverse;
  // The inverse swaps afterwards, and so turns by the conjugate before.
  const cf32 turn = swapped ? std::conj(factor) : factor;
  for (std::size_t i = 0; i < state.n2; ++i) {
    const cf32 w = turn * cf32(state.inner2[2 * i], state.inner2[2 * i + 1]);
    state.scaled2[2 * i] = w.real();
    state.scaled2[2 * i + 1] = w.imag();
  }
  HWY_DYNAMIC_DISPATCH(transform)
  ({state, reinterpret_cast<const float* const*>(in.data()),
    reinterpret_cast<float* const*>(out.data()), swapped});
}

void fft(FftPlan& plan, FftDirection direction, cf32 factor, View<const cf32, 1> in,
         View<cf32, 1> out) {
  assert(in.size() == plan.size() && out.size() == plan.size());
  const cf32* in_rows[64];
  cf32* out_rows[64];
  const std::size_t n1 = plan.in_rows(), n2 = plan.out_rows();
  for (std::size_t i = 0; i < n1; ++i) in_rows[i] = in.data() + n2 * i;
  for (std::size_t i = 0; i < n2; ++i) out_rows[i] = out.data() + n1 * i;
  fft_rows(plan, direction, factor, {in_rows, n1}, {out_rows, n2});
}

}  // namespace cpu
}  // namespace noroshi::phy
#endif
