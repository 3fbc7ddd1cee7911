#pragma once

// TS 38.213 tables 9.3-1 (HARQ-ACK) and 9.3-2 (CSI): beta offsets times 8 by index, without the
// reserved ones behind them.

#include <array>
#include <cstdint>

namespace noroshi::fec {

inline constexpr std::array<std::int16_t, 16> harq_beta_offsets_x8 = {
    8, 16, 20, 25, 32, 40, 50, 64, 80, 101, 127, 160, 248, 400, 640, 1008};
inline constexpr std::array<std::int16_t, 19> csi_beta_offsets_x8 = {
    9, 10, 11, 13, 14, 16, 18, 20, 23, 25, 28, 32, 40, 50, 64, 80, 101, 127, 160};

}  // namespace noroshi::fec
