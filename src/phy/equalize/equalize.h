#pragma once

// Layers out of antennas: linear equalisers, unbiased, with the noise of every symbol.
//
//   y = H x + n,  x of unit power, n of covariance R            H: antennas x layers, a subcarrier
//   G = H^H R^-1 H + I (MMSE), H^H R^-1 H (zero forcing)
//   W = B^-1 G^-1 H^H R^-1,   B = diag(b)
//   MMSE: b_i = 1 - (G^-1)_ii,  1 / noise_i = b_i / (1 - b_i)      zero forcing: b_i = 1,
//                                                               1 / noise_i = 1 / (G^-1)_ii
//
// R is noise_power I: white noise; one layer is then maximum ratio combining. Or noise_power times
// a matrix for each resource block (phy/covariance), whose inverse is given: MMSE-IRC, interference
// rejection combining. G = L D L^H is factored with subcarriers as vector lanes.
// Where H is 0 the symbol is 0 and 1 / noise = 0: the bits are unknown. Never fails; noise_power >
// 0. What a lane does, no other lane feels, a NaN neither.

#include <array>
#include <cstdint>

#include "base/units.h"
#include "base/view.h"
#include "nr/shared_channel.h"
#include "phy/estimate/estimate.h"

namespace noroshi::phy {

enum class Equalizer : std::uint8_t {
  zero_forcing,
  mmse,
  mmse_irc,  // mmse, and a receiver measures R of every block
};

namespace ref {

// channel: [antenna, layer, subcarrier]; received: [antenna, subcarrier]; covariance: R, [antenna,
// antenna]; symbols, inverse_noise: [subcarrier, layer].
void equalize(Equalizer kind, View<const cf64, 3> channel, View<const cf64, 2> received,
              View<const cf64, 2> covariance, View<cf64, 2> symbols, View<double, 2> inverse_noise);

}  // namespace ref

// In two steps: the weights serve every symbol while the channel stands still.
namespace cpu {

// Neighbouring layers that go on together, as one codeword's do: written element by element, the
// stream's layers at each. Room for whole blocks of subcarriers.
template <class T>
struct LayerStreams {
  int count = 0;
  std::array<int, nr::layers_max> layers{};  // of each stream, 1 to 4
  std::array<T*, nr::layers_max> out{};      // where the first subcarrier's go
};

// Sums of 1 / noise over subcarriers, by layer.
using InverseNoiseSums = std::array<double, nr::layers_max>;

// (R / noise_power)^-1 of every resource block, as phy/covariance writes it: planes(plane, block),
// with a block after that of the last subcarrier written. No planes: I.
struct InverseCovariance {
  View<const float, 2> planes;
  std::size_t first_subcarrier = 0;  // that of the channel's first, a multiple of subcarrier_block
};

// channel: H of blocks of subcarriers, [block, antenna, layer, re / im, subcarrier of the block];
// becomes W. subcarriers: how many of them count for `sums`.
void equalizer_weights(Equalizer kind, float noise_power, const InverseCovariance& covariance,
                       std::size_t subcarriers, View<float, 5> channel,
                       const LayerStreams<float>& inverse_noise, InverseNoiseSums& sums);

// W y for so many subcarriers from the first of `weights` on. received: by antenna, that
// subcarrier's element.
void combine(View<const float, 5> weights,
             const std::array<const cf32*, nr::receive_antennas_max>& received,
             std::size_t subcarriers, const LayerStreams<cf32>& symbols);

}  // namespace cpu
}  // namespace noroshi::phy
