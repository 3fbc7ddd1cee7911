#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "fec/crc/crc.h"

namespace noroshi::fec {
namespace {

NOROSHI_BENCH(crc) {
  constexpr std::size_t bits = 8448;
  std::vector<std::uint8_t> message(bits / 8);
  Prng prng(1);
  for (auto& byte : message) byte = static_cast<std::uint8_t>(prng());
  const auto run = [&](const char* name, Crc crc) {
    // 100 in one run: one takes about as long as reading the clock.
    bench.rate_mbps(name, 100.0 * bits, [&] {
      std::uint64_t hash = 0;
      for (int i = 0; i < 100; ++i) {
        message[0] = static_cast<std::uint8_t>(i);
        hash = hash * 31 + cpu::crc(crc, message, bits);
      }
      return hash;
    });
  };
  run("crc24a 8448", Crc::crc24a);
  run("crc24b 8448", Crc::crc24b);
  run("crc16 8448", Crc::crc16);
}

}  // namespace
}  // namespace noroshi::fec
