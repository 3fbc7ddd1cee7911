#include <algorithm>
#include <cassert>
#include <limits>

#include "phy/demap/demap.h"
#include "phy/modulation/modulation.h"

namespace noroshi::phy::ref {

void demap(nr::Modulation modulation, View<const cf64, 1> symbols, double noise_power,
           View<double, 1> llr) {
  const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
  assert(llr.size() == symbols.size() * qm && noise_power > 0);
  const std::size_t points = std::size_t{1} << qm;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    double nearest[2][10];
    for (auto& row : nearest) std::fill(row, row + 10, std::numeric_limits<double>::max());
    for (std::size_t p = 0; p < points; ++p) {
      std::uint8_t bits[2] = {0, 0};
      for (std::size_t j = 0; j < qm; ++j) set_bit(bits, j, p >> j & 1);
      // Two symbols, so that pi/2-BPSK's odd one is there too; the second one's bit is the same.
      cf64 point[2];
      if (qm == 1) bits[0] = (p & 1) != 0 ? 0xc0 : 0;
      const std::size_t count = qm == 1 ? 2 : 1;
      modulate(modulation, View<const std::uint8_t, 1>(bits, bytes_for_bits(count * qm)), 1.0,
               View<cf64, 1>(point, count));
      const double distance = std::norm(symbols[i] - point[qm == 1 ? i % 2 : 0]);
      for (std::size_t j = 0; j < qm; ++j) {
        double& best = nearest[p >> j & 1][j];
        best = std::min(best, distance);
      }
    }
    for (std::size_t j = 0; j < qm; ++j)
      llr[i * qm + j] = (nearest[1][j] - nearest[0][j]) / noise_power;
  }
}

}  // namespace noroshi::phy::ref
