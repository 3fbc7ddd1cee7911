// Any configuration of UCI on PUSCH, PUCCH or alone is either refused or laid out, multiplexed,
// coded and decoded without a fault, whatever the soft bits are.

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "fec/uci/pucch_uci.h"
#include "fec/uci/pusch_uci.h"
#include "fec/uci/uci.h"

namespace {

using namespace noroshi;
using namespace noroshi::fec;

struct Bytes {
  const std::uint8_t* data;
  std::size_t size;
  bool raw = false;

  int take(int bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes && size != 0; ++i, ++data, --size) value = value << 8 | *data;
    return static_cast<int>(value);
  }
  // Rarely a number as it comes, else a likely one.
  int below(int bound) { return raw ? take(4) : take(bound > 256 ? 2 : 1) % bound; }
};

std::vector<SoftBit> take_soft_bits(Bytes& bytes, int count) {
  std::vector<SoftBit> soft_bits(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < soft_bits.size(); ++i) {
    soft_bits[i] = bytes.size == 0 ? SoftBit{0} : static_cast<SoftBit>(bytes.data[i % bytes.size]);
  }
  return soft_bits;
}

void code_and_decode(const UciConfig& config, const std::vector<SoftBit>& soft_bits, int list) {
  static PolarWorkspace workspace;
  const auto code = make_uci_code(config);
  if (!code) return;
  std::vector<std::uint8_t> message(bytes_for_bits(static_cast<std::size_t>(config.bits)));
  const auto decoded = uci_decode(*code, soft_bits, {.list = list}, message, workspace);
  if (!(decoded.metric >= 0 && decoded.metric <= 1.0001f)) std::abort();
  std::vector<std::uint8_t> coded(bytes_for_bits(static_cast<std::size_t>(config.coded_bits)));
  uci_encode(*code, message, coded, 0);
}

void fuzz_pusch(Bytes& bytes) {
  static PuschUciLayout layout;
  PuschUciConfig config;
  config.symbols = bytes.below(16);
  const int elements = bytes.below(300);
  config.dmrs_mask = static_cast<std::uint16_t>(bytes.take(2));
  if (!bytes.raw) config.dmrs_mask &= (1 << std::min(config.symbols, 14)) - 1;
  for (int& count : config.data_elements) count = elements;
  config.data_elements[3] = bytes.below(300);
  config.hop_symbol = bytes.take(1) % 2 == 0 ? 0 : bytes.below(14);
  config.layers = bytes.below(6);
  config.bits_per_symbol = bytes.below(9);
  config.code_block_bits = bytes.below(30'000);
  config.code_rate_x10240 = bytes.below(11'000);
  config.harq_bits = bytes.below(bytes.take(1) % 2 == 0 ? 4 : 1800);
  config.csi1_bits = bytes.below(bytes.take(1) % 2 == 0 ? 13 : 1800);
  config.csi2_bits = bytes.below(bytes.take(1) % 2 == 0 ? 13 : 1800);
  config.harq_beta_x8 = bytes.below(1020);
  config.csi1_beta_x8 = bytes.below(1020);
  config.csi2_beta_x8 = bytes.below(1020);
  config.alpha_x100 = bytes.below(103);
  if (!make_pusch_uci_layout(config, layout)) return;
  const auto all = static_cast<std::size_t>(layout.coded_bits());
  std::vector<SoftBit> soft_bits = take_soft_bits(bytes, layout.coded_bits());
  std::vector<std::uint8_t> codeword(bytes_for_bits(all));
  for (std::size_t i = 0; i < all; ++i) set_bit(codeword.data(), i, soft_bits[i] < 0);
  pusch_uci_scramble_placeholders(layout, codeword);
  pusch_uci_descramble_placeholders(layout, codeword, soft_bits);
  std::array<std::vector<SoftBit>, pusch_parts> received;
  std::array<std::vector<std::uint8_t>, pusch_parts> coded;
  PuschSoftBits soft_parts;
  PuschCodedBits coded_parts;
  for (std::size_t p = 0; p < pusch_parts; ++p) {
    const auto bits = static_cast<std::size_t>(layout.coded_bits(static_cast<PuschPart>(p)));
    received[p].resize(bits);
    coded[p].resize(bytes_for_bits(bits));
    soft_parts.of[p] = received[p];
    coded_parts.of[p] = coded[p];
  }
  pusch_uci_demultiplex(layout, soft_bits, soft_parts);
  pusch_uci_multiplex(layout, coded_parts, codeword);
  for (std::size_t p = 1; p < pusch_parts; ++p) {
    const auto part = static_cast<PuschPart>(p);
    if (layout.information_bits(part) == 0 || layout.coded_bits(part) > 4000) continue;
    code_and_decode({.bits = layout.information_bits(part),
                     .coded_bits = layout.coded_bits(part),
                     .bits_per_symbol = layout.bits_per_symbol()},
                    received[p], 1);
  }
}

void fuzz_pucch(Bytes& bytes) {
  PucchUciConfig config;
  config.format = bytes.below(6);
  config.symbols = bytes.below(16);
  config.rbs = bytes.below(18);
  config.bits_per_symbol = bytes.below(4);
  config.spreading = bytes.below(6);
  config.additional_dmrs = bytes.take(1) % 2 == 0;
  config.hopping = bytes.take(1) % 2 == 0;
  config.bits = bytes.below(bytes.take(1) % 2 == 0 ? 13 : 1800);
  config.csi2_bits = bytes.below(bytes.take(1) % 2 == 0 ? 13 : 1800);
  config.max_code_rate_x100 = bytes.below(103);
  const auto layout = make_pucch_uci_layout(config);
  if (!layout) return;
  const std::vector<SoftBit> soft_bits = take_soft_bits(bytes, layout->coded_bits());
  std::vector<SoftBit> part1(static_cast<std::size_t>(layout->parts[0].coded_bits));
  std::vector<SoftBit> part2(static_cast<std::size_t>(layout->parts[1].coded_bits));
  pucch_uci_demultiplex(*layout, soft_bits, part1, part2);
  code_and_decode(layout->parts[0], part1, 2);
  if (layout->parts[1].bits > 0) code_and_decode(layout->parts[1], part2, 2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes{data, size};
  const int kind = bytes.take(1);
  bytes.raw = kind >= 250;
  switch (kind % 3) {
    case 0:
      fuzz_pusch(bytes);
      break;
    case 1:
      fuzz_pucch(bytes);
      break;
    default: {
      UciConfig config;
      config.bits = bytes.below(1800);
      config.coded_bits = bytes.below(5000);
      config.bits_per_symbol = bytes.below(10);
      config.false_alarm = bytes.below(200) / 100.0;
      const int list = 1 << bytes.take(1) % 4;
      if (config.coded_bits < 1 || config.coded_bits > 5000) break;
      code_and_decode(config, take_soft_bits(bytes, config.coded_bits), list);
    }
  }
  return 0;
}
