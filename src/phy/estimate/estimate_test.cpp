// Catches: cpu against ref on any allocation, comb, antennas; a biased estimate of channel, noise,
// delay or frequency offset; smoothing that does not smooth, or smears a frequency-selective or
// moving channel; residuals that are not what is left of the pilots, or more or less than the
// block's freedom says.

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
using Paths = std::vector<Path>;

// A slot with DM-RS only, through paths that differ per layer and antenna, in white noise.
struct Scene {
  nr::SharedChannel channel;
  Allocation allocation;
  int slot = 3;
  std::vector<int> ports = {0};  // of each layer
  int antennas = 1;
  int layers = 1;
  int subcarriers = 0;
  std::vector<cf32> grid;
  std::vector<cf64> truth;  // [antenna, layer, symbol, subcarrier of the allocation]
  std::vector<cf32> pilots;
  EstimateInput input;

  // paths: [antenna][layer]
  void build(std::uint16_t symbol_mask, const std::vector<std::vector<Paths>>& paths,
             double noise_power, Prng& prng) {
    nr::Dmrs& dmrs = channel.dmrs;
    dmrs.symbol_mask = symbol_mask;
    dmrs.scrambling_id = static_cast<std::uint16_t>(prng.below(65536));
    allocation = make_allocation(channel);
    antennas = static_cast<int>(paths.size());
    layers = static_cast<int>(ports.size());
    subcarriers = 12 * nr::rb_max;
    grid.assign(static_cast<std::size_t>(antennas * symbols_per_slot * subcarriers), 0);
    const View<cf32, 3> rows(grid.data(), antennas, symbols_per_slot, subcarriers);
    input.grid = rows;
    input.allocation = &allocation;
    input.symbols = dmrs_symbols(dmrs);
    input.type = dmrs.type;
    input.double_symbol = dmrs.double_symbol;
    input.layers = layers;
    for (int i = 0; i < layers; ++i)
      input.port[i] = static_cast<std::int8_t>(ports[static_cast<std::size_t>(i)]);
    input.amplitude = static_cast<float>(nr::dmrs_amplitude(dmrs));
    const std::size_t count =
        static_cast<std::size_t>(dmrs_pilots_per_rb(dmrs.type) * allocation.rb_count);
    pilots.resize(count * static_cast<std::size_t>(input.symbols.count));
    const View<cf32, 2> sent(pilots.data(), input.symbols.count, count);
    input.pilots = sent;
    for (int d = 0; d < input.symbols.count; ++d)
      ref::dmrs_pilots(dmrs, 0, slot, input.symbols.symbol[d], allocation, sent[d]);
    for (int a = 0; a < antennas; ++a)
      for (int i = 0; i < layers; ++i)
        for (int l = 0; l < symbols_per_slot; ++l)
          for (const RbRun& run : allocation)
            for (int k = 12 * run.first; k < 12 * (run.first + run.count); ++k) {
              cf64 h = 0;
              for (const Path& path :
                   paths[static_cast<std::size_t>(a)][static_cast<std::size_t>(i)])
                h += path.gain *
                     std::polar(1.0, path.turn * l - 2 * std::numbers::pi * path.delay_cycles * k);
              truth.push_back(h);
            }
    const double sigma = std::sqrt(noise_power / 2);
    for (int a = 0; a < antennas; ++a)
      for (const int l : input.symbols)
        for (const RbRun& run : allocation)
          for (int k = 12 * run.first; k < 12 * (run.first + run.count); ++k)
            rows(a, l, k) = cf32(cf64{sigma * prng.normal(), sigma * prng.normal()});
    std::vector<cf32> own(count);
    for (int i = 0; i < layers; ++i)
      for (const int l : input.symbols) {
        const int port = ports[static_cast<std::size_t>(i)];
        const int delta = dmrs_port(dmrs.type, port).delta;
        ref::dmrs_pilots(dmrs, port, slot, l, allocation, own);
        for (int a = 0; a < antennas; ++a) {
          std::size_t m = 0;
          for (const RbRun& run : allocation)
            for (int j = 0; j < dmrs_pilots_per_rb(dmrs.type) * run.count; ++j, ++m) {
              const int k = dmrs_subcarrier(dmrs.type, delta, j);
              const int in_allocation = dmrs_subcarrier(dmrs.type, delta, static_cast<int>(m));
              rows(a, l, 12 * run.first + k) +=
                  cf32(truth[at(a, i, l, in_allocation)] * cf64(own[m]) *
                       static_cast<double>(input.amplitude));
            }
        }
      }
  }
  std::size_t at(int a, int layer, int l, int k) const {
    return static_cast<std::size_t>(
        ((a * layers + layer) * symbols_per_slot + l) * allocation.subcarriers() + k);
  }
};

// [antenna, layer, symbol, subcarrier]
std::vector<cf64> cpu_channel(const ChannelInfo& info, const cpu::EstimateWorkspace& workspace,
                              int subcarriers) {
  const std::size_t blocks = cpu::subcarrier_blocks(static_cast<std::size_t>(subcarriers));
  std::vector<float> memory(blocks * static_cast<std::size_t>(info.antennas * info.layers) * 32);
  const View<float, 5> h(memory.data(), blocks, info.antennas, info.layers, 2, 16);
  std::vector<cf64> out(
      static_cast<std::size_t>(info.antennas * info.layers * symbols_per_slot * subcarriers));
  for (int l = 0; l < symbols_per_slot; ++l) {
    cpu::channel_at(info, workspace, l, 0, h);
    for (int a = 0; a < info.antennas; ++a)
      for (int i = 0; i < info.layers; ++i)
        for (int k = 0; k < subcarriers; ++k)
          out[static_cast<std::size_t>(
              ((a * info.layers + i) * symbols_per_slot + l) * subcarriers + k)] = {
              static_cast<double>(h(k / 16, a, i, 0, k % 16)),
              static_cast<double>(h(k / 16, a, i, 1, k % 16))};
  }
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

// Ports of a random configuration, of one handset or of one a layer.
void draw_ports(Scene& scene, Prng& prng) {
  nr::Dmrs& dmrs = scene.channel.dmrs;
  dmrs.type = 1 + static_cast<int>(prng.below(2));
  dmrs.double_symbol = prng.below(2) == 0;
  dmrs.cdm_groups_without_data = dmrs.type + 1;
  const int ports = dmrs_ports(dmrs.type, dmrs.double_symbol);
  const int layers =
      1 + static_cast<int>(prng.below(static_cast<std::uint64_t>(std::min(ports, 8))));
  std::vector<int> all(static_cast<std::size_t>(ports));
  for (int p = 0; p < ports; ++p) all[static_cast<std::size_t>(p)] = p;
  for (std::size_t i = all.size() - 1; i > 0; --i) std::swap(all[i], all[prng.below(i + 1)]);
  scene.ports.assign(all.begin(), all.begin() + layers);
  const bool several = prng.below(2) == 0;
  for (int i = 0; i < layers; ++i)
    scene.input.handset[i] = static_cast<std::int8_t>(several ? i / 2 : 0);
}

// The kept residuals are ref's; their sum over the blocks' freedom is the noise that is reported.
void compare_residuals(const Scene& scene, const ChannelInfo& info,
                       const cpu::EstimateWorkspace& workspace,
                       const ref::ChannelEstimate& expected) {
  const int times = pilot_times(scene.input).count;
  const View<const float, 5> kept(workspace.residuals.data(), workspace.antennas_max,
                                  workspace.layers_max, estimate_times_max, 2, workspace.plane / 2);
  const int pilots = expected.combs.comb[0].kind.pilots_per_rb() * scene.allocation.rb_count;
  double power = 0;
  std::size_t i = 0;
  for (int a = 0; a < info.antennas; ++a)
    for (int c = 0; c < expected.combs.count; ++c)
      for (int t = 0; t < times; ++t)
        for (int m = 0; m < pilots; ++m, ++i) {
          const cf64 value(static_cast<double>(kept(a, c, t, 0, m)),
                           static_cast<double>(kept(a, c, t, 1, m)));
          ASSERT_LT(std::abs(value - expected.residuals[i]), 1e-4) << "residual " << i;
          power += std::norm(value);
        }
  ASSERT_EQ(i, expected.residuals.size());
  std::vector<float> freedom(static_cast<std::size_t>(scene.allocation.rb_count));
  residual_freedom(scene.input, expected.combs, expected.choices, info.references, freedom);
  double all = 0;
  for (const float value : freedom) all += static_cast<double>(value) * info.antennas;
  const double beta = static_cast<double>(scene.input.amplitude);
  ASSERT_NEAR(power / all * beta * beta * (scene.input.double_symbol ? 2 : 1) /
                  static_cast<double>(info.noise_power),
              1, 2e-3);
}

TEST(Estimate, CpuEqualsRefOnEveryTarget) {
  constexpr std::uint64_t seed = 31;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  cpu::EstimateWorkspace workspace(nr::rb_max, 8, 8);
  const std::uint16_t single[] = {0x004, 0x804, 0x884, 0x924};
  const std::uint16_t twice[] = {0x00c, 0xc0c};
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    for (int round = 0; round < 40; ++round) {
      Scene scene;
      draw_ports(scene, prng);
      allocate(scene.channel, static_cast<int>(prng.below(20)),
               1 + static_cast<int>(prng.below(9)));
      if (round % 2 == 0) allocate(scene.channel, 60, 1 + static_cast<int>(prng.below(20)));
      // A run of several stretches.
      if (round % 10 == 3) allocate(scene.channel, 90, 64 + static_cast<int>(prng.below(122)));
      std::vector<std::vector<Paths>> paths(1 + prng.below(round % 8 == 0 ? 8 : 2));
      for (auto& antenna : paths)
        for (std::size_t i = 0; i < scene.ports.size(); ++i)
          antenna.push_back(random_paths(prng, 4, 0.02, round % 3 == 0 ? 0.0 : 0.05));
      const std::uint16_t mask =
          scene.channel.dmrs.double_symbol ? twice[prng.below(2)] : single[prng.below(4)];
      scene.build(mask, paths, std::pow(10.0, -3.0 * prng.uniform()), prng);
      SCOPED_TRACE(testing::Message() << "round " << round << " type " << scene.channel.dmrs.type
                                      << " double " << scene.channel.dmrs.double_symbol
                                      << " layers " << scene.layers << " mask " << mask);
      scene.input.keep_residuals = true;
      const ref::ChannelEstimate expected = ref::estimate(scene.input);
      const ChannelInfo info = cpu::estimate(scene.input, workspace);
      const auto h = cpu_channel(info, workspace, scene.allocation.subcarriers());
      ASSERT_EQ(h.size(), expected.h.size());
      ASSERT_EQ(info.references, expected.info.references);
      ASSERT_EQ(info.constant, expected.info.constant);
      ASSERT_NEAR(info.noise_power / expected.info.noise_power, 1, 1e-3);
      ASSERT_NEAR(info.error_power / expected.info.error_power, 1, 1e-3);
      for (int i = 0; i < scene.layers; ++i) {
        ASSERT_NEAR(info.layer[i].delay_cycles, expected.info.layer[i].delay_cycles, 1e-6);
        ASSERT_NEAR(info.layer[i].signal_power / expected.info.layer[i].signal_power, 1, 1e-3);
      }
      for (std::size_t i = 0; i < h.size(); ++i)
        ASSERT_LT(std::abs(h[i] - expected.h[i]), 1e-4 * (1 + std::abs(expected.h[i])))
            << "element " << i;
      compare_residuals(scene, info, workspace, expected);
      if (testing::Test::HasFatalFailure()) return;
    }
  });
}

// What one port of a comb lets through of the other one, which comes late or is dispersive: far
// below the noise that the data bear.
TEST(Estimate, PortsOfACombDoNotLeak) {
  constexpr std::uint64_t seed = 36;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  cpu::EstimateWorkspace workspace(nr::rb_max, 8, 8);
  for (const int type : {1, 2})
    for (const double noise : {1e-2, 1e-4})
      for (const double delay : {0.0, 0.005, 0.02}) {  // 0.17 and 0.67 us at 30 kHz
        double worst = 0;
        for (int round = 0; round < 6; ++round) {
          Scene scene;
          scene.channel.dmrs.type = type;
          scene.channel.dmrs.cdm_groups_without_data = type + 1;
          scene.ports = {0, 1};
          scene.input.handset = {0, 1};
          allocate(scene.channel, 3, 40);
          // The second port alone has power: what the first one's estimate shows has leaked.
          std::vector<std::vector<Paths>> paths(2);
          for (auto& antenna : paths) antenna = {{}, random_paths(prng, 6, delay, 0)};
          scene.build(0x804, paths, noise, prng);
          const ChannelInfo info = cpu::estimate(scene.input, workspace);
          const auto h = cpu_channel(info, workspace, scene.allocation.subcarriers());
          double leak = 0, other = 0;
          for (int a = 0; a < 2; ++a)
            for (int k = 0; k < scene.allocation.subcarriers(); ++k) {
              leak += std::norm(h[scene.at(a, 0, 5, k)]);
              other += std::norm(h[scene.at(a, 1, 5, k)] - scene.truth[scene.at(a, 1, 5, k)]);
            }
          const double count = 2 * scene.allocation.subcarriers();
          worst = std::max({worst, leak / count / noise, other / count / noise});
          RecordProperty("leak", std::to_string(leak / count / noise));
        }
        // Noise alone leaves 1/40 or so where the channel is flat; most of the rest is what noise
        // and dispersion leave of any estimate.
        EXPECT_LT(worst, delay < 0.01 ? 0.25 : 0.8)
            << "type " << type << " noise " << noise << " delay " << delay;
      }
}

// A flat channel: noise, power, delay and offset are measured, and the estimate is far cleaner than
// a pilot. The delay costs nothing.
TEST(Estimate, FlatChannelWithDelay) {
  constexpr std::uint64_t seed = 32;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  cpu::EstimateWorkspace workspace(nr::rb_max, 2, 1);
  constexpr int draws = 16;
  for (double delay : {0.0, 0.03, -0.05})
    for (double noise : {3.0, 0.1, 1e-3}) {
      SCOPED_TRACE(testing::Message() << "delay " << delay << " noise " << noise);
      double error = 0, predicted = 0;
      int constant = 0;
      for (int draw = 0; draw < draws; ++draw) {
        Scene scene;
        allocate(scene.channel, 7, 51);
        scene.build(0x804, {{{{delay, 0, {0.6, 0.8}}}}, {{{delay, 0, {0, 1}}}}}, noise, prng);
        const ChannelInfo info = cpu::estimate(scene.input, workspace);
        const auto h = cpu_channel(info, workspace, scene.allocation.subcarriers());
        EXPECT_NEAR(info.noise_power / noise, 1, 0.15);
        EXPECT_NEAR(info.layer[0].delay_cycles, delay, 4e-3 * std::sqrt(noise) + 1e-5);
        EXPECT_NEAR(info.layer[0].signal_power, 1, 0.15 * std::sqrt(noise) + 0.01);
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
  cpu::EstimateWorkspace workspace(nr::rb_max, 2, 1);
  for (double noise : {1.0, 0.1, 0.01, 1e-3}) {
    Scene scene;
    allocate(scene.channel, 0, 100);
    // 1 us at 30 kHz.
    scene.build(0x804, {{random_paths(prng, 12, 0.03, 0)}}, noise, prng);
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
  cpu::EstimateWorkspace workspace(nr::rb_max, 2, 1);
  for (double noise : {0.1, 1e-3}) {
    Scene scene;
    allocate(scene.channel, 0, 100);
    // 2 pi 400 Hz 35.7 us = 0.09 radians a symbol at most; four DM-RS symbols.
    scene.build(0x924, {{random_paths(prng, 12, 0.01, 0.09)}, {random_paths(prng, 12, 0.01, 0.09)}},
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
  cpu::EstimateWorkspace workspace(nr::rb_max, 2, 1);
  Scene scene;
  allocate(scene.channel, 0, 20);
  scene.build(0x804, {{{{0, 0.15, {1, 0}}}}}, 0.01, prng);
  const ChannelInfo info = cpu::estimate(scene.input, workspace);
  const auto h = cpu_channel(info, workspace, scene.allocation.subcarriers());
  EXPECT_NEAR(info.layer[0].doppler_turn, 0.15, 2e-3);
  EXPECT_LT(mean_square_error(h, scene.truth), 0.01 / 20);
}

// Also that a flat second port leaves nothing, and that the tables of noise fit the weights.
TEST(Smoother, PassesAFlatChannelAndBoundsTheNoise) {
  for (const CombKind kind : {CombKind{1, false}, {1, true}, {2, false}, {2, true}})
    for (int spread = 0; spread < 6; ++spread)
      for (int snr = 0; snr < 8; ++snr)
        for (int rbs = 1; rbs <= 5; ++rbs) {
          const Smoother::Filter& filter = smoother().filter(kind, spread, snr, rbs);
          ASSERT_EQ(filter.taps, std::min(rbs, 4) * kind.pilots_per_rb());
          const int last = 12 * std::min(rbs, 4) - 1;
          for (int p = -kind.lead(); p <= last; ++p) {
            double sum = 0, signed_sum = 0, power = 0;
            for (int j = 0; j < filter.taps; ++j) {
              sum += filter.at(p, j);
              signed_sum += filter.at(p, j) * (j % 2 == 0 ? 1 : -1);
              power += filter.at(p, j) * filter.at(p, j);
            }
            ASSERT_NEAR(sum, 1, 1e-4);
            if (kind.pair) {
              ASSERT_NEAR(signed_sum, 0, 1e-4);
            }
            const std::size_t row = static_cast<std::size_t>(p + kind.lead());
            ASSERT_NEAR(filter.noise_gain[row] / power, 1, 1e-4);
            if (!kind.pair && kind.type == 1) {
              ASSERT_LT(power, p >= 0 && p <= last - 1 ? 1.1 : 6.0);  // inside, extrapolated
            }
          }
        }
}

}  // namespace
}  // namespace noroshi::phy
