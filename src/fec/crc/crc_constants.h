#pragma once

// What crc_cpu.cpp multiplies by, made at compile time from the generators lifted to degree 32.

#include <array>
#include <cstdint>

#include "fec/crc/crc.h"

namespace noroshi::fec::crc_detail {

struct Constants {
  std::uint64_t generator;  // with its x^32
  std::uint64_t x64;        // x^64 mod g
  std::uint64_t x96;
  std::uint64_t barrett;                 // floor(x^64 / g)
  alignas(16) std::uint64_t fold128[2];  // x^128, x^192 mod g
  alignas(16) std::uint64_t fold512[2];  // x^512, x^576 mod g
  alignas(16) std::uint64_t fold2048[2];
  alignas(64) std::uint64_t fold_lanes[8];  // by 384, 256, 128 and 0
  std::array<std::uint32_t, 256> table;     // b x^32 mod g
  std::array<std::uint32_t, 32> powers;     // x^(2^i) mod g
};

constexpr std::uint32_t power_mod(std::uint32_t g, int exponent) {  // x^exponent mod (x^32 + g)
  std::uint32_t r = 1;
  for (int i = 0; i < exponent; ++i) r = (r << 1) ^ ((r >> 31) != 0 ? g : 0);
  return r;
}

// a b mod (x^32 + g)
constexpr std::uint32_t product_mod(std::uint32_t g, std::uint32_t a, std::uint32_t b) {
  std::uint32_t r = 0;
  for (int i = 31; i >= 0; --i)
    r = (r << 1) ^ ((r >> 31) != 0 ? g : 0) ^ ((a >> i & 1) != 0 ? b : 0);
  return r;
}

constexpr Constants make_constants(Crc crc) {
  const std::uint32_t g = crc_polynomial(crc) << (32 - crc_bits(crc));
  Constants c{};
  c.generator = (std::uint64_t{1} << 32) | g;
  c.x64 = power_mod(g, 64);
  c.x96 = power_mod(g, 96);
  c.fold128[0] = power_mod(g, 128);
  c.fold128[1] = power_mod(g, 192);
  c.fold512[0] = power_mod(g, 512);
  c.fold512[1] = power_mod(g, 576);
  c.fold2048[0] = power_mod(g, 2048);
  c.fold2048[1] = power_mod(g, 2112);
  for (int lane = 0; lane < 4; ++lane) {
    c.fold_lanes[2 * lane] = power_mod(g, 384 - 128 * lane);
    c.fold_lanes[2 * lane + 1] = power_mod(g, 448 - 128 * lane);
  }
  // Long division of x^64: the remainder after the first step is g x^32.
  c.barrett = std::uint64_t{1} << 32;
  std::uint64_t remainder = std::uint64_t{g} << 32;
  for (int bit = 31; bit >= 0; --bit) {
    if (((remainder >> (bit + 32)) & 1) == 0) continue;
    c.barrett |= std::uint64_t{1} << bit;
    remainder ^= c.generator << bit;
  }
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t r = byte << 24;
    for (int i = 0; i < 8; ++i) r = (r << 1) ^ ((r >> 31) != 0 ? g : 0);
    c.table[byte] = r;
  }
  c.powers[0] = 2;
  for (std::size_t i = 1; i < c.powers.size(); ++i)
    c.powers[i] = product_mod(g, c.powers[i - 1], c.powers[i - 1]);
  return c;
}

inline constexpr std::array<Constants, 6> constants = {
    make_constants(Crc::crc6),   make_constants(Crc::crc11),  make_constants(Crc::crc16),
    make_constants(Crc::crc24a), make_constants(Crc::crc24b), make_constants(Crc::crc24c)};

}  // namespace noroshi::fec::crc_detail
