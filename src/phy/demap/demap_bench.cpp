#include <utility>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "phy/demap/demap.h"

namespace noroshi::phy {
namespace {

NOROSHI_BENCH(demap) {
  using nr::Modulation;
  constexpr std::size_t count = 3276;  // an OFDM symbol of 273 blocks
  Prng prng(1);
  std::vector<cf32> symbols(count);
  std::vector<float> inverse_noise(count);
  for (std::size_t i = 0; i < count; ++i) {
    symbols[i] = {static_cast<float>(prng.normal() / 1.4), static_cast<float>(prng.normal() / 1.4)};
    inverse_noise[i] = static_cast<float>(10 + 300 * prng.uniform());
  }
  for (const auto& [name, modulation] :
       {std::pair{"pi/2-bpsk", Modulation::pi2_bpsk}, std::pair{"qpsk", Modulation::qpsk},
        std::pair{"16qam", Modulation::qam16}, std::pair{"64qam", Modulation::qam64},
        std::pair{"256qam", Modulation::qam256}, std::pair{"1024qam", Modulation::qam1024}}) {
    std::vector<SoftBit> soft_bits(count *
                                   static_cast<std::size_t>(nr::bits_per_symbol(modulation)));
    // 14 in one run, as a slot has: one is over too soon to be timed well.
    bench.rate_mbps(name, 14.0 * static_cast<double>(soft_bits.size()), [&, m = modulation] {
      for (int symbol = 0; symbol < 14; ++symbol) cpu::demap(m, symbols, inverse_noise, soft_bits);
      return hash_bytes(soft_bits.data(), 256);
    });
  }
}

}  // namespace
}  // namespace noroshi::phy
