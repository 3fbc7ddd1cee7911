#pragma once

// The pseudo-random sequence of TS 38.211 5.2.1, a Gold sequence of two 31-bit registers:
//
//   c(n) = x1(n + Nc) + x2(n + Nc) mod 2,   Nc = 1600
//   x1(n + 31) = x1(n + 3) + x1(n),                           x1(0) = 1, x1(1..30) = 0
//   x2(n + 31) = x2(n + 3) + x2(n + 2) + x2(n + 1) + x2(n),   x2(i) = bit i of c_init
//
// c_init < 2^31. `first` is the n of the first element; it costs a jump (log2 n steps), not n
// steps. cpu:: is exact: equal to ref:: for every input.

#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "base/view.h"

namespace noroshi::nr {

namespace ref {

// Bit i of packed = c(first + i), for all 8 * packed.size() bits.
void prbs_packed(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> packed);

// The same with the least significant bit of each byte first, as vector instructions want masks.
void prbs_masks(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> masks);

// Bit i of packed ^= c(first + i) for i < bits; the bits after them stay.
void scramble(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> packed,
              std::size_t bits);

// Negates soft bit i where c(first + i) = 1. (-128, which units.h forbids, becomes 127 or stays.)
void descramble(std::uint32_t c_init, std::size_t first, View<SoftBit, 1> soft_bits);

// symbols[i] = r(m) = ((1 - 2 c(2m)) + j (1 - 2 c(2m + 1))) / sqrt(2), m = first_symbol + i
// (TS 38.211 6.4.1.1.1.1, 7.4.1.1.1).
void dmrs_qpsk(std::uint32_t c_init, std::size_t first_symbol, View<cf32, 1> symbols);

}  // namespace ref

namespace cpu {

void prbs_packed(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> packed);
void prbs_masks(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> masks);
void scramble(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> packed,
              std::size_t bits);
void descramble(std::uint32_t c_init, std::size_t first, View<SoftBit, 1> soft_bits);
void dmrs_qpsk(std::uint32_t c_init, std::size_t first_symbol, View<cf32, 1> symbols);

// From the start of the sequence.
inline void scramble(std::uint32_t c_init, View<std::uint8_t, 1> packed, std::size_t bits) {
  scramble(c_init, 0, packed, bits);
}
inline void descramble(std::uint32_t c_init, View<SoftBit, 1> soft_bits) {
  descramble(c_init, 0, soft_bits);
}

}  // namespace cpu
}  // namespace noroshi::nr
