// The scalar decisions of the channel estimate: a few dozen operations a slot, in double.

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

#include "phy/estimate/estimate.h"
#include "phy/estimate/smoother.h"

namespace noroshi::phy {

double pilot_noise_guess(const PilotSums& sums) {
  if (sums.power <= 0) return 0;
  // Weights -1/2, 1, -1/2 let 1.5 of white noise through and next to nothing of the channel.
  return std::max(sums.curvature / sums.curvature_count / 1.5,
                  1e-12 * sums.power / sums.power_count);
}

SmootherChoice choose_smoother(const PilotSums& sums, int averaged) {
  SmootherChoice choice;
  if (sums.power <= 0) return choice;
  const double noise = pilot_noise_guess(sums);
  const double near = std::max(sums.near / sums.near_count, 1e-12 * sums.power / sums.power_count);
  const double inverse_snr = noise / near;

  // The flattest class that explains how far pilots a lag apart differ, less the noise in them and
  // two standard deviations of it.
  const auto fits = [&](int spread, double sum, double count, int lag) {
    if (count <= 0) return true;
    const double loss = (sum / count / 2 - noise) / near;
    const double margin = 2 * 1.7 * inverse_snr / std::sqrt(count) + 1e-4;
    return 1 - Smoother::correlation(spread, lag) >= loss - margin;
  };
  const int spreads = static_cast<int>(Smoother::spreads.size());
  while (choice.spread_class < spreads - 1 &&
         !(fits(choice.spread_class, sums.mid, sums.mid_count, lag_mid) &&
           fits(choice.spread_class, sums.far, sums.far_count, lag_far)))
    ++choice.spread_class;

  const double snr_db = 10 * std::log10(averaged / inverse_snr);
  const int snrs = static_cast<int>(Smoother::snrs_db.size());
  while (choice.snr_class < snrs - 1 &&
         snr_db > (Smoother::snrs_db[static_cast<std::size_t>(choice.snr_class)] +
                   Smoother::snrs_db[static_cast<std::size_t>(choice.snr_class + 1)]) /
                      2)
    ++choice.snr_class;
  return choice;
}

SmootherGains smoother_gains(const Allocation& allocation, SmootherChoice choice, int comb) {
  SmootherGains gains;
  for (const RbRun& run : allocation) {
    const int pilots = 6 * run.count;
    const Smoother::Filter& filter =
        smoother().filter(choice.spread_class, choice.snr_class, pilots);
    const int middle = std::max(0, pilots - filter.taps);  // pilots beyond one window
    for (int m = 0; m < filter.taps; ++m) {
      const SmootherRow row = smoother_row(filter.taps, filter.taps, comb, m);
      const std::size_t on = static_cast<std::size_t>(row.p + 1 + comb);
      const std::size_t between = static_cast<std::size_t>(row.p + 2 - comb);
      const bool is_middle = m == filter.taps / 2 - (comb == 0 ? 1 : 0);
      const double times = is_middle ? 1 + middle : 1;
      const double on_gain = static_cast<double>(filter.noise_gain[on]);
      gains.output_noise += times * (on_gain + static_cast<double>(filter.noise_gain[between]));
      gains.residual += times * (1 - 2 * static_cast<double>(filter.own_weight[on]) + on_gain);
    }
  }
  gains.output_noise /= allocation.subcarriers();
  return gains;
}

namespace {

using Weights = std::array<double, estimate_symbols_max>;

// Solves the D x D system by elimination; the matrix is positive definite and tiny.
Weights solve(std::array<Weights, estimate_symbols_max> a, Weights b, int size) {
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
Weights time_weights(const SymbolList& symbols, int l, double w, double noise_to_signal) {
  const auto correlation = [w](double distance) {
    const double x = w * distance;
    return std::abs(x) < 1e-6 ? 1.0 : std::sin(x) / x;
  };
  std::array<Weights, estimate_symbols_max> a{};
  Weights target{}, ones{};
  for (int i = 0; i < symbols.count; ++i) {
    for (int j = 0; j < symbols.count; ++j)
      a[i][j] = correlation(symbols.symbol[i] - symbols.symbol[j]) +
                (i == j ? noise_to_signal + 1e-7 : 0);
    target[i] = correlation(symbols.symbol[i] - l);
    ones[i] = 1;
  }
  Weights weights = solve(a, target, symbols.count);
  const Weights inverse_ones = solve(a, ones, symbols.count);
  double sum = 0, inverse_sum = 0;
  for (int i = 0; i < symbols.count; ++i) sum += weights[i], inverse_sum += inverse_ones[i];
  for (int i = 0; i < symbols.count; ++i) weights[i] += (1 - sum) / inverse_sum * inverse_ones[i];
  return weights;
}

}  // namespace

void choose_time_weights(const TimeSums& sums, const SymbolList& symbols, double pilot_noise,
                         double output_noise, ChannelInfo& info) {
  const int count = symbols.count;
  if (count == 1) {
    info.references = 1;
    info.constant = true;
    for (auto& weights : info.weight) weights[0] = 1;
    return;
  }
  const double noise = pilot_noise / time_window;  // of one s
  double power = 0, gap2 = 0, change = 0, turn = 0, gap = 0;
  for (int d = 0; d < count; ++d) power += sums.power[d] / sums.count / count;
  const double signal = std::max(power - noise, 1e-3 * power + 1e-30);
  // Independent values among the windows, which overlap: for the certainty of what follows.
  const double independent = std::max(1.0, sums.count / time_window);

  std::complex<double> all_turns = 0;
  for (int d = 0; d + 1 < count; ++d) {
    const double step = symbols.symbol[d + 1] - symbols.symbol[d];
    all_turns += sums.turn[d];
    turn += std::arg(sums.turn[d]);
    gap += step;
    gap2 += step * step;
  }
  const double coherence = std::abs(all_turns) / (sums.count * (count - 1)) / signal;
  const double uncertainty = std::sqrt((noise / signal) / independent /
                                       std::max(coherence * coherence, 1e-6) / (count - 1));
  const bool turns = std::abs(turn / (count - 1)) > 4 * uncertainty + 1e-3;
  info.doppler_turn = turns ? static_cast<float>(turn / gap) : 0.0f;
  // |h_(d+1) - h_d|^2 less the noise's part, against 2 P (1 - correlation).
  double expected_noise = 0;
  for (int d = 0; d + 1 < count; ++d) {
    const double step = symbols.symbol[d + 1] - symbols.symbol[d];
    const std::complex<double> back =
        std::polar(1.0, -static_cast<double>(info.doppler_turn) * step);
    change += (sums.power[d] + sums.power[d + 1] - 2 * std::real(sums.turn[d] * back)) / sums.count;
    expected_noise += 2 * noise;
  }
  const double floor = 3 * expected_noise / std::sqrt(independent) + 1e-6 * signal;
  const bool moving = change - expected_noise > floor;
  double w = 0;
  if (moving) {
    // 1 - sin(x)/x = x^2/6 - x^4/120, summed over the gaps.
    const double loss = std::min((change - expected_noise) / (2 * signal) / (count - 1), 0.8);
    w = std::sqrt(6 * loss * (1 + 0.3 * loss) * (count - 1) / gap2);
  }
  // Flat in time: the references collapse into their mean (weights of the kept one: the turn only).
  info.references = moving ? count : 1;
  info.constant = !moving && info.doppler_turn == 0;
  double error = 0;
  const double smoothed_noise = pilot_noise * output_noise;
  for (int l = 0; l < nr::symbols_per_slot; ++l) {
    const Weights weights = time_weights(symbols, l, w, smoothed_noise / signal);
    for (int d = 0; d < count; ++d) {
      const double angle =
          static_cast<double>(info.doppler_turn) * (moving ? l - symbols.symbol[d] : l);
      const double weight = moving ? weights[d] : (d == 0 ? 1.0 : 0.0);
      info.weight[l][d] = std::complex<float>(weight * std::polar(1.0, angle));
      error += weights[d] * weights[d] * smoothed_noise / nr::symbols_per_slot;
    }
  }
  info.error_power = static_cast<float>(error);
}

void finish(const EstimateInput& input, const PilotSums& sums, const SmootherGains& gains,
            double residual, double scatter, ChannelInfo& info) {
  const double antennas = info.antennas;
  const double symbols = input.symbols.count;
  double noise = 0;
  if (info.references == 1) {
    const double scatter_freedom = (symbols - 1) * 6 * input.allocation->rb_count;
    noise = (residual * symbols + scatter) / (antennas * (gains.residual + scatter_freedom));
    info.error_power = static_cast<float>(noise / symbols * gains.output_noise);
  } else {
    noise = residual / (antennas * symbols * gains.residual);
  }
  const double power = sums.power / sums.power_count;
  info.signal_power = static_cast<float>(std::max(power - noise, 1e-3 * power + 1e-30));
  info.noise_power =
      static_cast<float>(noise * static_cast<double>(input.amplitude * input.amplitude));
}

}  // namespace noroshi::phy
