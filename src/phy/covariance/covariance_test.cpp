// Catches: cpu against ref on any antennas, combs, times and gaps; a neighbour that is none; a
// covariance transposed; white noise that is taken for interference, or an interferer that is
// shrunk away; what lies behind the rows getting in.

#include "phy/covariance/covariance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"

namespace noroshi::phy {
namespace {

// Residuals of white noise and of an interferer that some blocks have.
struct Scene {
  Allocation allocation;
  std::vector<float> freedom;
  CovarianceInput input;
  std::size_t blocks, antennas, combs, times, pilots, row;
  std::vector<cf64> residuals;  // [antenna, comb, time, pilot]
  std::vector<float> planes;    // [antenna, comb, time, re / im, row]
  std::vector<cf64> steering;   // [antenna]

  Scene(std::initializer_list<RbRun> runs, int antenna_count, int comb_count, int time_count,
        int per_rb) {
    for (const RbRun& run : runs) {
      allocation.runs[static_cast<std::size_t>(allocation.run_count++)] = run;
      allocation.rb_count += run.count;
    }
    input.allocation = &allocation;
    input.antennas = antenna_count, input.combs = comb_count, input.times = time_count;
    input.pilots_per_rb = per_rb;
    blocks = static_cast<std::size_t>(allocation.rb_count);
    antennas = static_cast<std::size_t>(antenna_count);
    combs = static_cast<std::size_t>(comb_count), times = static_cast<std::size_t>(time_count);
    pilots = blocks * static_cast<std::size_t>(per_rb);
    row = cpu::covariance_blocks(blocks) * static_cast<std::size_t>(per_rb);
    freedom.assign(blocks, static_cast<float>(combs * times * static_cast<std::size_t>(per_rb)));
    input.freedom = freedom;
  }

  // interference: power an antenna by block over noise of power 1.
  template <class Interference>
  void draw(Prng& prng, Interference interference) {
    const auto normal = [&] { return cf64(prng.normal(), prng.normal()) * std::sqrt(0.5); };
    steering.resize(antennas);
    for (cf64& value : steering) value = normal();
    residuals.assign(antennas * combs * times * pilots, 0);
    // What lies behind the pilots is anything.
    planes.assign(antennas * combs * times * 2 * row, std::numeric_limits<float>::quiet_NaN());
    const View<cf64, 4> e(residuals.data(), antennas, combs, times, pilots);
    const View<float, 5> e_planes(planes.data(), antennas, combs, times, 2, row);
    for (std::size_t c = 0; c < combs; ++c)
      for (std::size_t t = 0; t < times; ++t)
        for (std::size_t m = 0; m < pilots; ++m) {
          const std::size_t block = m / static_cast<std::size_t>(input.pilots_per_rb);
          const cf64 disturbance = std::sqrt(interference(block)) * normal();
          for (std::size_t a = 0; a < antennas; ++a) {
            const cf32 value(steering[a] * disturbance + normal());
            e(a, c, t, m) = cf64(value);
            e_planes(a, c, t, 0, m) = value.real();
            e_planes(a, c, t, 1, m) = value.imag();
          }
        }
  }

  std::vector<cf64> ref_covariance() const {
    std::vector<cf64> out(blocks * antennas * antennas);
    ref::noise_covariance(input, {residuals.data(), antennas, combs, times, pilots},
                          {out.data(), blocks, antennas, antennas});
    return out;
  }

  // Full matrices of the inverse, [block, antenna, antenna].
  std::vector<cf64> cpu_inverse() const {
    const std::size_t room = cpu::covariance_blocks(blocks) + 1;
    std::vector<float> memory(antennas * antennas * room);
    cpu::CovarianceWorkspace workspace(nr::rb_max, input.antennas);
    const View<float, 2> inverse(memory.data(), antennas * antennas, room);
    cpu::inverse_noise_covariance(input, {planes.data(), antennas, combs, times, 2, row}, workspace,
                                  {}, inverse);
    std::vector<cf64> out;
    for (std::size_t block = 0; block < blocks; ++block)
      for (int a = 0; a < input.antennas; ++a)
        for (int b = 0; b < input.antennas; ++b) {
          const int plane = cpu::matrix_plane(std::max(a, b), std::min(a, b));
          const double re = static_cast<double>(inverse(plane, block));
          const double im = a == b ? 0 : static_cast<double>(inverse(plane + 1, block));
          out.emplace_back(re, b < a ? im : -im);
        }
    return out;
  }

  // Largest element of R R^-1 - I over the blocks.
  double worst(const std::vector<cf64>& covariance, const std::vector<cf64>& inverse) const {
    double most = 0;
    for (std::size_t block = 0; block < blocks; ++block)
      for (std::size_t a = 0; a < antennas; ++a)
        for (std::size_t b = 0; b < antennas; ++b) {
          cf64 sum = a == b ? -1 : 0;
          for (std::size_t i = 0; i < antennas; ++i)
            sum += covariance[(block * antennas + a) * antennas + i] *
                   inverse[(block * antennas + i) * antennas + b];
          most = std::max(most, std::isnan(std::abs(sum)) ? 1e9 : std::abs(sum));
        }
    return most;
  }
};

TEST(Covariance, CpuEqualsRefOnEveryTarget) {
  constexpr std::uint64_t seed = 61;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  on_every_target([&](const char* target) {
    for (int antennas = 1; antennas <= 8; ++antennas)
      for (const auto& [combs, times, per_rb] :
           {std::tuple{1, 1, 6}, std::tuple{2, 2, 6}, std::tuple{3, 4, 4}, std::tuple{1, 2, 4}})
        for (const double power : {0.0, 1.0, 300.0}) {
          SCOPED_TRACE(testing::Message()
                       << target << " " << antennas << " antennas " << combs << " combs " << times
                       << " times " << per_rb << " pilots a block, interference " << power);
          Scene scene({{0, 1}, {2, 2}, {5, 14}, {30, 3}}, antennas, combs, times, per_rb);
          scene.draw(prng, [&](std::size_t block) { return block % 7 < 4 ? power : 0; });
          scene.input.scale = 0.5;
          scene.input.floor = 1e-3;
          EXPECT_LT(scene.worst(scene.ref_covariance(), scene.cpu_inverse()), 1e-2);
        }
  });
}

// Runs that follow one another without a gap (precoding groups) are neighbours, others are not.
TEST(Covariance, TakesInTheNeighboursThatThereAre) {
  constexpr std::uint64_t seed = 62;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  const auto powers = [&](std::initializer_list<RbRun> runs) {
    Scene scene(runs, 1, 1, 2, 6);
    // The second block alone has noise, of great power.
    scene.draw(prng, [](std::size_t block) { return block == 1 ? 1e6 : 0.0; });
    const std::vector<cf64> inverse = scene.cpu_inverse();
    std::vector<bool> loud;
    for (const cf64& value : inverse) loud.push_back(value.real() < 1e-2);
    return loud;
  };
  using Loud = std::vector<bool>;
  EXPECT_EQ(powers({{4, 4}}), (Loud{true, true, true, false}));
  EXPECT_EQ(powers({{4, 1}, {5, 1}, {6, 2}}), (Loud{true, true, true, false}));
  EXPECT_EQ(powers({{4, 1}, {6, 1}, {8, 2}}), (Loud{false, true, false, false}));
}

TEST(Covariance, WhiteNoiseIsNearlyWhite) {
  constexpr std::uint64_t seed = 63;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (const int antennas : {2, 4, 8}) {
    SCOPED_TRACE(antennas);
    Scene scene({{0, 273}}, antennas, 1, 2, 6);
    scene.draw(prng, [](std::size_t) { return 0.0; });
    // The loss of a weight h^H R^-1 against h^H: |h|^4 / (h^H R^-1 h ... ) over random h.
    const std::vector<cf64> inverse = scene.cpu_inverse();
    double loss = 0;
    const std::size_t n = scene.antennas;
    for (std::size_t block = 0; block < scene.blocks; ++block) {
      cf64 gain = 0;
      double noise = 0, size = 0;
      std::vector<cf64> h(n);
      for (cf64& value : h) value = {prng.normal(), prng.normal()}, size += std::norm(value);
      for (std::size_t a = 0; a < n; ++a) {
        cf64 w = 0;
        for (std::size_t b = 0; b < n; ++b) w += std::conj(h[b]) * inverse[(block * n + b) * n + a];
        gain += w * h[a];
        noise += std::norm(w);
      }
      loss -= 10 * std::log10(std::norm(gain) / noise / size) / static_cast<double>(scene.blocks);
    }
    EXPECT_LT(loss, 0.05) << "dB";
  }
}

TEST(Covariance, AnInterfererIsNulledOnItsBlocksOnly) {
  constexpr std::uint64_t seed = 64;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (const int antennas : {2, 4, 8}) {
    SCOPED_TRACE(antennas);
    Scene scene({{0, 60}}, antennas, 1, 2, 6);
    scene.draw(prng, [](std::size_t block) { return block < 30 ? 1000.0 : 0.0; });
    const std::vector<cf64> inverse = scene.cpu_inverse();
    const std::size_t n = scene.antennas;
    double size = 0;
    for (const cf64& value : scene.steering) size += std::norm(value);
    for (std::size_t block = 0; block < scene.blocks; ++block) {
      if (block == 29 || block == 30) continue;  // share their neighbours
      // v^H R^-1 v / |v|^2: 1 / (1 + 1000 |v|^2) with the interferer, 1 without.
      cf64 sum = 0;
      for (std::size_t a = 0; a < n; ++a)
        for (std::size_t b = 0; b < n; ++b)
          sum += std::conj(scene.steering[a]) * inverse[(block * n + a) * n + b] *
                 scene.steering[b] / size;
      if (block < 30) {
        EXPECT_LT(sum.real(), 3 / (1 + 1000 * size)) << block;
      } else {
        EXPECT_NEAR(sum.real(), 1, 0.8) << block;
      }
    }
  }
}

// Silent antennas and exact noise of one kind leave numbers.
TEST(Covariance, DegenerateNoiseLeavesNumbers) {
  on_every_target([](const char* target) {
    Prng prng(65);
    for (const int kind : {0, 1, 2}) {
      Scene scene({{0, 20}}, 4, 1, 2, 6);
      scene.draw(prng, [](std::size_t) { return 0.0; });
      scene.input.floor = 1e-9;
      const std::size_t size = scene.planes.size() / 4;
      for (std::size_t i = 0; i < scene.planes.size(); ++i) {
        if (kind == 0) scene.planes[i] = 0;                                       // no noise at all
        if (kind == 1 && i / size == 2) scene.planes[i] = 0;                      // a dead antenna
        if (kind == 2 && i / size > 0) scene.planes[i] = scene.planes[i % size];  // one for all
      }
      for (const cf64& value : scene.cpu_inverse())
        ASSERT_TRUE(std::isfinite(std::abs(value))) << target << " kind " << kind;
    }
  });
}

}  // namespace
}  // namespace noroshi::phy
