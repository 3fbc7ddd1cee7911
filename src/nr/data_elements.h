#pragma once

// Which resource elements of a shared channel carry data (TS 38.211 6.3.1.6, 7.3.1.5): those of
// its blocks and symbols that neither DM-RS, a CDM group without data, PT-RS nor reserved elements
// have. Everything that maps, counts or receives data asks here.
//
// Subcarriers of a block are a mask: bit k stands for subcarrier k, 0..11.

#include <array>
#include <bitset>
#include <cstdint>

#include "nr/shared_channel.h"

namespace noroshi::nr {

inline constexpr std::uint16_t all_subcarriers = 0xfff;

// The first symbol of the second hop (TS 38.214 6.3.1: the first has floor(N / 2)); without
// hopping, the end of the allocation.
int hop_symbol(const SharedChannel& channel);

// The blocks of a hop, 0 or 1.
std::bitset<rb_max> hop_blocks(const SharedChannel& channel, int hop);

// Subcarriers of the CDM groups without data in a symbol with DM-RS (TS 38.211 tables 6.4.1.1.3-1
// and -2).
std::uint16_t dmrs_subcarriers(const Dmrs& dmrs);

// The symbols with PT-RS (TS 38.211 6.4.1.2.2.1, 6.4.1.2.2.2, 7.4.1.2.2), bit l for symbol l; 0
// when there is no PT-RS.
std::uint16_t ptrs_symbols(const SharedChannel& channel);

// Where PT-RS lies in the blocks of a symbol, without transform precoding: in the allocated blocks
// number first, first + step, ... (counted from 0, ascending), at one subcarrier a PT-RS port.
struct PtRsBlocks {
  int first = 0;                       // k_ref^RB
  int step = 1;                        // K_PT-RS
  std::array<int, 2> subcarrier = {};  // k_ref^RE; -1: no such port
  std::uint16_t mask = 0;              // the same of all ports
};
PtRsBlocks ptrs_blocks(const SharedChannel& channel);

// Samples of PT-RS before the DFT in a symbol with PT-RS, with transform precoding.
int ptrs_samples(const SharedChannel& channel);

struct SymbolElements {
  int hop = 0;
  int count = 0;           // data elements on a layer, of all blocks
  bool uniform = true;     // every block has the same ones, `mask`
  std::uint16_t mask = 0;  // not uniform: what DM-RS leaves
};

// With transform precoding a symbol's elements are the samples before the DFT that carry data:
// `count` is less by ptrs_samples than the mask says.
struct DataElements {
  std::array<SymbolElements, symbols_per_slot> symbols{};  // count 0 outside the allocation
  // [symbol][CRB], written for symbols that are not uniform, and there for allocated blocks.
  std::array<std::array<std::uint16_t, rb_max>, symbols_per_slot> block_masks;

  std::uint16_t mask(int symbol, int rb) const {
    const auto l = static_cast<std::size_t>(symbol);
    return symbols[l].uniform ? symbols[l].mask : block_masks[l][static_cast<std::size_t>(rb)];
  }
};

// Precondition of all above but hop_symbol: fields in the standard's range, symbols inside the
// slot (phy::check_shared_channel). Writes all but the masks of uniform symbols.
void find_data_elements(const SharedChannel& channel, DataElements& elements);

// Elements that reservations take from a block in a symbol.
std::uint16_t reserved_subcarriers(const SharedChannel& channel, int symbol, int rb);

}  // namespace noroshi::nr
