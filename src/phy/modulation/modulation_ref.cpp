#include <cassert>
#include <cmath>

#include "phy/modulation/modulation.h"

namespace noroshi::phy {
namespace {

// Bits first, first + stride, ... : m of them.
double level(const std::uint8_t* bits, std::size_t first, std::size_t stride, int m) {
  const double sign = bit_at(bits, first) ? -1 : 1;
  if (m == 1) return sign;
  return sign * ((1 << (m - 1)) - level(bits, first + stride, stride, m - 1));
}

}  // namespace

double constellation_unit(nr::Modulation modulation) {
  const int m = nr::bits_per_symbol(modulation);
  // Mean power of an axis with 2^k odd levels: (4^k - 1) / 3; two axes, also for BPSK's diagonal.
  const int levels = m < 2 ? 2 : 1 << (m / 2);
  return 1 / std::sqrt(2.0 * (levels * levels - 1) / 3);
}

namespace ref {

void modulate(nr::Modulation modulation, View<const std::uint8_t, 1> bits, double amplitude,
              View<cf64, 1> symbols) {
  const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
  assert(bits.size() == bytes_for_bits(symbols.size() * qm));
  const double unit = amplitude * constellation_unit(modulation);
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    if (qm == 1) {
      const double d = unit * (bit_at(bits.data(), i) ? -1 : 1);
      const bool turned = modulation == nr::Modulation::pi2_bpsk && i % 2 == 1;
      symbols[i] = turned ? cf64(-d, d) : cf64(d, d);
      continue;
    }
    const int m = static_cast<int>(qm / 2);
    symbols[i] = {unit * level(bits.data(), i * qm, 2, m),
                  unit * level(bits.data(), i * qm + 1, 2, m)};
  }
}

}  // namespace ref
}  // namespace noroshi::phy
