#pragma once

// What the checks of whole physical channels share: carriers as the cases have them, and grids.

#include <string>
#include <vector>

#include "base/view.h"
#include "conformance/outcome.h"
#include "nr/carrier.h"

namespace noroshi::conformance {

inline constexpr double grid_tolerance = 1e-5;

inline nr::Carrier carrier_of(int rbs, int scs_khz) {
  nr::Carrier carrier;
  carrier.rb_count = rbs;
  carrier.scs_khz = scs_khz;
  carrier.fft_size = 4096;
  return carrier;
}

// One slot of [port, symbol, subcarrier], all zero.
struct SlotGrid {
  std::size_t ports;
  std::size_t subcarriers;
  std::vector<cf32> values;

  SlotGrid(int port_count, const nr::Carrier& carrier)
      : ports(static_cast<std::size_t>(port_count)),
        subcarriers(static_cast<std::size_t>(carrier.subcarriers())),
        values(ports * nr::symbols_per_slot * subcarriers) {}

  View<cf32, 3> view() { return {values.data(), ports, nr::symbols_per_slot, subcarriers}; }
};

// The elements of one slot against the expected ones, number `row` of its slots.
inline std::string grid_difference(const SlotGrid& got, const Array& expected, std::size_t row) {
  if (!expected.is_complex || expected.complex.size() < (row + 1) * got.values.size())
    return "the expected grid is too small";
  return difference(got.values, expected.complex.data() + row * got.values.size(),
                    got.values.size(), grid_tolerance);
}

}  // namespace noroshi::conformance
