// Combining one OFDM symbol of 273 blocks, and the weights for it.

#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "phy/equalize/equalize.h"

namespace noroshi::phy {

NOROSHI_BENCH(equalize) {
  constexpr std::size_t count = 3276, padded = cpu::equalize_padding(count);
  for (std::size_t antennas : {1u, 2u, 4u}) {
    Prng prng(1);
    std::vector<float> planes(antennas * 2 * padded), weights(planes.size()), noise(padded);
    for (auto& value : planes) value = static_cast<float>(prng.normal());
    std::vector<cf32> grid(antennas * count), symbols(count);
    for (auto& value : grid) value = static_cast<float>(prng.normal());
    const View<float, 3> h(planes.data(), antennas, 2, padded),
        w(weights.data(), antennas, 2, padded);
    const View<const cf32, 3> rows(grid.data(), antennas, 1, count);
    const std::string suffix = " 3276 1x" + std::to_string(antennas);
    bench.time_us("weights" + suffix, [&] {
      cpu::combining_weights(h, count, 0.1f, w, noise);
      return hash_bytes(noise.data(), 64);
    });
    bench.time_us("combine" + suffix, [&] {
      cpu::combine(w, 0, rows, 0, 0, symbols);
      return hash_bytes(symbols.data(), 64);
    });
  }
}

}  // namespace noroshi::phy
