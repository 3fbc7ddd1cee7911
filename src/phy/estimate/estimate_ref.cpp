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

TimeSums time_sums(const std::vector<Row>& z, int antennas, int symbols,
                   const Allocation& allocation) {
  TimeSums sums;
  const auto window = [](const Row& row, std::size_t m) {
    return (row[m] + row[m + 1] + row[m + 2] + row[m + 3]) / static_cast<double>(time_window);
  };
  for (int a = 0; a < antennas; ++a)
    for (int d = 0; d < symbols; ++d) {
      const Row& now = z[static_cast<std::size_t>(a * symbols + d)];
      std::size_t first = 0;
      for (const RbRun& run : allocation) {
        const std::size_t pilots = static_cast<std::size_t>(6 * run.count);
        for (std::size_t m = first; m + time_window <= first + pilots; ++m) {
          if (d == 0) ++sums.count;
          sums.power[static_cast<std::size_t>(d)] += std::norm(window(now, m));
          if (d + 1 < symbols)
            sums.turn[static_cast<std::size_t>(d)] +=
                std::conj(window(now, m)) *
                window(z[static_cast<std::size_t>(a * symbols + d + 1)], m);
        }
        first += pilots;
      }
    }
  return sums;
}

// The mean over an antenna's DM-RS symbols, each turned back to symbol 0.
Row average(const std::vector<Row>& z, int antenna, const SymbolList& symbols, float turn,
            double& scatter) {
  const std::size_t first = static_cast<std::size_t>(antenna * symbols.count);
  Row mean(z[first].size());
  const auto back = [&](int d) {
    return std::polar(1.0,
                      -static_cast<double>(turn) * symbols.symbol[static_cast<std::size_t>(d)]);
  };
  for (std::size_t m = 0; m < mean.size(); ++m) {
    for (int d = 0; d < symbols.count; ++d)
      mean[m] +=
          z[first + static_cast<std::size_t>(d)][m] * back(d) / static_cast<double>(symbols.count);
    for (int d = 0; d < symbols.count; ++d)
      scatter += std::norm(z[first + static_cast<std::size_t>(d)][m] * back(d) - mean[m]);
  }
  return mean;
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
  SmootherChoice choice = choose_smoother(sums, 1);
  SmootherGains gains = smoother_gains(allocation, choice, input.comb);
  choose_time_weights(time_sums(z, antennas, symbols, allocation), input.symbols,
                      pilot_noise_guess(sums), gains.output_noise, out.info);

  double scatter = 0;
  const int references = out.info.references;
  if (references == 1) {
    std::vector<Row> means;
    for (int a = 0; a < antennas; ++a)
      means.push_back(average(z, a, input.symbols, out.info.doppler_turn, scatter));
    z = means;
    choice = choose_smoother(sums, symbols);
    gains = smoother_gains(allocation, choice, input.comb);
  }
  std::vector<Row> h;
  double residual = 0;
  for (const Row& row : z) {
    h.push_back(smooth(row, allocation, choice, input.comb));
    for (std::size_t m = 0; m < row.size(); ++m)
      residual += std::norm(row[m] - h.back()[2 * m + static_cast<std::size_t>(input.comb)]);
  }
  finish(input, sums, gains, residual, scatter, out.info);

  const std::size_t subcarriers = static_cast<std::size_t>(allocation.subcarriers());
  for (int a = 0; a < antennas; ++a)
    for (int l = 0; l < nr::symbols_per_slot; ++l)
      for (std::size_t k = 0; k < subcarriers; ++k) {
        cf64 sum = 0;
        for (int d = 0; d < references; ++d)
          sum += h[static_cast<std::size_t>(a * references + d)][k] *
                 cf64(out.info.weight[static_cast<std::size_t>(l)][static_cast<std::size_t>(d)]);
        out.h.push_back(sum * ramp[k]);
      }
  return out;
}

}  // namespace noroshi::phy::ref
