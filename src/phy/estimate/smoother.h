#pragma once

// Wiener filters for the channel across frequency, made once from assumed statistics.
//
// Pilots lie on every second subcarrier of a run of blocks. The channel is taken as stationary with
// a two-sided exponential delay profile around the (removed) mean delay, whose correlation over d
// pilots is 1 / (1 + (2 pi s d)^2 / 2), s being the RMS delay spread times the pilots' spacing.
// For every subcarrier of a window of N pilots the row of weights w minimises the mean square error
// under sum(w) = 1, so that a flat channel passes unchanged (no bias in amplitude for 256QAM):
//
//   (R + I / snr) w = r + lambda 1
//
// A longer run slides the window and uses the two middle rows; its ends use the outer rows.

#include <array>
#include <vector>

namespace noroshi::phy {

class Smoother {
 public:
  static constexpr int taps_max = 24;
  static constexpr int row_stride = 64;  // rows of a window, padded for vectors

  // RMS delay spread, in cycles over one pilot's spacing; SNR of one least-squares pilot.
  static constexpr std::array<double, 6> spreads = {0.0004, 0.0015, 0.004, 0.01, 0.025, 0.06};
  static constexpr std::array<double, 8> snrs_db = {-10, -4, 2, 8, 14, 20, 27, 34};

  struct Filter {
    int taps = 0;
    // Weight of pilot j for the subcarrier p after the window's first pilot (p = -1 .. 2 taps - 1):
    // weight[j * row_stride + p + 1].
    std::vector<float> weight;
    std::array<float, row_stride> noise_gain{};  // by p + 1: sum of squared weights
    std::array<float, row_stride> own_weight{};  // by p + 1, on pilots: weight of the pilot itself
    double at(int p, int j) const {
      return static_cast<double>(weight[static_cast<std::size_t>(j * row_stride + p + 1)]);
    }
  };

  Smoother();

  // The filter for a run of that many pilots (6, 12, 18, or more).
  const Filter& filter(int spread_class, int snr_class, int pilots) const {
    const int size = pilots >= taps_max ? 3 : pilots / 6 - 1;
    return filters_[static_cast<std::size_t>((spread_class * 8 + snr_class) * 4 + size)];
  }

  // Correlation over d pilots in a spread class.
  static double correlation(int spread_class, double distance);

 private:
  std::vector<Filter> filters_;
};

// Built at the first call; call it outside the slot first.
const Smoother& smoother();

// Which window and row make the outputs of pilot m (its subcarriers 2m, 2m + 1 from the run's
// first) in a run of `pilots`: window_start, and p of output 2m.
struct SmootherRow {
  int window_start;
  int p;
};
constexpr SmootherRow smoother_row(int taps, int pilots, int comb, int m) {
  const int centre = taps / 2 - (comb == 0 ? 1 : 0);
  int start = m - centre;
  if (start < 0) start = 0;
  if (start > pilots - taps) start = pilots - taps;
  return {start, 2 * (m - start) - comb};
}

}  // namespace noroshi::phy
