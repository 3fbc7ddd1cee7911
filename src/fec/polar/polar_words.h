#pragma once

// Polar codewords as 64-bit words, bit i of the code in word i / 64, the first in the top bit.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/units.h"

namespace noroshi::fec {

using PolarWords = std::array<std::uint64_t, 16>;

constexpr bool polar_word_bit(const PolarWords& words, std::size_t i) {
  return ((words[i / 64] >> (63 - i % 64)) & 1) != 0;
}
constexpr void polar_word_xor(PolarWords& words, std::size_t i, bool bit) {
  words[i / 64] ^= static_cast<std::uint64_t>(bit) << (63 - i % 64);
}

// x G_N in place; G_N is its own inverse. N: 32 ... 1024; bits behind N are zero before and after.
constexpr void polar_transform(PolarWords& words, int block_bits) {
  constexpr std::uint64_t left_half[6] = {0xaaaaaaaaaaaaaaaau, 0xccccccccccccccccu,
                                          0xf0f0f0f0f0f0f0f0u, 0xff00ff00ff00ff00u,
                                          0xffff0000ffff0000u, 0xffffffff00000000u};
  const std::size_t count = block_bits <= 64 ? 1 : static_cast<std::size_t>(block_bits) / 64;
  for (std::size_t w = 0; w < count; ++w) {
    std::uint64_t word = words[w];
    for (std::size_t s = 0; s < (block_bits == 32 ? 5u : 6u); ++s) {
      word ^= (word << (std::size_t{1} << s)) & left_half[s];
    }
    words[w] = word;
  }
  for (std::size_t step = 1; step < count; step *= 2) {
    for (std::size_t w = 0; w < count; ++w) {
      if ((w & step) == 0) words[w] ^= words[w + step];
    }
  }
}

inline void polar_words_to_bytes(const PolarWords& words, int block_bits, std::uint8_t* packed) {
  const std::size_t bytes = static_cast<std::size_t>(block_bits) / 8;
  for (std::size_t i = 0; i < bytes; ++i) {
    packed[i] = static_cast<std::uint8_t>(words[i / 8] >> (56 - 8 * (i % 8)));
  }
}

}  // namespace noroshi::fec
