#pragma once

// Radio channels between one transmitter and the antennas of one receiver: tapped delay lines
// (TR 38.901 7.7.2, TS 38.104 annex G) with Rayleigh or Rician taps and Jakes Doppler (sum of
// sinusoids), plus white noise. Seeded: the same seed, slot and input give the same output.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/prng.h"
#include "base/result.h"
#include "base/units.h"
#include "base/view.h"

namespace noroshi::air {

enum class Fading : std::uint8_t {
  constant,       // amplitude 1, phase 0
  rayleigh,       // Jakes spectrum
  line_of_sight,  // constant amplitude, turning at 0.7 of the maximum Doppler (TR 38.901 7.7.2)
};

struct Tap {
  double delay_s = 0;
  double power_db = 0;
  Fading fading = Fading::rayleigh;
};

struct ChannelProfile {
  std::string_view name;
  std::vector<Tap> taps;  // of total power 1 after normalisation
};

// "awgn" (one constant tap), "tdl-a" to "tdl-e" scaled by delay_spread_s, or the fixed "tdla30",
// "tdlb100", "tdlc300". Errors: another name (the message lists them); a delay spread that is not
// within 0 .. 10 us.
Result<ChannelProfile> channel_profile(std::string_view name, double delay_spread_s);

struct ChannelConfig {
  ChannelProfile profile;
  double doppler_hz = 0;
  int sample_rate_hz = 0;
  int receive_antennas = 1;
  double timing_offset_s = 0;  // a constant delay on top (positive: late)
  std::uint64_t seed = 1;
};

// Each tap is a fractional delay (windowed sinc of 10 samples) times its fading gain; all taps of
// an antenna are summed into one FIR, which follows the fading linearly in small steps.
// Against the exact sum of moving taps the error is below -45 dB up to 300 Hz at 30.72 Msps.
class Channel {
 public:
  // samples_max: of one apply().
  Channel(const ChannelConfig& config, int samples_max);
  ~Channel();
  Channel(Channel&&) noexcept;
  Channel& operator=(Channel&&) noexcept;

  // Adds gain * (transmit through the channel) to receive[antenna, sample]. start_sample: position
  // of the first sample in absolute time (fading is a function of time alone). The tail of the
  // previous call runs into this one when it follows directly; else the past is silence.
  // However a stretch of time is cut into calls, the result is the same to the bit.
  // Allocates nothing.
  void apply(std::int64_t start_sample, float gain, View<const cf32, 1> transmit,
             View<cf32, 2> receive);

  // Samples by which everything comes later than the delays say: 0 when all delays are whole
  // samples, else half the sinc, which cannot look ahead.
  int latency_samples() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

// Adds circular white noise of this power (per complex sample): Box-Muller over 16 streams of
// xoshiro128++ seeded from prng, Gaussian to 6.6 sigma. The same bits on one machine; instruction
// sets with and without fused multiply-add differ in the last bit.
void add_noise(float power, Prng& prng, View<cf32, 1> samples);

}  // namespace noroshi::air
