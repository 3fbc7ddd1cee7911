// Channel estimate of 273 blocks from two DM-RS symbols; `still` averages them, `moving` keeps
// both.

#include <cmath>
#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "phy/dmrs/dmrs.h"
#include "phy/estimate/estimate.h"

namespace noroshi::phy {

NOROSHI_BENCH(estimate) {
  constexpr int rbs = 273, subcarriers = 12 * rbs;
  nr::SharedChannel channel;
  for (std::size_t rb = 0; rb < rbs; ++rb) channel.rbs[rb] = true;
  channel.dmrs.symbol_mask = 1u << 2 | 1u << 11;
  const Allocation allocation = make_allocation(channel);
  cpu::EstimateWorkspace workspace(rbs);
  std::vector<cf32> pilots(2 * 6 * rbs);
  for (int antennas : {1, 4})
    for (bool moving : {false, true}) {
      Prng prng(1);
      std::vector<cf32> grid(
          static_cast<std::size_t>(antennas * nr::symbols_per_slot * subcarriers));
      const View<cf32, 3> rows(grid.data(), antennas, nr::symbols_per_slot, subcarriers);
      EstimateInput input;
      input.grid = rows;
      input.allocation = &allocation;
      input.symbols = dmrs_symbols(channel.dmrs);
      const View<cf32, 2> sent(pilots.data(), 2, 6 * rbs);
      input.pilots = sent;
      for (int d = 0; d < 2; ++d) {
        const int l = input.symbols.symbol[static_cast<std::size_t>(d)];
        cpu::dmrs_pilots(channel.dmrs, 0, 0, l, allocation, sent[static_cast<std::size_t>(d)]);
        const float fade = moving && d == 1 ? 0.7f : 1.0f;
        for (int a = 0; a < antennas; ++a)
          for (int k = 0; k < subcarriers; ++k)
            rows(a, l, k) = (k % 2 == 0 ? fade * sent(d, k / 2) : cf32(0)) +
                            cf32(static_cast<float>(0.03 * prng.normal()),
                                 static_cast<float>(0.03 * prng.normal()));
      }
      bench.time_us("273prb 2 dmrs 1x" + std::to_string(antennas) + (moving ? " moving" : " still"),
                    [&] {
                      const ChannelInfo info = cpu::estimate(input, workspace);
                      return hash_bytes(&info.noise_power, sizeof info.noise_power);
                    });
    }
}

}  // namespace noroshi::phy
