#pragma once

// Where the symbols of a slot lie, and their phase of TS 38.211 5.4.

#include <cmath>
#include <cstddef>
#include <numbers>

#include "base/slot.h"
#include "base/units.h"
#include "nr/carrier.h"

namespace noroshi::phy {

struct SymbolTimes {
  std::size_t prefix[nr::symbols_per_slot];  // samples of the cyclic prefix
  std::size_t start[nr::symbols_per_slot];   // first sample of the useful part, in the slot
  cf64 phase[nr::symbols_per_slot];          // exp(-j 2 pi f0 t_l)
};

inline SymbolTimes symbol_times(const nr::Carrier& carrier, int slot_in_subframe) {
  std::size_t before = 0;
  for (int slot = 0; slot < slot_in_subframe; ++slot)
    before += static_cast<std::size_t>(nr::slot_samples(carrier, slot));
  SymbolTimes times{};
  std::size_t at = 0;
  for (int l = 0; l < nr::symbols_per_slot; ++l) {
    times.prefix[l] =
        static_cast<std::size_t>(nr::cyclic_prefix_samples(carrier, slot_in_subframe, l));
    times.start[l] = at + times.prefix[l];
    at = times.start[l] + static_cast<std::size_t>(carrier.fft_size);
    const double turns = carrier.center_frequency_hz *
                         static_cast<double>(before + times.start[l]) / carrier.sample_rate_hz();
    times.phase[l] = std::polar(1.0, -2 * std::numbers::pi * (turns - std::floor(turns)));
  }
  return times;
}

}  // namespace noroshi::phy
