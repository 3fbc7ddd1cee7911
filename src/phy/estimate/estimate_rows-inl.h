// What the channel estimate does to pilots before it smooths them, for the current Highway target.
//
// Rows are shared: of each a worker writes its stretches only, and not a vector beyond. What it has
// to itself (Local) may be read and written beyond the end.

#if defined(NOROSHI_PHY_ESTIMATE_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_PHY_ESTIMATE_ROWS_INL_H_
#undef NOROSHI_PHY_ESTIMATE_ROWS_INL_H_
#else
#define NOROSHI_PHY_ESTIMATE_ROWS_INL_H_
#endif

#include <complex>
#include <cstddef>
#include <cstring>
#include <numbers>

#include <hwy/highway.h>
#include "phy/estimate/estimate.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
inline std::size_t lane_count() { return hn::Lanes(D()); }
inline double sum_of(V v) { return static_cast<double>(hn::GetLane(hn::SumOfLanes(D(), v))); }

// A complex row: one plane of real parts, one of imaginary parts.
struct Planes {
  float* re;
  float* im;
  Planes operator+(std::size_t offset) const { return {re + offset, im + offset}; }
};

// A stretch's pilots, and as many more as windows reach on both sides, in the nearest cache.
struct Local {
  static constexpr std::size_t pilots_max = 6 * stretch_rbs_max + Smoother::taps_max;
  static constexpr std::size_t padding = 64;
  alignas(64) float re[pilots_max + padding];
  alignas(64) float im[pilots_max + padding];
  Planes planes() { return {re, im}; }
  // What is read beyond so many pilots is 0.
  void end(std::size_t pilots) {
    std::memset(re + pilots, 0, padding * sizeof(float));
    std::memset(im + pilots, 0, padding * sizeof(float));
  }
};

// The first `count` lanes.
HWY_INLINE void store_first(V v, std::size_t count, float* to) {
  if (count >= lane_count()) return hn::StoreU(v, D(), to);
  alignas(64) float lanes[16];
  hn::Store(v, D(), lanes);
  std::memcpy(to, lanes, count * sizeof(float));
}

// Lanes m, m + 1, ... of the row even, odd, even, ...
class Alternating {
 public:
  Alternating(float even, float odd) : Alternating(hn::Set(D(), even), hn::Set(D(), odd)) {}
  V at(std::size_t m) const { return of_[m % 2]; }

 private:
#if HWY_TARGET == HWY_SCALAR
  Alternating(V even, V odd) : of_{even, odd} {}
#else
  Alternating(V even, V odd) : of_{hn::OddEven(odd, even), hn::OddEven(even, odd)} {}
#endif
  V of_[2];  // from even m on, from odd
};

// y of two combs: of the even subcarriers of 2 * lane_count() of them, and of the odd ones.
HWY_INLINE void load_combs(const float* y, V* re, V* im) {
  const D d;
#if HWY_TARGET == HWY_SCALAR
  hn::LoadInterleaved4(d, y, re[0], im[0], re[1], im[1]);
#else
  V re_low, im_low, re_high, im_high;
  hn::LoadInterleaved2(d, y, re_low, im_low);
  hn::LoadInterleaved2(d, y + 2 * lane_count(), re_high, im_high);
  re[0] = hn::ConcatEven(d, re_high, re_low), re[1] = hn::ConcatOdd(d, re_high, re_low);
  im[0] = hn::ConcatEven(d, im_high, im_low), im[1] = hn::ConcatOdd(d, im_high, im_low);
#endif
}

// One comb's pilots: where they go in the shared row and in the worker's own memory.
struct CombTarget {
  Alternating scale;
  Planes row;
  Planes own;
};

// z (+)= y conj(r) scale(m) of the combs on subcarriers first_comb, ... of every `stride`.
template <int stride, int first_comb, int combs>
HWY_INLINE void least_squares(const cf32* received, const cf32* pilots, std::size_t count, bool add,
                              const CombTarget* to) {
  const D d;
  const float* y = reinterpret_cast<const float*>(received);
  const float* r = reinterpret_cast<const float*>(pilots);
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    V re[2], im[2], p, q;
    if constexpr (stride == 2) {
      load_combs(y + 4 * m, re, im);
    } else {
      hn::LoadInterleaved2(d, y + 2 * m, re[0], im[0]);
    }
    hn::LoadInterleaved2(d, r + 2 * m, p, q);
    HWY_UNROLL(8)
    for (int c = 0; c < combs; ++c) {
      const V factor = to[c].scale.at(m);
      const V a = hn::Mul(re[first_comb + c], factor), b = hn::Mul(im[first_comb + c], factor);
      V u = hn::MulAdd(a, p, hn::Mul(b, q)), v = hn::NegMulAdd(a, q, hn::Mul(b, p));
      if (add) {
        u = hn::Add(u, hn::LoadU(d, to[c].own.re + m));
        v = hn::Add(v, hn::LoadU(d, to[c].own.im + m));
      }
      hn::StoreU(u, d, to[c].row.re + m), hn::StoreU(u, d, to[c].own.re + m);
      hn::StoreU(v, d, to[c].row.im + m), hn::StoreU(v, d, to[c].own.im + m);
    }
  }
  for (; m < count; ++m)
    for (int c = 0; c < combs; ++c) {
      const cf32 value = received[stride * m + static_cast<std::size_t>(first_comb + c)];
      const float factor = hn::GetLane(to[c].scale.at(m));
      const float a = value.real() * factor, b = value.imag() * factor;
      const float u = a * pilots[m].real() + b * pilots[m].imag();
      const float v = b * pilots[m].real() - a * pilots[m].imag();
      to[c].row.re[m] = to[c].own.re[m] = add ? to[c].own.re[m] + u : u;
      to[c].row.im[m] = to[c].own.im[m] = add ? to[c].own.im[m] + v : v;
    }
}

// out[m] = x[k(m)] for the comb's pilots of a run that begins at x[0].
HWY_INLINE void pick_pilots(const Comb& comb, const float* x, std::size_t count, float* out) {
  const D d;
  x += comb.delta;
  if (comb.kind.type == 2) {
    for (std::size_t m = 0; m < count; m += 2) std::memcpy(out + m, x + 3 * m, 2 * sizeof(float));
    return;
  }
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    V on, between;
    hn::LoadInterleaved2(d, x + 2 * m, on, between);
    hn::StoreU(on, d, out + m);
  }
  for (; m < count; ++m) out[m] = x[2 * m];
}

// A vector that is used twice. The compiler would rather read it twice, most often across two cache
// lines each time: an eighth of the whole estimate (`noroshi bench estimate`).
HWY_INLINE V loaded(const float* from) {
  V x = hn::LoadU(D(), from);
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  __asm__("" : "+v"(x.raw));
#endif
  return x;
}

// Adds conj(x(m)) x(m + lag), in four sums whose first two are the real part.
HWY_INLINE void add_products(Planes x, std::size_t lag, std::size_t m, V* sums) {
  const D d;
  const V a = hn::LoadU(d, x.re + m), b = hn::LoadU(d, x.im + m);
  const V p = loaded(x.re + m + lag), q = loaded(x.im + m + lag);
  sums[0] = hn::MulAdd(a, p, sums[0]);
  sums[1] = hn::MulAdd(b, q, sums[1]);
  sums[2] = hn::MulAdd(a, q, sums[2]);
  sums[3] = hn::NegMulAdd(b, p, sums[3]);
}
HWY_INLINE std::complex<double> product_sum(const V* sums) {
  return {sum_of(hn::Add(sums[0], sums[1])), sum_of(hn::Add(sums[2], sums[3]))};
}

// Both lags of SlopeSums, over `count` pilots: near's four sums, then far's. x: local, its end
// padded.
HWY_INLINE void add_slopes(Planes x, std::size_t near, std::size_t far, std::size_t count,
                           V* sums) {
  V local[8];
  HWY_UNROLL(8)
  for (int i = 0; i < 8; ++i) local[i] = sums[i];
  for (std::size_t m = 0; m < count; m += lane_count()) {
    add_products(x, near, m, local);
    add_products(x, far, m, local + 4);
  }
  HWY_UNROLL(8)
  for (int i = 0; i < 8; ++i) sums[i] = local[i];
}

// The slopes that ports on one comb keep, of `count` subcarriers from h on.
HWY_INLINE void add_port_slopes(Planes h, std::size_t count, V* sums) {
  count -= port_delay_lag;
  V local[4] = {sums[0], sums[1], sums[2], sums[3]};
  std::size_t k = 0;
  for (; k + lane_count() <= count; k += lane_count()) add_products(h, port_delay_lag, k, local);
  if (k < count) {
    alignas(64) float end[2][32] = {};  // what has no partner meets a 0
    const std::size_t rest = (count - k + port_delay_lag) * sizeof(float);
    std::memcpy(end[0], h.re + k, rest);
    std::memcpy(end[1], h.im + k, rest);
    add_products({end[0], end[1]}, port_delay_lag, 0, local);
  }
  HWY_UNROLL(8)
  for (int i = 0; i < 4; ++i) sums[i] = local[i];
}

// exp(-j 2 pi delay k) of the first subcarriers.
struct RampTable {
  static constexpr std::size_t size = 4 * nr::subcarriers_per_rb;  // whole vectors of every width
  double step = 0;
  std::complex<double> next;  // of subcarrier `size`
  alignas(64) float re[size], im[size];
};

std::complex<double> product(std::complex<double> x, std::complex<double> y) {
  return {x.real() * y.real() - x.imag() * y.imag(), x.real() * y.imag() + x.imag() * y.real()};
}

void make_table(double delay, RampTable& table) {
  table.step = -2 * std::numbers::pi * delay;
  const std::complex<double> one_step = std::polar(1.0, table.step);
  table.next = 1;
  for (std::size_t k = 0; k < RampTable::size; ++k, table.next = product(table.next, one_step)) {
    table.re[k] = static_cast<float>(table.next.real());
    table.im[k] = static_cast<float>(table.next.imag());
  }
}

// row(m) *= conj(ramp(m)), into own too.
HWY_INLINE void remove_ramp(Planes row, Planes ramp, std::size_t count, Planes own) {
  const D d;
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    const V c = hn::LoadU(d, ramp.re + m), s = hn::LoadU(d, ramp.im + m);
    const V a = hn::LoadU(d, row.re + m), b = hn::LoadU(d, row.im + m);
    const V u = hn::MulAdd(a, c, hn::Mul(b, s)), v = hn::NegMulAdd(a, s, hn::Mul(b, c));
    hn::StoreU(u, d, row.re + m), hn::StoreU(u, d, own.re + m);
    hn::StoreU(v, d, row.im + m), hn::StoreU(v, d, own.im + m);
  }
  for (; m < count; ++m) {
    const float a = row.re[m], b = row.im[m];
    row.re[m] = own.re[m] = a * ramp.re[m] + b * ramp.im[m];
    row.im[m] = own.im[m] = b * ramp.re[m] - a * ramp.im[m];
  }
}

// Adds to power, near, mid, far, curvature of PilotSums. z: local, its end padded.
template <std::size_t near, std::size_t mid, std::size_t far>
HWY_INLINE void add_pilot_sums(Planes z, std::size_t count, V* out) {
  const D d;
  const V half = hn::Set(d, 0.5f), zero = hn::Zero(d);
  V sums[5] = {out[0], out[1], out[2], out[3], out[4]};
  const auto square = [](V p, V q) { return hn::MulAdd(p, p, hn::Mul(q, q)); };
  const auto difference = [&](std::size_t at, V re, V im) {
    return square(hn::Sub(hn::LoadU(d, z.re + at), re), hn::Sub(hn::LoadU(d, z.im + at), im));
  };
  const auto step = [&](std::size_t m, auto keep) {
    const V re = hn::LoadU(d, z.re + m), im = hn::LoadU(d, z.im + m);
    sums[0] = hn::Add(sums[0], keep(0, square(re, im)));
    const V a = hn::LoadU(d, z.re + m + near), b = hn::LoadU(d, z.im + m + near);
    sums[1] = hn::Add(sums[1], keep(near, hn::MulAdd(re, a, hn::Mul(im, b))));
    sums[2] = hn::Add(sums[2], keep(mid, difference(m + mid, re, im)));
    sums[3] = hn::Add(sums[3], keep(far, difference(m + far, re, im)));
    const V p = hn::NegMulAdd(half, hn::Add(re, hn::LoadU(d, z.re + m + 2 * near)), a);
    const V q = hn::NegMulAdd(half, hn::Add(im, hn::LoadU(d, z.im + m + 2 * near)), b);
    sums[4] = hn::Add(sums[4], keep(2 * near, square(p, q)));
  };
  std::size_t m = 0;
  for (; m + lane_count() + far <= count; m += lane_count())
    step(m, [](std::size_t, V v) { return v; });
  for (; m < count; m += lane_count())
    step(m, [&](std::size_t lag, V v) {
      return m + lag >= count ? zero : hn::IfThenElseZero(hn::FirstN(d, count - lag - m), v);
    });
  HWY_UNROLL(8)
  for (std::size_t i = 0; i < 5; ++i) out[i] = sums[i];
}

// Vectors of the sums below: power, and both parts of turn.
inline constexpr std::size_t time_sums_of_port = 3 * estimate_times_max;

// Adds to the sums of TimeSums; of both ports of a pair. z: by time, local.
template <int times, bool pair>
HWY_INLINE void add_time_sums(Local* z, std::size_t pilots, V* out) {
  static_assert(time_window == 4);
  constexpr int ports = pair ? 2 : 1;
  const D d;
  const std::size_t count = pilots - time_window + 1;
  const V quarter = hn::Set(d, 0.25f);
  V power[ports][times], turn_re[ports][times], turn_im[ports][times];
  const auto each = [&](auto visit) {
    HWY_UNROLL(8)
    for (int i = 0; i < ports; ++i) {
      HWY_UNROLL(8)
      for (int t = 0; t < times; ++t) {
        V* const of = out + static_cast<std::size_t>(i) * time_sums_of_port + 3 * t;
        visit(of[0], power[i][t]), visit(of[1], turn_re[i][t]), visit(of[2], turn_im[i][t]);
      }
    }
  };
  each([](V& from, V& to) { to = from; });
  for (std::size_t m = 0; m < count; m += lane_count()) {
    V last_re[ports], last_im[ports];
    HWY_UNROLL(8)
    for (int i = 0; i < ports; ++i) last_re[i] = last_im[i] = hn::Zero(d);
    HWY_UNROLL(8)
    for (int t = 0; t < times; ++t) {
      V s[2][ports];
      HWY_UNROLL(8)
      for (int part = 0; part < 2; ++part) {
        const float* x = (part == 0 ? z[t].re : z[t].im) + m;
        V even = hn::Mul(quarter, hn::Add(hn::LoadU(d, x), hn::LoadU(d, x + 2)));
        V odd = hn::Mul(quarter, hn::Add(hn::LoadU(d, x + 1), hn::LoadU(d, x + 3)));
        if (m + lane_count() > count) {
          even = hn::IfThenElseZero(hn::FirstN(d, count - m), even);
          odd = hn::IfThenElseZero(hn::FirstN(d, count - m), odd);
        }
        s[part][0] = hn::Add(even, odd);
        if constexpr (pair) s[part][1] = hn::Sub(even, odd);
      }
      HWY_UNROLL(8)
      for (int i = 0; i < ports; ++i) {
        const V re = s[0][i], im = s[1][i];
        power[i][t] = hn::MulAdd(re, re, hn::MulAdd(im, im, power[i][t]));
        if (t > 0) {
          turn_re[i][t - 1] =
              hn::MulAdd(last_re[i], re, hn::MulAdd(last_im[i], im, turn_re[i][t - 1]));
          turn_im[i][t - 1] =
              hn::MulAdd(last_re[i], im, hn::NegMulAdd(last_im[i], re, turn_im[i][t - 1]));
        }
        last_re[i] = re, last_im[i] = im;
      }
    }
  }
  each([](V& from, V& to) { from = to; });
}

// out(m) = the mean of all x[t](m) back[t] of pilots 0, ..., count - 1. Returns the sum over pilots
// first, ..., end - 1 of |x[t] back[t] - mean|^2, which go to rest[t] where that is not null, from
// its start on.
HWY_INLINE double average_rows(const std::complex<float>* back, const Planes* x, int rows,
                               std::size_t count, std::size_t first, std::size_t end, Planes out,
                               Local* rest) {
  const D d;
  const V scale = hn::Set(d, 1.0f / static_cast<float>(rows));
  V scatter = hn::Zero(d);
  const auto step = [&](std::size_t m, auto keep) {
    V re[estimate_times_max], im[estimate_times_max];
    V mean_re = hn::Zero(d), mean_im = hn::Zero(d);
    for (int i = 0; i < rows; ++i) {
      const V a = hn::LoadU(d, x[i].re + m), b = hn::LoadU(d, x[i].im + m);
      const V c = hn::Set(d, back[i].real()), s = hn::Set(d, back[i].imag());
      re[i] = hn::NegMulAdd(b, s, hn::Mul(a, c));
      im[i] = hn::MulAdd(a, s, hn::Mul(b, c));
      mean_re = hn::MulAdd(re[i], scale, mean_re);
      mean_im = hn::MulAdd(im[i], scale, mean_im);
    }
    keep(re, im, mean_re, mean_im);
    hn::StoreU(mean_re, d, out.re + m);
    hn::StoreU(mean_im, d, out.im + m);
  };
  const auto around = [](const V*, const V*, V, V) {};
  // The pilots before the stretch and after it in vectors of their own, some of them twice.
  for (std::size_t m = 0; m < first; m += lane_count()) step(m, around);
  for (std::size_t m = end; m < count; m += lane_count()) step(m, around);
  for (std::size_t m = first; m < end; m += lane_count())
    step(m, [&](const V* re, const V* im, V mean_re, V mean_im) {
      V part = hn::Zero(d);
      for (int i = 0; i < rows; ++i) {
        const V p = hn::Sub(re[i], mean_re), q = hn::Sub(im[i], mean_im);
        part = hn::MulAdd(p, p, hn::MulAdd(q, q, part));
        if (rest == nullptr) continue;
        hn::StoreU(p, d, rest[i].re + m - first);
        hn::StoreU(q, d, rest[i].im + m - first);
      }
      if (m + lane_count() > end) part = hn::IfThenElseZero(hn::FirstN(d, end - m), part);
      scatter = hn::Add(scatter, part);
    });
  return sum_of(scatter);
}

// out = x + y; y may be null.
HWY_INLINE void put_sum(const float* x, const float* y, std::size_t count, float* out) {
  const D d;
  for (std::size_t m = 0; m < count; m += lane_count()) {
    const V value = hn::LoadU(d, x + m);
    store_first(y == nullptr ? value : hn::Add(value, hn::LoadU(d, y + m)), count - m, out + m);
  }
}

}  // namespace
}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
