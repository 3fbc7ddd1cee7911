#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "fec/sch/sch.h"

namespace noroshi::fec {
namespace {

// A slot of 273 PRB, 256QAM, one layer, two DM-RS symbols: G = 273 * 12 * 12 * 8.
SchConfig full_slot(int tb_bits, int code_rate_x10240) {
  SchConfig config;
  config.tb_bits = tb_bits;
  config.code_rate_x10240 = code_rate_x10240;
  config.bits_per_symbol = 8;
  config.coded_bits = 273 * 12 * 12 * 8;
  return config;
}

std::vector<std::uint8_t> random_tb(const SchConfig& config) {
  Prng prng(1);
  std::vector<std::uint8_t> tb(static_cast<std::size_t>(config.tb_bits) / 8);
  for (auto& byte : tb) byte = static_cast<std::uint8_t>(prng());
  return tb;
}

const SchConfig fast = full_slot(295'176, 9480);  // 256QAM MCS 27
const SchConfig middle = full_slot(217'128, 6912);

NOROSHI_BENCH(sch_encode) {
  SchWorkspace workspace;
  const auto run = [&](const char* name, const SchConfig& config) {
    const auto tb = random_tb(config);
    std::vector<std::uint8_t> codeword(static_cast<std::size_t>(config.coded_bits) / 8);
    bench.rate_mbps(name, config.tb_bits, [&] {
      sch_encode(config, tb, codeword, workspace);
      return hash_bytes(codeword.data(), 64);
    });
  };
  run("273prb 256qam r0.926", fast);
  run("273prb 256qam r0.675", middle);
}

NOROSHI_BENCH(sch_decode) {
  SchWorkspace workspace;
  const auto run = [&](const char* name, const SchConfig& config) {
    const auto tb = random_tb(config);
    HarqBuffer buffer(config.tb_bits);
    std::vector<std::uint8_t> codeword(static_cast<std::size_t>(config.coded_bits) / 8);
    sch_encode(config, tb, codeword, workspace);
    std::vector<SoftBit> soft_bits(static_cast<std::size_t>(config.coded_bits));
    for (std::size_t i = 0; i < soft_bits.size(); ++i) {
      soft_bits[i] = bit_at(codeword.data(), i) ? -16 : 16;
    }
    std::vector<std::uint8_t> decoded(tb.size());
    bench.rate_mbps(name, config.tb_bits, [&] {
      const auto result = sch_decode(config, soft_bits, true, {}, buffer, decoded, workspace);
      return hash_bytes(decoded.data(), 64) ^ (result.crc_ok ? 0 : 1);
    });
  };
  run("273prb 256qam r0.926", fast);
  run("273prb 256qam r0.675", middle);
}

}  // namespace
}  // namespace noroshi::fec
