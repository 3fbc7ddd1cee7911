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
  V re = hn::Zero(d), im = hn::Zero(d);
  std::size_t m = 0;
  for (; m + lane_count() <= count; m += lane_count()) {
    const V a = hn::LoadU(d, x.re + m), b = hn::LoadU(d, x.im + m);
    const V p = hn::LoadU(d, y.re + m), q = hn::LoadU(d, y.im + m);
    re = hn::MulAdd(a, p, hn::MulAdd(b, q, re));
    im = hn::MulAdd(a, q, hn::NegMulAdd(b, p, im));
  }
  double tail_re = 0, tail_im = 0;
  for (; m < count; ++m) {
    tail_re += static_cast<double>(x.re[m] * y.re[m] + x.im[m] * y.im[m]);
    tail_im += static_cast<double>(x.re[m] * y.im[m] - x.im[m] * y.re[m]);
  }
  return {tail_re + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, re))),
          tail_im + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, im)))};
}

// sum |z(m + lag) - z(m)|^2 of one plane
double difference_sum(const float* x, std::size_t lag, std::size_t count) {
  const D d;
  V sum = hn::Zero(d);
  std::size_t m = 0;
  for (; m + lag + lane_count() <= count; m += lane_count()) {
    const V step = hn::Sub(hn::LoadU(d, x + m + lag), hn::LoadU(d, x + m));
    sum = hn::MulAdd(step, step, sum);
  }
  double tail = 0;
  for (; m + lag < count; ++m) {
    const float step = x[m + lag] - x[m];
    tail += static_cast<double>(step * step);
  }
  return tail + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
}

// sum |z(m) - (z(m-1) + z(m+1)) / 2|^2 of one plane
double curvature_sum(const float* x, std::size_t count) {
  const D d;
  V sum = hn::Zero(d);
  std::size_t m = 1;
  for (; m + 1 + lane_count() <= count; m += lane_count()) {
    const V sides = hn::Add(hn::LoadU(d, x + m - 1), hn::LoadU(d, x + m + 1));
    const V bend = hn::NegMulAdd(sides, hn::Set(d, 0.5f), hn::LoadU(d, x + m));
    sum = hn::MulAdd(bend, bend, sum);
  }
  double tail = 0;
  for (; m + 1 < count; ++m) {
    const float bend = x[m] - 0.5f * (x[m - 1] + x[m + 1]);
    tail += static_cast<double>(bend * bend);
  }
  return tail + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
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

// The middle rows for pilots m = 0 .. count-1 whose windows start at x[m]: two outputs each.
void smooth_middle(const Smoother::Filter& filter, int row, const float* x, std::size_t count,
                   float* out) {
  const D d;
  const float* weight = filter.weight.data() + row;
  constexpr std::size_t stride = Smoother::row_stride;
  std::size_t m = 0;
  for (; m + 2 * lane_count() <= count; m += 2 * lane_count()) {
    V first[2] = {hn::Zero(d), hn::Zero(d)}, second[2] = {hn::Zero(d), hn::Zero(d)};
    for (std::size_t j = 0; j < static_cast<std::size_t>(filter.taps); ++j) {
      const V u = hn::Set(d, weight[j * stride]), v = hn::Set(d, weight[j * stride + 1]);
      const V x0 = hn::LoadU(d, x + m + j), x1 = hn::LoadU(d, x + m + j + lane_count());
      first[0] = hn::MulAdd(u, x0, first[0]);
      second[0] = hn::MulAdd(v, x0, second[0]);
      first[1] = hn::MulAdd(u, x1, first[1]);
      second[1] = hn::MulAdd(v, x1, second[1]);
    }
    hn::StoreInterleaved2(first[0], second[0], d, out + 2 * m);
    hn::StoreInterleaved2(first[1], second[1], d, out + 2 * m + 2 * lane_count());
  }
  for (; m < count; ++m) smooth_window(filter, row, 2, x + m, out + 2 * m);
}

void smooth_run(const Smoother::Filter& filter, int comb, int pilots, const float* x, float* out) {
  const int taps = filter.taps;
  const int first_row = 1 - comb;  // p = -comb
  if (pilots == taps) return smooth_window(filter, first_row, 2 * taps, x, out);
  const int centre = taps / 2 - (comb == 0 ? 1 : 0);
  const int middle = pilots - taps + 1;
  smooth_window(filter, first_row, 2 * centre, x, out);
  smooth_middle(filter, first_row + 2 * centre, x, static_cast<std::size_t>(middle),
                out + 2 * centre);
  smooth_window(filter, first_row + 2 * centre + 2, 2 * (taps - centre - 1), x + pilots - taps,
                out + 2 * (centre + middle));
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

void make_ramp(const Job& job, double delay_cycles) {
  const double step = -2 * std::numbers::pi * delay_cycles;
  float inner_re[12], inner_im[12];
  for (int k = 0; k < 12; ++k) {
    inner_re[k] = static_cast<float>(std::cos(step * k));
    inner_im[k] = static_cast<float>(std::sin(step * k));
  }
  const std::complex<double> turn = std::polar(1.0, 12 * step);
  float* re = job.workspace.ramp.data();
  float* im = re + job.workspace.plane;
  for (const RbRun& run : *job.input.allocation) {
    std::complex<double> outer = std::polar(1.0, 12 * step * run.first);
    for (int rb = 0; rb < run.count; ++rb, re += 12, im += 12, outer *= turn) {
      const float c = static_cast<float>(outer.real()), s = static_cast<float>(outer.imag());
      for (int k = 0; k < 12; ++k) {
        re[k] = inner_re[k] * c - inner_im[k] * s;
        im[k] = inner_re[k] * s + inner_im[k] * c;
      }
    }
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
        sums.mid += difference_sum(z.re, lag_mid, count) + difference_sum(z.im, lag_mid, count);
        sums.mid_count += static_cast<double>(count - lag_mid);
        if (count > lag_far) {
          sums.far += difference_sum(z.re, lag_far, count) + difference_sum(z.im, lag_far, count);
          sums.far_count += static_cast<double>(count - lag_far);
        }
        sums.curvature += curvature_sum(z.re, count) + curvature_sum(z.im, count);
        sums.curvature_count += static_cast<double>(count - 2);
        first += count;
      }
    }
  return sums;
}

// Smooths every row; returns the sum of what is left on the pilots.
double smooth_all(const Job& job, SmootherChoice choice) {
  const int comb = job.input.comb;
  double residual = 0;
  for (int a = 0; a < job.antennas; ++a)
    for (int d = 0; d < job.symbols; ++d) {
      std::size_t first = 0;
      for (const RbRun& run : *job.input.allocation) {
        const int pilots = 6 * run.count;
        const Smoother::Filter& filter =
            smoother().filter(choice.spread_class, choice.snr_class, pilots);
        const Planes z = job.ls(a, d) + first, h = job.smooth(a, d) + 2 * first;
        const std::size_t count = static_cast<std::size_t>(pilots);
        smooth_run(filter, comb, pilots, z.re, h.re);
        smooth_run(filter, comb, pilots, z.im, h.im);
        residual += residual_sum(z.re, h.re, comb, count) + residual_sum(z.im, h.im, comb, count);
        first += count;
      }
    }
  return residual;
}

TimeSums time_sums(const Job& job) {
  TimeSums sums;
  const std::size_t count = static_cast<std::size_t>(job.input.allocation->subcarriers());
  for (int a = 0; a < job.antennas; ++a)
    for (int d = 0; d < job.symbols; ++d) {
      const Planes h = job.smooth(a, d);
      sums.power[static_cast<std::size_t>(d)] += product_sum(h, h, count).real();
      if (d + 1 < job.symbols)
        sums.turn[static_cast<std::size_t>(d)] += product_sum(h, job.smooth(a, d + 1), count);
    }
  sums.count = static_cast<double>(job.antennas) * static_cast<double>(count);
  return sums;
}

// A channel that stands still: the mean of all DM-RS symbols, turned back, in the first's place.
void average_symbols(const Job& job, float turn) {
  std::complex<float> weight[estimate_symbols_max];
  for (int d = 0; d < job.symbols; ++d) {
    const double angle =
        -static_cast<double>(turn) * job.input.symbols.symbol[static_cast<std::size_t>(d)];
    weight[d] = std::complex<float>(std::polar(1.0 / job.symbols, angle));
  }
  const std::size_t count = static_cast<std::size_t>(job.input.allocation->subcarriers());
  for (int a = 0; a < job.antennas; ++a) {
    Planes x[estimate_symbols_max];
    for (int d = 0; d < job.symbols; ++d) x[d] = job.smooth(a, d);
    weighted_sum(weight, x, job.symbols, nullptr, nullptr, count, x[0]);
  }
}

ChannelInfo estimate(const EstimateInput& input, cpu::EstimateWorkspace& workspace) {
  const Job job{input, workspace, static_cast<int>(input.grid.extent(0)), input.symbols.count};
  ChannelInfo info;
  info.antennas = job.antennas;

  const std::complex<double> slope = least_squares_all(job);
  const double delay = -std::arg(slope) / (4 * std::numbers::pi);
  info.delay_cycles = static_cast<float>(delay);
  make_ramp(job, delay);
  const SmootherChoice choice = choose_smoother(remove_ramp_all(job));
  const SmootherGains gains = smoother_gains(*input.allocation, choice, input.comb);
  const double residual = smooth_all(job, choice);
  const double pilot_noise = residual / (gains.residual * job.antennas * job.symbols);
  info.noise_power = static_cast<float>(pilot_noise) * input.amplitude * input.amplitude;
  choose_time_weights(time_sums(job), input.symbols, pilot_noise, gains.output_noise, info);
  if (info.references == 1) average_symbols(job, info.doppler_turn);
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
    : plane((static_cast<std::size_t>(rb_max) * 12 + 63) / 64 * 64),
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
