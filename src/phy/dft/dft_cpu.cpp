#include <hwy/aligned_allocator.h>

#include <cassert>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "nr/carrier.h"
#include "phy/dft/dft.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/dft/dft_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "phy/fft/butterflies-inl.h"

// What all targets share.
#ifndef NOROSHI_PHY_DFT_CPU_PLAN
#define NOROSHI_PHY_DFT_CPU_PLAN
namespace noroshi::phy {

// A pass of radix r turns sub-transforms of length n = r m, interleaved with stride s = M / n, into
// ones of length m with stride r s:
//
//   y[q + s (r p + k)] = w_n^(k p) sum_j x[q + s (p + m j)] exp(-j 2 pi j k / r),  p < m, q < s
struct DftPass {
  std::size_t radix, m, s;
  // [k = 1 .. r - 1][re im][values]: values is m; in a pass that runs over p and q together (s <
  // 16) m s, each factor s times. The last pass (m = 1) has none.
  std::size_t values;
  hwy::AlignedFreeUniquePtr<float[]> twiddles;
};

struct DftPlan {
  std::size_t size = 0;  // 0: no valid number of resource blocks
  float factor = 0;
  std::vector<DftPass> passes;
};

struct DftPlans::State {
  std::vector<DftPlan> plans;  // [resource blocks]
  hwy::AlignedFreeUniquePtr<float[]> scratch;
  float* re[2];
  float* im[2];
};

namespace cpu {

struct DftJob {
  const DftPlan& plan;
  DftPlans::State& state;
  const float* in;
  float* out;
  bool swapped;  // inverse: imaginary and real parts change places, before and after
};

// A pass whose stride is shorter than the widest vector runs over p and q together.
inline constexpr std::size_t dft_lanes_max = 16;

}  // namespace cpu
}  // namespace noroshi::phy
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls body(i) for i = 0, lanes, 2 lanes, ..., the last vector ending at count, so that it may
// overlap the one before (whose values it computes again). count >= lanes.
template <class Body>
HWY_INLINE void in_vectors(std::size_t count, std::size_t lanes, Body body) {
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i);
  if (i < count) body(count - lanes);
}

// Stride 1, from interleaved input; radix 4.
template <class D>
void first_pass(const DftPass& pass, const float* HWY_RESTRICT in, bool swapped,
                float* HWY_RESTRICT re, float* HWY_RESTRICT im) {
  using C = ComplexOf<D>;
  const D d;
  const float* const w = pass.twiddles.get();
  const std::size_t m = pass.m;
  in_vectors(m, hn::Lanes(d), [&](std::size_t p) HWY_ATTR {
    C x[4];
    HWY_UNROLL(8)
    for (std::size_t j = 0; j < 4; ++j) {
      hn::LoadInterleaved2(d, in + 2 * (p + m * j), x[j].re, x[j].im);
      if (swapped) std::swap(x[j].re, x[j].im);
    }
    butterfly<4>(x);
    HWY_UNROLL(8)
    for (std::size_t k = 1; k < 4; ++k)
      x[k] = x[k] * load_complex(d, w + (2 * k - 2) * m + p, w + (2 * k - 1) * m + p);
    hn::StoreInterleaved4(x[0].re, x[1].re, x[2].re, x[3].re, d, re + 4 * p);
    hn::StoreInterleaved4(x[0].im, x[1].im, x[2].im, x[3].im, d, im + 4 * p);
  });
}

// Groups of four lanes, from lane 4 g to to[g].
template <class D>
HWY_INLINE void store_groups(D d, hn::Vec<D> v, float* base, const std::size_t* to) {
#if HWY_TARGET != HWY_SCALAR  // which has no halves
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    store_groups(half, hn::LowerHalf(half, v), base, to);
    store_groups(half, hn::UpperHalf(half, v), base, to + hn::Lanes(half) / 4);
    return;
  }
#endif
  hn::StoreU(v, d, base + to[0]);
}

// Short strides: p and q together are a running index, and so are vectors, whose groups of four
// lanes (or fewer) share a p.
template <std::size_t r, class D>
void short_pass(const DftPass& pass, const float* HWY_RESTRICT in_re,
                const float* HWY_RESTRICT in_im, float* HWY_RESTRICT re, float* HWY_RESTRICT im) {
  using C = ComplexOf<D>;
  const D d;
  const float* const w = pass.twiddles.get();
  const std::size_t s = pass.s, part = pass.m * s;
  in_vectors(part, hn::Lanes(d), [&](std::size_t i) HWY_ATTR {
    C x[r];
    HWY_UNROLL(8)
    for (std::size_t j = 0; j < r; ++j)
      x[j] = load_complex(d, in_re + i + part * j, in_im + i + part * j);
    butterfly<r>(x);
    std::size_t to[dft_lanes_max / 4];
    for (std::size_t g = 0; 4 * g < hn::Lanes(d); ++g) {
      const std::size_t p = (i + 4 * g) / s;
      to[g] = i + 4 * g + s * (r - 1) * p;
    }
    HWY_UNROLL(8)
    for (std::size_t k = 0; k < r; ++k) {
      if (k > 0)
        x[k] = x[k] * load_complex(d, w + (2 * k - 2) * part + i, w + (2 * k - 1) * part + i);
      store_groups(d, x[k].re, re + s * k, to);
      store_groups(d, x[k].im, im + s * k, to);
    }
  });
}

// One set of factors serves s values.
template <std::size_t r, class D>
void long_pass(const DftPass& pass, const float* HWY_RESTRICT in_re,
               const float* HWY_RESTRICT in_im, float* HWY_RESTRICT re, float* HWY_RESTRICT im) {
  using C = ComplexOf<D>;
  const D d;
  const float* const w = pass.twiddles.get();
  const std::size_t m = pass.m, s = pass.s;
  for (std::size_t p = 0; p < m; ++p) {
    C factor[r];
    HWY_UNROLL(8)
    for (std::size_t k = 1; k < r; ++k)
      factor[k] = {hn::Set(d, w[(2 * k - 2) * m + p]), hn::Set(d, w[(2 * k - 1) * m + p])};
    in_vectors(s, hn::Lanes(d), [&](std::size_t q) HWY_ATTR {
      C x[r];
      HWY_UNROLL(8)
      for (std::size_t j = 0; j < r; ++j)
        x[j] = load_complex(d, in_re + q + s * (p + m * j), in_im + q + s * (p + m * j));
      butterfly<r>(x);
      HWY_UNROLL(8)
      for (std::size_t k = 0; k < r; ++k) {
        if (k > 0) x[k] = x[k] * factor[k];
        const std::size_t to = q + s * (r * p + k);
        hn::StoreU(x[k].re, d, re + to);
        hn::StoreU(x[k].im, d, im + to);
      }
    });
  }
}

template <std::size_t r, class D>
void last_pass(const DftJob& job, const float* HWY_RESTRICT re, const float* HWY_RESTRICT im) {
  using C = ComplexOf<D>;
  const D d;
  const std::size_t s = job.plan.size / r;
  in_vectors(s, hn::Lanes(d), [&](std::size_t q) HWY_ATTR {
    C x[r];
    HWY_UNROLL(8)
    for (std::size_t j = 0; j < r; ++j) x[j] = load_complex(d, re + q + s * j, im + q + s * j);
    butterfly<r>(x);
    HWY_UNROLL(8)
    for (std::size_t k = 0; k < r; ++k) {
      C y = x[k].times(job.plan.factor);
      if (job.swapped) std::swap(y.re, y.im);
      hn::StoreInterleaved2(y.re, y.im, d, job.out + 2 * (q + s * k));
    }
  });
}

// A pass after the first, from one half of the scratch memory to the other, or to the output.
template <std::size_t r, class D>
void pass(const DftPass& pass, const DftJob& job, std::size_t from) {
  const DftPlans::State& state = job.state;
  const float *const re = state.re[from], *const im = state.im[from];
  if (pass.m == 1) return last_pass<r, D>(job, re, im);
  const auto run = pass.s < dft_lanes_max ? short_pass<r, D> : long_pass<r, D>;
  run(pass, re, im, state.re[from ^ 1], state.im[from ^ 1]);
}

// The whole transform with at most `lanes` lanes: none of its vectors is longer than a pass.
template <std::size_t lanes>
void run_passes(const DftJob& job) {
  using D = hn::CappedTag<float, lanes>;
  const std::vector<DftPass>& passes = job.plan.passes;
  first_pass<D>(passes[0], job.in, job.swapped, job.state.re[0], job.state.im[0]);
  for (std::size_t i = 1; i < passes.size(); ++i) {
    const std::size_t from = (i - 1) % 2;
    switch (passes[i].radix) {
      case 2:
        pass<2, D>(passes[i], job, from);
        break;
      case 3:
        pass<3, D>(passes[i], job, from);
        break;
      case 4:
        pass<4, D>(passes[i], job, from);
        break;
      case 5:
        pass<5, D>(passes[i], job, from);
        break;
      default:
        pass<6, D>(passes[i], job, from);
    }
  }
}

// The shortest pass of M values, of radix 6, has M / 6 butterflies.
void transform(const DftJob& job) {
  if (job.plan.size >= 6 * dft_lanes_max) return run_passes<dft_lanes_max>(job);
  if (job.plan.size >= 24) return run_passes<4>(job);
  run_passes<1>(job);
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy {
namespace {

// 4 first, as the first pass is written; then the largest: every pass is a walk through memory.
std::vector<std::size_t> radices(std::size_t size) {
  std::vector<std::size_t> result = {4};
  std::size_t rest = size / 4;
  for (std::size_t radix : {5, 6, 4, 3, 2})
    for (; rest % radix == 0; rest /= radix) result.push_back(radix);
  assert(rest == 1);
  return result;
}

DftPlan make_plan(std::size_t size) {
  DftPlan plan;
  plan.size = size;
  plan.factor = static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
  std::size_t s = 1;
  for (std::size_t radix : radices(size)) {
    const std::size_t n = size / s, m = n / radix;
    const std::size_t repeats = s < cpu::dft_lanes_max ? s : 1;
    DftPass pass{radix, m, s, m * repeats, nullptr};
    if (m > 1) {
      pass.twiddles = hwy::AllocateAligned<float>(2 * (radix - 1) * pass.values);
      for (std::size_t k = 1; k < radix; ++k)
        for (std::size_t i = 0; i < pass.values; ++i) {
          const double angle = -2 * std::numbers::pi * static_cast<double>(k * (i / repeats)) /
                               static_cast<double>(n);
          pass.twiddles[(2 * k - 2) * pass.values + i] = static_cast<float>(std::cos(angle));
          pass.twiddles[(2 * k - 1) * pass.values + i] = static_cast<float>(std::sin(angle));
        }
    }
    plan.passes.push_back(std::move(pass));
    s *= radix;
  }
  return plan;
}

std::unique_ptr<DftPlans::State> make_state(int rb_count_max) {
  assert(rb_count_max >= 1 && rb_count_max <= nr::rb_max);
  auto state = std::make_unique<DftPlans::State>();
  for (int rb_count = 0; rb_count <= rb_count_max; ++rb_count)
    state->plans.push_back(
        is_dft_rb_count(rb_count)
            ? make_plan(static_cast<std::size_t>(rb_count) * nr::subcarriers_per_rb)
            : DftPlan{});
  // The parts are 64 bytes apart from a multiple of 4 KiB, so that equal indices share no cache
  // set.
  const std::size_t part =
      (static_cast<std::size_t>(rb_count_max) * nr::subcarriers_per_rb + 1023) / 1024 * 1024 + 16;
  state->scratch = hwy::AllocateAligned<float>(4 * part);
  for (std::size_t i = 0; i < 2; ++i) {
    state->re[i] = state->scratch.get() + 2 * i * part;
    state->im[i] = state->scratch.get() + (2 * i + 1) * part;
  }
  return state;
}

}  // namespace

DftPlans::DftPlans(int rb_count_max) : state_(make_state(rb_count_max)) {}
DftPlans::~DftPlans() = default;
DftPlans::DftPlans(DftPlans&&) noexcept = default;
DftPlans& DftPlans::operator=(DftPlans&&) noexcept = default;
int DftPlans::rb_count_max() const { return static_cast<int>(state_->plans.size()) - 1; }

namespace cpu {

HWY_EXPORT(transform);

void dft(DftPlans& plans, FftDirection direction, View<const cf32, 1> in, View<cf32, 1> out) {
  const std::size_t rb_count = in.size() / nr::subcarriers_per_rb;
  DftPlans::State& state = plans.state();
  assert(rb_count < state.plans.size() && in.size() == state.plans[rb_count].size &&
         in.size() > 0 && out.size() == in.size());
  HWY_DYNAMIC_DISPATCH(transform)
  ({state.plans[rb_count], state, reinterpret_cast<const float*>(in.data()),
    reinterpret_cast<float*>(out.data()), direction == FftDirection::inverse});
}

}  // namespace cpu
}  // namespace noroshi::phy
#endif
