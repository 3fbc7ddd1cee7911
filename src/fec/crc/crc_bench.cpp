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
  const auto repeat = [&](Crc crc, std::size_t count, int times) {
    std::uint64_t hash = 0;
    for (int i = 0; i < times; ++i) {
      message[0] = static_cast<std::uint8_t>(i);
      hash = hash * 31 + cpu::crc(crc, message, count);
    }
    return hash;
  };
  // 100 in one run: one takes about as long as reading the clock.
  const auto run = [&](const char* name, Crc crc) {
    bench.rate_mbps(name, 100.0 * bits, [&] { return repeat(crc, bits, 100); });
  };
  run("crc6 8448", Crc::crc6);
  run("crc11 8448", Crc::crc11);
  run("crc16 8448", Crc::crc16);
  run("crc24a 8448", Crc::crc24a);
  run("crc24b 8448", Crc::crc24b);
  run("crc24c 8448", Crc::crc24c);
  // 1000 in one run: its microseconds are the nanoseconds of one.
  const auto run_short = [&](const char* name, Crc crc, std::size_t count) {
    bench.time_us(name, [&] { return repeat(crc, count, 1000); });
  };
  run_short("crc6 12 x1000", Crc::crc6, 12);
  run_short("crc6 19 x1000", Crc::crc6, 19);
  run_short("crc11 64 x1000", Crc::crc11, 64);
  run_short("crc24c 64 x1000", Crc::crc24c, 64);
  run_short("crc24c 140 x1000", Crc::crc24c, 140);
}

}  // namespace
}  // namespace noroshi::fec
