#pragma once

// One hop of a shared channel as the receiver goes through it.

#include <array>
#include <cstdint>

#include "base/view.h"
#include "nr/carrier.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {

// A hop's symbols and blocks.
struct Hop {
  int index = 0;
  int symbol_begin = 0, symbol_end = 0;
  Allocation allocation;
  Allocation smoothed;  // the same, cut where the channel may jump
  // Mapping order of the blocks: their place among the ascending ones, and their CRB.
  bool ascending = true;
  std::array<std::uint16_t, nr::rb_max> place{};
  std::array<std::uint16_t, nr::rb_max> crb{};
  View<const float, 2> inverse_covariance;  // of MMSE-IRC: see InverseCovariance
};

}  // namespace noroshi::phy
