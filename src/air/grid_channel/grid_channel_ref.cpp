#include <cmath>
#include <numbers>

#include "air/grid_channel/grid_channel.h"

namespace noroshi::air::ref {

void grid_channel(const GridChannelConfig& config, View<const cf32, 3> gains,
                  View<const cf32, 3> transmit, View<cf64, 3> receive) {
  for (std::size_t a = 0; a < receive.extent(0); ++a)
    for (std::size_t k = 0; k < receive.extent(2); ++k) {
      for (std::size_t l = 0; l < receive.extent(1); ++l) receive(a, l, k) = 0;
      for (std::size_t p = 0; p < transmit.extent(0); ++p) {
        cf64 response = 0;
        for (std::size_t t = 0; t < config.profile.taps.size(); ++t) {
          const Tap& tap = config.profile.taps[t];
          const double amplitude = std::sqrt(std::pow(10.0, tap.power_db / 10) / config.antennas);
          const double cycles = static_cast<double>(k) * config.scs_khz * 1e3 * tap.delay_s;
          response += cf64(gains(a, p, t)) * std::polar(amplitude, -2 * std::numbers::pi * cycles);
        }
        for (std::size_t l = 0; l < receive.extent(1); ++l)
          receive(a, l, k) += response * cf64(transmit(p, l, k));
      }
    }
}

}  // namespace noroshi::air::ref
