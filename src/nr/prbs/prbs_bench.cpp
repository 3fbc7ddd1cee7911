#include <vector>

#include "base/bench.h"
#include "nr/prbs/prbs.h"

namespace noroshi::nr {
namespace {

constexpr std::size_t bits = 300'000;

NOROSHI_BENCH(scramble) {
  std::vector<std::uint8_t> packed(bits / 8);
  bench.rate_mbps("300000", bits, [&] {
    cpu::scramble(0x12345, packed, bits);
    return std::uint64_t{packed[0]} << 8 | packed.back();
  });
}

NOROSHI_BENCH(descramble) {
  std::vector<SoftBit> soft_bits(bits, 5);
  bench.rate_mbps("300000", bits, [&] {
    cpu::descramble(0x12345, soft_bits);
    return hash_bytes(soft_bits.data(), 8);
  });
}

}  // namespace
}  // namespace noroshi::nr
