#pragma once

// Constellation points to soft bits: max-log, the inverse of modulation.h.
//
//   llr(b) = (min over points s with b = 1 of |y - s|^2 - min over points with b = 0) / noise_power
//
// noise_power is that of the complex symbol. Positive means 0. Bits in the order of the packed
// bits: b0 of symbol 0 first.
//
// Gray mapping folds (cpu::): with t the axis in units of the innermost level, m bits an axis,
// x_0 = |t| and x_(j+1) = |2^(m - 1 - j) - x_j|,
//
//   |llr(b_j)| = u^2 ((x_j + 1)^2 - (x_(m-1) - 1)^2) / noise_power
//
// and the sign is that of t (b_0) or of 2^(m - j) - x_(j-1); u is constellation_unit.

#include "base/units.h"
#include "base/view.h"
#include "nr/shared_channel.h"

namespace noroshi::phy {

// A soft bit is round(llr_scale * llr), saturated at +-soft_bit_max, so at |llr| = 15.9. A step of
// 1/8 is small against the spread of an llr at the lowest code rates (about 1). Stronger bits only
// slow the decoder down at the highest rates: at R = 0.926 and 10 iterations, block errors of 10 %
// come at 20.21, 19.94, 19.85, 19.83 dB (64QAM) and 26.84, 26.25, 26.02, 25.99 dB (256QAM) with
// scales 2, 4, 8, 11, and at code rates up to 0.55 within 0.04 dB of each other (noroshi bench
// sinr_at_bler).
inline constexpr float llr_scale = 8;

namespace ref {
// By the definition, over all points. llr: symbols.size() * Qm values. symbols[0] counts as even.
void demap(nr::Modulation modulation, View<const cf64, 1> symbols, double noise_power,
           View<double, 1> llr);
}  // namespace ref

namespace cpu {
// symbols: equalised to unit mean power. inverse_noise: 1 / noise_power of each symbol, >= 0 and
// not NaN; 0 makes the bits unknown. soft_bits: symbols.size() * Qm values.
void demap(nr::Modulation modulation, View<const cf32, 1> symbols,
           View<const float, 1> inverse_noise, View<SoftBit, 1> soft_bits);
// The same, descrambled on the way: soft bit i changes its sign where bit first + i of `masks`, as
// nr::prbs_masks makes them, is 1. masks: some bytes more can be read than have such bits.
inline constexpr std::size_t demap_mask_slack_bytes = 24;
void demap(nr::Modulation modulation, View<const cf32, 1> symbols,
           View<const float, 1> inverse_noise, View<const std::uint8_t, 1> masks, std::size_t first,
           View<SoftBit, 1> soft_bits);
}  // namespace cpu

}  // namespace noroshi::phy
