// What the channel estimate does to rows of pilots and subcarriers, for the current Highway target.
//
// A row may be read, and where it is written, a vector beyond its end: what lies there is never
// used.

#if defined(NOROSHI_PHY_ESTIMATE_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_PHY_ESTIMATE_ROWS_INL_H_
#undef NOROSHI_PHY_ESTIMATE_ROWS_INL_H_
#else
#define NOROSHI_PHY_ESTIMATE_ROWS_INL_H_
#endif

#include <complex>
#include <cstddef>
#include <cstring>

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

// Lanes m, m + 1, ... of the row even, odd, even, ...
class Alternating {
 public:
  Alternating(float even, float odd) {
    for (std::size_t i = 0; i <= 16; ++i) pattern_[i] = i % 2 == 0 ? even : odd;
  }
  V at(std::size_t m) const { return hn::LoadU(D(), pattern_ + m % 2); }

 private:
  float pattern_[17 + 15] = {};
};

// z (+)= y conj(r) scale(m), y on every subcarrier (stride 1) or every second one from delta on.
template <int stride>
HWY_INLINE void least_squares(const cf32* received, int delta, const cf32* pilots,
                              std::size_t count, const Alternating& scale, bool add, Planes z) {
  const D d;
  const float* y = reinterpret_cast<const float*>(received);
  const float* r = reinterpret_cast<const float*>(pilots);
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    V re[2], im[2], p, q;
    if constexpr (stride == 2) {
      hn::LoadInterleaved4(d, y + 4 * m, re[0], im[0], re[1], im[1]);
    } else {
      hn::LoadInterleaved2(d, y + 2 * m, re[0], im[0]);
      re[1] = re[0], im[1] = im[0];
    }
    hn::LoadInterleaved2(d, r + 2 * m, p, q);
    const V factor = scale.at(m);
    const V a = hn::Mul(delta == 1 ? re[1] : re[0], factor);
    const V b = hn::Mul(delta == 1 ? im[1] : im[0], factor);
    V u = hn::MulAdd(a, p, hn::Mul(b, q)), v = hn::NegMulAdd(a, q, hn::Mul(b, p));
    if (add) {
      u = hn::Add(u, hn::LoadU(d, z.re + m));
      v = hn::Add(v, hn::LoadU(d, z.im + m));
    }
    hn::StoreU(u, d, z.re + m);
    hn::StoreU(v, d, z.im + m);
  }
  for (; m < count; ++m) {
    const cf32 value = received[stride * m + static_cast<std::size_t>(stride == 2 ? delta : 0)];
    const float factor = hn::GetLane(scale.at(m));
    const float a = value.real() * factor, b = value.imag() * factor;
    const float u = a * pilots[m].real() + b * pilots[m].imag();
    const float v = b * pilots[m].real() - a * pilots[m].imag();
    z.re[m] = add ? z.re[m] + u : u;
    z.im[m] = add ? z.im[m] + v : v;
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

// sum conj(x) y
HWY_INLINE std::complex<double> product_sum(Planes x, Planes y, std::size_t count) {
  const D d;
  V re[2] = {hn::Zero(d), hn::Zero(d)}, im[2] = {hn::Zero(d), hn::Zero(d)};
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    const V a = hn::LoadU(d, x.re + m), b = hn::LoadU(d, x.im + m);
    const V p = hn::LoadU(d, y.re + m), q = hn::LoadU(d, y.im + m);
    re[0] = hn::MulAdd(a, p, re[0]);
    re[1] = hn::MulAdd(b, q, re[1]);
    im[0] = hn::MulAdd(a, q, im[0]);
    im[1] = hn::NegMulAdd(b, p, im[1]);
  }
  double tail_re = 0, tail_im = 0;
  for (; m < count; ++m) {
    tail_re += static_cast<double>(x.re[m] * y.re[m] + x.im[m] * y.im[m]);
    tail_im += static_cast<double>(x.re[m] * y.im[m] - x.im[m] * y.re[m]);
  }
  return {tail_re + sum_of(hn::Add(re[0], re[1])), tail_im + sum_of(hn::Add(im[0], im[1]))};
}

// z(m) *= conj(ramp(m))
HWY_INLINE void remove_ramp(Planes z, const float* ramp_re, const float* ramp_im,
                            std::size_t count) {
  const D d;
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    const V c = hn::LoadU(d, ramp_re + m), s = hn::LoadU(d, ramp_im + m);
    const V a = hn::LoadU(d, z.re + m), b = hn::LoadU(d, z.im + m);
    hn::StoreU(hn::MulAdd(a, c, hn::Mul(b, s)), d, z.re + m);
    hn::StoreU(hn::NegMulAdd(a, s, hn::Mul(b, c)), d, z.im + m);
  }
  for (; m < count; ++m) {
    const float a = z.re[m], b = z.im[m];
    z.re[m] = a * ramp_re[m] + b * ramp_im[m];
    z.im[m] = b * ramp_re[m] - a * ramp_im[m];
  }
}

// PilotSums of one run.
HWY_INLINE PilotSums run_sums(const Comb& comb, Planes z, std::size_t count) {
  const D d;
  const std::size_t near = static_cast<std::size_t>(comb.lag());
  const std::size_t mid = static_cast<std::size_t>(comb.lags()[0]);
  const std::size_t far = static_cast<std::size_t>(comb.lags()[1]);
  const V half = hn::Set(d, 0.5f), zero = hn::Zero(d);
  V sums[5] = {zero, zero, zero, zero, zero};
  const auto difference = [&](std::size_t m, std::size_t lag, V re, V im) {
    const V p = hn::Sub(hn::LoadU(d, z.re + m + lag), re);
    const V q = hn::Sub(hn::LoadU(d, z.im + m + lag), im);
    return hn::MulAdd(p, p, hn::Mul(q, q));
  };
  const auto step = [&](std::size_t m, auto keep) {
    const V re = hn::LoadU(d, z.re + m), im = hn::LoadU(d, z.im + m);
    sums[0] = hn::Add(sums[0], keep(0, hn::MulAdd(re, re, hn::Mul(im, im))));
    const V a = hn::LoadU(d, z.re + m + near), b = hn::LoadU(d, z.im + m + near);
    sums[1] = hn::Add(sums[1], keep(near, hn::MulAdd(re, a, hn::Mul(im, b))));
    sums[2] = hn::Add(sums[2], keep(mid, difference(m, mid, re, im)));
    sums[3] = hn::Add(sums[3], keep(far, difference(m, far, re, im)));
    const V p = hn::NegMulAdd(half, hn::Add(re, hn::LoadU(d, z.re + m + 2 * near)), a);
    const V q = hn::NegMulAdd(half, hn::Add(im, hn::LoadU(d, z.im + m + 2 * near)), b);
    sums[4] = hn::Add(sums[4], keep(2 * near, hn::MulAdd(p, p, hn::Mul(q, q))));
  };
  std::size_t m = 0;
  for (; m + lane_count() + far <= count; m += lane_count())
    step(m, [](std::size_t, V v) { return v; });
  for (; m < count; m += lane_count())
    step(m, [&](std::size_t lag, V v) {
      return m + lag >= count ? zero : hn::IfThenElseZero(hn::FirstN(d, count - lag - m), v);
    });
  const auto pairs = [&](std::size_t lag) {
    return count > lag ? static_cast<double>(count - lag) : 0.0;
  };
  PilotSums out;
  out.power = sum_of(sums[0]), out.power_count = pairs(0);
  out.near = sum_of(sums[1]), out.near_count = pairs(near);
  out.mid = sum_of(sums[2]), out.mid_count = pairs(mid);
  out.far = sum_of(sums[3]), out.far_count = pairs(far);
  out.curvature = sum_of(sums[4]), out.curvature_count = pairs(2 * near);
  return out;
}

// TimeSums of one run; of both ports of a pair. z: by time.
template <int times, bool pair>
HWY_INLINE void run_time_sums(const Planes* z, std::size_t pilots, TimeSums* out) {
  static_assert(time_window == 4);
  constexpr int ports = pair ? 2 : 1;
  const D d;
  const std::size_t count = pilots - time_window + 1;
  const V quarter = hn::Set(d, 0.25f), zero = hn::Zero(d);
  V power[ports][times], turn_re[ports][times], turn_im[ports][times];
  for (int i = 0; i < ports; ++i)
    for (int t = 0; t < times; ++t) power[i][t] = turn_re[i][t] = turn_im[i][t] = zero;
  for (std::size_t m = 0; m < count; m += lane_count()) {
    V last_re[ports], last_im[ports];
    for (int i = 0; i < ports; ++i) last_re[i] = last_im[i] = zero;
    for (int t = 0; t < times; ++t) {
      V s[2][ports];
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
  for (int i = 0; i < ports; ++i) {
    for (std::size_t t = 0; t < times; ++t) {
      out[i].power[t] += sum_of(power[i][t]);
      if (t + 1 < times)
        out[i].turn[t] += std::complex<double>(sum_of(turn_re[i][t]), sum_of(turn_im[i][t]));
    }
    out[i].count += static_cast<double>(count);
  }
}

// out = the mean of all x[t] back[t]; returns the sum of |x[t] back[t] - mean|^2. keep: x[t]
// becomes x[t] back[t] - mean.
HWY_INLINE double average_rows(const std::complex<float>* back, const Planes* x, int rows,
                               std::size_t count, bool keep, Planes out) {
  const D d;
  const V scale = hn::Set(d, 1.0f / static_cast<float>(rows));
  V scatter = hn::Zero(d);
  for (std::size_t m = 0; m < count; m += lane_count()) {
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
    V part = hn::Zero(d);
    for (int i = 0; i < rows; ++i) {
      const V p = hn::Sub(re[i], mean_re), q = hn::Sub(im[i], mean_im);
      part = hn::MulAdd(p, p, hn::MulAdd(q, q, part));
      if (!keep) continue;
      hn::StoreU(p, d, x[i].re + m);
      hn::StoreU(q, d, x[i].im + m);
    }
    if (m + lane_count() > count) part = hn::IfThenElseZero(hn::FirstN(d, count - m), part);
    scatter = hn::Add(scatter, part);
    hn::StoreU(mean_re, d, out.re + m);
    hn::StoreU(mean_im, d, out.im + m);
  }
  return sum_of(scatter);
}

// x += y
HWY_INLINE void add_row(const float* y, std::size_t count, float* x) {
  const D d;
  for (std::size_t m = 0; m < count; m += lane_count())
    hn::StoreU(hn::Add(hn::LoadU(d, x + m), hn::LoadU(d, y + m)), d, x + m);
}

// ---- smoothing: out[0], and of a pair out[1], the port with the signs c(m) = 1, -1, ... ----
// With E and O the sums over even and odd pilots of a window that starts at pilot s, the ports are
// E + O and c(s) (E - O).

// Rows [row, row + rows) of one window, into out[0 .. rows).
template <bool pair>
HWY_INLINE void smooth_window(const Smoother::Filter& filter, int row, int rows, float second_sign,
                              const float* x, float* const* out) {
  const D d;
  const std::size_t count = static_cast<std::size_t>(rows);
  const float* weight = filter.weight.data() + row;
  for (std::size_t k = 0; k < count; k += lane_count()) {
    V even = hn::Zero(d), odd = hn::Zero(d);
    for (int j = 0; j < filter.taps; j += 2) {  // a block has an even number of pilots
      const float* w = weight + static_cast<std::size_t>(j) * Smoother::row_stride + k;
      even = hn::MulAdd(hn::LoadU(d, w), hn::Set(d, x[j]), even);
      odd = hn::MulAdd(hn::LoadU(d, w + Smoother::row_stride), hn::Set(d, x[j + 1]), odd);
    }
    hn::StoreU(hn::Add(even, odd), d, out[0] + k);
    if constexpr (pair)
      hn::StoreU(hn::Mul(hn::Set(d, second_sign), hn::Sub(even, odd)), d, out[1] + k);
  }
}

// Type 1, the middle rows for pilots m = 0 .. count-1 whose windows start at x[m]: two outputs
// each. Eight sums at once: as many as the multipliers have in flight.
HWY_INLINE void smooth_middle(const Smoother::Filter& filter, int row, const float* x,
                              std::size_t count, float* out) {
  const D d;
  const float* weight = filter.weight.data() + row;
  constexpr std::size_t stride = Smoother::row_stride;
  const std::size_t taps = static_cast<std::size_t>(filter.taps), lanes = lane_count();
  std::size_t m = 0;
  for (; m + 4 * lanes <= count; m += 4 * lanes) {
    V a0 = hn::Zero(d), a1 = hn::Zero(d), a2 = hn::Zero(d), a3 = hn::Zero(d);
    V b0 = hn::Zero(d), b1 = hn::Zero(d), b2 = hn::Zero(d), b3 = hn::Zero(d);
    for (std::size_t j = 0; j < taps; ++j) {
      const V u = hn::Set(d, weight[j * stride]), v = hn::Set(d, weight[j * stride + 1]);
      const V x0 = hn::LoadU(d, x + m + j), x1 = hn::LoadU(d, x + m + j + lanes);
      const V x2 = hn::LoadU(d, x + m + j + 2 * lanes), x3 = hn::LoadU(d, x + m + j + 3 * lanes);
      a0 = hn::MulAdd(u, x0, a0), b0 = hn::MulAdd(v, x0, b0);
      a1 = hn::MulAdd(u, x1, a1), b1 = hn::MulAdd(v, x1, b1);
      a2 = hn::MulAdd(u, x2, a2), b2 = hn::MulAdd(v, x2, b2);
      a3 = hn::MulAdd(u, x3, a3), b3 = hn::MulAdd(v, x3, b3);
    }
    hn::StoreInterleaved2(a0, b0, d, out + 2 * m);
    hn::StoreInterleaved2(a1, b1, d, out + 2 * (m + lanes));
    hn::StoreInterleaved2(a2, b2, d, out + 2 * (m + 2 * lanes));
    hn::StoreInterleaved2(a3, b3, d, out + 2 * (m + 3 * lanes));
  }
  for (; m < count; m += lanes) {
    V a = hn::Zero(d), b = hn::Zero(d);
    for (std::size_t j = 0; j < taps; ++j) {
      const V value = hn::LoadU(d, x + m + j);
      a = hn::MulAdd(hn::Set(d, weight[j * stride]), value, a);
      b = hn::MulAdd(hn::Set(d, weight[j * stride + 1]), value, b);
    }
    hn::StoreInterleaved2(a, b, d, out + 2 * m);
  }
}

// The same for a pair; the first window starts at an even (second_sign = 1) or odd pilot of the
// run.
HWY_INLINE void smooth_middle_pair(const Smoother::Filter& filter, int row, float second_sign,
                                   const float* x, std::size_t count, float* const* out) {
  const D d;
  const float* weight = filter.weight.data() + row;
  constexpr std::size_t stride = Smoother::row_stride;
  const std::size_t taps = static_cast<std::size_t>(filter.taps), lanes = lane_count();
  const Alternating sign(second_sign, -second_sign);
  for (std::size_t m = 0; m < count; m += 2 * lanes) {
    V even[2][2], odd[2][2];  // [vector][output]
    for (int i = 0; i < 2; ++i)
      for (int o = 0; o < 2; ++o) even[i][o] = odd[i][o] = hn::Zero(d);
    for (std::size_t j = 0; j < taps; j += 2) {
      const float* w = weight + j * stride;
      const V u = hn::Set(d, w[0]), v = hn::Set(d, w[1]);
      const V p = hn::Set(d, w[stride]), q = hn::Set(d, w[stride + 1]);
      for (std::size_t i = 0; i < 2; ++i) {
        const V x0 = hn::LoadU(d, x + m + i * lanes + j);
        const V x1 = hn::LoadU(d, x + m + i * lanes + j + 1);
        even[i][0] = hn::MulAdd(u, x0, even[i][0]);
        even[i][1] = hn::MulAdd(v, x0, even[i][1]);
        odd[i][0] = hn::MulAdd(p, x1, odd[i][0]);
        odd[i][1] = hn::MulAdd(q, x1, odd[i][1]);
      }
    }
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t at = 2 * (m + i * lanes);
      const V c = sign.at(m + i * lanes);
      hn::StoreInterleaved2(hn::Add(even[i][0], odd[i][0]), hn::Add(even[i][1], odd[i][1]), d,
                            out[0] + at);
      hn::StoreInterleaved2(hn::Mul(c, hn::Sub(even[i][0], odd[i][0])),
                            hn::Mul(c, hn::Sub(even[i][1], odd[i][1])), d, out[1] + at);
    }
  }
}

// One plane of a run of blocks. Outputs are written in ascending order, each overrun is
// overwritten.
template <bool pair>
HWY_INLINE void smooth_run(const Smoother::Filter& filter, int delta, int rbs, const float* x,
                           float* const* out) {
  const CombKind kind = filter.kind;
  const int taps = filter.taps, per_rb = kind.pilots_per_rb();
  const int first_row = kind.lead() - delta;
  const auto at = [&](int k) {
    return std::array<float*, 2>{out[0] + k, pair ? out[1] + k : nullptr};
  };
  if (per_rb * rbs == taps) {
    return smooth_window<pair>(filter, first_row, 12 * rbs, 1, x, out);
  }
  if (kind.type == 2) {
    for (int rb = 0; rb < rbs; ++rb) {
      const SmootherRow row = smoother_row(kind, taps, rbs, delta, 12 * rb);
      smooth_window<pair>(filter, row.p + kind.lead(), 12, 1, x + row.window_start,
                          at(12 * rb).data());
    }
    return;
  }
  const int centre = taps / 2 - (delta == 0 ? 1 : 0);
  const int pilots = per_rb * rbs, middle = pilots - taps + 1;
  smooth_window<pair>(filter, first_row, 2 * centre, 1, x, out);
  if constexpr (pair) {
    smooth_middle_pair(filter, first_row + 2 * centre, 1, x, static_cast<std::size_t>(middle),
                       at(2 * centre).data());
  } else {
    smooth_middle(filter, first_row + 2 * centre, x, static_cast<std::size_t>(middle),
                  out[0] + 2 * centre);
  }
  // The last window starts at pilot pilots - taps, which is even.
  smooth_window<pair>(filter, first_row + 2 * centre + 2, 2 * (taps - centre - 1), 1,
                      x + (pilots - taps), at(2 * (centre + middle)).data());
}

// sum |z(m) - h0(m) - c(m) h1(m)|^2 of one plane; `rest` keeps the differences where it is not
// null, exactly `count` of them: another run may follow.
template <bool pair>
HWY_INLINE double residual_sum(const float* z, const float* h0, const float* h1, std::size_t count,
                               float* rest) {
  const D d;
  const Alternating sign(1, -1);
  V sum = hn::Zero(d);
  for (std::size_t m = 0; m < count; m += lane_count()) {
    V left = hn::Sub(hn::LoadU(d, z + m), hn::LoadU(d, h0 + m));
    if constexpr (pair) left = hn::NegMulAdd(sign.at(m), hn::LoadU(d, h1 + m), left);
    const auto counts = hn::FirstN(d, count - m);
    if (m + lane_count() > count) left = hn::IfThenElseZero(counts, left);
    sum = hn::MulAdd(left, left, sum);
    if (rest != nullptr) hn::BlendedStore(left, counts, d, rest + m);
  }
  return sum_of(sum);
}

}  // namespace
}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
