#pragma once

// Polar codewords as 64-bit words, bit i of the code in bit i mod 64 of word i / 64.

#include <array>
#include <cstddef>
#include <cstdint>

namespace noroshi::fec {

using PolarWords = std::array<std::uint64_t, 16>;

constexpr bool polar_word_bit(const PolarWords& words, std::size_t i) {
  return ((words[i / 64] >> (i % 64)) & 1) != 0;
}
constexpr void polar_word_xor(PolarWords& words, std::size_t i, bool bit) {
  words[i / 64] ^= static_cast<std::uint64_t>(bit) << (i % 64);
}

// x G_N in place; G_N is its own inverse. N: 32 ... 1024; bits behind N are zero before and after.
constexpr void polar_transform(PolarWords& words, int block_bits) {
  constexpr std::uint64_t left_half[6] = {0x5555555555555555u, 0x3333333333333333u,
                                          0x0f0f0f0f0f0f0f0fu, 0x00ff00ff00ff00ffu,
                                          0x0000ffff0000ffffu, 0x00000000ffffffffu};
  const std::size_t count = block_bits <= 64 ? 1 : static_cast<std::size_t>(block_bits) / 64;
  for (std::size_t w = 0; w < count; ++w) {
    std::uint64_t word = words[w];
    for (std::size_t s = 0; s < 6; ++s) word ^= (word >> (std::size_t{1} << s)) & left_half[s];
    words[w] = word;
  }
  for (std::size_t step = 1; step < count; step *= 2) {
    for (std::size_t w = 0; w < count; w += 2 * step) {
      for (std::size_t i = w; i < w + step; ++i) words[i] ^= words[i + step];
    }
  }
}

// The bits of a byte in the opposite order.
constexpr std::uint8_t polar_reversed(std::uint64_t byte) {
  return static_cast<std::uint8_t>(((byte * 0x80200802u) & 0x0884422110u) * 0x0101010101u >> 32);
}

}  // namespace noroshi::fec
