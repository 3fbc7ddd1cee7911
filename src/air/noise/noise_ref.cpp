#include <bit>
#include <cmath>
#include <numbers>

#include "air/noise/noise.h"

namespace noroshi::air::ref {
namespace {

std::uint32_t draw(NoiseStreams& streams, int i) {
  auto& s = streams.state;
  const std::uint32_t result = std::rotl(s[0][i] + s[3][i], 7) + s[0][i];
  const std::uint32_t t = s[1][i] << 9;
  s[2][i] ^= s[0][i];
  s[3][i] ^= s[1][i];
  s[1][i] ^= s[2][i];
  s[0][i] ^= s[3][i];
  s[2][i] ^= t;
  s[3][i] = std::rotl(s[3][i], 11);
  return result;
}

}  // namespace

void noise_add(NoiseStreams& streams, float amplitude, View<cf32, 1> samples) {
  for (std::size_t first = 0; first < samples.size(); first += noise_streams) {
    for (int i = 0; i < noise_streams; ++i) {
      const double u = ((draw(streams, i) >> 1) + 0.5) * 0x1.0p-31;
      const double v = draw(streams, i) * 0x1.0p-32;
      if (first + i >= samples.size()) continue;  // every stream moves on, used or not
      const double radius = std::sqrt(-2 * std::log(u));
      const double angle = 2 * std::numbers::pi * v;
      samples[first + i] += cf32(static_cast<double>(amplitude) * std::polar(radius, angle));
    }
  }
}

}  // namespace noroshi::air::ref
