#pragma once

// How far equalised symbols lie from the constellation: sum over symbols of |y - s|^2, s being the
// nearest point of unit-power QAM. BPSK and pi/2-BPSK have the points of QPSK here. Symbols that
// are not numbers count as 0.

#include "base/units.h"
#include "base/view.h"
#include "nr/shared_channel.h"

namespace noroshi::phy {

namespace ref {
double error_vector_sum(nr::Modulation modulation, View<const cf64, 1> symbols);
}
namespace cpu {
double error_vector_sum(nr::Modulation modulation, View<const cf32, 1> symbols);
}

}  // namespace noroshi::phy
