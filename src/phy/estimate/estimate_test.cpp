// Catches: cpu against ref on any allocation, comb, antennas; a biased estimate of channel, noise,
// delay or frequency offset; smoothing that does not smooth, or smears a frequency-selective or
// moving channel.

#include "phy/estimate/estimate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/every_target.h"
#include "base/prng.h"
#include "phy/dmrs/dmrs.h"
#include "phy/equalize/equalize.h"
#include "phy/estimate/smoother.h"

namespace noroshi::phy {
namespace {

constexpr int symbols_per_slot = nr::symbols_per_slot;

struct Path {
  double delay_cycles;  // of a subcarrier spacing
  double turn;          // phase per symbol
  cf64 gain;
};

// A slot with DM-RS only, through paths that differ per antenna, in white noise.
struct Scene {
  nr::SharedChannel channel;
  Allocation allocation;
  int slot = 3;
  int port = 0;
  int antennas = 1;
  int subcarriers = 0;
  std::vector<cf32> grid;
  std::vector<cf64> truth;  // [antenna, symbol, subcarrier of the allocation]
  std::vector<cf32> pilots;
  EstimateInput input;

  void build(std::uint16_t symbol_mask, const std::vector<std::vector<Path>>& paths,
             double noise_power, Prng& prng) {
    channel.dmrs.symbol_mask = symbol_mask;
    channel.dmrs.scrambling_id = static_cast<std::uint16_t>(prng.below(65536));
    allocation = make_allocation(channel);
    antennas = static_cast<int>(paths.size());
    subcarriers = 12 * nr::rb_max;
    grid.assign(static_cast<std::size_t>(antennas * symbols_per_slot * subcarriers), 0);
    const View<cf32, 3> rows(grid.data(), antennas, symbols_per_slot, subcarriers);
    input.grid = rows;
    input.allocation = &allocation;
    input.symbols = dmrs_symbols(channel.dmrs);
    input.comb = dmrs_port(1, port).delta;
    input.amplitude = static_cast<float>(nr::dmrs_amplitude(channel.dmrs));
    const std::size_t count = static_cast<std::size_t>(6 * allocation.rb_count);
    pilots.resize(count * static_cast<std::size_t>(input.symbols.count));
    const View<cf32, 2> sent(pilots.data(), input.symbols.count, count);
    input.pilots = sent;
    for (int d = 0; d < input.symbols.count; ++d)
      ref::dmrs_pilots(channel.dmrs, port, slot, input.symbols.symbol[static_cast<std::size_t>(d)],
                       allocation, sent[static_cast<std::size_t>(d)]);
    for (int a = 0; a < antennas; ++a)
      for (int l = 0; l < symbols_per_slot; ++l)
        for (const RbRun& run : allocation)
          for (int k = 12 * run.first; k < 12 * (run.first + run.count); ++k) {
            cf64 h = 0;
            for (const Path& path : paths[static_cast<std::size_t>(a)])
              h += path.gain *
                   std::polar(1.0, path.turn * l - 2 * std::numbers::pi * path.delay_cycles * k);
            truth.push_back(h);
          }
    const double sigma = std::sqrt(noise_power / 2);
    for (int a = 0; a < antennas; ++a)
      for (int d = 0; d < input.symbols.count; ++d) {
        const int l = input.symbols.symbol[static_cast<std::size_t>(d)];
        std::size_t m = 0, k = static_cast<std::size_t>((a * symbols_per_slot + l) * 12) *
                               static_cast<std::size_t>(allocation.rb_count);
        for (const RbRun& run : allocation)
          for (int i = 0; i < 12 * run.count; ++i, ++k) {
            cf64 value{sigma * prng.normal(), sigma * prng.normal()};
            if (i % 2 == input.comb)
              value += truth[k] * cf64(sent(d, m++)) * static_cast<double>(input.amplitude);
            rows(a, l, 12 * run.first + i) = cf32(value);
          }
      }
  }
};

std::vector<cf64> cpu_channel(const ChannelInfo& info, const cpu::EstimateWorkspace& workspace,
                              int subcarriers) {
  std::vector<cf64> out;
  std::vector<float> memory(static_cast<std::size_t>(info.antennas) * 2 * workspace.plane);
  const View<float, 3> h(memory.data(), info.antennas, 2, workspace.plane);
  std::vector<std::vector<cf64>> rows(static_cast<std::size_t>(info.antennas));
  for (int l = 0; l < symbols_per_slot; ++l) {
    cpu::channel_at(info, workspace, l, subcarriers, h);
    for (int a = 0; a < info.antennas; ++a)
      for (int k = 0; k < subcarriers; ++k)
        rows[static_cast<std::size_t>(a)].emplace_back(h(a, 0, k), h(a, 1, k));
  }
  for (const auto& row : rows) out.insert(out.end(), row.begin(), row.end());
  return out;
}

double mean_square_error(const std::vector<cf64>& a, const std::vector<cf64>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::norm(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

void allocate(nr::SharedChannel& channel, int first, int count) {
  for (int rb = first; rb < first + count; ++rb) channel.rbs[static_cast<std::size_t>(rb)] = true;
}

std::vector<Path> random_paths(Prng& prng, int count, double delay, double turn) {
  std::vector<Path> paths;
  for (int i = 0; i < count; ++i) {
    const double amplitude = std::sqrt(0.5 / count);
    paths.push_back({delay * prng.uniform(), turn * (2 * prng.uniform() - 1),
                     amplitude * cf64{prng.normal(), prng.normal()}});
  }
  return paths;
}

TEST(Estimate, CpuEqualsRefOnEveryTarget) {
  constexpr std::uint64_t seed = 31;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  cpu::EstimateWorkspace workspace(nr::rb_max);
  const std::uint16_t masks[] = {0x004, 0x804, 0x884, 0x924};
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    for (int round = 0; round < 24; ++round) {
      Scene scene;
      scene.port = static_cast<int>(prng.below(4));
      allocate(scene.channel, static_cast<int>(prng.below(20)),
               1 + static_cast<int>(prng.below(9)));
      if (round % 2 == 0) allocate(scene.channel, 60, 1 + static_cast<int>(prng.below(40)));
      std::vector<std::vector<Path>> paths(1 + prng.below(4));
      for (auto& antenna : paths)
        antenna = random_paths(prng, 4, 0.02, round % 3 == 0 ? 0.0 : 0.05);
      const std::uint16_t mask = masks[prng.below(4)];
      scene.build(mask, paths, std::pow(10.0, -3.0 * prng.uniform()), prng);
      const ref::ChannelEstimate expected = ref::estimate(scene.input);
      const ChannelInfo info = cpu::estimate(scene.input, workspace);
      const auto h = cpu_channel(info, workspace, scene.allocation.subcarriers());
      ASSERT_EQ(h.size(), expected.h.size());
      ASSERT_EQ(info.references, expected.info.references);
      ASSERT_NEAR(info.noise_power / expected.info.noise_power, 1, 1e-3) << "round " << round;
      ASSERT_NEAR(info.delay_cycles, expected.info.delay_cycles, 1e-6);
      for (std::size_t i = 0; i < h.size(); ++i)
        ASSERT_LT(std::abs(h[i] - expected.h[i]), 1e-4 * (1 + std::abs(expected.h[i])))
            << "round " << round << " element " << i;
    }
  });
}

// A flat channel: noise, power, delay and offset are measured, and the estimate is far cleaner than
// a pilot. The delay costs nothing.
TEST(Estimate, FlatChannelWithDelay) {
  constexpr std::uint64_t seed = 32;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  cpu::EstimateWorkspace workspace(nr::rb_max);
  constexpr int draws = 16;
  for (double delay : {0.0, 0.03, -0.05})
    for (double noise : {3.0, 0.1, 1e-3}) {
      SCOPED_TRACE(testing::Message() << "delay " << delay << " noise " << noise);
      double error = 0, predicted = 0;
      int constant = 0;
      for (int draw = 0; draw < draws; ++draw) {
        Scene scene;
        allocate(scene.channel, 7, 51);
        scene.build(0x804, {{{delay, 0, {0.6, 0.8}}}, {{delay, 0, {0, 1}}}}, noise, prng);
        const ChannelInfo info = cpu::estimate(scene.input, workspace);
        const auto h = cpu_channel(info, workspace, scene.allocation.subcarriers());
        EXPECT_NEAR(info.noise_power / noise, 1, 0.15);
        EXPECT_NEAR(info.delay_cycles, delay, 4e-3 * std::sqrt(noise) + 1e-5);
        EXPECT_NEAR(info.signal_power, 1, 0.15 * std::sqrt(noise) + 0.01);
        constant += info.constant ? 1 : 0;
        error += mean_square_error(h, scene.truth) / noise / draws;
        predicted += info.error_power / noise / draws;
      }
      // 24 pilots, twice, 3 dB stronger: 96 times less than the noise of data. At low SNR a draw
      // may look selective, and is then smoothed less.
      EXPECT_LT(error * 96, 1.4);
      EXPECT_NEAR(predicted * 96, 1.1, 0.25);
      EXPECT_GE(constant, draws - 2);
    }
}

TEST(Estimate, FrequencySelectiveChannel) {
  constexpr std::uint64_t seed = 33;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  cpu::EstimateWorkspace workspace(nr::rb_max);
  for (double noise : {1.0, 0.1, 0.01, 1e-3}) {
    Scene scene;
    allocate(scene.channel, 0, 100);
    // 1 us at 30 kHz.
    scene.build(0x804, {random_paths(prng, 12, 0.03, 0)}, noise, prng);
    const ChannelInfo info = cpu::estimate(scene.input, workspace);
    const auto h = cpu_channel(info, workspace, scene.allocation.subcarriers());
    EXPECT_LT(mean_square_error(h, scene.truth), noise / 4) << noise;
    EXPECT_NEAR(info.noise_power / noise, 1, 0.2) << noise;
  }
}

TEST(Estimate, MovingChannel) {
  constexpr std::uint64_t seed = 34;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  cpu::EstimateWorkspace workspace(nr::rb_max);
  for (double noise : {0.1, 1e-3}) {
    Scene scene;
    allocate(scene.channel, 0, 100);
    // 2 pi 400 Hz 35.7 us = 0.09 radians a symbol at most; four DM-RS symbols.
    scene.build(0x924, {random_paths(prng, 12, 0.01, 0.09), random_paths(prng, 12, 0.01, 0.09)},
                noise, prng);
    const ChannelInfo info = cpu::estimate(scene.input, workspace);
    const auto h = cpu_channel(info, workspace, scene.allocation.subcarriers());
    EXPECT_FALSE(info.constant);
    EXPECT_LT(mean_square_error(h, scene.truth), noise / 8 + 1e-3) << noise;
  }
}

TEST(Estimate, FrequencyOffset) {
  constexpr std::uint64_t seed = 35;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  cpu::EstimateWorkspace workspace(nr::rb_max);
  Scene scene;
  allocate(scene.channel, 0, 20);
  scene.build(0x804, {{{0, 0.15, {1, 0}}}}, 0.01, prng);
  const ChannelInfo info = cpu::estimate(scene.input, workspace);
  const auto h = cpu_channel(info, workspace, scene.allocation.subcarriers());
  EXPECT_NEAR(info.doppler_turn, 0.15, 2e-3);
  EXPECT_LT(mean_square_error(h, scene.truth), 0.01 / 20);
}

TEST(Smoother, PassesAFlatChannelAndBoundsTheNoise) {
  for (int spread = 0; spread < 6; ++spread)
    for (int snr = 0; snr < 8; ++snr)
      for (int pilots : {6, 12, 18, 24}) {
        const Smoother::Filter& filter = smoother().filter(spread, snr, pilots);
        ASSERT_EQ(filter.taps, pilots);
        for (int p = -1; p < 2 * pilots; ++p) {
          double sum = 0;
          for (int j = 0; j < pilots; ++j) sum += filter.at(p, j);
          ASSERT_NEAR(sum, 1, 1e-5);
          ASSERT_LT(filter.noise_gain[static_cast<std::size_t>(p + 1)],
                    p >= 0 && p <= 2 * pilots - 2 ? 1.1f : 6.0f);  // inside, extrapolated
        }
      }
}

}  // namespace
}  // namespace noroshi::phy
