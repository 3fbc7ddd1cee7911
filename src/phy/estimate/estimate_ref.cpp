// The channel estimate in plain double precision: what estimate.h says, as it says it.

#include <cassert>
#include <cmath>
#include <numbers>

#include "phy/estimate/estimate.h"
#include "phy/estimate/smoother.h"

namespace noroshi::phy::ref {
namespace {

using Row = std::vector<cf64>;

cf64 lag_sum(const Row& z, const Allocation& allocation, int lag, double& count) {
  cf64 sum = 0;
  std::size_t first = 0;
  for (const RbRun& run : allocation) {
    const std::size_t pilots = static_cast<std::size_t>(6 * run.count);
    for (std::size_t m = 0; m + static_cast<std::size_t>(lag) < pilots; ++m, ++count)
      sum += std::conj(z[first + m]) * z[first + m + static_cast<std::size_t>(lag)];
    first += pilots;
  }
  return sum;
}

double difference_sum(const Row& z, const Allocation& allocation, std::size_t lag, double& count) {
  double sum = 0;
  std::size_t first = 0;
  for (const RbRun& run : allocation) {
    const std::size_t pilots = static_cast<std::size_t>(6 * run.count);
    for (std::size_t m = 0; m + lag < pilots; ++m, ++count)
      sum += std::norm(z[first + m + lag] - z[first + m]);
    first += pilots;
  }
  return sum;
}

void curvature(const Row& z, const Allocation& allocation, PilotSums& sums) {
  std::size_t first = 0;
  for (const RbRun& run : allocation) {
    const std::size_t pilots = static_cast<std::size_t>(6 * run.count);
    for (std::size_t m = 1; m + 1 < pilots; ++m, ++sums.curvature_count)
      sums.curvature += std::norm(z[first + m] - 0.5 * (z[first + m - 1] + z[first + m + 1]));
    first += pilots;
  }
}

Row least_squares(const EstimateInput& input, std::size_t antenna, int d) {
  Row z;
  const auto row = input.grid[antenna][static_cast<std::size_t>(input.symbols.symbol[d])];
  for (const RbRun& run : *input.allocation)
    for (int m = 0; m < 6 * run.count; ++m)
      z.push_back(cf64(row[static_cast<std::size_t>(12 * run.first + 2 * m + input.comb)]) *
                  std::conj(cf64(input.pilots[static_cast<std::size_t>(d)][z.size()])) /
                  static_cast<double>(input.amplitude));
  return z;
}

// Phase of the delay at every allocated subcarrier.
Row delay_ramp(const Allocation& allocation, double delay_cycles) {
  Row ramp;
  for (const RbRun& run : allocation)
    for (int k = 12 * run.first; k < 12 * (run.first + run.count); ++k)
      ramp.push_back(std::polar(1.0, -2 * std::numbers::pi * delay_cycles * k));
  return ramp;
}

Row smooth(const Row& z, const Allocation& allocation, SmootherChoice choice, int comb) {
  Row h;
  std::size_t first = 0;
  for (const RbRun& run : allocation) {
    const int pilots = 6 * run.count;
    const Smoother::Filter& filter =
        smoother().filter(choice.spread_class, choice.snr_class, pilots);
    for (int k = 0; k < 12 * run.count; ++k) {
      const SmootherRow row = smoother_row(filter.taps, pilots, comb, k / 2);
      cf64 sum = 0;
      for (int j = 0; j < filter.taps; ++j)
        sum +=
            filter.at(row.p + k % 2, j) * z[first + static_cast<std::size_t>(row.window_start + j)];
      h.push_back(sum);
    }
    first += static_cast<std::size_t>(pilots);
  }
  return h;
}

}  // namespace

ChannelEstimate estimate(const EstimateInput& input) {
  const Allocation& allocation = *input.allocation;
  const int symbols = input.symbols.count;
  const int antennas = static_cast<int>(input.grid.extent(0));
  assert(symbols >= 1 && symbols <= estimate_symbols_max);
  ChannelEstimate out;
  out.info.antennas = antennas;

  std::vector<Row> z;  // [antenna * symbols + symbol][pilot]
  for (int a = 0; a < antennas; ++a)
    for (int d = 0; d < symbols; ++d)
      z.push_back(least_squares(input, static_cast<std::size_t>(a), d));

  // The mean delay: phase from pilot to pilot, two subcarriers apart.
  double pairs = 0;
  cf64 slope = 0;
  for (const Row& row : z) slope += lag_sum(row, allocation, 1, pairs);
  const double delay = -std::arg(slope) / (4 * std::numbers::pi);
  out.info.delay_cycles = static_cast<float>(delay);
  const Row ramp = delay_ramp(allocation, delay);
  for (Row& row : z)
    for (std::size_t m = 0; m < row.size(); ++m)
      row[m] *= std::conj(ramp[2 * m + static_cast<std::size_t>(input.comb)]);

  PilotSums sums;
  for (const Row& row : z) {
    for (const cf64& value : row) sums.power += std::norm(value);
    sums.power_count += static_cast<double>(row.size());
    sums.near += std::real(lag_sum(row, allocation, 1, sums.near_count));
    sums.mid += difference_sum(row, allocation, lag_mid, sums.mid_count);
    sums.far += difference_sum(row, allocation, lag_far, sums.far_count);
    curvature(row, allocation, sums);
  }
  const SmootherChoice choice = choose_smoother(sums);
  const SmootherGains gains = smoother_gains(allocation, choice, input.comb);

  std::vector<Row> h;
  TimeSums time;
  double residual = 0;
  for (const Row& row : z) {
    h.push_back(smooth(row, allocation, choice, input.comb));
    for (std::size_t m = 0; m < row.size(); ++m)
      residual += std::norm(row[m] - h.back()[2 * m + static_cast<std::size_t>(input.comb)]);
  }
  for (int a = 0; a < antennas; ++a)
    for (int d = 0; d < symbols; ++d) {
      const Row& now = h[static_cast<std::size_t>(a * symbols + d)];
      for (std::size_t k = 0; k < now.size(); ++k) {
        time.power[static_cast<std::size_t>(d)] += std::norm(now[k]);
        if (d + 1 < symbols)
          time.turn[static_cast<std::size_t>(d)] +=
              std::conj(now[k]) * h[static_cast<std::size_t>(a * symbols + d + 1)][k];
      }
    }
  time.count = static_cast<double>(antennas) * allocation.subcarriers();

  const double pilot_noise = residual / (gains.residual * antennas * symbols);
  out.info.noise_power = static_cast<float>(pilot_noise * input.amplitude * input.amplitude);
  choose_time_weights(time, input.symbols, pilot_noise, gains.output_noise, out.info);

  const std::size_t subcarriers = static_cast<std::size_t>(allocation.subcarriers());
  for (int a = 0; a < antennas; ++a)
    for (int l = 0; l < nr::symbols_per_slot; ++l)
      for (std::size_t k = 0; k < subcarriers; ++k) {
        cf64 sum = 0;
        for (int d = 0; d < symbols; ++d) {
          const cf64 value = h[static_cast<std::size_t>(a * symbols + d)][k];
          const auto& weights = out.info.weight[static_cast<std::size_t>(l)];
          if (out.info.references == 1)
            sum += value / static_cast<double>(symbols) * cf64(weights[0]) *
                   std::polar(
                       1.0, -static_cast<double>(out.info.doppler_turn) * input.symbols.symbol[d]);
          else
            sum += value * cf64(weights[static_cast<std::size_t>(d)]);
        }
        out.h.push_back(sum * ramp[k]);
      }
  return out;
}

}  // namespace noroshi::phy::ref
