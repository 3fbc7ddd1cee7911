// Any configuration is either refused by check() or coded and decoded without a fault, whatever the
// soft bits are.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "fec/sch/sch.h"

namespace {

struct Bytes {
  const std::uint8_t* data;
  std::size_t size;

  std::uint32_t take(int bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes && size != 0; ++i, ++data, --size) value = value << 8 | *data;
    return value;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi;
  using namespace noroshi::fec;
  constexpr int tb_bits_max = 20'000;
  static SchWorkspace workspace;
  static HarqBuffer buffer(tb_bits_max);

  Bytes bytes{data, size};
  const std::uint32_t raw = bytes.take(1);  // rarely: numbers as they come, else likely ones
  SchConfig config;
  if (raw == 0) {
    config.tb_bits = static_cast<int>(bytes.take(4));
    config.code_rate_x10240 = static_cast<int>(bytes.take(4));
    config.bits_per_symbol = static_cast<int>(bytes.take(4));
    config.layers = static_cast<int>(bytes.take(4));
    config.rv = static_cast<int>(bytes.take(4));
    config.coded_bits = static_cast<int>(bytes.take(4));
    config.limited_buffer_bits = static_cast<int>(bytes.take(4));
  } else {
    constexpr int qms[] = {1, 2, 4, 6, 8, 10};
    config.tb_bits = 8 * static_cast<int>(bytes.take(2) % (tb_bits_max / 8));
    config.code_rate_x10240 = static_cast<int>(bytes.take(2) % 10'500);
    config.bits_per_symbol = qms[bytes.take(1) % 6];
    config.layers = 1 + static_cast<int>(bytes.take(1) % 4);
    config.rv = static_cast<int>(bytes.take(1) % 4);
    config.coded_bits =
        static_cast<int>(bytes.take(2) % 5000) * config.layers * config.bits_per_symbol;
    config.limited_buffer_bits = static_cast<int>(bytes.take(2) % 30'000);
  }
  if (!check(config).ok()) return 0;
  if (config.tb_bits > tb_bits_max || config.coded_bits > 60'000) return 0;

  const auto coded_bits = static_cast<std::size_t>(config.coded_bits);
  std::vector<std::uint8_t> tb(static_cast<std::size_t>(config.tb_bits) / 8);
  std::vector<std::uint8_t> codeword(bytes_for_bits(coded_bits));
  if (bytes.size != 0) std::memcpy(tb.data(), bytes.data, std::min(tb.size(), bytes.size));
  sch_encode(config, tb, codeword, workspace);

  // The codeword, disturbed by the input.
  std::vector<SoftBit> soft_bits(coded_bits);
  for (std::size_t i = 0; i < coded_bits; ++i) {
    const int noise = bytes.size == 0 ? 0 : static_cast<std::int8_t>(bytes.data[i % bytes.size]);
    const int sum = (bit_at(codeword.data(), i) ? -30 : 30) + noise;
    soft_bits[i] = static_cast<SoftBit>(std::clamp(sum, -128, 127));
  }
  auto decoded = tb;
  SchDecodeOptions options;
  options.iterations_max = 1 + static_cast<int>(raw % 4);
  options.early_stop = raw % 8 != 7;
  for (const bool new_data : {true, false}) {
    const auto result =
        sch_decode(config, soft_bits, new_data, options, buffer, decoded, workspace);
    if (result.crc_ok != (result.code_blocks_ok == result.code_blocks)) {
      // Possible only where a code block fools its CRC: then nothing may be passed.
      if (result.crc_ok) std::abort();
    }
    config.rv = (config.rv + 2) % 4;
  }
  return 0;
}
