#pragma once

// Standard normal pairs by Box and Muller from pairs of 32-bit words:
//
//   z = sqrt(-2 ln u) exp(j 2 pi v),  u = (w0 / 2 + 1/2) / 2^31,  v = w1 / 2^32
//
// so |z| reaches 6.6. The words come from 16 streams of xoshiro128++ (Blackman, Vigna 2019) side by
// side, one a lane of the widest vector, whatever the vectors' real width: the words are the same
// on every machine.

#include <array>
#include <cstdint>

#include "base/prng.h"
#include "base/units.h"
#include "base/view.h"

namespace noroshi::air {

inline constexpr int noise_streams = 16;

struct NoiseStreams {
  explicit NoiseStreams(Prng& prng) {
    for (auto& word : state) {
      for (int i = 0; i < noise_streams; i += 2) {
        const std::uint64_t draw = prng();
        word[i] = static_cast<std::uint32_t>(draw);
        word[i + 1] = static_cast<std::uint32_t>(draw >> 32);
      }
    }
  }
  // [word, stream]. All-zero would be a stream's fixed point; it has probability 2^-128.
  alignas(64) std::array<std::array<std::uint32_t, noise_streams>, 4> state;
};

// samples[n] += amplitude * z[n], with z[16 b + i] the b-th of stream i. Real and imaginary part
// have variance 1 each.
namespace ref {
void noise_add(NoiseStreams& streams, float amplitude, View<cf32, 1> samples);
}
namespace cpu {
void noise_add(NoiseStreams& streams, float amplitude, View<cf32, 1> samples);
}

}  // namespace noroshi::air
