#pragma once

// Noise and interference as MMSE-IRC needs them, from the last channel estimate: its residuals, in
// units of the equaliser's noise power, which covers what the estimate misses of the channel too:
// that comes from the same sources, so with the same covariance.

#include "phy/receive/front_end.h"

namespace noroshi::phy {

// (R / noise)^-1 of the allocation's blocks: see cpu::InverseCovariance. least: of R on its
// diagonal. Precondition: cpu::estimate of `input` with keep_residuals; its powers are numbers.
View<const float, 2> measure_interference(const EstimateInput& input, const ChannelInfo& channel,
                                          float least, float noise, ReceiveWorkspace::State& state,
                                          const Workers& workers);

}  // namespace noroshi::phy
