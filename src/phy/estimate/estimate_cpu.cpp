#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

#include "phy/estimate/estimate.h"
#include "phy/estimate/smoother.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/estimate/estimate_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
inline std::size_t lane_count() { return hn::Lanes(D()); }

// A complex row: one plane of real parts, one of imaginary parts.
struct Planes {
  float* re;
  float* im;
  Planes operator+(std::size_t offset) const { return {re + offset, im + offset}; }
};

// z = y conj(r) * scale on every second subcarrier of a run.
void least_squares(const cf32* received, const cf32* pilots, int comb, std::size_t count,
                   float scale, Planes z) {
  const D d;
  const float* y = reinterpret_cast<const float*>(received);
  const float* r = reinterpret_cast<const float*>(pilots);
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    V re[2], im[2], p, q;
    hn::LoadInterleaved4(d, y + 4 * m, re[0], im[0], re[1], im[1]);
    hn::LoadInterleaved2(d, r + 2 * m, p, q);
    const V a = hn::Mul(comb == 0 ? re[0] : re[1], hn::Set(d, scale));
    const V b = hn::Mul(comb == 0 ? im[0] : im[1], hn::Set(d, scale));
    hn::StoreU(hn::MulAdd(a, p, hn::Mul(b, q)), d, z.re + m);
    hn::StoreU(hn::NegMulAdd(a, q, hn::Mul(b, p)), d, z.im + m);
  }
  for (; m < count; ++m) {
    const cf32 value = received[2 * m + static_cast<std::size_t>(comb)];
    const float a = value.real() * scale, b = value.imag() * scale;
    z.re[m] = a * pilots[m].real() + b * pilots[m].imag();
    z.im[m] = b * pilots[m].real() - a * pilots[m].imag();
  }
}

// sum conj(x) y
std::complex<double> product_sum(Planes x, Planes y, std::size_t count) {
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
  return {tail_re + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(re[0], re[1])))),
          tail_im + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(im[0], im[1]))))};
}

// sum |z(m + lag) - z(m)|^2
double difference_sum(Planes z, std::size_t lag, std::size_t count) {
  const D d;
  V sum[2] = {hn::Zero(d), hn::Zero(d)};
  std::size_t m = 0;
  for (; m + lag + lane_count() <= count; m += lane_count()) {
    const V re = hn::Sub(hn::LoadU(d, z.re + m + lag), hn::LoadU(d, z.re + m));
    const V im = hn::Sub(hn::LoadU(d, z.im + m + lag), hn::LoadU(d, z.im + m));
    sum[0] = hn::MulAdd(re, re, sum[0]);
    sum[1] = hn::MulAdd(im, im, sum[1]);
  }
  double tail = 0;
  for (; m + lag < count; ++m) {
    const float re = z.re[m + lag] - z.re[m], im = z.im[m + lag] - z.im[m];
    tail += static_cast<double>(re * re + im * im);
  }
  return tail + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(sum[0], sum[1]))));
}

// sum |z(m) - (z(m-1) + z(m+1)) / 2|^2
double curvature_sum(Planes z, std::size_t count) {
  const D d;
  const V half = hn::Set(d, 0.5f);
  V sum[2] = {hn::Zero(d), hn::Zero(d)};
  std::size_t m = 1;
  for (; m + 1 + lane_count() <= count; m += lane_count())
    for (int i = 0; i < 2; ++i) {
      const float* x = (i == 0 ? z.re : z.im) + m;
      const V sides = hn::Add(hn::LoadU(d, x - 1), hn::LoadU(d, x + 1));
      const V bend = hn::NegMulAdd(sides, half, hn::LoadU(d, x));
      sum[i] = hn::MulAdd(bend, bend, sum[i]);
    }
  double tail = 0;
  for (; m + 1 < count; ++m)
    for (const float* x : {z.re + m, z.im + m}) {
      const float bend = x[0] - 0.5f * (x[-1] + x[1]);
      tail += static_cast<double>(bend * bend);
    }
  return tail + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(sum[0], sum[1]))));
}

// out(m) = (x(m) + x(m+1) + x(m+2) + x(m+3)) / 4, count values.
void window_mean(const float* x, std::size_t count, float* out) {
  static_assert(time_window == 4);
  const D d;
  const V quarter = hn::Set(d, 0.25f);
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    const V sum = hn::Add(hn::Add(hn::LoadU(d, x + m), hn::LoadU(d, x + m + 1)),
                          hn::Add(hn::LoadU(d, x + m + 2), hn::LoadU(d, x + m + 3)));
    hn::StoreU(hn::Mul(sum, quarter), d, out + m);
  }
  for (; m < count; ++m) out[m] = 0.25f * (x[m] + x[m + 1] + x[m + 2] + x[m + 3]);
}

// z(m) *= conj(ramp(2 m + comb))
void remove_ramp(Planes z, const float* ramp_re, const float* ramp_im, int comb,
                 std::size_t count) {
  const D d;
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    V p[2], q[2];
    hn::LoadInterleaved2(d, ramp_re + 2 * m, p[0], p[1]);
    hn::LoadInterleaved2(d, ramp_im + 2 * m, q[0], q[1]);
    const V c = comb == 0 ? p[0] : p[1], s = comb == 0 ? q[0] : q[1];
    const V a = hn::LoadU(d, z.re + m), b = hn::LoadU(d, z.im + m);
    hn::StoreU(hn::MulAdd(a, c, hn::Mul(b, s)), d, z.re + m);
    hn::StoreU(hn::NegMulAdd(a, s, hn::Mul(b, c)), d, z.im + m);
  }
  for (; m < count; ++m) {
    const std::size_t k = 2 * m + static_cast<std::size_t>(comb);
    const float a = z.re[m], b = z.im[m];
    z.re[m] = a * ramp_re[k] + b * ramp_im[k];
    z.im[m] = b * ramp_re[k] - a * ramp_im[k];
  }
}

// Rows [first_row, first_row + rows) of one window, into out[0 .. rows).
void smooth_window(const Smoother::Filter& filter, int first_row, int rows, const float* x,
                   float* out) {
  const D d;
  const std::size_t count = static_cast<std::size_t>(rows);
  const float* weight = filter.weight.data() + first_row;
  std::size_t k = 0;
  for (; k + lane_count() <= count; k += lane_count()) {
    V sum = hn::Zero(d);
    for (int j = 0; j < filter.taps; ++j)
      sum =
          hn::MulAdd(hn::LoadU(d, weight + static_cast<std::size_t>(j) * Smoother::row_stride + k),
                     hn::Set(d, x[j]), sum);
    hn::StoreU(sum, d, out + k);
  }
  for (; k < count; ++k) {
    float sum = 0;
    for (int j = 0; j < filter.taps; ++j)
      sum += weight[static_cast<std::size_t>(j) * Smoother::row_stride + k] * x[j];
    out[k] = sum;
  }
}

// The middle rows for pilots m = 0 .. count-1 whose windows start at x[m]: two outputs each. Eight
// sums at once: as many as the multipliers have in flight.
void smooth_middle(const Smoother::Filter& filter, int row, Planes x, std::size_t count,
                   Planes out) {
  const D d;
  const float* weight = filter.weight.data() + row;
  constexpr std::size_t stride = Smoother::row_stride;
  const std::size_t taps = static_cast<std::size_t>(filter.taps), lanes = lane_count();
  std::size_t m = 0;
  for (; m + 2 * lanes <= count; m += 2 * lanes) {
    V a0 = hn::Zero(d), a1 = hn::Zero(d), a2 = hn::Zero(d), a3 = hn::Zero(d);
    V b0 = hn::Zero(d), b1 = hn::Zero(d), b2 = hn::Zero(d), b3 = hn::Zero(d);
    for (std::size_t j = 0; j < taps; ++j) {
      const V u = hn::Set(d, weight[j * stride]), v = hn::Set(d, weight[j * stride + 1]);
      const V re0 = hn::LoadU(d, x.re + m + j), re1 = hn::LoadU(d, x.re + m + j + lanes);
      const V im0 = hn::LoadU(d, x.im + m + j), im1 = hn::LoadU(d, x.im + m + j + lanes);
      a0 = hn::MulAdd(u, re0, a0), b0 = hn::MulAdd(v, re0, b0);
      a1 = hn::MulAdd(u, re1, a1), b1 = hn::MulAdd(v, re1, b1);
      a2 = hn::MulAdd(u, im0, a2), b2 = hn::MulAdd(v, im0, b2);
      a3 = hn::MulAdd(u, im1, a3), b3 = hn::MulAdd(v, im1, b3);
    }
    hn::StoreInterleaved2(a0, b0, d, out.re + 2 * m);
    hn::StoreInterleaved2(a1, b1, d, out.re + 2 * m + 2 * lanes);
    hn::StoreInterleaved2(a2, b2, d, out.im + 2 * m);
    hn::StoreInterleaved2(a3, b3, d, out.im + 2 * m + 2 * lanes);
  }
  for (; m < count; ++m) {
    smooth_window(filter, row, 2, x.re + m, out.re + 2 * m);
    smooth_window(filter, row, 2, x.im + m, out.im + 2 * m);
  }
}

void smooth_rows(const Smoother::Filter& filter, int first_row, int rows, Planes x, Planes out) {
  smooth_window(filter, first_row, rows, x.re, out.re);
  smooth_window(filter, first_row, rows, x.im, out.im);
}

void smooth_run(const Smoother::Filter& filter, int comb, int pilots, Planes x, Planes out) {
  const int taps = filter.taps;
  const int first_row = 1 - comb;  // p = -comb
  if (pilots == taps) return smooth_rows(filter, first_row, 2 * taps, x, out);
  const int centre = taps / 2 - (comb == 0 ? 1 : 0);
  const int middle = pilots - taps + 1;
  smooth_rows(filter, first_row, 2 * centre, x, out);
  smooth_middle(filter, first_row + 2 * centre, x, static_cast<std::size_t>(middle),
                out + static_cast<std::size_t>(2 * centre));
  smooth_rows(filter, first_row + 2 * centre + 2, 2 * (taps - centre - 1),
              x + static_cast<std::size_t>(pilots - taps),
              out + static_cast<std::size_t>(2 * (centre + middle)));
}

// sum |z(m) - h(2 m + comb)|^2 of one plane
double residual_sum(const float* z, const float* h, int comb, std::size_t count) {
  const D d;
  V sum = hn::Zero(d);
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    V on[2];
    hn::LoadInterleaved2(d, h + 2 * m, on[0], on[1]);
    const V rest = hn::Sub(hn::LoadU(d, z + m), comb == 0 ? on[0] : on[1]);
    sum = hn::MulAdd(rest, rest, sum);
  }
  double tail = 0;
  for (; m < count; ++m) {
    const float rest = z[m] - h[2 * m + static_cast<std::size_t>(comb)];
    tail += static_cast<double>(rest * rest);
  }
  return tail + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
}

// x[0] = the mean of all x[d] back[d]; returns the sum of |x[d] back[d] - mean|^2.
double average_rows(const std::complex<float>* back, const Planes* x, int rows, std::size_t count) {
  const D d;
  const V scale = hn::Set(d, 1.0f / static_cast<float>(rows));
  V scatter = hn::Zero(d);
  for (std::size_t m = 0; m < count; m += lane_count()) {
    V re[estimate_symbols_max], im[estimate_symbols_max];
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
    }
    if (m + lane_count() > count) part = hn::IfThenElseZero(hn::FirstN(d, count - m), part);
    scatter = hn::Add(scatter, part);
    hn::StoreU(mean_re, d, x[0].re + m);
    hn::StoreU(mean_im, d, x[0].im + m);
  }
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, scatter)));
}

// out = sum_i weight[i] x[i], complex; then times the ramp when there is one. Planes may be read
// and written up to a whole vector.
void weighted_sum(const std::complex<float>* weight, const Planes* x, int terms,
                  const float* ramp_re, const float* ramp_im, std::size_t count, Planes out) {
  const D d;
  for (std::size_t k = 0; k < count; k += lane_count()) {
    V re = hn::Zero(d), im = hn::Zero(d);
    for (int i = 0; i < terms; ++i) {
      const V a = hn::LoadU(d, x[i].re + k), b = hn::LoadU(d, x[i].im + k);
      const V p = hn::Set(d, weight[i].real()), q = hn::Set(d, weight[i].imag());
      re = hn::MulAdd(a, p, hn::NegMulAdd(b, q, re));
      im = hn::MulAdd(a, q, hn::MulAdd(b, p, im));
    }
    if (ramp_re != nullptr) {
      const V p = hn::LoadU(d, ramp_re + k), q = hn::LoadU(d, ramp_im + k);
      const V turned = hn::NegMulAdd(im, q, hn::Mul(re, p));
      im = hn::MulAdd(re, q, hn::Mul(im, p));
      re = turned;
    }
    hn::StoreU(re, d, out.re + k);
    hn::StoreU(im, d, out.im + k);
  }
}

}  // namespace

struct Job {
  const EstimateInput& input;
  cpu::EstimateWorkspace& workspace;
  int antennas;
  int symbols;

  Planes planes(std::vector<float>& memory, int antenna, int d) const {
    float* base = memory.data() + static_cast<std::size_t>(antenna * estimate_symbols_max + d) * 2 *
                                      workspace.plane;
    return {base, base + workspace.plane};
  }
  Planes ls(int antenna, int d) const { return planes(workspace.ls, antenna, d); }
  Planes smooth(int antenna, int d) const { return planes(workspace.smooth, antenna, d); }
  const float* ramp_re() const { return workspace.ramp.data(); }
  const float* ramp_im() const { return workspace.ramp.data() + workspace.plane; }
};

// Least squares on the comb; returns the sum of conj(z(m)) z(m+1).
std::complex<double> least_squares_all(const Job& job) {
  const EstimateInput& input = job.input;
  std::complex<double> slope = 0;
  for (int a = 0; a < job.antennas; ++a)
    for (int d = 0; d < job.symbols; ++d) {
      const cf32* row = &input.grid(a, input.symbols.symbol[static_cast<std::size_t>(d)], 0);
      const cf32* pilots = &input.pilots(d, 0);
      std::size_t first = 0;
      for (const RbRun& run : *input.allocation) {
        const std::size_t count = static_cast<std::size_t>(6 * run.count);
        const Planes z = job.ls(a, d) + first;
        least_squares(row + 12 * run.first, pilots + first, input.comb, count, 1 / input.amplitude,
                      z);
        slope += product_sum(z, z + 1, count - 1);
        first += count;
      }
    }
  return slope;
}

// ramp(k) = exp(-j 2 pi delay k), k counted on the carrier: a table of a few blocks, turned.
void make_ramp(const Job& job, double delay_cycles) {
  constexpr std::size_t table = 4 * nr::subcarriers_per_rb;  // whole vectors of every width
  const D d;
  const double step = -2 * std::numbers::pi * delay_cycles;
  float table_re[table], table_im[table];
  for (std::size_t k = 0; k < table; ++k) {
    table_re[k] = static_cast<float>(std::cos(step * static_cast<double>(k)));
    table_im[k] = static_cast<float>(std::sin(step * static_cast<double>(k)));
  }
  const std::complex<double> turn = std::polar(1.0, step * static_cast<double>(table));
  float* re = job.workspace.ramp.data();
  float* im = re + job.workspace.plane;
  for (const RbRun& run : *job.input.allocation) {
    std::complex<double> outer = std::polar(1.0, step * nr::subcarriers_per_rb * run.first);
    const std::size_t count = static_cast<std::size_t>(run.count) * nr::subcarriers_per_rb;
    for (std::size_t k = 0; k < count; k += table, outer *= turn) {  // the next run overwrites
      const V c = hn::Set(d, static_cast<float>(outer.real()));
      const V s = hn::Set(d, static_cast<float>(outer.imag()));
      for (std::size_t i = 0; i < table; i += lane_count()) {
        const V p = hn::LoadU(d, table_re + i), q = hn::LoadU(d, table_im + i);
        hn::StoreU(hn::NegMulAdd(q, s, hn::Mul(p, c)), d, re + k + i);
        hn::StoreU(hn::MulAdd(p, s, hn::Mul(q, c)), d, im + k + i);
      }
    }
    re += count;
    im += count;
  }
}

PilotSums remove_ramp_all(const Job& job) {
  PilotSums sums;
  for (int a = 0; a < job.antennas; ++a)
    for (int d = 0; d < job.symbols; ++d) {
      std::size_t first = 0;
      for (const RbRun& run : *job.input.allocation) {
        const std::size_t count = static_cast<std::size_t>(6 * run.count);
        const Planes z = job.ls(a, d) + first;
        remove_ramp(z, job.ramp_re() + 2 * first, job.ramp_im() + 2 * first, job.input.comb, count);
        sums.power += product_sum(z, z, count).real();
        sums.power_count += static_cast<double>(count);
        sums.near += product_sum(z, z + 1, count - 1).real();
        sums.near_count += static_cast<double>(count - 1);
        sums.mid += difference_sum(z, lag_mid, count);
        sums.mid_count += static_cast<double>(count - lag_mid);
        if (count > lag_far) {
          sums.far += difference_sum(z, lag_far, count);
          sums.far_count += static_cast<double>(count - lag_far);
        }
        sums.curvature += curvature_sum(z, count);
        sums.curvature_count += static_cast<double>(count - 2);
        first += count;
      }
    }
  return sums;
}

// Smooths the first rows of each antenna; returns the sum of what is left on the pilots.
double smooth_all(const Job& job, SmootherChoice choice, int references) {
  const int comb = job.input.comb;
  double residual = 0;
  for (int a = 0; a < job.antennas; ++a)
    for (int d = 0; d < references; ++d) {
      std::size_t first = 0;
      for (const RbRun& run : *job.input.allocation) {
        const int pilots = 6 * run.count;
        const Smoother::Filter& filter =
            smoother().filter(choice.spread_class, choice.snr_class, pilots);
        const Planes z = job.ls(a, d) + first, h = job.smooth(a, d) + 2 * first;
        const std::size_t count = static_cast<std::size_t>(pilots);
        smooth_run(filter, comb, pilots, z, h);
        residual += residual_sum(z.re, h.re, comb, count) + residual_sum(z.im, h.im, comb, count);
        first += count;
      }
    }
  return residual;
}

TimeSums time_sums(const Job& job) {
  TimeSums sums;
  if (job.symbols == 1) return sums;
  for (int a = 0; a < job.antennas; ++a) {
    std::size_t first = 0;
    for (const RbRun& run : *job.input.allocation) {
      const std::size_t pilots = static_cast<std::size_t>(6 * run.count);
      const std::size_t count = pilots - time_window + 1;
      for (int d = 0; d < job.symbols; ++d) {
        const Planes z = job.ls(a, d) + first, s = job.smooth(a, d);  // scratch until smooth_all
        window_mean(z.re, count, s.re);
        window_mean(z.im, count, s.im);
        sums.power[static_cast<std::size_t>(d)] += product_sum(s, s, count).real();
        if (d > 0)
          sums.turn[static_cast<std::size_t>(d - 1)] += product_sum(job.smooth(a, d - 1), s, count);
      }
      sums.count += static_cast<double>(count);
      first += pilots;
    }
  }
  return sums;
}

// A channel that stands still: the mean of all DM-RS symbols, turned back to symbol 0, in the first
// one's place. Returns the sum of |z'_d - mean|^2.
double average_symbols(const Job& job, float turn) {
  std::complex<float> back[estimate_symbols_max];
  for (int d = 0; d < job.symbols; ++d)
    back[d] = std::complex<float>(std::polar(
        1.0, -static_cast<double>(turn) * job.input.symbols.symbol[static_cast<std::size_t>(d)]));
  const std::size_t count = static_cast<std::size_t>(6 * job.input.allocation->rb_count);
  double scatter = 0;
  for (int a = 0; a < job.antennas; ++a) {
    Planes x[estimate_symbols_max];
    for (int d = 0; d < job.symbols; ++d) x[d] = job.ls(a, d);
    scatter += average_rows(back, x, job.symbols, count);
  }
  return scatter;
}

ChannelInfo estimate(const EstimateInput& input, cpu::EstimateWorkspace& workspace) {
  const Job job{input, workspace, static_cast<int>(input.grid.extent(0)), input.symbols.count};
  ChannelInfo info;
  info.antennas = job.antennas;

  const std::complex<double> slope = least_squares_all(job);
  const double delay = -std::arg(slope) / (4 * std::numbers::pi);
  info.delay_cycles = static_cast<float>(delay);
  make_ramp(job, delay);
  const PilotSums sums = remove_ramp_all(job);

  SmootherChoice choice = choose_smoother(sums, 1);
  SmootherGains gains = smoother_gains(*input.allocation, choice, input.comb);
  choose_time_weights(time_sums(job), input.symbols, pilot_noise_guess(sums), gains.output_noise,
                      info);
  double scatter = 0;
  if (info.references == 1 && job.symbols > 1) {
    scatter = average_symbols(job, info.doppler_turn);
    choice = choose_smoother(sums, job.symbols);
    gains = smoother_gains(*input.allocation, choice, input.comb);
  }
  const double residual = smooth_all(job, choice, info.references);
  finish(input, sums, gains, residual, scatter, info);
  return info;
}

void channel_at(const ChannelInfo& info, const cpu::EstimateWorkspace& workspace, int symbol,
                int subcarriers, View<float, 3> h) {
  const auto& weights = info.weight[static_cast<std::size_t>(symbol)];
  for (int a = 0; a < info.antennas; ++a) {
    Planes x[estimate_symbols_max];
    for (int d = 0; d < info.references; ++d) {
      float* base = const_cast<float*>(workspace.smooth.data()) +
                    static_cast<std::size_t>(a * estimate_symbols_max + d) * 2 * workspace.plane;
      x[d] = {base, base + workspace.plane};
    }
    const float* ramp = workspace.ramp.data();
    weighted_sum(weights.data(), x, info.references, ramp, ramp + workspace.plane,
                 static_cast<std::size_t>(subcarriers), {&h(a, 0, 0), &h(a, 1, 0)});
  }
}

}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(estimate);
HWY_EXPORT(channel_at);

EstimateWorkspace::EstimateWorkspace(int rb_max)
    : plane((static_cast<std::size_t>(rb_max) * 12 + 63) / 64 * 64 + 64),
      ls(nr::receive_antennas_max * estimate_symbols_max * 2 * plane),
      smooth(nr::receive_antennas_max * estimate_symbols_max * 2 * plane),
      ramp(2 * plane) {
  smoother();  // built here, outside the slot
}

ChannelInfo estimate(const EstimateInput& input, EstimateWorkspace& workspace) {
  const std::size_t antennas = input.grid.extent(0);
  assert(input.allocation != nullptr && input.allocation->rb_count > 0);
  assert(antennas >= 1 && antennas <= nr::receive_antennas_max);
  assert(input.symbols.count >= 1 && input.symbols.count <= estimate_symbols_max);
  assert(input.pilots.extent(0) >= static_cast<std::size_t>(input.symbols.count));
  assert(input.pilots.extent(1) >= static_cast<std::size_t>(6 * input.allocation->rb_count));
  assert(workspace.plane >= static_cast<std::size_t>(input.allocation->subcarriers()));
  assert(input.comb == 0 || input.comb == 1);
  return HWY_DYNAMIC_DISPATCH(estimate)(input, workspace);
}

void channel_at(const ChannelInfo& info, const EstimateWorkspace& workspace, int symbol,
                int subcarriers, View<float, 3> h) {
  assert(h.extent(0) >= static_cast<std::size_t>(info.antennas) && h.extent(1) == 2);
  assert(h.extent(2) >= (static_cast<std::size_t>(subcarriers) + 63) / 64 * 64);
  assert(workspace.plane >= static_cast<std::size_t>(subcarriers));
  HWY_DYNAMIC_DISPATCH(channel_at)(info, workspace, symbol, subcarriers, h);
}

}  // namespace noroshi::phy::cpu
#endif
