#pragma once

// The few scalar types that every room shares.

#include <complex>
#include <cstdint>

namespace noroshi {

using cf32 = std::complex<float>;   // a time-domain sample or a resource element
using cf64 = std::complex<double>;  // the same in ref:: versions

// A soft bit: log(P(0) / P(1)) in the receiver's own scale, saturated. Positive means 0; 0 means
// unknown; -128 never occurs.
using SoftBit = std::int8_t;
inline constexpr int soft_bit_max = 127;

// Packed bits are bytes, the most significant bit first, as TS 38.321 orders a transport block.
inline bool bit_at(const std::uint8_t* packed, std::size_t index) {
  return (packed[index >> 3] >> (7 - (index & 7))) & 1;
}

inline void set_bit(std::uint8_t* packed, std::size_t index, bool value) {
  const std::uint8_t mask = static_cast<std::uint8_t>(0x80u >> (index & 7));
  packed[index >> 3] =
      static_cast<std::uint8_t>(value ? packed[index >> 3] | mask : packed[index >> 3] & ~mask);
}

constexpr std::size_t bytes_for_bits(std::size_t bits) { return (bits + 7) / 8; }

}  // namespace noroshi
