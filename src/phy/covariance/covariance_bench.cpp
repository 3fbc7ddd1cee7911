// R^-1 of 273 blocks from two DM-RS symbols of type 1: `4 antennas`, one comb (1 or 2 layers);
// `4 antennas 2 combs` (3 or 4 layers).

#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "phy/covariance/covariance.h"

namespace noroshi::phy {

NOROSHI_BENCH(covariance) {
  constexpr std::size_t blocks = 273, times = 2, combs_max = 2;
  constexpr std::size_t room = cpu::covariance_blocks(blocks);
  for (const int antennas : {1, 2, 4, 8})
    for (const int combs : {1, 2}) {
      const std::size_t a = static_cast<std::size_t>(antennas);
      Allocation allocation;
      allocation.rb_count = blocks;
      allocation.run_count = 1;
      allocation.runs[0] = {0, blocks};
      const std::vector<float> freedom(blocks, static_cast<float>(11 * combs));
      Prng prng(1);
      std::vector<float> residuals(a * combs_max * times * 2 * room * 6);
      for (float& value : residuals) value = static_cast<float>(prng.normal());
      std::vector<float> inverse(a * a * (room + 1));
      cpu::CovarianceWorkspace workspace(blocks, antennas);
      CovarianceInput input;
      input.allocation = &allocation;
      input.freedom = freedom;
      input.antennas = antennas;
      input.combs = combs;
      input.times = times;
      std::string name = std::to_string(antennas) + " antennas";
      if (combs == 2) name += " 2 combs";
      bench.time_us(name, [&] {
        cpu::inverse_noise_covariance(input, {residuals.data(), a, combs_max, times, 2, room * 6},
                                      workspace, {}, {inverse.data(), a * a, room + 1});
        return hash_bytes(inverse.data(), 64);
      });
    }
}

}  // namespace noroshi::phy
