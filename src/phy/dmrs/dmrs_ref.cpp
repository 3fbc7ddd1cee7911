#include <cassert>
#include <cmath>
#include <vector>

#include "phy/dmrs/dmrs.h"

namespace noroshi::phy {

std::uint32_t dmrs_c_init(int slot, int symbol, const nr::Dmrs& dmrs) {
  const std::uint64_t id = dmrs.scrambling_id;
  const std::uint64_t time = static_cast<std::uint64_t>(14 * slot + symbol + 1);
  return static_cast<std::uint32_t>(
      ((time * (2 * id + 1) << 17) + 2 * id + static_cast<std::uint64_t>(dmrs.n_scid)) &
      0x7fffffffu);
}

int dmrs_l_prime(const nr::Dmrs& dmrs, int symbol) {
  if (!dmrs.double_symbol) return 0;
  int before = 0;  // pairs are adjacent: the parity of the run of ones that ends here
  while (before < symbol && (dmrs.symbol_mask >> (symbol - 1 - before) & 1) != 0) ++before;
  return before % 2;
}

namespace ref {

void dmrs_pilots(const nr::Dmrs& dmrs, int port, int slot, int symbol, const Allocation& allocation,
                 View<cf32, 1> pilots) {
  const int per_rb = dmrs_pilots_per_rb(dmrs.type);
  assert(pilots.size() == static_cast<std::size_t>(per_rb) * allocation.rb_count);
  const DmrsPort row = dmrs_port(dmrs.type, port);
  const int w_t = row.w_t[dmrs_l_prime(dmrs, symbol)];

  // TS 38.211 5.2.1, bit by bit from the start.
  std::uint32_t x1 = 1, x2 = dmrs_c_init(slot, symbol, dmrs);
  const auto next = [&] {
    const std::uint32_t c = (x1 ^ x2) & 1;
    x1 = (x1 >> 1) | (((x1 >> 3 ^ x1) & 1) << 30);
    x2 = (x2 >> 1) | (((x2 >> 3 ^ x2 >> 2 ^ x2 >> 1 ^ x2) & 1) << 30);
    return c;
  };
  for (int i = 0; i < 1600; ++i) next();

  std::size_t out = 0;
  int n = dmrs.reference_rb * per_rb;  // pilot, from CRB 0
  for (const RbRun& run : allocation) {
    for (; n < run.first * per_rb; ++n) next(), next();
    for (; n < (run.first + run.count) * per_rb; ++n) {
      const double re = 1.0 - 2.0 * next(), im = 1.0 - 2.0 * next();
      const double scale = row.w_f[n % 2] * w_t / std::sqrt(2.0);
      pilots[out++] = cf32(static_cast<float>(re * scale), static_cast<float>(im * scale));
    }
  }
}

}  // namespace ref
}  // namespace noroshi::phy
