#pragma once

// Allocations with UCI for tests.

#include <string>

#include "base/prng.h"
#include "fec/uci/pusch_uci.h"

namespace noroshi::fec {

inline PuschUciConfig full_pusch(int rbs, int dmrs_mask) {
  PuschUciConfig config;
  config.dmrs_mask = static_cast<std::uint16_t>(dmrs_mask);
  for (int l = 0; l < nr::symbols_per_slot; ++l) {
    config.data_elements[static_cast<std::size_t>(l)] = (dmrs_mask >> l & 1) != 0 ? 0 : 12 * rbs;
  }
  config.harq_beta_x8 = 16;
  config.csi1_beta_x8 = 16;
  config.csi2_beta_x8 = 16;
  return config;
}

inline int uci_bits_of_kind(Prng& prng, std::uint64_t kind) {
  switch (kind) {
    case 0:
      return 0;
    case 1:
    case 2:
      return static_cast<int>(kind);
    case 3:
      return 3 + static_cast<int>(prng.below(9));
    default:
      return 12 + static_cast<int>(prng.below(40));
  }
}

// Sometimes one that is refused.
inline PuschUciConfig random_pusch_uci(Prng& prng) {
  constexpr int qms[] = {1, 2, 4, 6, 8};
  const int symbols = 4 + static_cast<int>(prng.below(11));
  const int rbs = 1 + static_cast<int>(prng.below(prng.below(8) == 0 ? 60 : 10));
  const bool hops = prng.below(2) == 0;
  int dmrs = 1 << prng.below(3);
  if (prng.below(3) == 0) dmrs |= dmrs << 1;
  if (prng.below(2) == 0) dmrs |= 1 << (symbols - 2);
  const int hop_symbol = hops ? symbols / 2 : 0;
  if (hops) dmrs |= 1 << (hop_symbol + static_cast<int>(prng.below(2)));
  dmrs &= (1 << symbols) - 1;
  PuschUciConfig config = full_pusch(rbs, dmrs);
  config.symbols = symbols;
  config.hop_symbol = hop_symbol;
  if (prng.below(2) == 0) {  // UL-SCH beside DM-RS
    for (int l = 0; l < nr::symbols_per_slot; ++l) {
      int& elements = config.data_elements[static_cast<std::size_t>(l)];
      if (elements == 0) elements = 6 * rbs;
    }
  }
  if (prng.below(4) == 0) config.data_elements[static_cast<std::size_t>(symbols - 1)] -= rbs;
  config.layers = 1 + static_cast<int>(prng.below(4));
  config.bits_per_symbol = qms[prng.below(5)];
  const std::uint64_t data = prng.below(3);
  config.code_block_bits = data == 0 ? 0 : 200 + static_cast<int>(prng.below(20'000));
  config.code_rate_x10240 = 1000 + static_cast<int>(prng.below(8000));
  constexpr int alphas[] = {50, 65, 80, 100};
  config.alpha_x100 = alphas[prng.below(4)];
  const std::uint64_t harq_kind = prng.below(5);
  const std::uint64_t csi1_kind = prng.below(5);
  const std::uint64_t csi2_kind = prng.below(5);
  config.harq_bits = uci_bits_of_kind(prng, harq_kind);
  config.csi1_bits = uci_bits_of_kind(prng, csi1_kind);
  config.csi2_bits = config.csi1_bits == 0 ? 0 : uci_bits_of_kind(prng, csi2_kind);
  config.harq_beta_x8 = *harq_beta_offset_x8(static_cast<int>(prng.below(12)));
  config.csi1_beta_x8 = *csi_beta_offset_x8(static_cast<int>(prng.below(19)));
  config.csi2_beta_x8 = *csi_beta_offset_x8(static_cast<int>(prng.below(19)));
  return config;
}

inline std::string describe(const PuschUciConfig& config) {
  std::string text =
      "symbols " + std::to_string(config.symbols) + " elements " +
      std::to_string(config.data_elements[3]) + " dmrs " + std::to_string(config.dmrs_mask) +
      " hop " + std::to_string(config.hop_symbol) + " layers " + std::to_string(config.layers) +
      " Qm " + std::to_string(config.bits_per_symbol) + " K " +
      std::to_string(config.code_block_bits) + " R " + std::to_string(config.code_rate_x10240);
  return text + " harq " + std::to_string(config.harq_bits) + "*" +
         std::to_string(config.harq_beta_x8) + " csi1 " + std::to_string(config.csi1_bits) + "*" +
         std::to_string(config.csi1_beta_x8) + " csi2 " + std::to_string(config.csi2_bits) + "*" +
         std::to_string(config.csi2_beta_x8) + " alpha " + std::to_string(config.alpha_x100);
}

}  // namespace noroshi::fec
