#pragma once

// Cyclic redundancy checks of TS 38.212 5.1. With the message a(0) ... a(A-1), a(0) first,
//
//   p(x) = a(0) x^(A-1+L) + ... + a(A-1) x^L   mod   g(x)
//
// and p(0) = the coefficient of x^(L-1) is sent first. A message followed by its parity has parity
// 0. cpu:: is exact: equal to ref:: for every length.

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "base/view.h"
#include "fec/bits/bits.h"

namespace noroshi::fec {

enum class Crc : std::uint8_t { crc6, crc11, crc16, crc24a, crc24b, crc24c };

// L
constexpr int crc_bits(Crc crc) {
  constexpr std::array<int, 6> lengths = {6, 11, 16, 24, 24, 24};
  return lengths[static_cast<std::size_t>(crc)];
}

// g(x) without x^L
constexpr std::uint32_t crc_polynomial(Crc crc) {
  constexpr std::array<std::uint32_t, 6> polynomials = {0x21,     0x621,    0x1021,
                                                        0x864cfb, 0x800063, 0xb2b117};
  return polynomials[static_cast<std::size_t>(crc)];
}

// The parity of the first `bits` bits of packed, p(0) as bit L-1 of the result.
//
// That of a message in parts of `part_bits` bits each, a(0) in the first, from their parities p_i:
//
//   p(x) = sum over i < n of p_i(x) x^(part_bits (n - 1 - i))   mod   g(x)
namespace ref {
std::uint32_t crc(Crc crc, View<const std::uint8_t, 1> packed, std::size_t bits);
std::uint32_t crc_of_parts(Crc crc, View<const std::uint32_t, 1> parities, std::size_t part_bits);
}  // namespace ref
namespace cpu {
std::uint32_t crc(Crc crc, View<const std::uint8_t, 1> packed, std::size_t bits);
std::uint32_t crc_of_parts(Crc crc, View<const std::uint32_t, 1> parities, std::size_t part_bits);
}  // namespace cpu

// Writes the parity of the first `bits` bits behind them, XORed with the lowest L bits of mask.
inline void crc_attach(Crc crc, View<std::uint8_t, 1> packed, std::size_t bits,
                       std::uint32_t mask = 0) {
  const std::uint32_t parity = cpu::crc(crc, packed, bits) ^ mask;
  const int length = crc_bits(crc);
  assert(bytes_for_bits(bits + static_cast<std::size_t>(length)) <= packed.size());
  write_bits(packed.data(), bits, static_cast<std::size_t>(length), parity);
}

}  // namespace noroshi::fec
