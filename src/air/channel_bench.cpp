#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "air/channel.h"
#include "base/bench.h"

namespace noroshi::air {
namespace {

std::uint64_t hash_samples(const std::vector<cf32>& samples) {
  return hash_bytes(samples.data(), samples.size() * sizeof(cf32));
}

// One slot of 500 us through the channel, one transmitter to some antennas.
void slot_case(Bench& bench, const char* profile, int bandwidth_mhz, int antennas,
               double doppler_hz) {
  const std::string name = std::string(profile) + " " + std::to_string(bandwidth_mhz) + "mhz 1x" +
                           std::to_string(antennas) + " " +
                           std::to_string(static_cast<int>(doppler_hz)) + "hz slot";
  if (!bench.wants(name)) return;
  const int rate = bandwidth_mhz == 100 ? 122'880'000 : 30'720'000;
  const int samples = rate / 2000;
  ChannelConfig config;
  config.profile = channel_profile(profile, 30e-9).value();
  config.doppler_hz = doppler_hz;
  config.sample_rate_hz = rate;
  config.receive_antennas = antennas;
  Channel channel(config, samples);
  Prng prng(1);
  std::vector<cf32> transmit(samples);
  add_noise(1, prng, View<cf32, 1>(transmit));
  std::vector<cf32> receive(static_cast<std::size_t>(antennas) * samples);
  std::int64_t start = 0;
  std::uint64_t hash = 0;  // of the first slot: later ones depend on how many runs there are
  bench.time_us(name, [&] {
    std::fill(receive.begin(), receive.end(), cf32(0));
    channel.apply(start, 1.0f, View<const cf32, 1>(transmit),
                  View<cf32, 2>(receive.data(), antennas, samples));
    if (start == 0) hash = hash_samples(receive);
    start += samples;
    return hash;
  });
}

NOROSHI_BENCH(channel) {
  slot_case(bench, "awgn", 20, 1, 0);
  slot_case(bench, "tdla30", 20, 1, 10);
  slot_case(bench, "tdla30", 20, 2, 10);
  slot_case(bench, "tdla30", 20, 2, 300);
  slot_case(bench, "tdlb100", 20, 2, 100);
  slot_case(bench, "tdlc300", 20, 2, 100);
  slot_case(bench, "tdla30", 100, 2, 10);
}

NOROSHI_BENCH(noise) {
  std::vector<cf32> samples(15360);
  bench.time_us("15360 samples", [&] {
    Prng prng(1);
    std::fill(samples.begin(), samples.end(), cf32(0));
    add_noise(1, prng, View<cf32, 1>(samples));
    return hash_samples({samples.end() - 64, samples.end()});
  });
}

}  // namespace
}  // namespace noroshi::air
