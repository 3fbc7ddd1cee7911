#pragma once

// Codebook of PUSCH (TS 38.211 6.3.1.5, tables 6.3.1.5-1 to -7): the matrix W of a transmitted
// precoding matrix indicator (TPMI).

#include <array>

#include "base/result.h"
#include "base/units.h"
#include "base/view.h"

namespace noroshi::nr {

struct PuschPrecoder {
  int ports = 1;
  int layers = 1;
  std::array<cf32, 16> w{};  // [port, layer]

  View<const cf32, 2> matrix() const { return {w.data(), ports, layers}; }
};

// Errors name the value: ports other than 1, 2, 4; more layers than ports, or than 1 with transform
// precoding; a TPMI that the table does not have. One port has W = 1 and TPMI 0.
Result<PuschPrecoder> pusch_precoder(int ports, int layers, int tpmi, bool transform_precoding);

}  // namespace noroshi::nr
