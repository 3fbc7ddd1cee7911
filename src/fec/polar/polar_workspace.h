#pragma once

// The decoders' memory. One path: a byte a bit. A list: 8 bytes a bit, one a path.

#include <array>
#include <cstddef>
#include <cstdint>

#include "fec/polar/polar.h"

namespace noroshi::fec {

// Vectors may be read beyond a stage's end.
inline constexpr std::size_t polar_slack = 64;

struct PolarWorkspace::State {
  // Soft bits of stage s from (2^s - 1) on, in units of 1 or 8 bytes, rounded up to vectors.
  alignas(64) std::int8_t single_soft[2 * polar_block_bits_max + 16 * polar_slack];
  alignas(64) std::int8_t soft[8 * polar_block_bits_max + 16 * polar_slack];
  // 0 or -1 a bit: what the nodes that are done consist of.
  alignas(64) std::int8_t bits[8 * polar_block_bits_max + polar_slack];
  alignas(64) std::int16_t sums[polar_block_bits_max];
  alignas(64) std::int8_t scaled[polar_block_bits_max];
  alignas(64) std::int8_t selected[polar_coded_bits_max + polar_slack];
  // [stage][16]: which path's byte belongs to a path of now, for a block of 16 bytes.
  alignas(64) std::uint8_t pattern[12 * 16];
  alignas(64) std::int16_t search[8 * 64];  // [position][path]
  alignas(64) std::int32_t found[8][8];     // [rank][path]
  alignas(64) std::int32_t metric[8];
  alignas(32) std::int32_t checks[8];  // the register of 5.3.1.2, bit i = position i mod 5
  alignas(64) std::uint8_t message[8 + polar_block_bits_max / 8];  // behind the leading ones
};

// Fills N bytes of out.
void polar_recover(const PolarCode& code, const std::int8_t* coded, std::int8_t* out,
                   PolarWorkspace::State& state);

}  // namespace noroshi::fec
