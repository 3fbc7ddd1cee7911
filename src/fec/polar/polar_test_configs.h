#pragma once

// Random polar codes for the tests: all kinds of rate matching, with and without parity-check bits.

#include <algorithm>
#include <string>

#include "base/prng.h"
#include "fec/polar/polar.h"

namespace noroshi::fec {

inline std::string describe(const PolarCode& code) {
  return "K " + std::to_string(code.config.message_bits) + " E " +
         std::to_string(code.config.coded_bits) + " N " + std::to_string(code.block_bits) +
         (code.config.interleave_input ? " I_IL" : "") +
         (code.config.interleave_coded ? " I_BIL" : "");
}

// Codes that nobody can make (too little room) are drawn again.
inline PolarCode random_polar_code(Prng& prng) {
  for (;;) {
    PolarConfig config;
    const std::uint64_t kind = prng.below(4);
    const std::uint64_t k_draw = prng.below(1 << 20);
    const std::uint64_t e_draw = prng.below(1 << 20);
    config.interleave_input = kind == 0;
    config.interleave_coded = kind != 0 && prng.below(8) != 0;
    config.n_max = kind == 0 ? 9 : 10;
    const int k_min = kind == 1 ? 18 : polar_message_bits_min;
    const int k_max = kind == 0 ? 164 : kind == 1 ? 25 : kind == 2 ? 200 : 1023;
    config.message_bits = k_min + static_cast<int>(k_draw) % (k_max - k_min + 1);
    // Rates from 1 to 1/16; now and then many repetitions.
    const int e_min = config.message_bits + 3;
    const int e_max = e_draw % 16 == 0 ? 8192 : std::min(8192, e_min * (e_draw % 4 == 1 ? 16 : 3));
    config.coded_bits = e_min + static_cast<int>(e_draw / 16) % (e_max - e_min + 1);
    if (auto code = make_polar_code(config); code.ok()) return *std::move(code);
  }
}

}  // namespace noroshi::fec
