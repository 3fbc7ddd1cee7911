#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

#include "phy/estimate/estimate.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/estimate/estimate_cpu.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
#include "phy/estimate/estimate_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace {

// What one antenna adds to the sums; added up in order, whoever computed it.
struct AntennaSums {
  std::array<SlopeSums, nr::layers_max> slope{};  // by comb
  EstimateSums sums;
  Residuals residuals;
  std::array<std::complex<double>, nr::layers_max> port_slope{};  // by layer
};

struct Job {
  const EstimateInput& input;
  cpu::EstimateWorkspace& workspace;
  PilotTimes times;
  std::array<AntennaSums, nr::receive_antennas_max> antenna;

  const CombList& combs() const { return workspace.combs; }
  std::size_t pilot_plane() const { return workspace.plane / 2; }
  Planes ls(int a, int comb, int t) const {
    float* base =
        workspace.ls.data() +
        static_cast<std::size_t>((a * workspace.layers_max + comb) * estimate_times_max + t) * 2 *
            pilot_plane();
    return {base, base + pilot_plane()};
  }
  Planes mean(int a, int comb) const {
    float* base = workspace.mean.data() +
                  static_cast<std::size_t>(a * workspace.layers_max + comb) * 2 * pilot_plane();
    return {base, base + pilot_plane()};
  }
  Planes smooth(int a, int layer, int reference) const {
    float* base = workspace.smooth.data() +
                  static_cast<std::size_t>((a * workspace.layers_max + layer) * estimate_times_max +
                                           reference) *
                      2 * workspace.plane;
    return {base, base + workspace.plane};
  }
  Planes ramp(int comb) const {
    float* base = workspace.ramp.data() + static_cast<std::size_t>(comb) * 3 * workspace.plane;
    return {base, base + workspace.plane};
  }
  // The ramp on the comb's pilots.
  Planes pilot_ramp(int comb) const {
    float* base = workspace.ramp.data() + static_cast<std::size_t>(comb) * 3 * workspace.plane +
                  2 * workspace.plane;
    return {base, base + pilot_plane()};
  }
  float* scratch(int a, int index) const {
    return workspace.scratch.data() + static_cast<std::size_t>(a * 4 + index) * workspace.plane;
  }
  std::size_t pilots(const Comb& comb) const {
    return static_cast<std::size_t>(comb.kind.pilots_per_rb() * input.allocation->rb_count);
  }
};

// Calls visit(run, its first pilot of the comb, its pilots).
template <class Visit>
void each_run(const Job& job, const Comb& comb, Visit visit) {
  std::size_t first = 0;
  for (const RbRun& run : *job.input.allocation) {
    const std::size_t count = static_cast<std::size_t>(comb.kind.pilots_per_rb() * run.count);
    visit(run, first, count);
    first += count;
  }
}

// Least squares of one antenna on a comb.
SlopeSums least_squares_rows(const Job& job, int a, int c) {
  const EstimateInput& input = job.input;
  const Comb& comb = job.combs().comb[static_cast<std::size_t>(c)];
  const int step = input.double_symbol ? 2 : 1;
  SlopeSums slope;
  for (int t = 0; t < job.times.count; ++t)
    each_run(job, comb, [&](const RbRun& run, std::size_t first, std::size_t count) {
      const Planes z = job.ls(a, c, t) + first;
      for (int i = 0; i < step; ++i) {
        const int symbol = input.symbols.symbol[static_cast<std::size_t>(t * step + i)];
        const cf32* row = &input.grid(a, symbol, 12 * run.first);
        const cf32* pilots = &input.pilots(t * step + i, first);
        const float scale =
            static_cast<float>(i == 0 ? 1 : comb.w_t) / input.amplitude / static_cast<float>(step);
        const Alternating factor(scale, comb.flipped() ? -scale : scale);
        if (comb.kind.type == 1) {
          least_squares<2>(row, comb.delta, pilots, count, factor, i == 1, z);
        } else {
          cf32* packed = reinterpret_cast<cf32*>(job.scratch(a, 0));
          for (std::size_t m = 0; m < count; m += 2)
            std::memcpy(packed + m, row + comb.delta + 3 * m, 2 * sizeof(cf32));
          least_squares<1>(packed, 0, pilots, count, factor, i == 1, z);
        }
      }
      const std::size_t near = static_cast<std::size_t>(comb.lag());
      const std::size_t far = static_cast<std::size_t>(comb.lags()[1]);
      slope.near += product_sum(z, z + near, count - near);
      slope.near_count += static_cast<double>(count - near);
      if (count <= far) return;
      slope.far += product_sum(z, z + far, count - far);
      slope.far_count += static_cast<double>(count - far);
    });
  return slope;
}

// ramp(k) = exp(-j 2 pi delay k), k counted on the carrier: a table of a few blocks, turned.
void make_ramp(const Job& job, int c, double delay) {
  constexpr std::size_t table = 4 * nr::subcarriers_per_rb;  // whole vectors of every width
  const D d;
  const double step = -2 * std::numbers::pi * delay;
  float table_re[table], table_im[table];
  const auto product = [](std::complex<double> x, std::complex<double> y) {
    return std::complex<double>(x.real() * y.real() - x.imag() * y.imag(),
                                x.real() * y.imag() + x.imag() * y.real());
  };
  const std::complex<double> one_step = std::polar(1.0, step);
  std::complex<double> now = 1;
  for (std::size_t k = 0; k < table; ++k, now = product(now, one_step)) {
    table_re[k] = static_cast<float>(now.real());
    table_im[k] = static_cast<float>(now.imag());
  }
  const Comb& comb = job.combs().comb[static_cast<std::size_t>(c)];
  Planes ramp = job.ramp(c);
  each_run(job, comb, [&](const RbRun& run, std::size_t first, std::size_t pilots) {
    std::complex<double> outer = std::polar(1.0, step * nr::subcarriers_per_rb * run.first);
    const std::size_t count = static_cast<std::size_t>(run.count) * nr::subcarriers_per_rb;
    for (std::size_t k = 0; k < count; k += table, outer = product(outer, now)) {
      const V x = hn::Set(d, static_cast<float>(outer.real()));
      const V y = hn::Set(d, static_cast<float>(outer.imag()));
      for (std::size_t i = 0; i < table; i += lane_count()) {  // the next run overwrites
        const V p = hn::LoadU(d, table_re + i), q = hn::LoadU(d, table_im + i);
        hn::StoreU(hn::NegMulAdd(q, y, hn::Mul(p, x)), d, ramp.re + k + i);
        hn::StoreU(hn::MulAdd(p, y, hn::Mul(q, x)), d, ramp.im + k + i);
      }
    }
    pick_pilots(comb, ramp.re, pilots, job.pilot_ramp(c).re + first);
    pick_pilots(comb, ramp.im, pilots, job.pilot_ramp(c).im + first);
    ramp = ramp + count;
  });
}

template <int times>
void add_time_sums(const Comb& comb, const Planes* z, std::size_t pilots, EstimateSums& sums) {
  TimeSums both[2];
  if (comb.kind.pair) {
    run_time_sums<times, true>(z, pilots, both);
  } else {
    run_time_sums<times, false>(z, pilots, both + (comb.flipped() ? 1 : 0));
  }
  for (std::size_t i = 0; i < 2; ++i)
    if (comb.layer[i] >= 0) sums.time[static_cast<std::size_t>(comb.layer[i])].add(both[i]);
}

// Takes the ramp away and adds up what the decisions need.
void measure_rows(const Job& job, int a, int c, EstimateSums& sums) {
  const Comb& comb = job.combs().comb[static_cast<std::size_t>(c)];
  each_run(job, comb, [&](const RbRun&, std::size_t first, std::size_t count) {
    Planes z[estimate_times_max];
    for (int t = 0; t < job.times.count; ++t) {
      z[t] = job.ls(a, c, t) + first;
      remove_ramp(z[t], job.pilot_ramp(c).re + first, job.pilot_ramp(c).im + first, count);
      sums.pilots[static_cast<std::size_t>(c)].add(run_sums(comb, z[t], count));
    }
    switch (job.times.count) {
      case 1:
        return add_time_sums<1>(comb, z, count, sums);
      case 2:
        return add_time_sums<2>(comb, z, count, sums);
      case 3:
        return add_time_sums<3>(comb, z, count, sums);
      default:
        return add_time_sums<4>(comb, z, count, sums);
    }
  });
}

// A channel that stands still: the mean of all times, turned back to symbol 0.
double average_times(const Job& job, int a, int c, double turn) {
  std::complex<float> back[estimate_times_max];
  Planes x[estimate_times_max];
  for (int t = 0; t < job.times.count; ++t) {
    back[t] =
        std::complex<float>(std::polar(1.0, -turn * job.times.at[static_cast<std::size_t>(t)]));
    x[t] = job.ls(a, c, t);
  }
  return average_rows(back, x, job.times.count,
                      job.pilots(job.combs().comb[static_cast<std::size_t>(c)]),
                      job.input.keep_residuals, job.mean(a, c));
}

// Smooths one row of pilots; returns the sum of what is left on the pilots. With keep_residuals
// that is what becomes of z.
template <bool pair>
double smooth_row(const Job& job, int a, int c, Planes z, int reference) {
  const Comb& comb = job.combs().comb[static_cast<std::size_t>(c)];
  const SmootherChoice choice = job.workspace.choices[static_cast<std::size_t>(c)];
  const int layers[2] = {comb.flipped() ? comb.layer[1] : comb.layer[0], comb.layer[1]};
  Planes h[2] = {job.smooth(a, layers[0], reference), {}};
  if constexpr (pair) h[1] = job.smooth(a, layers[1], reference);
  double residual = 0;
  each_run(job, comb, [&](const RbRun& run, std::size_t first, std::size_t count) {
    const Smoother::Filter& filter =
        smoother().filter(comb.kind, choice.spread_class, choice.snr_class, run.count);
    for (int part = 0; part < 2; ++part) {
      float* x = (part == 0 ? z.re : z.im) + first;
      float* out[2] = {part == 0 ? h[0].re : h[0].im, part == 0 ? h[1].re : h[1].im};
      smooth_run<pair>(filter, comb.delta, run.count, x, out);
      float* on[2] = {job.scratch(a, 0), job.scratch(a, 1)};
      for (int i = 0; i < (pair ? 2 : 1); ++i) pick_pilots(comb, out[i], count, on[i]);
      residual +=
          residual_sum<pair>(x, on[0], on[1], count, job.input.keep_residuals ? x : nullptr);
    }
    const std::size_t subcarriers = static_cast<std::size_t>(12 * run.count);
    h[0] = h[0] + subcarriers;
    if constexpr (pair) h[1] = h[1] + subcarriers;
  });
  return residual;
}

void smooth_rows(Job& job, int a, const ChannelInfo& info) {
  AntennaSums& sums = job.antenna[static_cast<std::size_t>(a)];
  for (int c = 0; c < job.combs().count; ++c) {
    const std::size_t i = static_cast<std::size_t>(c);
    const bool averaged = info.references == 1 && job.times.count > 1;
    if (averaged)
      sums.residuals.scatter[i] =
          average_times(job, a, c, static_cast<double>(info.layer[0].doppler_turn));
    for (int r = 0; r < info.references; ++r) {
      const Planes z = averaged ? job.mean(a, c) : job.ls(a, c, r);
      sums.residuals.residual[i] += job.combs().comb[i].kind.pair
                                        ? smooth_row<true>(job, a, c, z, r)
                                        : smooth_row<false>(job, a, c, z, r);
    }
    if (!averaged || !job.input.keep_residuals) continue;
    for (int t = 0; t < job.times.count; ++t) {
      add_row(job.mean(a, c).re, job.pilots(job.combs().comb[i]), job.ls(a, c, t).re);
      add_row(job.mean(a, c).im, job.pilots(job.combs().comb[i]), job.ls(a, c, t).im);
    }
  }
}

// The slope that the estimates of ports which share a comb keep.
void port_slopes(Job& job, int a, const ChannelInfo& info) {
  AntennaSums& sums = job.antenna[static_cast<std::size_t>(a)];
  for (const Comb& comb : job.combs()) {
    if (!comb.kind.pair) continue;
    for (const int layer : comb.layer)
      for (int r = 0; r < info.references; ++r) {
        Planes h = job.smooth(a, layer, r);
        for (const RbRun& run : *job.input.allocation) {
          const std::size_t count = static_cast<std::size_t>(12 * run.count);
          sums.port_slope[static_cast<std::size_t>(layer)] +=
              product_sum(h, h + port_delay_lag, count - port_delay_lag);
          h = h + count;
        }
      }
  }
}

void choose_smoothers(Job& job, const EstimateSums& sums, int averaged,
                      std::array<SmootherGains, nr::layers_max>& gains) {
  for (std::size_t c = 0; c < static_cast<std::size_t>(job.combs().count); ++c) {
    SmootherChoice& choice = job.workspace.choices[c];
    choice = choose_smoother(job.input, job.combs().comb[c], sums.pilots[c], averaged);
    gains[c] = smoother_gains(*job.input.allocation, job.combs().comb[c], choice);
  }
}

void find_delays(Job& job, const Workers& workers, ChannelInfo& info) {
  workers.for_each(job.combs().count, [&](int c) {
    const Comb& comb = job.combs().comb[static_cast<std::size_t>(c)];
    SlopeSums slope;
    for (int a = 0; a < info.antennas; ++a)
      slope.add(job.antenna[static_cast<std::size_t>(a)].slope[static_cast<std::size_t>(c)]);
    const double delay = delay_cycles(comb, slope);
    make_ramp(job, c, delay);
    for (const int layer : comb.layer)
      if (layer >= 0)
        info.layer[static_cast<std::size_t>(layer)].delay_cycles = static_cast<float>(delay);
  });
}

}  // namespace

ChannelInfo estimate(const EstimateInput& input, cpu::EstimateWorkspace& workspace,
                     const Workers& workers) {
  workspace.combs = make_combs(input);
  Job job{input, workspace, pilot_times(input), {}};
  const int combs = workspace.combs.count;
  ChannelInfo info;
  info.antennas = static_cast<int>(input.grid.extent(0));
  info.layers = input.layers;

  workers.for_each(info.antennas, [&](int a) {
    for (int c = 0; c < combs; ++c)
      job.antenna[static_cast<std::size_t>(a)].slope[static_cast<std::size_t>(c)] =
          least_squares_rows(job, a, c);
  });
  find_delays(job, workers, info);

  workers.for_each(info.antennas, [&](int a) {
    for (int c = 0; c < combs; ++c)
      measure_rows(job, a, c, job.antenna[static_cast<std::size_t>(a)].sums);
  });
  EstimateSums sums;
  for (int a = 0; a < info.antennas; ++a)
    for (std::size_t i = 0; i < nr::layers_max; ++i) {
      sums.pilots[i].add(job.antenna[static_cast<std::size_t>(a)].sums.pilots[i]);
      sums.time[i].add(job.antenna[static_cast<std::size_t>(a)].sums.time[i]);
    }
  std::array<SmootherGains, nr::layers_max> gains;
  choose_smoothers(job, sums, 1, gains);
  decide_time(input, workspace.combs, sums, gains, info);
  if (info.references == 1) choose_smoothers(job, sums, job.times.count, gains);

  workers.for_each(info.antennas, [&](int a) {
    smooth_rows(job, a, info);
    port_slopes(job, a, info);
  });
  Residuals residuals;
  std::array<std::complex<double>, nr::layers_max> slopes{};
  for (int a = 0; a < info.antennas; ++a) {
    const AntennaSums& from = job.antenna[static_cast<std::size_t>(a)];
    for (std::size_t i = 0; i < nr::layers_max; ++i) {
      residuals.residual[i] += from.residuals.residual[i];
      residuals.scatter[i] += from.residuals.scatter[i];
      slopes[i] += from.port_slope[i];
    }
  }
  finish(input, workspace.combs, sums, gains, residuals, info);
  for (std::size_t i = 0; i < static_cast<std::size_t>(input.layers); ++i)
    info.layer[i].delay_cycles -=
        static_cast<float>(std::arg(slopes[i]) / (2 * std::numbers::pi * port_delay_lag));
  return info;
}

void channel_at(const ChannelInfo& info, const cpu::EstimateWorkspace& workspace, int symbol,
                std::size_t first_block, View<float, 5> h) {
  const D d;
  constexpr std::size_t block_size = cpu::subcarrier_block;
  std::array<const float*, nr::layers_max> ramps{};
  for (std::size_t c = 0; c < static_cast<std::size_t>(workspace.combs.count); ++c)
    for (const int layer : workspace.combs.comb[c].layer)
      if (layer >= 0)
        ramps[static_cast<std::size_t>(layer)] = workspace.ramp.data() + c * 3 * workspace.plane;
  float* out = h.data();
  const std::size_t references = static_cast<std::size_t>(info.references);
  for (std::size_t block = first_block; block < first_block + h.extent(0); ++block)
    for (int a = 0; a < info.antennas; ++a)
      for (int layer = 0; layer < info.layers; ++layer, out += 2 * block_size) {
        const auto& weight =
            info.layer[static_cast<std::size_t>(layer)].weight[static_cast<std::size_t>(symbol)];
        const float* from =
            workspace.smooth.data() +
            static_cast<std::size_t>((a * workspace.layers_max + layer) * estimate_times_max) * 2 *
                workspace.plane;
        const float* ramp = ramps[static_cast<std::size_t>(layer)];
        for (std::size_t i = 0; i < block_size; i += lane_count()) {
          const std::size_t k = block * block_size + i;
          V re = hn::Zero(d), im = hn::Zero(d);
          for (std::size_t t = 0; t < references; ++t) {
            const float* x = from + t * 2 * workspace.plane + k;
            const V u = hn::LoadU(d, x), v = hn::LoadU(d, x + workspace.plane);
            const V p = hn::Set(d, weight[t].real()), q = hn::Set(d, weight[t].imag());
            re = hn::MulAdd(u, p, hn::NegMulAdd(v, q, re));
            im = hn::MulAdd(u, q, hn::MulAdd(v, p, im));
          }
          const V p = hn::LoadU(d, ramp + k), q = hn::LoadU(d, ramp + workspace.plane + k);
          hn::StoreU(hn::NegMulAdd(im, q, hn::Mul(re, p)), d, out + i);
          hn::StoreU(hn::MulAdd(re, q, hn::Mul(im, p)), d, out + block_size + i);
        }
      }
}

}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(estimate);
HWY_EXPORT(channel_at);

EstimateWorkspace::EstimateWorkspace(int rb_max, int antennas, int layers)
    // Rows that are read side by side must not all begin in the same set of the first cache.
    : plane((static_cast<std::size_t>(rb_max) * 12 + 127) / 128 * 128 + 128 + 32),
      antennas_max(antennas),
      layers_max(layers),
      ls(static_cast<std::size_t>(antennas * layers * estimate_times_max) * plane),
      mean(static_cast<std::size_t>(antennas * layers) * plane),
      smooth(static_cast<std::size_t>(antennas * layers * estimate_times_max) * 2 * plane),
      ramp(static_cast<std::size_t>(layers) * 3 * plane),
      scratch(static_cast<std::size_t>(antennas) * 4 * plane) {
  smoother();  // built here, outside the slot
}

ChannelInfo estimate(const EstimateInput& input, EstimateWorkspace& workspace,
                     const Workers& workers) {
  const std::size_t antennas = input.grid.extent(0);
  assert(input.allocation != nullptr && input.allocation->rb_count > 0);
  assert(antennas >= 1 && antennas <= static_cast<std::size_t>(workspace.antennas_max));
  assert(antennas <= nr::receive_antennas_max);
  assert(input.layers >= 1 && input.layers <= workspace.layers_max);
  assert(input.symbols.count >= 1 && pilot_times(input).count <= estimate_times_max);
  assert(!input.double_symbol || input.symbols.count % 2 == 0);
  assert(input.pilots.extent(0) >= static_cast<std::size_t>(input.symbols.count));
  assert(input.pilots.extent(1) >=
         static_cast<std::size_t>((input.type == 1 ? 6 : 4) * input.allocation->rb_count));
  assert(workspace.plane >= static_cast<std::size_t>(input.allocation->subcarriers()) + 128);
  return HWY_DYNAMIC_DISPATCH(estimate)(input, workspace, workers);
}

void channel_at(const ChannelInfo& info, const EstimateWorkspace& workspace, int symbol,
                std::size_t first_block, View<float, 5> h) {
  assert(h.extent(1) == static_cast<std::size_t>(info.antennas));
  assert(h.extent(2) == static_cast<std::size_t>(info.layers));
  assert(h.extent(3) == 2 && h.extent(4) == subcarrier_block);
  assert((first_block + h.extent(0)) * subcarrier_block <= workspace.plane);
  HWY_DYNAMIC_DISPATCH(channel_at)(info, workspace, symbol, first_block, h);
}

}  // namespace noroshi::phy::cpu
#endif
