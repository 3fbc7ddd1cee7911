// Catches: profiles of the wrong power or delays, fading that is not Jakes', antennas that fade
// together, an impulse response in the wrong place, results that depend on how time is cut into
// calls, and a forgotten or wrong tail.

#include "air/channel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <cstdio>
#include <vector>

#include "air/fading/fading.h"
#include "air/windowed_sinc.h"

namespace noroshi::air {
namespace {

constexpr int rate_hz = 30'720'000;
constexpr std::uint64_t seed = 20261123;

std::vector<cf32> random_samples(std::uint64_t stream, std::size_t count) {
  Prng prng(seed, stream);
  std::vector<cf32> samples(count);
  add_noise(1, prng, View<cf32, 1>(samples));
  return samples;
}

ChannelConfig make_config(const char* profile, double doppler_hz, int antennas) {
  ChannelConfig config;
  config.profile = channel_profile(profile, 30e-9).value();
  config.doppler_hz = doppler_hz;
  config.sample_rate_hz = rate_hz;
  config.receive_antennas = antennas;
  config.seed = seed;
  return config;
}

// Applies the channel in calls of these sizes, the last one repeated.
std::vector<cf32> apply(const ChannelConfig& config, std::int64_t start,
                        const std::vector<cf32>& transmit, const std::vector<int>& sizes) {
  Channel channel(config, static_cast<int>(transmit.size()));
  const auto antennas = static_cast<std::size_t>(config.receive_antennas);
  std::vector<cf32> received(antennas * transmit.size());
  std::size_t done = 0;
  for (std::size_t call = 0; done < transmit.size(); ++call) {
    const std::size_t size = static_cast<std::size_t>(sizes[std::min(call, sizes.size() - 1)]);
    const std::size_t count = std::min(size, transmit.size() - done);
    std::vector<cf32> part(antennas * count);
    channel.apply(start + static_cast<std::int64_t>(done), 1.0f,
                  View<const cf32, 1>(transmit.data() + done, count),
                  View<cf32, 2>(part.data(), antennas, count));
    for (std::size_t a = 0; a < antennas; ++a) {
      for (std::size_t n = 0; n < count; ++n) {
        received[a * transmit.size() + done + n] = part[a * count + n];
      }
    }
    done += count;
  }
  return received;
}

double power(const std::vector<cf32>& samples) {
  double sum = 0;
  for (const cf32& x : samples) sum += std::norm(cf64(x));
  return sum / static_cast<double>(samples.size());
}

// The whole model in double precision, sample by sample: the gains of this very moment times
// fractionally delayed input. The fading bank is drawn as the channel draws it.
std::vector<cf64> direct(const ChannelConfig& config, std::int64_t start,
                         const std::vector<cf32>& transmit) {
  const auto antennas = static_cast<std::size_t>(config.receive_antennas);
  std::vector<cf64> received(antennas * transmit.size());
  std::vector<double> delays;
  for (const Tap& tap : config.profile.taps) {
    delays.push_back((tap.delay_s + config.timing_offset_s) * config.sample_rate_hz);
  }
  const int latency = sinc_latency(delays);
  std::vector<cf64> gains(delays.size());
  for (std::size_t a = 0; a < antennas; ++a) {
    Prng prng(config.seed, a + 1);
    constexpr double interval_s = 1e-3;
    const FadingBank bank =
        make_fading_bank(config.profile.taps, config.doppler_hz, interval_s, prng);
    for (std::size_t n = 0; n < transmit.size(); ++n) {
      const double time_s =
          static_cast<double>(start + static_cast<std::int64_t>(n)) / config.sample_rate_hz;
      ref::fading_gains(bank, time_s / interval_s, View<cf64, 1>(gains));
      for (std::size_t tap = 0; tap < delays.size(); ++tap) {
        const DelayedTap delayed = delayed_tap(delays[tap], latency);
        for (int k = 0; k < sinc_samples; ++k) {
          const auto at = static_cast<std::ptrdiff_t>(n) - delayed.first - k;
          if (at < 0) continue;
          received[a * transmit.size() + n] +=
              gains[tap] * static_cast<double>(delayed.weights[k]) * cf64(transmit[at]);
        }
      }
    }
  }
  return received;
}

TEST(Channel, EqualsTheDirectSum) {
  for (const char* name : {"tdla30", "tdl-c", "tdl-d", "awgn"}) {
    SCOPED_TRACE(name);
    ChannelConfig config = make_config(name, 300, 2);
    config.timing_offset_s = 40e-9;
    const std::int64_t start = 7'000'123;
    const auto transmit = random_samples(1, 1500);
    const auto received = apply(config, start, transmit, {1500});
    const auto expected = direct(config, start, transmit);
    double error = 0;
    double total = 0;
    for (std::size_t i = 0; i < received.size(); ++i) {
      error += std::norm(cf64(received[i]) - expected[i]);
      total += std::norm(expected[i]);
    }
    EXPECT_GT(total, 0);
    EXPECT_LT(10 * std::log10(error / total), -45.0);
  }
}

TEST(Channel, CallsMayBeCutAnywhere) {
  const ChannelConfig config = make_config("tdla30", 300, 2);
  const auto transmit = random_samples(2, 6000);
  const auto whole = apply(config, 123'456, transmit, {6000});
  for (const std::vector<int>& sizes :
       {std::vector<int>{1, 2, 3, 4, 5, 6, 700}, {64}, {63}, {1096, 1096, 5}}) {
    EXPECT_TRUE(apply(config, 123'456, transmit, sizes) == whole) << "first size " << sizes[0];
  }
}

TEST(Channel, FadingIsAFunctionOfTimeAlone) {
  const ChannelConfig config = make_config("tdla30", 100, 1);
  const auto transmit = random_samples(3, 2000);
  const auto later = apply(config, 900'000'000, transmit, {2000});
  EXPECT_TRUE(later == apply(config, 900'000'000, transmit, {2000}));
  EXPECT_FALSE(later == apply(config, 1'000'000'000, transmit, {2000}));
  ChannelConfig other = config;
  ++other.seed;
  EXPECT_FALSE(later == apply(other, 900'000'000, transmit, {2000}));

  // A channel that has been elsewhere comes back to the same, with silence in its past.
  Channel channel(config, 2000);
  std::vector<cf32> received(2000);
  const View<cf32, 2> out(received.data(), 1, 2000);
  channel.apply(0, 1.0f, View<const cf32, 1>(transmit), out);
  std::fill(received.begin(), received.end(), cf32(0));
  channel.apply(900'000'000, 1.0f, View<const cf32, 1>(transmit), out);
  EXPECT_TRUE(later == received);
}

TEST(Channel, AddsWithGainAndLetsTheTailRunOn) {
  const ChannelConfig config = make_config("tdla30", 0, 1);
  Channel channel(config, 16);
  std::vector<cf32> impulse(16), first(16, cf32(1, 1)), second(16);
  impulse[15] = 1;
  channel.apply(0, 3.0f, View<const cf32, 1>(impulse), View<cf32, 2>(first.data(), 1, 16));
  for (int n = 0; n < 15; ++n) EXPECT_EQ(first[n], cf32(1, 1));
  impulse[15] = 0;
  channel.apply(16, 1.0f, View<const cf32, 1>(impulse), View<cf32, 2>(second.data(), 1, 16));
  EXPECT_GT(power(second), 1e-3);  // the tail of the first call's impulse
}

TEST(Channel, AwgnProfilePassesSamplesThrough) {
  ChannelConfig config = make_config("awgn", 50, 2);
  const auto transmit = random_samples(4, 300);
  auto received = apply(config, 0, transmit, {300});
  for (std::size_t n = 0; n < 300; ++n) {
    EXPECT_EQ(received[n], transmit[n]);
    EXPECT_EQ(received[300 + n], transmit[n]);
  }
  config.timing_offset_s = 5.0 / rate_hz;
  received = apply(config, 0, transmit, {300});
  for (std::size_t n = 5; n < 300; ++n) EXPECT_EQ(received[n], transmit[n - 5]);
  EXPECT_EQ(received[4], cf32(0));
}

TEST(Channel, MeanPowerIsOneForEveryProfile) {
  for (const char* name :
       {"tdl-a", "tdl-b", "tdl-c", "tdl-d", "tdl-e", "tdla30", "tdlb100", "tdlc300"}) {
    SCOPED_TRACE(name);
    ChannelConfig config = make_config(name, 0, 4);
    double total = 0;
    for (const Tap& tap : config.profile.taps) total += std::pow(10.0, tap.power_db / 10);
    EXPECT_NEAR(total, 1, 1e-9);

    std::vector<cf32> impulse(256);
    impulse[0] = 1;
    double energy = 0;
    constexpr int draws = 400;
    for (int draw = 0; draw < draws; ++draw) {
      config.seed = seed + static_cast<std::uint64_t>(draw);
      energy += power(apply(config, 0, impulse, {256})) * 256 / draws;
    }
    EXPECT_NEAR(energy, 1, 0.12);  // 1600 Rayleigh draws: 3 sigma of a single strong tap is 0.08
  }
}

TEST(Channel, DelayProfileIsTheTables) {
  // Tap 2 of TDLA30 is 0 dB at 10 ns, the last -26.2 dB at 290 ns; powers found by their delays in
  // a band wide enough to tell them apart.
  ChannelConfig config = make_config("tdlc300", 0, 1);
  config.sample_rate_hz = 200'000'000;  // 5 ns: every delay is whole
  std::vector<cf32> impulse(600);
  impulse[0] = 1;
  std::vector<double> powers(600);
  constexpr int draws = 600;
  for (int draw = 0; draw < draws; ++draw) {
    config.seed = seed + static_cast<std::uint64_t>(draw);
    const auto received = apply(config, 0, impulse, {600});
    for (int n = 0; n < 600; ++n) powers[n] += std::norm(received[n]) / draws;
  }
  double seen = 0;
  for (const Tap& tap : config.profile.taps) {
    const auto at = static_cast<std::size_t>(std::lround(tap.delay_s / 5e-9));
    EXPECT_NEAR(10 * std::log10(powers[at]), tap.power_db, 0.8) << tap.delay_s;
    seen += powers[at];
  }
  double all = 0;
  for (double p : powers) all += p;
  EXPECT_NEAR(seen / all, 1, 1e-9);  // and nothing in between
  EXPECT_NEAR(config.profile.taps.back().delay_s, 2595e-9, 1e-12);
}

TEST(Channel, AutocorrelationIsJ0AndAntennasAreIndependent) {
  constexpr double doppler_hz = 100;
  constexpr double step_s = 1e-4;
  constexpr int steps = 300;
  constexpr int draws = 300;
  std::vector<cf64> correlation(steps);
  cf64 between = 0;
  for (int draw = 0; draw < draws; ++draw) {
    Prng prng(seed, static_cast<std::uint64_t>(draw));
    const std::vector<Tap> taps = {{0, 0, Fading::rayleigh}};
    FadingBank bank = make_fading_bank(taps, doppler_hz, step_s, prng);
    FadingBank other = make_fading_bank(taps, doppler_hz, step_s, prng);
    std::vector<cf32> at(1), later(1), elsewhere(1);
    cpu::fading_gains(bank, 1000, View<cf32, 1>(at));
    cpu::fading_gains(other, 1000, View<cf32, 1>(elsewhere));
    between += cf64(at[0]) * std::conj(cf64(elsewhere[0])) / double{draws};
    for (int k = 0; k < steps; ++k) {
      cpu::fading_gains(bank, 1000 + k, View<cf32, 1>(later));
      correlation[k] += cf64(later[0]) * std::conj(cf64(at[0])) / double{draws};
    }
  }
  for (int k = 0; k < steps; ++k) {
    const double expected = std::cyl_bessel_j(0.0, 2 * std::numbers::pi * doppler_hz * k * step_s);
    EXPECT_NEAR(correlation[k].real(), expected, 0.2) << k;  // 3 sigma of 300 draws: 0.17
    EXPECT_NEAR(correlation[k].imag(), 0, 0.2) << k;
  }
  EXPECT_LT(std::abs(between), 0.2);
}

TEST(Channel, ProfileErrorsSayWhatIsAllowed) {
  const auto unknown = channel_profile("tdl-z", 30e-9);
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("tdl-z"), std::string::npos);
  EXPECT_NE(unknown.error().message.find("tdlc300"), std::string::npos);
  EXPECT_FALSE(channel_profile("tdl-a", -1e-9).ok());
  EXPECT_FALSE(channel_profile("tdl-a", std::nan("")).ok());
  EXPECT_FALSE(channel_profile("tdl-a", 1e-3).ok());
}

}  // namespace
}  // namespace noroshi::air
