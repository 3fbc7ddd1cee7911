#pragma once

// A radio channel applied to resource grids, for link simulation: no OFDM, no Doppler, so that a
// slot meets a channel that stands still and has nothing beyond the cyclic prefix.
//
//   y[a, l, k] = sum_p H[a, p, k] x[p, l, k]
//   H[a, p, k] = sum_t g[a, p, t] sqrt(P_t / antennas) exp(-j 2 pi k df tau_t),   sum_t P_t = 1
//
// g are independent, drawn anew for each slot: circular Gaussian of power 1, or of amplitude 1 and
// uniform phase; or those of a Butler matrix, exp(j 2 pi a p / ports), which keeps the ports apart.
// All antennas together receive power 1 of a port that sends power 1.

#include <cstdint>
#include <vector>

#include "air/channel.h"

namespace noroshi::air {

enum class TapGain : std::uint8_t { uniform_phase, rayleigh, butler };

struct GridChannelConfig {
  ChannelProfile profile;
  TapGain gain = TapGain::uniform_phase;
  int antennas = 1;
  int ports = 1;
  int scs_khz = 30;
  int subcarriers = 0;
};

class GridChannel {
 public:
  explicit GridChannel(const GridChannelConfig& config);

  // New gains, and the response that they make. Allocates nothing.
  void draw(Prng& prng);

  // transmit: [port, symbol, subcarrier]; receive: [antenna, symbol, subcarrier], overwritten.
  void apply(View<const cf32, 3> transmit, View<cf32, 3> receive) const;

  const GridChannelConfig& config() const { return config_; }
  View<const cf32, 3> gains() const;     // [antenna, port, tap]
  View<const cf32, 3> response() const;  // [antenna, port, subcarrier]

 private:
  GridChannelConfig config_;
  std::vector<cf32> taps_;  // [tap, subcarrier]: what a gain of 1 gives
  std::vector<cf32> gains_;
  std::vector<cf32> response_;
};

// The equation, in double precision.
namespace ref {
void grid_channel(const GridChannelConfig& config, View<const cf32, 3> gains,
                  View<const cf32, 3> transmit, View<cf64, 3> receive);
}

// sum[i] += factor[i] * value[i], and with one factor for all.
namespace cpu {
void add_products(View<const cf32, 1> factors, View<const cf32, 1> values, View<cf32, 1> sums);
void add_multiple(cf32 factor, View<const cf32, 1> values, View<cf32, 1> sums);
}  // namespace cpu

}  // namespace noroshi::air
