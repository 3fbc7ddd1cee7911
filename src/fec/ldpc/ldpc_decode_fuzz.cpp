// Any configuration is either refused by check() or decoded without a fault, whatever the soft bits
// are, and every instruction set gives the same bits.

#include <cstdlib>
#include <vector>

#include "base/every_target.h"
#include "fec/ldpc/ldpc.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi;
  using namespace noroshi::fec;
  static LdpcWorkspace workspace;
  const auto take = [&](int bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes && size != 0; ++i, ++data, --size) value = value << 8 | *data;
    return value;
  };
  const std::uint32_t raw = take(1);  // rarely: numbers as they come, else likely ones
  LdpcDecodeConfig config;
  std::size_t count = 0;
  if (raw % 16 == 0) {
    config.base_graph = static_cast<int>(take(4));
    config.zc = static_cast<int>(take(4));
    config.filler_bits = static_cast<int>(take(4));
    config.iterations_max = static_cast<int>(take(4));
    config.min_sum_scale_x16 = static_cast<int>(take(4));
    count = take(4);
  } else {
    const auto sizes = ldpc_lifting_sizes();
    config.base_graph = 1 + static_cast<int>(raw % 2);
    config.zc = sizes[take(1) % sizes.size()];
    config.filler_bits = static_cast<int>(
        take(2) % static_cast<unsigned>(ldpc_information_bits(config.base_graph, config.zc)));
    config.iterations_max = 1 + static_cast<int>(take(1) % 4);
    const std::uint32_t factor = take(1) % 10;
    config.min_sum_scale_x16 = factor == 9 ? 0 : 8 + static_cast<int>(factor);
    count = 1 + take(2) % static_cast<unsigned>(ldpc_codeword_bits(config.base_graph, config.zc));
  }
  config.early_stop = raw < 128;
  config.bits_per_symbol =
      raw % 16 == 0 ? static_cast<int>(raw / 16) : 2 * (1 + static_cast<int>(raw) % 5);
  if (raw / 2 % 3 == 1) config.accept = [](const std::uint8_t*, void*) { return false; };
  if (raw / 2 % 3 == 2) {
    config.accept = [](const std::uint8_t* packed, void*) { return packed[0] % 2 == 0; };
  }
  if (!check(config, count).ok() || config.iterations_max > 8) return 0;

  std::vector<SoftBit> llr(count);  // of just this size: the sanitizer sees every byte past it
  for (std::size_t i = 0; i < count && size != 0; ++i) {
    llr[i] = static_cast<SoftBit>(data[i % size]);
  }
  const auto bytes =
      bytes_for_bits(static_cast<std::size_t>(ldpc_information_bits(config.base_graph, config.zc)));
  std::vector<std::uint8_t> first;
  on_every_target([&](const char*) {
    std::vector<std::uint8_t> bits(bytes);
    const auto result = cpu::ldpc_decode(config, llr, bits, workspace);
    if (result.iterations < 1 || result.iterations > config.iterations_max) std::abort();
    if (first.empty()) first = bits;
    if (bits != first) std::abort();
  });
  return 0;
}
