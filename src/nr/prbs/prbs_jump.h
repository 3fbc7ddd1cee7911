#pragma once

// Jumps of the two registers of TS 38.211 5.2.1 by any number of steps. A step is a linear map over
// GF(2) on 31 bits, held as its 31 columns; the maps of 2^k steps are made by squaring, at compile
// time. Bit i of a register is x(n + i).

#include <array>
#include <cstddef>
#include <cstdint>

namespace noroshi::nr::prbs_detail {

using StepMap = std::array<std::uint32_t, 31>;  // column j: the image of the register 1 << j

constexpr std::uint32_t apply(const StepMap& map, std::uint32_t x) {
  std::uint32_t y = 0;
  for (int j = 0; j < 31; ++j) y ^= map[j] & (0u - ((x >> j) & 1));
  return y;
}

constexpr std::uint32_t step1(std::uint32_t x) { return (x >> 1) | (((x ^ (x >> 3)) & 1) << 30); }

constexpr std::uint32_t step2(std::uint32_t x) {
  return (x >> 1) | (((x ^ (x >> 1) ^ (x >> 2) ^ (x >> 3)) & 1) << 30);
}

// The maps of 1, 2, 4, ... 2^31 steps.
using StepMaps = std::array<StepMap, 32>;

constexpr StepMaps make_step_maps(std::uint32_t (*step)(std::uint32_t)) {
  StepMaps maps{};
  for (int j = 0; j < 31; ++j) maps[0][j] = step(1u << j);
  for (int k = 1; k < 32; ++k) {
    for (int j = 0; j < 31; ++j) maps[k][j] = apply(maps[k - 1], maps[k - 1][j]);
  }
  return maps;
}

inline constexpr StepMaps x1_steps = make_step_maps(step1);
inline constexpr StepMaps x2_steps = make_step_maps(step2);

constexpr std::uint32_t jump(const StepMaps& maps, std::uint32_t x, std::size_t steps) {
  for (int k = 0; steps != 0; ++k, steps >>= 1) {
    if ((steps & 1) != 0) x = apply(maps[k], x);
  }
  return x;
}

inline constexpr std::size_t nc = 1600;

// Four binary digits of the number of steps at a time: the maps of v 16^k steps for v = 1, ..., 15
// and the digits that sequences of a slot have. Columns are padded for vectors.
inline constexpr int digits = 6;
using PaddedMap = std::array<std::uint32_t, 32>;
using DigitMaps = std::array<std::array<PaddedMap, 16>, digits>;

constexpr DigitMaps make_digit_maps(const StepMaps& steps) {
  DigitMaps maps{};
  for (int k = 0; k < digits; ++k)
    for (int v = 1; v < 16; ++v) {
      const int rest = v & (v - 1);  // without the lowest 1
      const StepMap& lowest = steps[4 * k + ((v & 1) != 0   ? 0
                                             : (v & 2) != 0 ? 1
                                             : (v & 4) != 0 ? 2
                                                            : 3)];
      for (int j = 0; j < 31; ++j)
        maps[k][v][j] = rest == 0 ? lowest[j] : apply(lowest, maps[k][rest][j]);
    }
  return maps;
}
inline constexpr DigitMaps x1_digits = make_digit_maps(x1_steps);
inline constexpr DigitMaps x2_digits = make_digit_maps(x2_steps);

}  // namespace noroshi::nr::prbs_detail
