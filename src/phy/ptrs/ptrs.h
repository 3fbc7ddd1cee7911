#pragma once

// Phase-tracking reference signals of PDSCH and PUSCH (TS 38.211 6.4.1.2, 7.4.1.2). Which symbols
// and elements they have: nr::ptrs_symbols, nr::ptrs_blocks (nr/data_elements.h).
//
// Without transform precoding a PT-RS element at subcarrier k repeats what the DM-RS sequence r has
// at k in the first DM-RS symbol (of the hop), on the layer of its DM-RS port alone; it is the same
// in every symbol with PT-RS. With transform precoding PT-RS are samples before the DFT:
//
//   r_m(m') = beta' w(k') exp(j pi / 2 (m mod 2)) / sqrt(2) ((1 - 2 c(m')) + j (1 - 2 c(m')))
//   m' = N_samp s' + k',   c_init = (2^17 (14 n_s + l + 1)(2 N_ID + 1) + 2 N_ID) mod 2^31
//
// m: the sample's place (table 6.4.1.2.2.2-1); l: the first symbol with PT-RS; w: by n_RNTI mod
// N_samp (table 6.4.1.2.1.2-1); beta': outermost point of the modulation over that of pi/2-BPSK
// (TS 38.214 table 6.2.3.2-1).

#include <array>

#include "base/units.h"
#include "base/view.h"
#include "nr/shared_channel.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {

// Blocks with PT-RS in a symbol of this allocation.
int ptrs_block_count(const nr::SharedChannel& channel);

// r of PT-RS port 0 or 1 in these blocks, ascending, without ptrs.amplitude. blocks:
// make_allocation of the hop. values: ptrs_block_count of them.
void ptrs_values(int slot, const nr::SharedChannel& channel, int ptrs_port, int hop,
                 const Allocation& blocks, View<cf32, 1> values);

// With transform precoding.
inline constexpr int ptrs_samples_max = 32;
struct PtRsSamples {
  int count = 0;
  std::array<int, ptrs_samples_max> place{};   // m, ascending
  std::array<cf32, ptrs_samples_max> value{};  // r_m times ptrs.amplitude
};
PtRsSamples ptrs_before_dft(int slot, const nr::SharedChannel& channel);

}  // namespace noroshi::phy
