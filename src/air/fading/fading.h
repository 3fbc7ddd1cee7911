#pragma once

// Fading gains of the taps of one antenna as functions of absolute time: sums of sinusoids with
// Jakes' spectrum,
//
//   g(t) = sqrt(power / S) sum_{s < S} exp(j 2 pi (f_D cos(a_s) t + p_s)),  a_s = 2 pi (s + u) / S
//
// with u and p_s uniform: the ensemble's autocorrelation is power * J0(2 pi f_D tau) exactly, and a
// single run's comes close. A line-of-sight tap is one turning phasor, a constant tap is 1.
// Phases are 64-bit fractions of a turn that advance by a fixed step every update interval: exact
// for any time, the same on every machine.

#include <cstdint>
#include <vector>

#include "air/channel.h"
#include "base/prng.h"
#include "base/view.h"

namespace noroshi::air {

inline constexpr int fading_sinusoids = 32;

struct FadingBank {
  struct Sinusoid {
    std::uint64_t phase = 0;  // at time 0
    std::uint64_t step = 0;   // an update interval, modulo a turn
  };
  int taps = 0;
  std::vector<Sinusoid> sinusoids;    // [tap, fading_sinusoids]
  std::vector<float> amplitude;       // [tap], of one sinusoid
  std::vector<std::uint32_t> phases;  // [tap, fading_sinusoids], scratch
};

// The draws depend on the seed alone, not on Doppler or interval.
FadingBank make_fading_bank(const std::vector<Tap>& taps, double doppler_hz,
                            double update_interval_s, Prng& prng);

namespace ref {
// Double precision; any time, in update intervals.
void fading_gains(const FadingBank& bank, double time_intervals, View<cf64, 1> gains);
}  // namespace ref

namespace cpu {
// gains[tap] at interval * update_interval_s. Allocates nothing.
void fading_gains(FadingBank& bank, std::int64_t interval, View<cf32, 1> gains);
}  // namespace cpu

}  // namespace noroshi::air
