#include <algorithm>
#include <cmath>

#include "phy/modulation/modulation.h"
#include "phy/receive/evm.h"

namespace noroshi::phy::ref {

double error_vector_sum(nr::Modulation modulation, View<const cf64, 1> symbols) {
  const int bits = std::max(2, nr::bits_per_symbol(modulation));
  const double unit = bits == 2 ? std::sqrt(0.5) : constellation_unit(modulation);
  const double highest = (1 << (bits / 2)) - 1;
  double sum = 0;
  for (const cf64& symbol : symbols) {
    const double error = std::norm(
        symbol -
        unit * cf64{std::clamp(2 * std::floor(symbol.real() / unit / 2) + 1, -highest, highest),
                    std::clamp(2 * std::floor(symbol.imag() / unit / 2) + 1, -highest, highest)});
    if (!std::isnan(error)) sum += error;
  }
  return sum;
}

}  // namespace noroshi::phy::ref
