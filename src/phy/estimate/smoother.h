#pragma once

// Wiener filters for the channel across frequency, made once from assumed statistics.
//
// The pilots of one CDM group lie on a comb: every second subcarrier (DM-RS type 1), or two
// neighbours of every six (type 2). The channel is taken as stationary with a two-sided exponential
// delay profile around the (removed) mean delay, whose correlation over d subcarriers is
// 1 / (1 + (pi s d)^2 / 2), s being the RMS delay spread in cycles over two subcarriers. For every
// subcarrier of a window of N pilots the row of weights w minimises the mean square error under
// sum(w) = 1, so that a flat channel passes unchanged (no bias in amplitude for 256QAM):
//
//   (R + I / snr) w = r + lambda 1
//
// Two ports of a group share its pilots: z(j) = h0 + c(j) h1 + noise, c = 1, -1, 1, -1, ... The
// sign is a second delay, half a period of the comb away, and the filter for h0 knows it:
//
//   ((1 + c(i) c(j)) R(i, j) + I / snr) w = r + lambda 1 + mu c,   sum(w) = 1, sum(w c) = 0
//
// so a flat second port leaves nothing, a dispersive one as little as the noise makes worthwhile;
// plain averaging of neighbours would let |pi d s|^2 / 4 of it through. h1 takes the same weights
// with the signs c. A longer run slides the window and uses its middle rows; its ends use the outer
// rows.

#include <algorithm>
#include <array>
#include <vector>

namespace noroshi::phy {

// How the pilots of one comb lie, and whether two ports share them.
struct CombKind {
  int type = 1;       // DM-RS configuration type
  bool pair = false;  // w_f = 1, 1 and 1, -1 are both there

  constexpr int index() const { return (type == 1 ? 0 : 2) + (pair ? 1 : 0); }
  constexpr int pilots_per_rb() const { return type == 1 ? 6 : 4; }
  // Subcarrier of pilot j from pilot 0.
  constexpr int offset(int j) const { return type == 1 ? 2 * j : 6 * (j / 2) + j % 2; }
  // Subcarriers that a run may have before its first pilot.
  constexpr int lead() const { return type == 1 ? 1 : 4; }
};
inline constexpr int comb_kinds = 4;

class Smoother {
 public:
  static constexpr int window_rbs = 4;
  static constexpr int taps_max = 6 * window_rbs;
  static constexpr int row_stride = 72;  // rows of a window, padded for vectors

  // RMS delay spread, in cycles over two subcarriers; SNR of one least-squares pilot and port.
  static constexpr std::array<double, 6> spreads = {0.0004, 0.0015, 0.004, 0.01, 0.025, 0.06};
  static constexpr std::array<double, 8> snrs_db = {-10, -4, 2, 8, 14, 20, 27, 34};

  struct Filter {
    CombKind kind;
    int taps = 0;
    // Weight of pilot j for the subcarrier p after the window's first pilot:
    // weight[j * row_stride + p + lead].
    std::vector<float> weight;
    std::array<float, row_stride> noise_gain{};  // by p + lead: sum of squared weights
    // By p + lead, on pilots: what is left of white noise in z - h0 - c h1.
    std::array<float, row_stride> residual{};
    // The same summed over a run of one window's length (noise over its subcarriers, residual over
    // its pilots), and over the middle rows that one more step of the window adds; by delta.
    struct Sums {
      double noise = 0, residual = 0;
    };
    std::array<Sums, 5> window_sums{}, middle_sums{};

    double at(int p, int j) const {
      return static_cast<double>(
          weight[static_cast<std::size_t>(j * row_stride + p + kind.lead())]);
    }
  };

  Smoother();

  // The filter for a run of that many blocks.
  const Filter& filter(CombKind kind, int spread_class, int snr_class, int rbs) const {
    const int size = std::min(rbs, window_rbs) - 1;
    return filters_[static_cast<std::size_t>(
        ((kind.index() * static_cast<int>(spreads.size()) + spread_class) *
             static_cast<int>(snrs_db.size()) +
         snr_class) *
            window_rbs +
        size)];
  }

  // Correlation over d subcarriers in a spread class.
  static double correlation(int spread_class, double subcarriers);

 private:
  std::vector<Filter> filters_;
};

// Built at the first call; call it outside the slot first.
const Smoother& smoother();

// Which window and row make the output of subcarrier k of a run of `rbs` blocks whose first pilot
// is on subcarrier delta: the window's first pilot in the run, and p. Type 1 slides by a pilot,
// type 2 by a block.
struct SmootherRow {
  int window_start;
  int p;
};
constexpr SmootherRow smoother_row(CombKind kind, int taps, int rbs, int delta, int k) {
  const int per_rb = kind.pilots_per_rb();
  if (kind.type == 1) {
    const int centre = taps / 2 - (delta == 0 ? 1 : 0);
    const int start = std::clamp(k / 2 - centre, 0, per_rb * rbs - taps);
    return {start, k - 2 * start - delta};
  }
  const int start_rb = std::clamp(k / 12 - 1, 0, rbs - taps / per_rb);
  return {start_rb * per_rb, k - 12 * start_rb - delta};
}

}  // namespace noroshi::phy
