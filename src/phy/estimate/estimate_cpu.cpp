#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

#include "phy/estimate/estimate.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/estimate/estimate_cpu.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
#include "phy/estimate/estimate_smooth-inl.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace {

using cpu::StretchSums;

struct Job {
  const EstimateInput& input;
  cpu::EstimateWorkspace& workspace;
  PilotTimes times;

  const CombList& combs() const { return workspace.combs; }
  std::size_t pilot_plane() const { return workspace.plane / 2; }
  Planes ls(int a, int comb, int t) const { return pilot_row(workspace.ls, a, comb, t); }
  Planes residuals(int a, int comb, int t) const {
    return pilot_row(workspace.residuals, a, comb, t);
  }
  Planes pilot_row(LineVector<float>& rows, int a, int comb, int t) const {
    float* base = rows.data() + static_cast<std::size_t>(
                                    (a * workspace.layers_max + comb) * estimate_times_max + t) *
                                    2 * pilot_plane();
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
  int antennas() const { return static_cast<int>(input.grid.extent(0)); }
};

std::size_t pilots_of(const Comb& comb, int rbs) {
  return static_cast<std::size_t>(comb.kind.pilots_per_rb() * rbs);
}

// Both combs of type 1 lie on the same pilots; others, and double symbols, go one by one.
bool combs_together(const Job& job) {
  const CombList& combs = job.combs();
  return combs.count == 2 && combs.comb[0].kind.type == 1 && !job.input.double_symbol &&
         combs.comb[0].delta == 0 && combs.comb[1].delta == 1;
}

// Least squares of one antenna and time on combs c, c + 1, ... into ls and `own`.
void least_squares_of(const Job& job, const Stretch& s, int a, int c, int combs, int t,
                      Local* own) {
  const EstimateInput& input = job.input;
  const Comb& comb = job.combs().comb[static_cast<std::size_t>(c)];
  const std::size_t first = pilots_of(comb, s.place + s.first), count = pilots_of(comb, s.count);
  const int step = input.double_symbol ? 2 : 1;
  for (int i = 0; i < step; ++i) {
    const int symbol = input.symbols.symbol[static_cast<std::size_t>(t * step + i)];
    const cf32* const row = &input.grid(a, symbol, 12 * (s.run.first + s.first));
    const cf32* const pilots = &input.pilots(t * step + i, first);
    const auto target = [&](int of) {
      const Comb& it = job.combs().comb[static_cast<std::size_t>(of)];
      const float scale =
          static_cast<float>(i == 0 ? 1 : it.w_t) / input.amplitude / static_cast<float>(step);
      return CombTarget{Alternating(scale, it.flipped() ? -scale : scale), job.ls(a, of, t) + first,
                        own[of - c].planes()};
    };
    if (combs == 2) {
      const CombTarget to[2] = {target(c), target(c + 1)};
      least_squares<2, 0, 2>(row, pilots, count, false, to);
      continue;
    }
    const CombTarget to = target(c);
    if (comb.kind.type == 2) {
      cf32 packed[Local::pilots_max];
      for (std::size_t m = 0; m < count; m += 2)
        std::memcpy(static_cast<void*>(packed + m), row + comb.delta + 3 * m, 2 * sizeof(cf32));
      least_squares<1, 0, 1>(packed, pilots, count, i == 1, &to);
    } else if (comb.delta == 0) {
      least_squares<2, 0, 1>(row, pilots, count, i == 1, &to);
    } else {
      least_squares<2, 1, 1>(row, pilots, count, i == 1, &to);
    }
  }
  for (int of = 0; of < combs; ++of) own[of].end(count);
}

// Least squares of a stretch, all antennas and times, and the sums for the delay.
void least_squares_stretch(const Job& job, const Stretch& s, StretchSums& out) {
  const int combs = combs_together(job) ? 2 : 1;
  for (int c = 0; c < job.combs().count; c += combs) {
    V sums[2][8];
    for (auto& of_comb : sums)
      for (V& sum : of_comb) sum = hn::Zero(D());
    const Comb& comb = job.combs().comb[static_cast<std::size_t>(c)];
    const std::size_t count = pilots_of(comb, s.count);
    // What has just been stored is read a row later: loads across stores would wait for them.
    Local own[2][2];
    const int rows = job.antennas() * job.times.count;
    for (int row = 0; row <= rows; ++row) {
      if (row < rows)
        least_squares_of(job, s, row / job.times.count, c, combs, row % job.times.count,
                         own[row % 2]);
      for (int of = 0; row > 0 && of < combs; ++of) {
        const Comb& it = job.combs().comb[static_cast<std::size_t>(c + of)];
        add_slopes(own[(row - 1) % 2][of].planes(), static_cast<std::size_t>(it.lag()),
                   static_cast<std::size_t>(it.lags()[1]), count, sums[of]);
      }
    }
    const auto pairs = [&](int lag) {
      const double of_row = std::max(0.0, static_cast<double>(count) - lag);
      return of_row * job.antennas() * job.times.count;
    };
    for (int of = 0; of < combs; ++of) {
      const Comb& it = job.combs().comb[static_cast<std::size_t>(c + of)];
      out.slope[static_cast<std::size_t>(c + of)] = {
          product_sum(sums[of]), product_sum(sums[of] + 4), pairs(it.lag()), pairs(it.lags()[1])};
    }
  }
}

// ramp(k) = exp(-j 2 pi delay k), k counted on the carrier: the table, turned.
void make_ramp(const Job& job, const Stretch& s, int c, const RampTable& table) {
  const D d;
  const Comb& comb = job.combs().comb[static_cast<std::size_t>(c)];
  const std::size_t first = pilots_of(comb, s.place + s.first), pilots = pilots_of(comb, s.count);
  const std::size_t count = static_cast<std::size_t>(s.count) * nr::subcarriers_per_rb;
  const Planes ramp =
      job.ramp(c) + static_cast<std::size_t>(s.place + s.first) * nr::subcarriers_per_rb;
  std::complex<double> outer =
      std::polar(1.0, table.step * nr::subcarriers_per_rb * (s.run.first + s.first));
  for (std::size_t k = 0; k < count; k += RampTable::size, outer = product(outer, table.next)) {
    const V x = hn::Set(d, static_cast<float>(outer.real()));
    const V y = hn::Set(d, static_cast<float>(outer.imag()));
    for (std::size_t i = 0; i < std::min(RampTable::size, count - k); i += lane_count()) {
      const V p = hn::LoadU(d, table.re + i), q = hn::LoadU(d, table.im + i);
      store_first(hn::NegMulAdd(q, y, hn::Mul(p, x)), count - k - i, ramp.re + k + i);
      store_first(hn::MulAdd(p, y, hn::Mul(q, x)), count - k - i, ramp.im + k + i);
    }
  }
  pick_pilots(comb, ramp.re, pilots, job.pilot_ramp(c).re + first);
  pick_pilots(comb, ramp.im, pilots, job.pilot_ramp(c).im + first);
}

void add_pilot_sums_of(const Comb& comb, Planes z, std::size_t count, V* sums) {
  if (comb.kind.type == 2) return add_pilot_sums<2, 4, 8>(z, count, sums);
  if (comb.kind.pair) return add_pilot_sums<2, 4, 12>(z, count, sums);
  add_pilot_sums<1, 3, 12>(z, count, sums);
}

template <int times>
void add_time_sums_of(const Comb& comb, Local* z, std::size_t pilots, V* sums) {
  if (comb.kind.pair) return add_time_sums<times, true>(z, pilots, sums);
  add_time_sums<times, false>(z, pilots, sums + (comb.flipped() ? time_sums_of_port : 0));
}

// Takes the ramp away and adds up what the decisions need.
void measure_stretch(const Job& job, const Stretch& s, int c, StretchSums& out) {
  const Comb& comb = job.combs().comb[static_cast<std::size_t>(c)];
  const std::size_t first = pilots_of(comb, s.place + s.first), count = pilots_of(comb, s.count);
  const int times = job.times.count;
  V pilots[5], time[2 * time_sums_of_port];
  for (V& sum : pilots) sum = hn::Zero(D());
  for (V& sum : time) sum = hn::Zero(D());
  Local z[estimate_times_max];
  for (int a = 0; a < job.antennas(); ++a) {
    for (int t = 0; t < times; ++t) {
      remove_ramp(job.ls(a, c, t) + first, job.pilot_ramp(c) + first, count, z[t].planes());
      z[t].end(count);
    }
    for (int t = 0; t < times; ++t) add_pilot_sums_of(comb, z[t].planes(), count, pilots);
    switch (times) {
      case 1:
        add_time_sums_of<1>(comb, z, count, time);
        break;
      case 2:
        add_time_sums_of<2>(comb, z, count, time);
        break;
      case 3:
        add_time_sums_of<3>(comb, z, count, time);
        break;
      default:
        add_time_sums_of<4>(comb, z, count, time);
    }
  }
  const auto pairs = [&](int lag) {
    return std::max(0.0, static_cast<double>(count) - lag) * job.antennas() * times;
  };
  const int near = comb.lag(), mid = comb.lags()[0], far = comb.lags()[1];
  out.sums.pilots[static_cast<std::size_t>(c)] = {
      sum_of(pilots[0]), sum_of(pilots[1]), sum_of(pilots[2]), sum_of(pilots[3]), sum_of(pilots[4]),
      pairs(0),          pairs(near),       pairs(mid),        pairs(far),        pairs(2 * near)};
  for (std::size_t i = 0; i < 2; ++i) {
    if (comb.layer[i] < 0) continue;
    TimeSums& to = out.sums.time[static_cast<std::size_t>(comb.layer[i])];
    to = {};
    for (std::size_t t = 0; t < static_cast<std::size_t>(times); ++t) {
      const V* const of = time + i * time_sums_of_port + 3 * t;
      to.power[t] = sum_of(of[0]);
      to.turn[t] = {sum_of(of[1]), sum_of(of[2])};
    }
    to.count = static_cast<double>(count - time_window + 1) * job.antennas();
  }
}

// Smooths a stretch of a comb, all antennas. back: turns each time back to symbol 0, where the mean
// of all is smoothed.
template <bool pair>
void smooth_comb(const Job& job, const Stretch& s, int c, const ChannelInfo& info,
                 const std::complex<float>* back, StretchSums& out) {
  const std::size_t i = static_cast<std::size_t>(c);
  const Comb& comb = job.combs().comb[i];
  const SmootherChoice choice = job.workspace.choices[i];
  const Smoother::Filter& filter =
      smoother().filter(comb.kind, choice.spread_class, choice.snr_class, s.run.count);
  const int first = SmoothJob::window_begin(filter, comb, s);
  const int end = SmoothJob::window_end(filter, comb, s);
  const std::size_t begin = pilots_of(comb, s.first), count = pilots_of(comb, s.count);
  const std::size_t before = begin - static_cast<std::size_t>(first);  // pilots of windows alone
  const std::size_t row = pilots_of(comb, s.place) + static_cast<std::size_t>(first);
  const bool averaged = info.references == 1 && job.times.count > 1;
  const bool keep = job.input.keep_residuals;
  V slopes[2][4];
  for (auto& port : slopes)
    for (V& sum : port) sum = hn::Zero(D());
  Local mean[2], left, rest[2][estimate_times_max];
  double residual = 0, scatter = 0;
  const int rows = job.antennas() * info.references;
  const auto ls = [&](int a, int t) { return job.ls(a, c, t) + row; };
  const auto average = [&](int a) {
    Planes x[estimate_times_max];
    for (int t = 0; t < job.times.count; ++t) x[t] = ls(a, t);
    scatter += average_rows(back, x, job.times.count, static_cast<std::size_t>(end - first), before,
                            before + count, mean[a % 2].planes(), keep ? rest[a % 2] : nullptr);
  };
  const auto smooth_of = [&](int port, int n) {
    const int layer = comb.layer[comb.flipped() ? 1 : port];
    return job.smooth(n / info.references, layer, n % info.references) +
           static_cast<std::size_t>(12 * (s.place + s.first));
  };
  // What has just been stored is read a row later: loads across stores would wait for them.
  if (averaged) average(0);
  for (int n = 0; n < rows; ++n) {
    const int a = n / info.references, r = n % info.references;
    if (averaged && n + 1 < rows) average(n + 1);
    SmoothJob smooth{filter, comb, s, averaged ? mean[a % 2].planes() : ls(a, r), first, {}, {}};
    for (int port = 0; port < (pair ? 2 : 1); ++port) smooth.out[port] = smooth_of(port, n);
    if (keep) smooth.left[0] = left.re, smooth.left[1] = left.im;
    residual += smooth_stretch<pair>(smooth);
    for (int port = 0; pair && n > 0 && port < 2; ++port)
      add_port_slopes(smooth_of(port, n - 1), static_cast<std::size_t>(12 * s.count), slopes[port]);
    if (!keep) continue;
    for (int t = averaged ? 0 : r; t < (averaged ? job.times.count : r + 1); ++t) {
      const Planes to = job.residuals(a, c, t) + (row + before);
      put_sum(left.re, averaged ? rest[a % 2][t].re : nullptr, count, to.re);
      put_sum(left.im, averaged ? rest[a % 2][t].im : nullptr, count, to.im);
    }
  }
  for (int port = 0; pair && port < 2; ++port)
    add_port_slopes(smooth_of(port, rows - 1), static_cast<std::size_t>(12 * s.count),
                    slopes[port]);
  out.residuals.residual[i] = residual;
  out.residuals.scatter[i] = scatter;
  if constexpr (pair)
    for (std::size_t port = 0; port < 2; ++port)
      out.port_slope[static_cast<std::size_t>(comb.layer[port])] = product_sum(slopes[port]);
}

void choose_smoothers(const Job& job, const EstimateSums& sums, int averaged,
                      std::array<SmootherGains, nr::layers_max>& gains) {
  for (std::size_t c = 0; c < static_cast<std::size_t>(job.combs().count); ++c) {
    SmootherChoice& choice = job.workspace.choices[c];
    choice = choose_smoother(job.input, job.combs().comb[c], sums.pilots[c], averaged);
    gains[c] = smoother_gains(*job.input.allocation, job.combs().comb[c], choice);
  }
}

std::array<double, nr::layers_max> find_delays(const Job& job) {  // by comb
  std::array<double, nr::layers_max> delays{};
  for (std::size_t c = 0; c < static_cast<std::size_t>(job.combs().count); ++c) {
    SlopeSums slope;
    for (int i = 0; i < job.workspace.stretches.count; ++i)
      slope.add(job.workspace.sums[static_cast<std::size_t>(i)].slope[c]);
    delays[c] = delay_cycles(job.combs().comb[c], slope);
  }
  return delays;
}

// Calls visit(stretch, its sums) for every stretch, with what make_visit() gives each worker; those
// have neighbours, always the same.
template <class MakeVisit>
void each_stretch(const Job& job, const Workers& workers, const MakeVisit& make_visit) {
  const StretchList& list = job.workspace.stretches;
  const int shares = std::clamp(workers.count, 1, list.count);
  const int blocks = job.input.allocation->rb_count;
  workers.for_each(shares, [&](int share) {
    const auto visit = make_visit();
    const int begin = blocks * share / shares, end = blocks * (share + 1) / shares;
    for (std::size_t i = 0; i < static_cast<std::size_t>(list.count); ++i) {
      const Stretch& s = list.stretch[i];
      const int middle = s.place + s.first + s.count / 2;
      if (middle >= begin && middle < end) visit(s, job.workspace.sums[i]);
    }
  });
}

}  // namespace

ChannelInfo estimate(const EstimateInput& input, cpu::EstimateWorkspace& workspace,
                     const Workers& workers) {
  workspace.combs = make_combs(input);
  workspace.stretches = cut_stretches(*input.allocation);
  const Job job{input, workspace, pilot_times(input)};
  const int combs = workspace.combs.count;
  ChannelInfo info;
  info.antennas = static_cast<int>(input.grid.extent(0));
  info.layers = input.layers;

  each_stretch(job, workers, [&] {
    return [&](const Stretch& s, StretchSums& out) { least_squares_stretch(job, s, out); };
  });
  const std::array<double, nr::layers_max> delays = find_delays(job);
  each_stretch(job, workers, [&] {
    std::array<RampTable, nr::layers_max> tables;
    for (std::size_t c = 0; c < static_cast<std::size_t>(combs); ++c)
      make_table(delays[c], tables[c]);
    return [&job, combs, tables](const Stretch& s, StretchSums& out) {
      for (int c = 0; c < combs; ++c) {
        make_ramp(job, s, c, tables[static_cast<std::size_t>(c)]);
        measure_stretch(job, s, c, out);
      }
    };
  });
  const View<const StretchSums, 1> parts(workspace.sums.data(), workspace.stretches.count);
  EstimateSums sums;
  for (const StretchSums& part : parts)
    for (std::size_t c = 0; c < static_cast<std::size_t>(combs); ++c) {
      sums.pilots[c].add(part.sums.pilots[c]);
      for (const int layer : workspace.combs.comb[c].layer)
        if (layer >= 0)
          sums.time[static_cast<std::size_t>(layer)].add(
              part.sums.time[static_cast<std::size_t>(layer)]);
    }
  std::array<SmootherGains, nr::layers_max> gains;
  choose_smoothers(job, sums, 1, gains);
  decide_time(input, workspace.combs, sums, gains, info);
  if (info.references == 1) choose_smoothers(job, sums, job.times.count, gains);
  std::complex<float> back[estimate_times_max];
  for (std::size_t t = 0; t < static_cast<std::size_t>(job.times.count); ++t)
    back[t] = std::complex<float>(
        std::polar(1.0, -static_cast<double>(info.layer[0].doppler_turn) * job.times.at[t]));

  each_stretch(job, workers, [&] {
    return [&](const Stretch& s, StretchSums& out) {
      for (int c = 0; c < combs; ++c)
        workspace.combs.comb[static_cast<std::size_t>(c)].kind.pair
            ? smooth_comb<true>(job, s, c, info, back, out)
            : smooth_comb<false>(job, s, c, info, back, out);
    };
  });
  Residuals residuals;
  std::array<std::complex<double>, nr::layers_max> slopes{};
  for (const StretchSums& part : parts)
    for (std::size_t c = 0; c < static_cast<std::size_t>(combs); ++c) {
      const Comb& comb = workspace.combs.comb[c];
      residuals.residual[c] += part.residuals.residual[c];
      residuals.scatter[c] += part.residuals.scatter[c];
      if (!comb.kind.pair) continue;
      for (const int layer : comb.layer)
        slopes[static_cast<std::size_t>(layer)] += part.port_slope[static_cast<std::size_t>(layer)];
    }
  finish(input, workspace.combs, sums, gains, residuals, info);
  for (std::size_t c = 0; c < static_cast<std::size_t>(combs); ++c)
    for (const int of : workspace.combs.comb[c].layer) {
      if (of < 0) continue;
      const std::size_t layer = static_cast<std::size_t>(of);
      // The delay that was taken away, and what slope the ports of a comb kept of their own.
      info.layer[layer].delay_cycles = static_cast<float>(delays[c]);
      info.layer[layer].delay_cycles -=
          static_cast<float>(std::arg(slopes[layer]) / (2 * std::numbers::pi * port_delay_lag));
    }
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
      sums(StretchList{}.stretch.size()),
      ls(static_cast<std::size_t>(antennas * layers * estimate_times_max) * plane),
      residuals(ls.size()),
      smooth(static_cast<std::size_t>(antennas * layers * estimate_times_max) * 2 * plane),
      ramp(static_cast<std::size_t>(layers) * 3 * plane) {
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
