#pragma once

// From the equalised subcarriers of one symbol to the data of one codeword, in mapping order: gaps
// left out, PT-RS followed, transform precoding undone.

#include "phy/receive/front_end.h"
#include "phy/receive/hop.h"

namespace noroshi::phy {

// The data elements of one symbol and stream, in mapping order.
struct StreamSymbol {
  View<const cf32, 1> symbols;
  View<const float, 1> inverse_noise;
};
// inverse_noise: 1 / noise as ReceiveScratch::symbols. The views are into scratch.
StreamSymbol pick_data(const ReceiveGroup& group, const Hop& hop, const Stream& stream, int symbol,
                       const float* inverse_noise, ReceiveScratch& scratch);

// Turns every handset's layers back by what its PT-RS tell of the symbol's common phase.
void correct_phase(const ReceiveGroup& group, const Hop& hop, int symbol,
                   const float* inverse_noise, ReceiveScratch& scratch);

// With transform precoding: the samples before the DFT, instead of pick_data.
StreamSymbol invert_dft(const ReceiveGroup& group, const Hop& hop, const Stream& stream, int symbol,
                        const float* inverse_noise, ReceiveScratch& scratch);

}  // namespace noroshi::phy
