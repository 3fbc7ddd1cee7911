#pragma once

// What the decoders' steps promise each other.

#include "fec/polar/polar.h"

namespace noroshi::fec {

// The largest leaves of the list decoder: its sums have 16 bits, its positions 6.
inline constexpr int polar_list_stage_max = 8;
inline constexpr int polar_list_search_stage_max = 6;

// Fills single_steps and list_steps.
void make_polar_steps(PolarCode& code);

}  // namespace noroshi::fec
