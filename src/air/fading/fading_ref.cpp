#include <cmath>
#include <numbers>

#include "air/fading/fading.h"

namespace noroshi::air {
namespace {

constexpr double turn = 0x1.0p64;

std::uint64_t fraction_of_turn(double turns) {
  const double fraction = turns - std::floor(turns);
  return static_cast<std::uint64_t>(std::llrint(fraction * 0x1.0p62)) << 2;
}

}  // namespace

FadingBank make_fading_bank(const std::vector<Tap>& taps, double doppler_hz,
                            double update_interval_s, Prng& prng) {
  double total = 0;
  for (const Tap& tap : taps) total += std::pow(10.0, tap.power_db / 10);
  FadingBank bank;
  bank.taps = static_cast<int>(taps.size());
  for (const Tap& tap : taps) {
    const double power = std::pow(10.0, tap.power_db / 10) / total;
    const double rotation = prng.uniform();
    const bool rayleigh = tap.fading == Fading::rayleigh;
    const double scale =
        rayleigh ? std::sqrt(power / fading_sinusoids) : std::sqrt(power) / fading_sinusoids;
    bank.amplitude.push_back(static_cast<float>(scale));
    const std::uint64_t common_phase = prng();
    for (int s = 0; s < fading_sinusoids; ++s) {
      FadingBank::Sinusoid sinusoid;
      const std::uint64_t own_phase = prng();
      if (rayleigh) {
        const double angle = 2 * std::numbers::pi * (s + rotation) / fading_sinusoids;
        sinusoid.phase = own_phase;
        sinusoid.step = fraction_of_turn(doppler_hz * std::cos(angle) * update_interval_s);
      } else if (tap.fading == Fading::line_of_sight) {
        sinusoid.phase = common_phase;
        sinusoid.step = fraction_of_turn(0.7 * doppler_hz * update_interval_s);
      }
      bank.sinusoids.push_back(sinusoid);
    }
  }
  bank.phases.resize(bank.sinusoids.size());
  return bank;
}

namespace ref {

void fading_gains(const FadingBank& bank, double time_intervals, View<cf64, 1> gains) {
  assert(gains.size() == static_cast<std::size_t>(bank.taps));
  for (int tap = 0; tap < bank.taps; ++tap) {
    cf64 sum = 0;
    for (int s = 0; s < fading_sinusoids; ++s) {
      const auto& sinusoid = bank.sinusoids[tap * fading_sinusoids + s];
      // The step is a signed frequency: less than half a turn an interval.
      const double step = static_cast<double>(static_cast<std::int64_t>(sinusoid.step)) / turn;
      const double turns = static_cast<double>(sinusoid.phase) / turn + step * time_intervals;
      sum += std::polar(1.0, 2 * std::numbers::pi * (turns - std::floor(turns)));
    }
    gains[tap] = sum * static_cast<double>(bank.amplitude[tap]);
  }
}

}  // namespace ref
}  // namespace noroshi::air
