#pragma once

// From bits to antenna ports: layer mapping and precoding (TS 38.211 6.3.1.3, 6.3.1.5, 7.3.1.3).
//
//   x_l(i) = d(v i + l),   y_p(i) = sum over l of W(p, l) x_l(i)
//
// In between, symbols are levels: the odd integers of each axis before constellation_unit
// (phy/modulation/modulation.h), I and Q of one element after the other, one byte each. A layer of
// a wide OFDM symbol so has 6.5 KB. DM-RS are levels too, +1, -1 and 0.

#include <array>
#include <cstdint>

#include "base/units.h"
#include "base/view.h"
#include "nr/shared_channel.h"

namespace noroshi::phy {

inline constexpr std::size_t ports_max = 8;

// The second extent of `levels` must have this much room behind 2 * elements; what is written there
// is not defined.
inline constexpr std::size_t levels_slack = 128;

// Where a port's elements go; as many values as `count` says.
using PortRows = std::array<cf32*, ports_max>;

// constellation_unit of each layer, or what else its levels stand for.
using LayerUnits = std::array<float, nr::layers_max>;

// A weight as vectors of interleaved values want it: re, re, -im, im.
using SpreadWeight = std::array<float, 4>;
inline SpreadWeight spread_weight(cf32 w) { return {w.real(), w.real(), -w.imag(), w.imag()}; }

// levels: [layer, 2 * elements + levels_slack or more], 1 to 4 layers of one codeword, QPSK to
// 1024QAM. bits: packed, bytes_for_bits(elements * layers * Qm) bytes or more, in codeword order.
namespace cpu {
void layer_levels(nr::Modulation modulation, View<const std::uint8_t, 1> bits, std::size_t elements,
                  View<std::int8_t, 2> levels);

// rows[l][i] = unit * levels(l)[first + i], i < count: layer l on port l.
void scale_levels(View<const std::int8_t, 1> levels, std::size_t first, std::size_t count,
                  float unit, cf32* row);

// rows[p][i] = sum over l of weights(p, l) * units[l] * levels(l)[first + i], i < count. 1 to 8
// ports and layers.
void precode_levels(View<const std::int8_t, 2> levels, std::size_t first, std::size_t count,
                    const LayerUnits& units, View<const SpreadWeight, 2> weights,
                    const PortRows& rows);

// row[k] = sequence[k] * weights[k mod 12], k < 12 blocks.
void weigh_blocks(const cf32* sequence, const std::array<cf32, nr::subcarriers_per_rb>& weights,
                  std::size_t blocks, cf32* row);
}  // namespace cpu

namespace ref {
void precode_levels(View<const std::int8_t, 2> levels, std::size_t first, std::size_t count,
                    const LayerUnits& units, View<const cf32, 2> weights, const PortRows& rows);
}

}  // namespace noroshi::phy
