#pragma once

// One layer, 1 to 4 antennas with white noise of equal power: the unbiased MMSE combiner, which is
// maximum ratio combining.
//
//   y(k) = sum_a conj(h_a(k)) r_a(k) / g(k),   g(k) = sum_a |h_a(k)|^2
//   1 / noise(k) = g(k) / noise_power           of y, for the demapper
//
// Where g = 0 the symbol is 0 and 1 / noise = 0: the bits are unknown. Never fails; noise_power >
// 0.

#include "base/units.h"
#include "base/view.h"

namespace noroshi::phy {

namespace ref {

// channel, received: [antenna, subcarrier]; symbols, inverse_noise: [subcarrier].
void equalize(View<const cf64, 2> channel, View<const cf64, 2> received, double noise_power,
              View<cf64, 1> symbols, View<double, 1> inverse_noise);

}  // namespace ref

// In two steps: the weights conj(h_a) / g serve every symbol while the channel stands still.
namespace cpu {

// channel, weights: [antenna, re / im, subcarrier], the last extent the same in both and
// equalize_padding(subcarriers) at least. They may be the same memory. inverse_noise: subcarriers
// values, room for as many as the padding says.
void combining_weights(View<const float, 3> channel, std::size_t subcarriers, float noise_power,
                       View<float, 3> weights, View<float, 1> inverse_noise);

// symbols[i] = y of grid[., symbol, first_subcarrier + i] with the weights from first_weight on.
void combine(View<const float, 3> weights, std::size_t first_weight, View<const cf32, 3> grid,
             std::size_t symbol, std::size_t first_subcarrier, View<cf32, 1> symbols);

constexpr std::size_t equalize_padding(std::size_t subcarriers) {
  return (subcarriers + 63) / 64 * 64;
}

}  // namespace cpu
}  // namespace noroshi::phy
