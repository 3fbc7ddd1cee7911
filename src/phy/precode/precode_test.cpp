// Catches: a level that is not the constellation's, symbols dealt to the wrong layer, a wrong tail,
// a conjugated or transposed weight, a kernel that writes behind its end.

#include "phy/precode/precode.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/every_target.h"
#include "base/prng.h"
#include "phy/modulation/modulation.h"

namespace noroshi::phy {
namespace {

constexpr std::size_t sizes[] = {1, 2, 3, 7, 12, 31, 64, 65, 255, 256, 257, 300, 1000};

TEST(Precode, LevelsAreTheConstellationDealtToLayers) {
  constexpr std::uint64_t seed = 71;
  on_every_target([&](const char* target) {
    Prng prng(seed);
    for (const auto modulation :
         {nr::Modulation::qpsk, nr::Modulation::qam16, nr::Modulation::qam64,
          nr::Modulation::qam256, nr::Modulation::qam1024})
      for (const std::size_t elements : sizes)
        for (std::size_t layers = 1; layers <= 4; ++layers) {
          const auto qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
          std::vector<std::uint8_t> bits(bytes_for_bits(elements * layers * qm));
          for (auto& byte : bits) byte = static_cast<std::uint8_t>(prng());
          std::vector<cf64> symbols(elements * layers);
          ref::modulate(modulation, bits, 1 / constellation_unit(modulation), symbols);
          const std::size_t stride = 2 * elements + levels_slack;
          std::vector<std::int8_t> levels(layers * stride);
          cpu::layer_levels(modulation, bits, elements, {levels.data(), layers, stride});
          for (std::size_t i = 0; i < symbols.size(); ++i) {
            const std::int8_t* at = &levels[i % layers * stride + i / layers * 2];
            ASSERT_NEAR(at[0], symbols[i].real(), 1e-9)
                << target << " seed " << seed << " Qm " << qm << " layers " << layers << " symbol "
                << i << " of " << symbols.size();
            ASSERT_NEAR(at[1], symbols[i].imag(), 1e-9);
          }
        }
  });
}

TEST(Precode, CpuEqualsRef) {
  constexpr std::uint64_t seed = 72;
  on_every_target([&](const char* target) {
    Prng prng(seed);
    for (const std::size_t count : sizes)
      for (std::size_t ports = 1; ports <= 8; ++ports)
        for (std::size_t layers = 1; layers <= 8; ++layers) {
          const std::size_t first = prng.below(5), stride = 2 * (first + count) + levels_slack;
          std::vector<std::int8_t> levels(layers * stride);
          for (auto& level : levels) level = static_cast<std::int8_t>(2 * prng.below(32)) - 31;
          std::vector<cf32> weights(ports * layers);
          for (auto& w : weights)
            w = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
          std::vector<SpreadWeight> spread;
          for (const cf32 w : weights) spread.push_back(spread_weight(w));
          LayerUnits units{};
          for (float& unit : units) unit = static_cast<float>(prng.uniform());
          const cf32 mark(7, 7);
          std::vector<cf32> expected(ports * count), got(ports * (count + 1), mark);
          PortRows expected_rows{}, rows{};
          for (std::size_t port = 0; port < ports; ++port) {
            expected_rows[port] = &expected[port * count];
            rows[port] = &got[port * (count + 1)];
          }
          const View<const std::int8_t, 2> view(levels.data(), layers, stride);
          const View<const cf32, 2> matrix(weights.data(), ports, layers);
          ref::precode_levels(view, first, count, units, matrix, expected_rows);
          cpu::precode_levels(view, first, count, units, {spread.data(), ports, layers}, rows);
          for (std::size_t port = 0; port < ports; ++port) {
            for (std::size_t i = 0; i < count; ++i)
              ASSERT_LT(std::abs(rows[port][i] - expected_rows[port][i]), 2e-4f)
                  << target << " seed " << seed << " " << ports << "x" << layers << " element " << i
                  << " of " << count;
            ASSERT_EQ(rows[port][count], mark) << target << " " << count;
          }
          std::vector<cf32> scaled(count + 1, mark);
          cpu::scale_levels(view[layers - 1], first, count, 0.5f, scaled.data());
          for (std::size_t i = 0; i < count; ++i) {
            const std::int8_t* at = &levels[(layers - 1) * stride + 2 * (first + i)];
            ASSERT_EQ(scaled[i], cf32(0.5f * at[0], 0.5f * at[1])) << target;
          }
          ASSERT_EQ(scaled[count], mark);
        }
  });
}

TEST(Precode, WeighedBlocks) {
  constexpr std::uint64_t seed = 73;
  on_every_target([&](const char* target) {
    Prng prng(seed);
    for (const std::size_t blocks : {1u, 2u, 3u, 8u, 51u}) {
      std::vector<cf32> sequence(12 * blocks);
      std::array<cf32, 12> weights;
      for (auto& x : sequence)
        x = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
      for (auto& x : weights)
        x = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
      const cf32 mark(7, 7);
      std::vector<cf32> row(12 * blocks + 1, mark);
      cpu::weigh_blocks(sequence.data(), weights, blocks, row.data());
      for (std::size_t k = 0; k < 12 * blocks; ++k)
        ASSERT_LT(std::abs(cf64(row[k]) - cf64(sequence[k]) * cf64(weights[k % 12])), 1e-5)
            << target << " seed " << seed << " " << k << " of " << blocks << " blocks";
      ASSERT_EQ(row.back(), mark);
    }
  });
}

}  // namespace
}  // namespace noroshi::phy
