#pragma once

// Channel estimate from DM-RS of configuration type 1, single symbols, one layer.
//
//   z[a, d, m] = y[a, l_d, k_m] conj(r[d, m]) / beta           least squares, on the comb
//   h[a, d, k] = sum_m W[k, m] z'[a, d, m]                     Wiener over frequency (smoother.h)
//   H[a, l, k] = ramp(k) sum_d v[l, d] h[a, d, k]              Wiener over time, Doppler estimated
//
// z' is z without the phase slope of the mean delay, ramp() puts it back: so a late or early signal
// is smoothed as well as one on time. The filter is chosen by the measured correlation over
// frequency and the pilots' SNR; v from the measured change between DM-RS symbols (turn by a
// frequency offset, spread by Doppler). Where no change can be seen above the noise, the DM-RS
// symbols are averaged before smoothing and one estimate serves the slot.
//
// noise_power is that of one data element: from z' - h on the pilots (and from z' less its mean
// over time, where that was taken), divided by what these filters leave of white noise. Amplitudes
// are relative to data: H is what data see.

#include <complex>
#include <vector>

#include "base/units.h"
#include "base/view.h"
#include "nr/carrier.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {

inline constexpr int estimate_symbols_max = 4;  // DM-RS symbols of a slot

struct EstimateInput {
  View<const cf32, 3> grid;  // [antenna 1..4, symbol 14, subcarrier]
  const Allocation* allocation = nullptr;
  SymbolList symbols;          // 1 .. estimate_symbols_max of them
  View<const cf32, 2> pilots;  // [DM-RS symbol, pilot]: r, of magnitude 1
  int comb = 0;                // delta of TS 38.211 table 6.4.1.1.3-1
  float amplitude = 1;         // beta: of a pilot relative to a data element
};

struct ChannelInfo {
  int antennas = 0;
  int references = 0;      // kept estimates an antenna: 1 or the number of DM-RS symbols
  bool constant = false;   // H is the same in every symbol
  float noise_power = 0;   // a data element and antenna
  float error_power = 0;   // mean |H - estimate|^2 by noise, in the same scale
  float signal_power = 0;  // mean |H|^2 an antenna
  float delay_cycles = 0;  // of one subcarrier spacing; positive: late
  float doppler_turn = 0;  // phase per symbol by a frequency offset, radians
  // v[symbol][reference]
  std::array<std::array<std::complex<float>, estimate_symbols_max>, nr::symbols_per_slot> weight{};
};

// ---- decisions, shared by ref and cpu ----

// Sums over least-squares pilots without the delay's slope, over all antennas and DM-RS symbols.
// near: real part of conj(z(m)) z(m+1); mid, far: |z(m+lag) - z(m)|^2, pairs inside a run.
struct PilotSums {
  double power = 0, near = 0, mid = 0, far = 0, curvature = 0;  // |z(m) - (z(m-1) + z(m+1))/2|^2
  double power_count = 0, near_count = 0, mid_count = 0, far_count = 0, curvature_count = 0;
};
inline constexpr int lag_mid = 3, lag_far = 12;  // pilots
struct SmootherChoice {
  int spread_class = 0;
  int snr_class = 0;
};
// averaged: DM-RS symbols whose mean is smoothed.
SmootherChoice choose_smoother(const PilotSums& sums, int averaged);
// Of one least-squares pilot, from the second differences: a first guess.
double pilot_noise_guess(const PilotSums& sums);

// What the chosen filter does to white noise, summed over the allocation's subcarriers.
struct SmootherGains {
  double output_noise = 0;  // mean noise power of an output for noise 1 in
  double residual = 0;      // sum over pilots of the power of z' - h for noise 1 in
};
SmootherGains smoother_gains(const Allocation& allocation, SmootherChoice choice, int comb);

// Moments over time of s(m) = (z'(m) + ... + z'(m + 3)) / 4, summed over antennas and pilots.
inline constexpr int time_window = 4;
struct TimeSums {
  std::array<double, estimate_symbols_max> power{};               // |s_d|^2
  std::array<std::complex<double>, estimate_symbols_max> turn{};  // conj(s_d) s_(d+1)
  double count = 0;
};
// Fills references, constant, weight, doppler_turn, and error_power for pilot_noise as given.
void choose_time_weights(const TimeSums& sums, const SymbolList& symbols, double pilot_noise,
                         double output_noise, ChannelInfo& info);

// The noise powers at the end. residual: sum of |z' - h|^2 over the smoothed rows; scatter: sum of
// |z'_d - mean|^2 where the symbols were averaged.
void finish(const EstimateInput& input, const PilotSums& sums, const SmootherGains& gains,
            double residual, double scatter, ChannelInfo& info);

// ---- the two versions ----

namespace ref {

struct ChannelEstimate {
  ChannelInfo info;
  std::vector<std::complex<double>> h;  // [antenna, symbol 14, subcarrier of the allocation]
};
ChannelEstimate estimate(const EstimateInput& input);

}  // namespace ref

namespace cpu {

// Scratch and result for the carrier's largest allocation.
struct EstimateWorkspace {
  explicit EstimateWorkspace(int rb_max);

  std::size_t plane = 0;      // floats of one plane of subcarriers, with room for vectors
  std::vector<float> ls;      // [antenna, DM-RS symbol, re / im, pilot]
  std::vector<float> smooth;  // [antenna, DM-RS symbol, re / im, subcarrier]
  std::vector<float> ramp;    // [re / im, subcarrier]
};

ChannelInfo estimate(const EstimateInput& input, EstimateWorkspace& workspace);

// H of one symbol. h: [antenna, re / im, subcarrier padded to the workspace's plane].
void channel_at(const ChannelInfo& info, const EstimateWorkspace& workspace, int symbol,
                int subcarriers, View<float, 3> h);

}  // namespace cpu
}  // namespace noroshi::phy
