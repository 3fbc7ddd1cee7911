#include "phy/precode/precode.h"

namespace noroshi::phy::ref {

void precode_levels(View<const std::int8_t, 2> levels, std::size_t first, std::size_t count,
                    const LayerUnits& units, View<const cf32, 2> weights, const PortRows& rows) {
  for (std::size_t port = 0; port < weights.extent(0); ++port)
    for (std::size_t i = 0; i < count; ++i) {
      cf64 sum = 0;
      for (std::size_t layer = 0; layer < weights.extent(1); ++layer)
        sum += cf64(weights(port, layer)) * static_cast<double>(units[layer]) *
               cf64(levels(layer, 2 * (first + i)), levels(layer, 2 * (first + i) + 1));
      rows[port][i] = cf32(sum);
    }
}

}  // namespace noroshi::phy::ref
