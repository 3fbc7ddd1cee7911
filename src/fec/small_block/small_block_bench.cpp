#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "fec/small_block/small_block.h"

namespace noroshi::fec {
namespace {

NOROSHI_BENCH(small_block) {
  Prng prng(1);
  const std::vector<std::uint8_t> message = {0xa5, 0x60};
  for (const SmallBlock& block : {SmallBlock{1, 24, 2}, SmallBlock{2, 300, 6}, SmallBlock{4, 32, 2},
                                  SmallBlock{11, 64, 2}, SmallBlock{11, 4000, 2}}) {
    const std::string name =
        " k" + std::to_string(block.bits) + " e" + std::to_string(block.coded_bits);
    const auto coded_bits = static_cast<std::size_t>(block.coded_bits);
    std::vector<std::uint8_t> coded(bytes_for_bits(coded_bits));
    bench.time_us("encode" + name, [&] {
      cpu::small_block_encode(block, message, coded, 0);
      return hash_bytes(coded.data(), coded.size());
    });
    cpu::small_block_encode(block, message, coded, 0);
    std::vector<SoftBit> soft_bits(coded_bits);
    for (std::size_t i = 0; i < coded_bits; ++i) {
      const double sent = bit_at(coded.data(), i) ? -20.0 : 20.0;
      soft_bits[i] = static_cast<SoftBit>(std::clamp(sent + 20 * prng.normal(), -127.0, 127.0));
    }
    std::vector<std::uint8_t> decoded(2);
    bench.time_us("decode" + name, [&] {
      const auto result = cpu::small_block_decode(block, soft_bits, decoded);
      return hash_bytes(decoded.data(), 2) + static_cast<std::uint64_t>(result.correlation);
    });
  }
}

}  // namespace
}  // namespace noroshi::fec
