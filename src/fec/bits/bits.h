#pragma once

// Copies of packed bits at any bit position.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/units.h"

namespace noroshi::fec {

// Up to 8 bits at a bit position, as the low bits of the result. Reads only the bytes they lie in.
inline std::uint32_t read_bits8(const std::uint8_t* packed, std::size_t bit, std::size_t count) {
  if (count == 0) return 0;
  const std::uint8_t* from = packed + (bit >> 3);
  const std::size_t shift = bit & 7;
  const std::uint32_t second = shift + count > 8 ? from[1] : 0u;
  const std::uint32_t both = (static_cast<std::uint32_t>(from[0]) << 8) | second;
  return (both >> (16 - shift - count)) & ((1u << count) - 1);
}

// Replaces up to 8 bits that lie in one byte.
inline void write_bits_in_byte(std::uint8_t* packed, std::size_t bit, std::size_t count,
                               std::uint32_t value) {
  if (count == 0) return;
  const std::size_t shift = 8 - (bit & 7) - count;
  const std::uint32_t mask = ((1u << count) - 1) << shift;
  std::uint8_t& byte = packed[bit >> 3];
  byte = static_cast<std::uint8_t>((byte & ~mask) | ((value << shift) & mask));
}

namespace cpu {
// to[i] = the byte that begins at bit `shift`, 1..7, of from[i]; reads from[bytes] too. No overlap.
void copy_shifted(std::uint8_t* to, const std::uint8_t* from, int shift, std::size_t bytes);
}  // namespace cpu

// Replaces the `count` <= 32 bits from a bit position on by the low bits of value.
inline void write_bits(std::uint8_t* packed, std::size_t bit, std::size_t count,
                       std::uint32_t value) {
  while (count != 0) {
    const std::size_t part = std::min(count, 8 - (bit & 7));
    count -= part;
    write_bits_in_byte(packed, bit, part, (value >> count) & ((1u << part) - 1));
    bit += part;
  }
}

// to[to_bit + i] = from[from_bit + i] for i < count. The other bits of `to` stay; no byte is
// touched that holds none of the bits. The ranges do not overlap.
inline void copy_bits(std::uint8_t* to, std::size_t to_bit, const std::uint8_t* from,
                      std::size_t from_bit, std::size_t count) {
  if (const std::size_t odd = to_bit & 7; odd != 0) {
    const std::size_t head = std::min(count, 8 - odd);
    write_bits_in_byte(to, to_bit, head, read_bits8(from, from_bit, head));
    to_bit += head;
    from_bit += head;
    count -= head;
  }
  std::uint8_t* out = to + (to_bit >> 3);
  const std::uint8_t* in = from + (from_bit >> 3);
  const std::size_t shift = from_bit & 7;
  std::size_t bytes = count / 8;
  if (shift == 0) {
    if (bytes != 0) std::memcpy(out, in, bytes);
    in += bytes;
    out += bytes;
  } else if (bytes >= 64) {  // worth the call
    cpu::copy_shifted(out, in, static_cast<int>(shift), bytes);
    in += bytes;
    out += bytes;
  } else {
    for (; bytes >= 8; bytes -= 8, in += 8, out += 8) {
      std::uint64_t word;
      std::memcpy(&word, in, 8);
      word = (__builtin_bswap64(word) << shift) | (in[8] >> (8 - shift));
      word = __builtin_bswap64(word);
      std::memcpy(out, &word, 8);
    }
    for (; bytes != 0; --bytes, ++in, ++out) {
      *out = static_cast<std::uint8_t>((in[0] << shift) | (in[1] >> (8 - shift)));
    }
  }
  if (const std::size_t tail = count % 8; tail != 0) {
    write_bits_in_byte(out, 0, tail, read_bits8(in, shift, tail));
  }
}

}  // namespace noroshi::fec
