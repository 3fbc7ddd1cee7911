// The sequence comes from SIMD (nr/prbs); the cover codes are sign changes of it.

#include <cassert>

#include "nr/prbs/prbs.h"
#include "phy/dmrs/dmrs.h"

namespace noroshi::phy::cpu {

void dmrs_pilots(const nr::Dmrs& dmrs, int port, int slot, int symbol, const Allocation& allocation,
                 View<cf32, 1> pilots) {
  const std::size_t per_rb = static_cast<std::size_t>(dmrs_pilots_per_rb(dmrs.type));
  assert(pilots.size() == per_rb * static_cast<std::size_t>(allocation.rb_count));
  const DmrsPort row = dmrs_port(dmrs.type, port);
  const int w_t = row.w_t[dmrs_l_prime(dmrs, symbol)];
  const std::uint32_t c_init = dmrs_c_init(slot, symbol, dmrs);
  std::size_t out = 0;
  for (const RbRun& run : allocation) {
    const std::size_t count = per_rb * static_cast<std::size_t>(run.count);
    nr::cpu::dmrs_qpsk(c_init, per_rb * static_cast<std::size_t>(run.first - dmrs.reference_rb),
                       pilots.subview(out, count));
    out += count;
  }
  const float even = static_cast<float>(w_t), odd = static_cast<float>(w_t * row.w_f[1]);
  if (even == 1 && odd == 1) return;
  for (std::size_t m = 0; m < pilots.size(); m += 2) {  // a block has an even number
    pilots[m] *= even;
    pilots[m + 1] *= odd;
  }
}

}  // namespace noroshi::phy::cpu
