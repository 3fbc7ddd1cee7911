// Channel estimate of 273 blocks from two DM-RS symbols, layers x antennas; `moving`: both symbols
// are kept, else they are averaged.

#include <cmath>
#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "phy/dmrs/dmrs.h"
#include "phy/estimate/estimate.h"

namespace noroshi::phy {

NOROSHI_BENCH(estimate) {
  constexpr int rbs = 273, subcarriers = 12 * rbs;
  nr::SharedChannel channel;
  for (std::size_t rb = 0; rb < rbs; ++rb) channel.rbs[rb] = true;
  channel.dmrs.symbol_mask = 1u << 2 | 1u << 11;
  const Allocation allocation = make_allocation(channel);
  cpu::EstimateWorkspace workspace(rbs, 4, 4);
  std::vector<cf32> pilots(2 * 6 * rbs), own(6 * rbs);
  for (const auto& [layers, antennas] : {std::pair{1, 1}, {1, 4}, {2, 4}, {4, 4}})
    for (const bool moving : {false, true}) {
      Prng prng(1);
      std::vector<cf32> grid(
          static_cast<std::size_t>(antennas * nr::symbols_per_slot * subcarriers));
      const View<cf32, 3> rows(grid.data(), antennas, nr::symbols_per_slot, subcarriers);
      EstimateInput input;
      input.grid = rows;
      input.allocation = &allocation;
      input.symbols = dmrs_symbols(channel.dmrs);
      input.layers = layers;
      const View<cf32, 2> sent(pilots.data(), 2, 6 * rbs);
      input.pilots = sent;
      for (int d = 0; d < 2; ++d) {
        const int l = input.symbols.symbol[static_cast<std::size_t>(d)];
        cpu::dmrs_pilots(channel.dmrs, 0, 0, l, allocation, sent[static_cast<std::size_t>(d)]);
        const float fade = moving && d == 1 ? 0.7f : 1.0f;
        for (int a = 0; a < antennas; ++a)
          for (int k = 0; k < subcarriers; ++k)
            rows(a, l, k) = cf32(static_cast<float>(0.03 * prng.normal()),
                                 static_cast<float>(0.03 * prng.normal()));
        for (int layer = 0; layer < layers; ++layer) {
          input.port[static_cast<std::size_t>(layer)] = static_cast<std::int8_t>(layer);
          cpu::dmrs_pilots(channel.dmrs, layer, 0, l, allocation, own);
          for (int a = 0; a < antennas; ++a)
            for (int m = 0; m < 6 * rbs; ++m)
              rows(a, l, dmrs_subcarrier(1, layer / 2, m)) +=
                  fade * own[static_cast<std::size_t>(m)] *
                  std::polar(1.0f, static_cast<float>(a * layer));
        }
      }
      const std::string name = "273prb " + std::to_string(layers) + "x" + std::to_string(antennas);
      bench.time_us(name + (moving ? " moving" : ""), [&] {
        const ChannelInfo info = cpu::estimate(input, workspace);
        return hash_bytes(&info.noise_power, sizeof info.noise_power);
      });
    }
}

}  // namespace noroshi::phy
