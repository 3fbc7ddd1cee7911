#include <algorithm>
#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "fec/uci/pusch_uci.h"
#include "fec/uci/uci.h"

namespace noroshi::fec {
namespace {

// Soft bits of a random message with noise of this standard deviation, as a share of the amplitude.
std::vector<SoftBit> noisy(const UciCode& code, double deviation, Prng& prng) {
  std::vector<std::uint8_t> message(bytes_for_bits(static_cast<std::size_t>(code.config.bits)));
  for (auto& byte : message) byte = static_cast<std::uint8_t>(prng());
  const auto coded_bits = static_cast<std::size_t>(code.config.coded_bits);
  std::vector<std::uint8_t> coded(bytes_for_bits(coded_bits));
  uci_encode(code, message, coded, 0);
  std::vector<SoftBit> soft_bits(coded_bits);
  for (std::size_t i = 0; i < coded_bits; ++i) {
    const double sent = bit_at(coded.data(), i) ? -1 : 1;
    soft_bits[i] =
        static_cast<SoftBit>(std::clamp(30 * (sent + deviation * prng.normal()), -127.0, 127.0));
  }
  return soft_bits;
}

void decode_case(Bench& bench, const char* name, const UciConfig& config, int list) {
  Prng prng(1);
  const UciCode code = *make_uci_code(config);
  const std::vector<SoftBit> soft_bits = noisy(code, 0.5, prng);
  std::vector<std::uint8_t> message(bytes_for_bits(static_cast<std::size_t>(config.bits)));
  PolarWorkspace workspace;
  bench.time_us(name, [&] {
    const auto decoded = uci_decode(code, soft_bits, {.list = list}, message, workspace);
    return hash_bytes(message.data(), message.size()) + (decoded.ok ? 1 : 0);
  });
}

NOROSHI_BENCH(uci_decode) {
  decode_case(bench, "pusch 1 bit e24", {.bits = 1, .coded_bits = 24, .bits_per_symbol = 4}, 1);
  decode_case(bench, "pusch 2 bit e300", {.bits = 2, .coded_bits = 300, .bits_per_symbol = 6}, 1);
  decode_case(bench, "pucch 4 bit e32", {.bits = 4, .coded_bits = 32}, 1);
  decode_case(bench, "pucch 11 bit e64", {.bits = 11, .coded_bits = 64}, 1);
  decode_case(bench, "pucch k20 e64 l8", {.bits = 20, .coded_bits = 64}, 8);
  decode_case(bench, "pucch k100 e400 l1", {.bits = 100, .coded_bits = 400}, 1);
  decode_case(bench, "pucch k100 e400 l8", {.bits = 100, .coded_bits = 400}, 8);
  decode_case(bench, "pucch k1000 e3000 l8", {.bits = 1000, .coded_bits = 3000}, 8);
}

// Outside of the slot: what a new configuration costs.
NOROSHI_BENCH(uci_make) {
  const auto make = [&](const char* name, const UciConfig& config) {
    bench.time_us(name, [&] {
      const auto code = make_uci_code(config);
      return static_cast<std::uint64_t>(code->polar.config.coded_bits) +
             static_cast<std::uint64_t>(1e6 * code->threshold);
    });
  };
  make("1 bit e24", {.bits = 1, .coded_bits = 24});
  make("11 bit e64", {.bits = 11, .coded_bits = 64});
  make("4 bit e4000", {.bits = 4, .coded_bits = 4000});
  make("k100 e400", {.bits = 100, .coded_bits = 400});
  make("k1000 e3000", {.bits = 1000, .coded_bits = 3000});
}

// 273 PRB, 14 symbols of which 2 are DM-RS, 64QAM, 2 layers.
PuschUciConfig wide_pusch() {
  PuschUciConfig config;
  config.dmrs_mask = 1 << 2 | 1 << 11;
  for (int l = 0; l < nr::symbols_per_slot; ++l) {
    config.data_elements[static_cast<std::size_t>(l)] =
        (config.dmrs_mask >> l & 1) != 0 ? 0 : 273 * 12;
  }
  config.layers = 2;
  config.bits_per_symbol = 6;
  config.code_block_bits = 40 * 8448;
  config.code_rate_x10240 = 6660;
  config.harq_bits = 2;
  config.csi1_bits = 20;
  config.csi2_bits = 60;
  config.harq_beta_x8 = 160;
  config.csi1_beta_x8 = 64;
  config.csi2_beta_x8 = 64;
  return config;
}

NOROSHI_BENCH(uci_layout) {
  Prng prng(1);
  PuschUciLayout layout;
  PuschUciConfig config = wide_pusch();
  const auto make = [&](const char* name) {
    bench.time_us(name, [&] {
      const auto made = make_pusch_uci_layout(config, layout);
      return static_cast<std::uint64_t>(layout.coded_bits(PuschPart::ul_sch) + (made ? 1 : 0));
    });
  };
  make("pusch layout 273prb");
  const auto all = static_cast<std::size_t>(layout.coded_bits());
  std::vector<SoftBit> soft_bits(all);
  for (auto& soft : soft_bits) soft = static_cast<SoftBit>(static_cast<int>(prng.below(255)) - 127);
  std::array<std::vector<SoftBit>, pusch_parts> received;
  std::array<std::vector<std::uint8_t>, pusch_parts> coded;
  PuschSoftBits soft_parts;
  PuschCodedBits coded_parts;
  for (std::size_t p = 0; p < pusch_parts; ++p) {
    const auto bits = static_cast<std::size_t>(layout.coded_bits(static_cast<PuschPart>(p)));
    received[p].resize(bits);
    coded[p].resize(bytes_for_bits(bits));
    for (auto& byte : coded[p]) byte = static_cast<std::uint8_t>(prng());
    soft_parts.of[p] = received[p];
    coded_parts.of[p] = coded[p];
  }
  bench.time_us("pusch demultiplex 273prb", [&] {
    pusch_uci_demultiplex(layout, soft_bits, soft_parts);
    return hash_bytes(received[0].data(), 100);
  });
  std::vector<std::uint8_t> codeword(bytes_for_bits(all));
  bench.time_us("pusch multiplex 273prb", [&] {
    pusch_uci_multiplex(layout, coded_parts, codeword);
    return hash_bytes(codeword.data(), 100);
  });
  config.code_block_bits = 0;
  make("pusch layout 273prb no ul-sch");
  config.harq_bits = 20;
  make("pusch layout 273prb no ul-sch harq 20");
}

}  // namespace
}  // namespace noroshi::fec
