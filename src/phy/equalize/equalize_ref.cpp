#include <cassert>

#include "phy/equalize/equalize.h"

namespace noroshi::phy::ref {

void equalize(View<const cf64, 2> channel, View<const cf64, 2> received, double noise_power,
              View<cf64, 1> symbols, View<double, 1> inverse_noise) {
  assert(channel.extents() == received.extents() && noise_power > 0);
  assert(symbols.size() == channel.extent(1) && inverse_noise.size() == channel.extent(1));
  for (std::size_t k = 0; k < symbols.size(); ++k) {
    cf64 matched = 0;
    double gain = 0;
    for (std::size_t a = 0; a < channel.extent(0); ++a) {
      matched += std::conj(channel(a, k)) * received(a, k);
      gain += std::norm(channel(a, k));
    }
    symbols[k] = gain > 0 ? matched / gain : 0;
    inverse_noise[k] = gain / noise_power;
  }
}

}  // namespace noroshi::phy::ref
