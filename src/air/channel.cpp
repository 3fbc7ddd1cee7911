#include "air/channel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <string>

#include "air/channel_tables.h"
#include "air/fading/fading.h"
#include "air/fir/fir.h"
#include "air/noise/noise.h"
#include "air/windowed_sinc.h"

namespace noroshi::air {
namespace {

// The impulse response stands still for this part of an update interval, but not for less than
// this many samples: a tap turns by at most a thousandth of a circle meanwhile.
constexpr int blocks_per_update = 16;
constexpr int block_samples_min = 64;

// The longest update interval: linear between updates bends at most 1.2e-3 away from a tap that
// turns through this part of a circle.
constexpr double turn_between_updates_max = 1.0 / 64;
constexpr int update_samples_max = 1 << 15;

template <std::size_t n>
ChannelProfile from_table(std::string_view name, const TableTap (&table)[n], double unit_s) {
  ChannelProfile profile{name, {}};
  double total = 0;
  for (const TableTap& tap : table) total += std::pow(10.0, tap.power_db / 10);
  for (const TableTap& tap : table) {
    profile.taps.push_back({tap.delay * unit_s, tap.power_db - 10 * std::log10(total), tap.fading});
  }
  return profile;
}

int choose_update_samples(double doppler_hz, int sample_rate_hz) {
  if (doppler_hz <= 0) return update_samples_max;
  const double most = turn_between_updates_max * sample_rate_hz / doppler_hz;
  int samples = update_samples_max;
  while (samples > block_samples_min && samples > most) samples /= 2;
  return samples;
}

}  // namespace

Result<ChannelProfile> channel_profile(std::string_view name, double delay_spread_s) {
  if (!(delay_spread_s >= 0 && delay_spread_s <= 10e-6)) {
    return Error{"delay spread " + std::to_string(delay_spread_s) +
                 " s is out of range (0 to 10 us)"};
  }
  if (name == "awgn") return ChannelProfile{"awgn", {{0, 0, Fading::constant}}};
  if (name == "tdl-a") return from_table("tdl-a", tdl_a, delay_spread_s);
  if (name == "tdl-b") return from_table("tdl-b", tdl_b, delay_spread_s);
  if (name == "tdl-c") return from_table("tdl-c", tdl_c, delay_spread_s);
  if (name == "tdl-d") return from_table("tdl-d", tdl_d, delay_spread_s);
  if (name == "tdl-e") return from_table("tdl-e", tdl_e, delay_spread_s);
  if (name == "tdla30") return from_table("tdla30", tdla30, 1e-9);
  if (name == "tdlb100") return from_table("tdlb100", tdlb100, 1e-9);
  if (name == "tdlc300") return from_table("tdlc300", tdlc300, 1e-9);
  return Error{"unknown channel profile \"" + std::string(name) +
               "\" (awgn, tdl-a, tdl-b, tdl-c, tdl-d, tdl-e, tdla30, tdlb100, tdlc300)"};
}

struct Channel::State {
  struct Antenna {
    FadingBank fading;
    std::int64_t interval = 0;        // of `from`
    std::vector<cf32> from, to, now;  // impulse responses at an update, at the next, and between
  };

  ChannelConfig config;
  int samples_max = 0;
  int update_samples = 0;  // a power of two
  int block_samples = 0;   // one as well
  int latency = 0;
  std::vector<DelayedTap> taps;
  std::size_t fir_taps = 0;
  std::vector<Antenna> antennas;
  std::vector<cf32> gains;  // scratch, [tap]
  // fir_taps - 1 of the past, samples_max, padding
  std::vector<float> real, imaginary;
  std::int64_t next_sample = 0;

  State(const ChannelConfig& from, int samples);
  void render(Antenna& antenna, std::int64_t interval, std::vector<cf32>& response);
  void prepare(Antenna& antenna, std::int64_t sample);
};

Channel::State::State(const ChannelConfig& from, int samples)
    : config(from),
      samples_max(samples),
      update_samples(choose_update_samples(from.doppler_hz, from.sample_rate_hz)),
      block_samples(std::max(update_samples / blocks_per_update, block_samples_min)) {
  assert(samples >= 1 && from.sample_rate_hz > 0 && from.receive_antennas >= 1);
  assert(!from.profile.taps.empty() && from.doppler_hz >= 0);
  std::vector<double> delays;  // samples
  for (const Tap& tap : from.profile.taps) {
    delays.push_back((tap.delay_s + from.timing_offset_s) * from.sample_rate_hz);
    assert(delays.back() >= 0);
  }
  latency = sinc_latency(delays);
  for (double delay : delays) {
    taps.push_back(delayed_tap(delay, latency));
    const auto end = static_cast<std::size_t>(taps.back().first + sinc_samples);
    fir_taps = std::max(fir_taps, latency == 0 ? taps.back().first + 1u : end);
  }
  const double interval_s = static_cast<double>(update_samples) / from.sample_rate_hz;
  for (int antenna = 0; antenna < from.receive_antennas; ++antenna) {
    Prng prng(from.seed, static_cast<std::uint64_t>(antenna) + 1);
    antennas.push_back({make_fading_bank(from.profile.taps, from.doppler_hz, interval_s, prng), 0,
                        std::vector<cf32>(fir_taps), std::vector<cf32>(fir_taps),
                        std::vector<cf32>(fir_taps)});
  }
  gains.resize(taps.size());
  real.resize(fir_taps - 1 + static_cast<std::size_t>(samples) + fir_padding);
  imaginary.resize(real.size());
  for (Antenna& antenna : antennas) {
    render(antenna, 0, antenna.from);
    render(antenna, 1, antenna.to);
  }
}

void Channel::State::render(Antenna& antenna, std::int64_t interval, std::vector<cf32>& response) {
  cpu::fading_gains(antenna.fading, interval, View<cf32, 1>(gains));
  std::fill(response.begin(), response.end(), cf32(0));
  for (std::size_t tap = 0; tap < taps.size(); ++tap) {
    const std::size_t first = static_cast<std::size_t>(taps[tap].first);
    const std::size_t count = std::min<std::size_t>(sinc_samples, fir_taps - first);
    for (std::size_t k = 0; k < count; ++k) {
      response[first + k] += gains[tap] * taps[tap].weights[k];
    }
  }
}

// Sets `now` to the impulse response at the middle of the block that begins at this sample.
void Channel::State::prepare(Antenna& antenna, std::int64_t sample) {
  const int shift = std::countr_zero(static_cast<unsigned>(update_samples));
  const std::int64_t interval = sample >> shift;
  if (interval != antenna.interval) {
    if (interval == antenna.interval + 1) {
      std::swap(antenna.from, antenna.to);
    } else {
      render(antenna, interval, antenna.from);
    }
    render(antenna, interval + 1, antenna.to);
    antenna.interval = interval;
  }
  const auto into = static_cast<double>(sample - (interval << shift)) + block_samples / 2;
  const auto weight = static_cast<float>(into / update_samples);
  for (std::size_t k = 0; k < fir_taps; ++k) {
    antenna.now[k] = antenna.from[k] + weight * (antenna.to[k] - antenna.from[k]);
  }
}

Channel::Channel(const ChannelConfig& config, int samples_max)
    : state_(std::make_unique<State>(config, samples_max)) {}
Channel::~Channel() = default;
Channel::Channel(Channel&&) noexcept = default;
Channel& Channel::operator=(Channel&&) noexcept = default;

int Channel::latency_samples() const { return state_->latency; }

void Channel::apply(std::int64_t start_sample, float gain, View<const cf32, 1> transmit,
                    View<cf32, 2> receive) {
  State& state = *state_;
  const std::size_t count = transmit.size();
  assert(count <= static_cast<std::size_t>(state.samples_max));
  assert(receive.extent(0) == state.antennas.size() && receive.extent(1) == count);

  const std::size_t past = state.fir_taps - 1;
  if (start_sample != state.next_sample) {
    std::fill_n(state.real.begin(), past, 0.0f);
    std::fill_n(state.imaginary.begin(), past, 0.0f);
  }
  cpu::to_planes(gain, transmit, View<float, 1>(state.real).subview(past, count),
                 View<float, 1>(state.imaginary).subview(past, count));

  for (std::size_t a = 0; a < state.antennas.size(); ++a) {
    State::Antenna& antenna = state.antennas[a];
    const View<cf32, 1> output = receive[a];
    std::size_t n = 0;
    while (n < count) {  // one block of absolute time after the other
      const std::int64_t sample = start_sample + static_cast<std::int64_t>(n);
      const std::int64_t block = sample & ~(std::int64_t{state.block_samples} - 1);
      const auto left = static_cast<std::size_t>(block + state.block_samples - sample);
      const std::size_t part = std::min(left, count - n);
      state.prepare(antenna, block);
      cpu::fir_add(View<const cf32, 1>(antenna.now),
                   View<const float, 1>(state.real).subview(n, past + part),
                   View<const float, 1>(state.imaginary).subview(n, past + part),
                   output.subview(n, part));
      n += part;
    }
  }

  const auto end = static_cast<std::ptrdiff_t>(count);
  std::copy_n(state.real.begin() + end, past, state.real.begin());
  std::copy_n(state.imaginary.begin() + end, past, state.imaginary.begin());
  state.next_sample = start_sample + static_cast<std::int64_t>(count);
}

void add_noise(float power, Prng& prng, View<cf32, 1> samples) {
  NoiseStreams streams(prng);
  cpu::noise_add(streams, std::sqrt(power / 2), samples);
}

}  // namespace noroshi::air
