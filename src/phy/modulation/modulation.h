#pragma once

// Bits to constellation points (TS 38.211 5.1), Gray mapped, unit mean power times amplitude^2.
// One axis with m bits b0, b1, ... (the even bits of the symbol for I, the odd ones for Q):
//
//   level_m(b0, b1, ...) = (1 - 2 b0) (2^(m - 1) - level_(m-1)(b1, ...)),   level_1(b0) = 1 - 2 b0
//
// BPSK and pi/2-BPSK: (1 - 2 b) (1 + j) / sqrt 2, turned by 90 degrees at odd symbols for
// pi/2-BPSK.

#include <cstdint>

#include "base/units.h"
#include "base/view.h"
#include "nr/shared_channel.h"

namespace noroshi::phy {

// Distance from 0 to the innermost level of an axis at unit mean power: 1 / sqrt(2, 10, 42, ...).
double constellation_unit(nr::Modulation modulation);

// bits: packed, the first symbol's first bit is the first byte's highest; exactly
// bytes_for_bits(symbols.size() * Qm) bytes. symbols[0] counts as even.
namespace ref {
void modulate(nr::Modulation modulation, View<const std::uint8_t, 1> bits, double amplitude,
              View<cf64, 1> symbols);
}
namespace cpu {
void modulate(nr::Modulation modulation, View<const std::uint8_t, 1> bits, float amplitude,
              View<cf32, 1> symbols);
}

}  // namespace noroshi::phy
