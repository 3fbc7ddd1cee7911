#pragma once

// Channel estimate from DM-RS: any type, single or double symbols, several layers of one or several
// handsets.
//
//   u[a, t, m] = y[a, l_t, k_m] conj(r[t, m]) / beta                   least squares, on a comb
//   z[a, t, m] = (u[a, l_t, m] + w_t u[a, l_t + 1, m]) / 2             double symbols
//              = sum over the comb's ports of w_f(m) h[a, port, t, k_m] + noise
//   h[a, layer, t, k] = sum_m W[k, m] w_f(m) z'[a, t, m]               Wiener over frequency
//   H[a, layer, l, k] = ramp(k) sum_t v[layer, l, t] h[a, layer, t, k] Wiener over time
//
// A comb is one CDM group with one sign w_t; it has one port or the two signs w_f, which the filter
// tells apart (smoother.h). z' is z without the phase slope of the comb's mean delay, ramp() puts
// it back: so a late or early signal is smoothed, and its ports separated, as well as one on time.
// The filter is chosen by the measured correlation over frequency and the pilots' SNR; v from the
// measured change between DM-RS symbols of each handset (turn by a frequency offset, spread by
// Doppler). Where no change can be seen above the noise, the DM-RS symbols are averaged before
// smoothing and one estimate serves the slot.
//
// noise_power is that of one data element: from what h leaves of z' on the pilots (and from z' less
// its mean over time, where that was taken), divided by what these filters leave of white noise.
// Amplitudes are relative to data: H is what data see.
//
// What h leaves of every pilot (e = z' - sum of w_f h, or of its mean over time and what that
// scatters) can be kept: noise and interference, antenna by antenna, for phy/covariance.

#include <complex>
#include <vector>

#include "base/line_vector.h"
#include "base/units.h"
#include "base/view.h"
#include "base/workers.h"
#include "nr/carrier.h"
#include "nr/shared_channel.h"
#include "phy/estimate/smoother.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {

inline constexpr int estimate_times_max = 4;  // DM-RS symbols, or pairs of them, of a slot

enum class Smoothing : std::uint8_t {
  wiener,         // by measured delay spread and SNR
  least_squares,  // the best flat channel of each window (of each run of up to 4 blocks)
};

struct EstimateInput {
  View<const cf32, 3> grid;                // [antenna, symbol 14, subcarrier]
  const Allocation* allocation = nullptr;  // each run of blocks is smoothed by itself
  SymbolList symbols;                      // with DM-RS; neighbours in pairs with double_symbol
  View<const cf32, 2> pilots;  // [DM-RS symbol, pilot]: r, of magnitude 1, without cover codes
  int type = 1;
  bool double_symbol = false;
  int layers = 1;
  std::array<std::int8_t, nr::layers_max> port{};     // DM-RS port of each layer, all different
  std::array<std::int8_t, nr::layers_max> handset{};  // that sends it, ascending from 0
  float amplitude = 1;                                // beta: of a pilot over a data element
  Smoothing smoothing = Smoothing::wiener;
  bool keep_residuals = false;
};

struct ChannelInfo {
  struct Layer {
    float signal_power = 0;  // mean |H|^2 an antenna
    float delay_cycles = 0;  // of one subcarrier spacing; positive: late
    float doppler_turn = 0;  // phase per symbol by a frequency offset, radians
    // v[symbol][reference]
    std::array<std::array<std::complex<float>, estimate_times_max>, nr::symbols_per_slot> weight{};
  };
  int antennas = 0;
  int layers = 0;
  int references = 0;     // kept estimates an antenna and layer: 1 or the number of times
  bool constant = false;  // H is the same in every symbol
  float noise_power = 0;  // a data element and antenna
  float error_power = 0;  // mean |H - estimate|^2 by noise, summed over layers, in the same scale
  std::array<Layer, nr::layers_max> layer{};
};

// ---- decisions, shared by ref and cpu ----

struct Comb {
  CombKind kind;
  int delta = 0;                        // first subcarrier
  int w_t = 1;                          // sign of the second of double symbols
  std::array<int, 2> layer = {-1, -1};  // with w_f = 1, 1 and with w_f = 1, -1
  std::array<int, 2> lags() const {     // mid, far: see PilotSums
    if (kind.type == 2) return {4, 8};
    return {kind.pair ? 4 : 3, 12};
  }
  int lag() const { return kind.type == 1 && !kind.pair ? 1 : 2; }
  int layers() const { return (layer[0] >= 0 ? 1 : 0) + (layer[1] >= 0 ? 1 : 0); }
  bool flipped() const { return layer[0] < 0; }  // the only port has w_f = 1, -1
};
struct CombList {
  int count = 0;
  std::array<Comb, nr::layers_max> comb{};
  const Comb* begin() const { return comb.data(); }
  const Comb* end() const { return comb.data() + count; }
};
CombList make_combs(const EstimateInput& input);

// The instants at which the channel is known: symbol numbers, between the two of double symbols.
struct PilotTimes {
  int count = 0;
  std::array<double, estimate_times_max> at{};
};
PilotTimes pilot_times(const EstimateInput& input);

// A stretch of a run's blocks. Sums over neighbouring pilots are taken inside stretches, so that
// workers can share the subcarriers, and the sums do not depend on how many they are.
struct Stretch {
  RbRun run;
  int place = 0;  // of the run's first block in the allocation
  int first = 0;  // block, from the run's first
  int count = 0;
};
inline constexpr int stretch_rbs_max = 72;
struct StretchList {
  int count = 0;
  std::array<Stretch, (nr::rb_max + 1) / 2 + nr::rb_max / 32> stretch{};
  const Stretch* begin() const { return stretch.data(); }
  const Stretch* end() const { return stretch.data() + count; }
};
StretchList cut_stretches(const Allocation& allocation);

// Sums over least-squares pilots of one comb without the delay's slope, over all antennas and
// times. near: real part of conj(z(m)) z(m+lag); mid, far: |z(m+lag) - z(m)|^2 for the two longer
// lags; pairs inside a stretch. Two ports on a comb change sign against each other from pilot to
// pilot, so lags are even there.
struct PilotSums {
  double power = 0, near = 0, mid = 0, far = 0;
  double curvature = 0;  // |z(m) - (z(m-lag) + z(m+lag))/2|^2
  double power_count = 0, near_count = 0, mid_count = 0, far_count = 0, curvature_count = 0;
  void add(const PilotSums& other);
};
struct SmootherChoice {
  int spread_class = 0;
  int snr_class = 0;
};
// averaged: times whose mean is smoothed.
SmootherChoice choose_smoother(const EstimateInput& input, const Comb& comb, const PilotSums& sums,
                               int averaged);
// Of one least-squares pilot, from the second differences: a first guess.
double pilot_noise_guess(const PilotSums& sums);
// Sums of conj(z(m)) z(m+lag), near over lag() and far over the longest of the lags, where a row
// has so many pilots.
struct SlopeSums {
  std::complex<double> near = 0, far = 0;
  double near_count = 0, far_count = 0;
  void add(const SlopeSums& other);
};
// The mean delay. The far sum is the finer scale by far, once the near one has told its turns.
double delay_cycles(const Comb& comb, const SlopeSums& sums);
// Subcarriers over which the slope of a port that shares its comb is taken, from its estimate.
inline constexpr int port_delay_lag = 4;

// What the chosen filter does to white noise.
struct SmootherGains {
  double output_noise = 0;  // mean noise power of an output for noise 1 in
  double residual = 0;      // sum over pilots of the power left by h for noise 1 in
};
SmootherGains smoother_gains(const Allocation& allocation, const Comb& comb, SmootherChoice choice);

// Moments over time of s(m) = mean of w_f(m + i) z'(m + i), i = 0..3, of one layer, over antennas
// and pilots.
inline constexpr int time_window = 4;
struct TimeSums {
  std::array<double, estimate_times_max> power{};               // |s_t|^2
  std::array<std::complex<double>, estimate_times_max> turn{};  // conj(s_t) s_(t+1)
  double count = 0;
  void add(const TimeSums& other);
};

// What h leaves of white noise of power 1 in all pilots of each block of the allocation, summed
// over combs and times, for one antenna: the block's degrees of freedom.
void residual_freedom(const EstimateInput& input, const CombList& combs,
                      const std::array<SmootherChoice, nr::layers_max>& choices, int references,
                      View<float, 1> freedom);

// All that is decided between the first and the second pass over the pilots: fills references,
// constant and each layer's turn and weights.
struct EstimateSums {
  std::array<PilotSums, nr::layers_max> pilots;  // by comb
  std::array<TimeSums, nr::layers_max> time;     // by layer
};
void decide_time(const EstimateInput& input, const CombList& combs, const EstimateSums& sums,
                 const std::array<SmootherGains, nr::layers_max>& gains, ChannelInfo& info);

// The powers at the end. residual: what h leaves of the smoothed rows; scatter: sum of
// |z'_t - mean|^2 where the times were averaged; by comb.
struct Residuals {
  std::array<double, nr::layers_max> residual{}, scatter{};
};
void finish(const EstimateInput& input, const CombList& combs, const EstimateSums& sums,
            const std::array<SmootherGains, nr::layers_max>& gains, const Residuals& residuals,
            ChannelInfo& info);

// ---- the two versions ----

namespace ref {

struct ChannelEstimate {
  ChannelInfo info;
  std::vector<cf64> h;  // [antenna, layer, symbol 14, subcarrier of the allocation]
  CombList combs;
  std::array<SmootherChoice, nr::layers_max> choices{};
  std::vector<cf64> residuals;  // e: [antenna, comb, time, pilot]
};
ChannelEstimate estimate(const EstimateInput& input);

}  // namespace ref

namespace cpu {

// The channel and the equaliser's weights lie in vectors of so many subcarriers of the allocation.
inline constexpr std::size_t subcarrier_block = 16;
constexpr std::size_t subcarrier_blocks(std::size_t subcarriers) {
  return (subcarriers + subcarrier_block - 1) / subcarrier_block;
}

// Scratch and result for the carrier's largest allocation.
// What one stretch adds to the sums; added up in order, whoever computed it.
struct alignas(64) StretchSums {
  std::array<SlopeSums, nr::layers_max> slope{};  // by comb
  EstimateSums sums;
  Residuals residuals;
  std::array<std::complex<double>, nr::layers_max> port_slope{};  // by layer
};

struct EstimateWorkspace {
  EstimateWorkspace(int rb_max, int antennas_max, int layers_max);

  std::size_t plane = 0;  // floats of one plane of subcarriers, with room for vectors
  int antennas_max = 0;
  int layers_max = 0;
  CombList combs;  // of the last estimate
  std::array<SmootherChoice, nr::layers_max> choices{};
  StretchList stretches;
  std::vector<StretchSums> sums;  // by stretch
  LineVector<float> ls;           // [antenna, comb, time, re / im, pilot]
  LineVector<float> residuals;    // e of keep_residuals, likewise
  LineVector<float> smooth;       // [antenna, layer, time, re / im, subcarrier]
  LineVector<float> ramp;         // [comb, re / im, subcarrier], then on the comb's pilots
};

ChannelInfo estimate(const EstimateInput& input, EstimateWorkspace& workspace,
                     const Workers& workers = {});

// H of one symbol for the blocks of subcarriers from first_block on.
// h: [block, antenna, layer, re / im, subcarrier of the block].
void channel_at(const ChannelInfo& info, const EstimateWorkspace& workspace, int symbol,
                std::size_t first_block, View<float, 5> h);

}  // namespace cpu
}  // namespace noroshi::phy
