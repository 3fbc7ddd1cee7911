#include <utility>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "phy/modulation/modulation.h"

namespace noroshi::phy {
namespace {

NOROSHI_BENCH(modulate) {
  using nr::Modulation;
  constexpr std::size_t count = 3276;  // an OFDM symbol of 273 blocks
  std::vector<cf32> symbols(count);
  for (const auto& [name, modulation] :
       {std::pair{"pi/2-bpsk", Modulation::pi2_bpsk}, std::pair{"qpsk", Modulation::qpsk},
        std::pair{"16qam", Modulation::qam16}, std::pair{"64qam", Modulation::qam64},
        std::pair{"256qam", Modulation::qam256}, std::pair{"1024qam", Modulation::qam1024}}) {
    const std::size_t bits = count * static_cast<std::size_t>(nr::bits_per_symbol(modulation));
    Prng prng(1);
    std::vector<std::uint8_t> packed(bytes_for_bits(bits));
    for (auto& byte : packed) byte = static_cast<std::uint8_t>(prng());
    // 14 in one run, as a slot has: one is over too soon to be timed well.
    bench.rate_mbps(name, 14.0 * static_cast<double>(bits), [&, m = modulation] {
      for (int symbol = 0; symbol < 14; ++symbol) cpu::modulate(m, packed, 1.0f, symbols);
      return hash_bytes(symbols.data(), 256);
    });
  }
}

}  // namespace
}  // namespace noroshi::phy
