// The scalar decisions of the channel estimate: a few dozen operations a slot, in double.

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <numbers>

#include "phy/dmrs/dmrs.h"
#include "phy/estimate/estimate.h"

namespace noroshi::phy {

CombList make_combs(const EstimateInput& input) {
  CombList list;
  for (int layer = 0; layer < input.layers; ++layer) {
    const DmrsPort port = dmrs_port(input.type, input.port[static_cast<std::size_t>(layer)]);
    Comb* comb = std::find_if(list.comb.data(), list.comb.data() + list.count, [&](const Comb& c) {
      return c.delta == port.delta && c.w_t == port.w_t[1];
    });
    if (comb == list.comb.data() + list.count) {
      ++list.count;
      *comb = {{input.type, false}, port.delta, port.w_t[1], {-1, -1}};
    }
    comb->layer[port.w_f[1] == 1 ? 0 : 1] = layer;
    comb->kind.pair = comb->layers() == 2;
  }
  return list;
}

PilotTimes pilot_times(const EstimateInput& input) {
  PilotTimes times;
  const int step = input.double_symbol ? 2 : 1;
  for (int i = 0; i + step <= input.symbols.count; i += step)
    times.at[static_cast<std::size_t>(times.count++)] =
        input.symbols.symbol[static_cast<std::size_t>(i)] + (step - 1) / 2.0;
  return times;
}

void PilotSums::add(const PilotSums& other) {
  power += other.power, power_count += other.power_count;
  near += other.near, near_count += other.near_count;
  mid += other.mid, mid_count += other.mid_count;
  far += other.far, far_count += other.far_count;
  curvature += other.curvature, curvature_count += other.curvature_count;
}

void TimeSums::add(const TimeSums& other) {
  for (std::size_t t = 0; t < power.size(); ++t)
    power[t] += other.power[t], turn[t] += other.turn[t];
  count += other.count;
}

double pilot_noise_guess(const PilotSums& sums) {
  if (sums.power <= 0) return 0;
  const double power = sums.power / sums.power_count;
  // Weights -1/2, 1, -1/2 let 1.5 of white noise through and next to nothing of the channel. A run
  // of one block of type 2 has no three pilots.
  const double noise = sums.curvature_count > 0 ? sums.curvature / sums.curvature_count / 1.5
                                                : power - sums.near / sums.near_count;
  return std::max(noise, 1e-12 * power);
}

void SlopeSums::add(const SlopeSums& other) {
  near += other.near, near_count += other.near_count;
  far += other.far, far_count += other.far_count;
}

double delay_cycles(const Comb& comb, const SlopeSums& sums) {
  const double turn = 2 * std::numbers::pi;
  const double coarse = -std::arg(sums.near) / (turn * comb.kind.offset(comb.lag()));
  if (sums.far_count <= 0) return coarse;
  // Where the channel is dispersive, far pilots have little to do with each other.
  const double coherence =
      std::abs(sums.far) / sums.far_count / (std::abs(sums.near) / sums.near_count + 1e-30);
  const double span = comb.kind.offset(comb.lags()[1]);
  const double rest = std::arg(sums.far * std::polar(1.0, turn * coarse * span));
  if (coherence < 0.5 || std::abs(rest) > 2) return coarse;
  return coarse - rest / (turn * span);
}

// Up to eight a run, of about equal length in units of eight blocks, whose pilots are whole
// vectors.
StretchList cut_stretches(const Allocation& allocation) {
  constexpr int unit = 8, most = 8;
  StretchList list;
  int place = 0;
  for (const RbRun& run : allocation) {
    const int units = run.count / unit;
    const int parts = std::min<int>(
        most, static_cast<int>(std::bit_floor(static_cast<unsigned>(std::max(1, units / 4)))));
    for (int i = 0; i < parts; ++i) {
      const int first = units * i / parts * unit;
      const int end = i + 1 == parts ? run.count : units * (i + 1) / parts * unit;
      assert(end - first <= stretch_rbs_max);
      list.stretch[static_cast<std::size_t>(list.count++)] = {run, place, first, end - first};
    }
    place += run.count;
  }
  return list;
}

SmootherChoice choose_smoother(const EstimateInput& input, const Comb& comb, const PilotSums& sums,
                               int averaged) {
  SmootherChoice choice;
  if (!(sums.power > 0) || input.smoothing == Smoothing::least_squares) return choice;
  const double noise = pilot_noise_guess(sums);
  const double near = std::max(sums.near / sums.near_count, 1e-12 * sums.power / sums.power_count);
  const double inverse_snr = noise / near;

  // The flattest class that explains how far pilots a lag apart differ, less the noise in them and
  // two standard deviations of it.
  const auto fits = [&](int spread, double sum, double count, int lag) {
    if (count <= 0) return true;
    const double loss = (sum / count / 2 - noise) / near;
    const double margin = 2 * 1.7 * inverse_snr / std::sqrt(count) + 1e-4;
    return 1 - Smoother::correlation(spread, comb.kind.offset(lag)) >= loss - margin;
  };
  const std::array<int, 2> lags = comb.lags();
  const int spreads = static_cast<int>(Smoother::spreads.size());
  while (choice.spread_class < spreads - 1 &&
         !(fits(choice.spread_class, sums.mid, sums.mid_count, lags[0]) &&
           fits(choice.spread_class, sums.far, sums.far_count, lags[1])))
    ++choice.spread_class;

  // The power of all ports of the comb together, so a port's share.
  const double snr_db = 10 * std::log10(averaged / inverse_snr / comb.layers());
  const int snrs = static_cast<int>(Smoother::snrs_db.size());
  while (choice.snr_class < snrs - 1 &&
         snr_db > (Smoother::snrs_db[static_cast<std::size_t>(choice.snr_class)] +
                   Smoother::snrs_db[static_cast<std::size_t>(choice.snr_class + 1)]) /
                      2)
    ++choice.snr_class;
  return choice;
}

SmootherGains smoother_gains(const Allocation& allocation, const Comb& comb,
                             SmootherChoice choice) {
  SmootherGains gains;
  const std::size_t delta = static_cast<std::size_t>(comb.delta);
  for (const RbRun& run : allocation) {
    const Smoother::Filter& filter =
        smoother().filter(comb.kind, choice.spread_class, choice.snr_class, run.count);
    const int more = std::max(0, run.count - Smoother::window_rbs);
    const double steps = comb.kind.type == 1 ? 6 * more : more;
    gains.output_noise += filter.window_sums[delta].noise + steps * filter.middle_sums[delta].noise;
    gains.residual +=
        filter.window_sums[delta].residual + steps * filter.middle_sums[delta].residual;
  }
  gains.output_noise /= allocation.subcarriers();
  return gains;
}

void residual_freedom(const EstimateInput& input, const CombList& combs,
                      const std::array<SmootherChoice, nr::layers_max>& choices, int references,
                      View<float, 1> freedom) {
  assert(freedom.size() == static_cast<std::size_t>(input.allocation->rb_count));
  constexpr int edge = Smoother::window_rbs;  // blocks further in are all alike
  const int times = pilot_times(input).count;
  std::fill(freedom.begin(), freedom.end(), 0.0f);
  for (int c = 0; c < combs.count; ++c) {
    const CombKind kind = combs.comb[c].kind;
    const int delta = combs.comb[c].delta, per_rb = kind.pilots_per_rb();
    std::size_t at = 0;
    for (const RbRun& run : *input.allocation) {
      const Smoother::Filter& filter =
          smoother().filter(kind, choices[c].spread_class, choices[c].snr_class, run.count);
      const auto left = [&](int rb) {
        double sum = 0;
        for (int m = per_rb * rb; m < per_rb * (rb + 1); ++m) {
          const SmootherRow row =
              smoother_row(kind, filter.taps, run.count, delta, delta + kind.offset(m));
          sum += static_cast<double>(filter.residual[row.p + kind.lead()]);
        }
        // One estimate of all times leaves of each what differs from their mean.
        return references == 1 ? sum + (times - 1) * per_rb : sum * times;
      };
      double inside = 0;
      for (int rb = 0; rb < run.count; ++rb, ++at) {
        if (rb <= edge || rb >= run.count - edge) inside = left(rb);
        freedom[at] += static_cast<float>(inside);
      }
    }
  }
}

namespace {

using Weights = std::array<double, estimate_times_max>;

// Solves the D x D system by elimination; the matrix is positive definite and tiny.
Weights solve(std::array<Weights, estimate_times_max> a, Weights b, int size) {
  for (int j = 0; j < size; ++j)
    for (int i = j + 1; i < size; ++i) {
      const double factor = a[i][j] / a[j][j];
      for (int k = j; k < size; ++k) a[i][k] -= factor * a[j][k];
      b[i] -= factor * b[j];
    }
  for (int i = size - 1; i >= 0; --i) {
    for (int k = i + 1; k < size; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  return b;
}

// Wiener weights over time for a flat Doppler spectrum up to w radians a symbol, with sum 1.
Weights time_weights(const PilotTimes& times, int l, double w, double noise_to_signal) {
  const auto correlation = [w](double distance) {
    const double x = w * distance;
    return std::abs(x) < 1e-6 ? 1.0 : std::sin(x) / x;
  };
  std::array<Weights, estimate_times_max> a{};
  Weights target{}, ones{};
  for (int i = 0; i < times.count; ++i) {
    for (int j = 0; j < times.count; ++j)
      a[i][j] = correlation(times.at[i] - times.at[j]) + (i == j ? noise_to_signal + 1e-7 : 0);
    target[i] = correlation(times.at[i] - l);
    ones[i] = 1;
  }
  Weights weights = solve(a, target, times.count);
  const Weights inverse_ones = solve(a, ones, times.count);
  double sum = 0, inverse_sum = 0;
  for (int i = 0; i < times.count; ++i) sum += weights[i], inverse_sum += inverse_ones[i];
  for (int i = 0; i < times.count; ++i) weights[i] += (1 - sum) / inverse_sum * inverse_ones[i];
  return weights;
}

// How one handset's channel changes over the slot.
struct Motion {
  double turn = 0;  // radians a symbol; 0: none that can be told from noise
  bool moving = false;
  double w = 0;  // Doppler spread, radians a symbol
  double signal = 0;
};

Motion find_motion(const TimeSums& sums, const PilotTimes& times, double pilot_noise) {
  Motion motion;
  const int count = times.count;
  const double noise = pilot_noise / time_window;  // of one s
  double power = 0, gap2 = 0, change = 0, turn = 0, gap = 0;
  for (int t = 0; t < count; ++t) power += sums.power[t] / sums.count / count;
  motion.signal = std::max(power - noise, 1e-3 * power + 1e-30);
  if (count == 1) return motion;
  // Independent values among the windows, which overlap: for the certainty of what follows.
  const double independent = std::max(1.0, sums.count / time_window);

  std::complex<double> all_turns = 0;
  for (int t = 0; t + 1 < count; ++t) {
    const double step = times.at[t + 1] - times.at[t];
    all_turns += sums.turn[t];
    turn += std::arg(sums.turn[t]);
    gap += step;
    gap2 += step * step;
  }
  const double signal = motion.signal;
  const double coherence = std::abs(all_turns) / (sums.count * (count - 1)) / signal;
  const double uncertainty = std::sqrt((noise / signal) / independent /
                                       std::max(coherence * coherence, 1e-6) / (count - 1));
  if (std::abs(turn / (count - 1)) > 4 * uncertainty + 1e-3) motion.turn = turn / gap;
  // |h_(t+1) - h_t|^2 less the noise's part, against 2 P (1 - correlation).
  double expected_noise = 0;
  for (int t = 0; t + 1 < count; ++t) {
    const double step = times.at[t + 1] - times.at[t];
    const std::complex<double> back = std::polar(1.0, -motion.turn * step);
    change += (sums.power[t] + sums.power[t + 1] - 2 * std::real(sums.turn[t] * back)) / sums.count;
    expected_noise += 2 * noise;
  }
  const double floor = 3 * expected_noise / std::sqrt(independent) + 1e-6 * signal;
  motion.moving = change - expected_noise > floor;
  if (motion.moving) {
    // 1 - sin(x)/x = x^2/6 - x^4/120, summed over the gaps.
    const double loss = std::min((change - expected_noise) / (2 * signal) / (count - 1), 0.8);
    motion.w = std::sqrt(6 * loss * (1 + 0.3 * loss) * (count - 1) / gap2);
  }
  return motion;
}

}  // namespace

void decide_time(const EstimateInput& input, const CombList& combs, const EstimateSums& sums,
                 const std::array<SmootherGains, nr::layers_max>& gains, ChannelInfo& info) {
  const PilotTimes times = pilot_times(input);
  std::array<Motion, nr::layers_max> motions;  // by handset
  std::array<double, nr::layers_max> noise_to_signal{};
  int handsets = 0;
  bool moving = false, turning = false;
  for (int first = 0; first < input.layers; ++handsets) {
    TimeSums total;
    double pilot_noise = 0, smoothed_noise = 0;
    int last = first;
    for (; last < input.layers && input.handset[last] == input.handset[first]; ++last) {
      total.add(sums.time[last]);
      for (int c = 0; c < combs.count; ++c) {
        const Comb& comb = combs.comb[c];
        if (comb.layer[0] != last && comb.layer[1] != last) continue;
        const double noise = pilot_noise_guess(sums.pilots[c]);
        pilot_noise += noise;
        smoothed_noise += noise * gains[c].output_noise;
      }
    }
    const int layers = last - first;
    motions[handsets] = find_motion(total, times, pilot_noise / layers);
    noise_to_signal[handsets] = smoothed_noise / layers / motions[handsets].signal;
    moving = moving || motions[handsets].moving;
    turning = turning || motions[handsets].turn != 0;
    first = last;
  }
  // Rows of one comb that turn differently cannot be averaged before the ports are told apart.
  const bool keep = times.count > 1 && (moving || (turning && handsets > 1));
  info.references = keep ? times.count : 1;
  info.constant = !moving && !turning;
  for (int layer = 0; layer < input.layers; ++layer) {
    const std::size_t handset = static_cast<std::uint8_t>(input.handset[layer]);
    const Motion& motion = motions[handset];
    ChannelInfo::Layer& out = info.layer[layer];
    out.doppler_turn = static_cast<float>(motion.turn);
    const double turn = static_cast<double>(out.doppler_turn);
    for (int l = 0; l < nr::symbols_per_slot; ++l) {
      out.weight[l] = {};
      if (!keep) {  // the times collapse into their mean, turned to symbol 0
        out.weight[l][0] = std::complex<float>(std::polar(1.0, turn * l));
        continue;
      }
      const Weights weights = time_weights(times, l, motion.w, noise_to_signal[handset]);
      for (int t = 0; t < times.count; ++t)
        out.weight[l][t] =
            std::complex<float>(weights[t] * std::polar(1.0, turn * (l - times.at[t])));
    }
  }
}

void finish(const EstimateInput& input, const CombList& combs, const EstimateSums& sums,
            const std::array<SmootherGains, nr::layers_max>& gains, const Residuals& residuals,
            ChannelInfo& info) {
  const double antennas = info.antennas;
  const double times = pilot_times(input).count;
  double left = 0, freedom = 0, output_noise = 0;
  for (int c = 0; c < combs.count; ++c) {
    const Comb& comb = combs.comb[c];
    const double pilots = comb.kind.pilots_per_rb() * input.allocation->rb_count;
    if (info.references == 1) {
      left += residuals.residual[c] * times + residuals.scatter[c];
      freedom += antennas * (gains[c].residual + (times - 1) * pilots);
    } else {
      left += residuals.residual[c];
      freedom += antennas * times * gains[c].residual;
    }
    output_noise += gains[c].output_noise * comb.layers();
  }
  const double noise = left / freedom;  // of one z
  // One estimate a slot is made of all times; else v weighs them, in the mean over the symbols.
  double weighing = 1 / times;
  if (info.references > 1) {
    weighing = 0;
    for (int layer = 0; layer < input.layers; ++layer)
      for (const auto& weights : info.layer[layer].weight)
        for (const std::complex<float>& weight : weights)
          weighing += static_cast<double>(std::norm(weight)) / nr::symbols_per_slot / input.layers;
  }
  info.error_power = static_cast<float>(noise * output_noise * weighing);
  const double beta = static_cast<double>(input.amplitude);
  info.noise_power = static_cast<float>(noise * beta * beta * (input.double_symbol ? 2 : 1));
  for (int c = 0; c < combs.count; ++c) {
    const Comb& comb = combs.comb[c];
    const double power = sums.pilots[c].power / sums.pilots[c].power_count;
    const double signal = std::max(power - noise, 1e-3 * power + 1e-30);
    double total = 1e-30;
    for (const int layer : comb.layer)
      if (layer >= 0) total += sums.time[layer].power[0];
    // The comb's power is split as that of the windows in the first of the times.
    for (const int layer : comb.layer)
      if (layer >= 0)
        info.layer[layer].signal_power = static_cast<float>(
            comb.kind.pair ? signal * sums.time[layer].power[0] / total : signal);
  }
}

}  // namespace noroshi::phy
