// The channel estimate in plain double precision: what estimate.h says, as it says it.

#include <cassert>
#include <cmath>
#include <numbers>

#include "phy/dmrs/dmrs.h"
#include "phy/estimate/estimate.h"

namespace noroshi::phy::ref {
namespace {

using Row = std::vector<cf64>;

double sign(std::size_t m) { return m % 2 == 0 ? 1 : -1; }

// Calls visit(first pilot, pilots) of each stretch.
template <class Visit>
void each_stretch(const Allocation& allocation, const Comb& comb, Visit visit) {
  const std::size_t per_rb = static_cast<std::size_t>(comb.kind.pilots_per_rb());
  for (const Stretch& stretch : cut_stretches(allocation))
    visit(per_rb * static_cast<std::size_t>(stretch.place + stretch.first),
          per_rb * static_cast<std::size_t>(stretch.count));
}

cf64 lag_sum(const Row& z, const Allocation& allocation, const Comb& comb, std::size_t lag,
             double& count) {
  cf64 sum = 0;
  each_stretch(allocation, comb, [&](std::size_t first, std::size_t pilots) {
    for (std::size_t m = first; m + lag < first + pilots; ++m, ++count)
      sum += std::conj(z[m]) * z[m + lag];
  });
  return sum;
}

double difference_sum(const Row& z, const Allocation& allocation, const Comb& comb, std::size_t lag,
                      double& count) {
  double sum = 0;
  each_stretch(allocation, comb, [&](std::size_t first, std::size_t pilots) {
    for (std::size_t m = first; m + lag < first + pilots; ++m, ++count)
      sum += std::norm(z[m + lag] - z[m]);
  });
  return sum;
}

double curvature_sum(const Row& z, const Allocation& allocation, const Comb& comb, double& count) {
  const std::size_t lag = static_cast<std::size_t>(comb.lag());
  double sum = 0;
  each_stretch(allocation, comb, [&](std::size_t first, std::size_t pilots) {
    for (std::size_t m = first + lag; m + lag < first + pilots; ++m, ++count)
      sum += std::norm(z[m] - 0.5 * (z[m - lag] + z[m + lag]));
  });
  return sum;
}

// One time of a comb: one DM-RS symbol, or both of a pair.
Row least_squares(const EstimateInput& input, const Comb& comb, std::size_t antenna, int time) {
  Row z;
  const int step = input.double_symbol ? 2 : 1;
  for (int i = 0; i < step; ++i) {
    const std::size_t d = static_cast<std::size_t>(time * step + i);
    const auto row = input.grid[antenna][static_cast<std::size_t>(input.symbols.symbol[d])];
    const double scale = (i == 0 ? 1 : comb.w_t) / static_cast<double>(input.amplitude) / step;
    std::size_t at = 0;
    for (const RbRun& run : *input.allocation)
      for (int m = 0; m < comb.kind.pilots_per_rb() * run.count; ++m, ++at) {
        const std::size_t k =
            static_cast<std::size_t>(12 * run.first + comb.delta + comb.kind.offset(m));
        const cf64 value = cf64(row[k]) * std::conj(cf64(input.pilots[d][at])) * scale *
                           (comb.flipped() ? sign(at) : 1);
        if (i == 0) z.push_back(value);
        if (i == 1) z[at] += value;
      }
  }
  return z;
}

// Phase of the delay at every allocated subcarrier.
Row delay_ramp(const Allocation& allocation, double delay) {
  Row ramp;
  for (const RbRun& run : allocation)
    for (int k = 12 * run.first; k < 12 * (run.first + run.count); ++k)
      ramp.push_back(std::polar(1.0, -2 * std::numbers::pi * delay * k));
  return ramp;
}

// Subcarrier of the allocation of every pilot.
std::vector<std::size_t> pilot_subcarriers(const Allocation& allocation, const Comb& comb) {
  std::vector<std::size_t> at;
  for (int m = 0; m < comb.kind.pilots_per_rb() * allocation.rb_count; ++m)
    at.push_back(static_cast<std::size_t>(comb.delta + comb.kind.offset(m)));
  return at;
}

// h of the port with the signs of `second`.
Row smooth(const Row& z, const Allocation& allocation, const Comb& comb, SmootherChoice choice,
           bool second) {
  Row h;
  std::size_t first = 0;
  for (const RbRun& run : allocation) {
    const Smoother::Filter& filter =
        smoother().filter(comb.kind, choice.spread_class, choice.snr_class, run.count);
    for (int k = 0; k < 12 * run.count; ++k) {
      const SmootherRow row = smoother_row(comb.kind, filter.taps, run.count, comb.delta, k);
      cf64 sum = 0;
      for (int j = 0; j < filter.taps; ++j) {
        const std::size_t m = static_cast<std::size_t>(row.window_start + j);
        sum += filter.at(row.p, j) * z[first + m] * (second ? sign(m) : 1.0);
      }
      h.push_back(sum);
    }
    first += static_cast<std::size_t>(comb.kind.pilots_per_rb() * run.count);
  }
  return h;
}

PilotSums pilot_sums(const Row& z, const Allocation& allocation, const Comb& comb) {
  PilotSums sums;
  const std::array<int, 2> lags = comb.lags();
  for (const cf64& value : z) sums.power += std::norm(value);
  sums.power_count = static_cast<double>(z.size());
  sums.near = std::real(
      lag_sum(z, allocation, comb, static_cast<std::size_t>(comb.lag()), sums.near_count));
  sums.mid = difference_sum(z, allocation, comb, static_cast<std::size_t>(lags[0]), sums.mid_count);
  sums.far = difference_sum(z, allocation, comb, static_cast<std::size_t>(lags[1]), sums.far_count);
  sums.curvature = curvature_sum(z, allocation, comb, sums.curvature_count);
  return sums;
}

// rows: z' of one antenna and comb by time.
TimeSums time_sums(const std::vector<Row>& rows, const Allocation& allocation, const Comb& comb,
                   bool second) {
  TimeSums sums;
  const auto window = [&](const Row& row, std::size_t m) {
    const double c = second ? -1 : 1;
    return (row[m] + c * row[m + 1] + row[m + 2] + c * row[m + 3]) /
           static_cast<double>(time_window);
  };
  for (std::size_t t = 0; t < rows.size(); ++t)
    each_stretch(allocation, comb, [&](std::size_t first, std::size_t pilots) {
      for (std::size_t m = first; m + time_window <= first + pilots; ++m) {
        if (t == 0) ++sums.count;
        sums.power[t] += std::norm(window(rows[t], m));
        if (t + 1 < rows.size())
          sums.turn[t] += std::conj(window(rows[t], m)) * window(rows[t + 1], m);
      }
    });
  return sums;
}

// The mean over the times, each turned back to symbol 0, which is what becomes of the rows.
Row average(std::vector<Row>& rows, const PilotTimes& times, double turn, double& scatter) {
  Row mean(rows[0].size());
  for (std::size_t m = 0; m < mean.size(); ++m) {
    for (std::size_t t = 0; t < rows.size(); ++t) {
      rows[t][m] *= std::polar(1.0, -turn * times.at[t]);
      mean[m] += rows[t][m] / static_cast<double>(rows.size());
    }
    for (std::size_t t = 0; t < rows.size(); ++t) scatter += std::norm(rows[t][m] - mean[m]);
  }
  return mean;
}

struct Estimator {
  const EstimateInput& input;
  const Allocation& allocation;
  CombList combs;
  PilotTimes times;
  std::size_t antennas;
  std::vector<std::vector<std::vector<Row>>> z;  // [antenna][comb][time]
  std::vector<Row> ramps;                        // [comb]
  std::vector<std::vector<std::vector<Row>>> h;  // [antenna][layer][reference]
  std::vector<cf64> left;                        // [antenna, comb, time, pilot]

  void first_pass(EstimateSums& sums, ChannelInfo& info);
  void second_pass(const std::array<SmootherChoice, nr::layers_max>& choices, int references,
                   double turn, Residuals& residuals);
  void port_delays(ChannelInfo& info) const;
};

void Estimator::first_pass(EstimateSums& sums, ChannelInfo& info) {
  z.resize(antennas);
  for (std::size_t c = 0; c < static_cast<std::size_t>(combs.count); ++c) {
    const Comb& comb = combs.comb[c];
    SlopeSums slope;
    for (std::size_t a = 0; a < antennas; ++a) {
      z[a].emplace_back();
      for (int t = 0; t < times.count; ++t) {
        z[a][c].push_back(least_squares(input, comb, a, t));
        slope.near += lag_sum(z[a][c].back(), allocation, comb,
                              static_cast<std::size_t>(comb.lag()), slope.near_count);
        slope.far += lag_sum(z[a][c].back(), allocation, comb,
                             static_cast<std::size_t>(comb.lags()[1]), slope.far_count);
      }
    }
    const double delay = delay_cycles(comb, slope);
    ramps.push_back(delay_ramp(allocation, delay));
    const std::vector<std::size_t> at = pilot_subcarriers(allocation, comb);
    for (std::size_t a = 0; a < antennas; ++a) {
      for (Row& row : z[a][c]) {
        for (std::size_t m = 0; m < row.size(); ++m) row[m] *= std::conj(ramps[c][at[m]]);
        sums.pilots[c].add(pilot_sums(row, allocation, comb));
      }
      for (std::size_t i = 0; i < 2; ++i)
        if (comb.layer[i] >= 0)
          sums.time[static_cast<std::size_t>(comb.layer[i])].add(
              time_sums(z[a][c], allocation, comb, i == 1 && comb.kind.pair));
    }
    for (const int layer : comb.layer)
      if (layer >= 0)
        info.layer[static_cast<std::size_t>(layer)].delay_cycles = static_cast<float>(delay);
  }
}

void Estimator::second_pass(const std::array<SmootherChoice, nr::layers_max>& choices,
                            int references, double turn, Residuals& residuals) {
  h.assign(antennas, std::vector<std::vector<Row>>(static_cast<std::size_t>(input.layers)));
  for (std::size_t a = 0; a < antennas; ++a)
    for (std::size_t c = 0; c < static_cast<std::size_t>(combs.count); ++c) {
      const Comb& comb = combs.comb[c];
      const std::vector<std::size_t> at = pilot_subcarriers(allocation, comb);
      std::vector<Row> rows = z[a][c];
      if (references == 1) rows = {average(z[a][c], times, turn, residuals.scatter[c])};
      Row rest;
      for (const Row& row : rows) {
        rest = row;
        for (std::size_t i = 0; i < 2; ++i) {
          if (comb.layer[i] < 0) continue;
          const bool second = i == 1 && comb.kind.pair;
          const Row smoothed = smooth(row, allocation, comb, choices[c], second);
          for (std::size_t m = 0; m < rest.size(); ++m)
            rest[m] -= smoothed[at[m]] * (second ? sign(m) : 1.0);
          h[a][static_cast<std::size_t>(comb.layer[i])].push_back(smoothed);
        }
        for (const cf64& value : rest) residuals.residual[c] += std::norm(value);
        if (references > 1) left.insert(left.end(), rest.begin(), rest.end());
      }
      if (references > 1) continue;
      for (const Row& row : z[a][c])
        for (std::size_t m = 0; m < row.size(); ++m) left.push_back(row[m] - rows[0][m] + rest[m]);
    }
}

// The ports of one comb may come with delays of their own: what slope their estimates keep.
void Estimator::port_delays(ChannelInfo& info) const {
  for (const Comb& comb : combs) {
    if (!comb.kind.pair) continue;
    for (const int layer : comb.layer) {
      cf64 slope = 0;
      for (std::size_t a = 0; a < antennas; ++a)
        for (const Row& row : h[a][static_cast<std::size_t>(layer)]) {
          for (const Stretch& stretch : cut_stretches(allocation)) {
            const std::size_t first =
                static_cast<std::size_t>(12 * (stretch.place + stretch.first));
            const std::size_t count = static_cast<std::size_t>(12 * stretch.count);
            for (std::size_t k = first; k + port_delay_lag < first + count; ++k)
              slope += std::conj(row[k]) * row[k + port_delay_lag];
          }
        }
      info.layer[static_cast<std::size_t>(layer)].delay_cycles -=
          static_cast<float>(std::arg(slope) / (2 * std::numbers::pi * port_delay_lag));
    }
  }
}

}  // namespace

ChannelEstimate estimate(const EstimateInput& input) {
  Estimator state{input,
                  *input.allocation,
                  make_combs(input),
                  pilot_times(input),
                  input.grid.extent(0),
                  {},
                  {},
                  {},
                  {}};
  ChannelEstimate out;
  out.combs = state.combs;
  out.info.antennas = static_cast<int>(state.antennas);
  out.info.layers = input.layers;

  EstimateSums sums;
  state.first_pass(sums, out.info);
  std::array<SmootherChoice, nr::layers_max>& choices = out.choices;
  std::array<SmootherGains, nr::layers_max> gains;
  const auto choose = [&](int averaged) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(state.combs.count); ++c) {
      choices[c] = choose_smoother(input, state.combs.comb[c], sums.pilots[c], averaged);
      gains[c] = smoother_gains(state.allocation, state.combs.comb[c], choices[c]);
    }
  };
  choose(1);
  decide_time(input, state.combs, sums, gains, out.info);
  const int references = out.info.references;
  if (references == 1) choose(state.times.count);
  Residuals residuals;
  state.second_pass(choices, references, static_cast<double>(out.info.layer[0].doppler_turn),
                    residuals);
  finish(input, state.combs, sums, gains, residuals, out.info);
  state.port_delays(out.info);
  out.residuals = std::move(state.left);

  for (std::size_t a = 0; a < state.antennas; ++a)
    for (int layer = 0; layer < input.layers; ++layer) {
      const std::size_t i = static_cast<std::size_t>(layer);
      std::size_t c = 0;
      while (state.combs.comb[c].layer[0] != layer && state.combs.comb[c].layer[1] != layer) ++c;
      for (std::size_t l = 0; l < nr::symbols_per_slot; ++l)
        for (std::size_t k = 0; k < static_cast<std::size_t>(state.allocation.subcarriers()); ++k) {
          cf64 sum = 0;
          for (std::size_t t = 0; t < static_cast<std::size_t>(references); ++t)
            sum += state.h[a][i][t][k] * cf64(out.info.layer[i].weight[l][t]);
          out.h.push_back(sum * state.ramps[c][k]);
        }
    }
  return out;
}

}  // namespace noroshi::phy::ref
