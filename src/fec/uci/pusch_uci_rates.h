#pragma once

// How many elements each part of a PUSCH gets, on one layer, and in which hop (TS 38.212 6.3.2.4.1,
// 6.2.7). Inner part of pusch_uci.h.

#include <array>

#include "fec/uci/pusch_uci.h"

namespace noroshi::fec {

struct HopSplit {
  std::array<int, 2> of{};
  int all() const { return of[0] + of[1]; }
};

struct PuschRates {
  HopSplit harq;
  HopSplit reserved;  // for HARQ-ACK of up to 2 bits
  HopSplit csi1;
  HopSplit csi2;
  std::array<int, 2> harq_symbol{};  // l(i): where hop i's HARQ-ACK starts
  std::array<int, 2> csi_symbol{};   // l_CSI(i)
  int hops = 1;
};

// Elements for UCI in symbol l.
inline int uci_elements(const PuschUciConfig& config, int l) {
  return (config.dmrs_mask >> l & 1) != 0 ? 0 : config.data_elements[static_cast<std::size_t>(l)];
}

// Refuses what make_pusch_uci_layout names.
Refusal pusch_uci_rates(const PuschUciConfig& config, PuschRates& rates);

}  // namespace noroshi::fec
