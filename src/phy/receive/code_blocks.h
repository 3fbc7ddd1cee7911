#pragma once

// Code blocks decoded as their soft bits come, symbol by symbol, while those are still in the
// nearest caches: a slot of four layers has more soft bits than a core's second cache holds.
//
// Symbols go in pieces of neighbours, a piece to a worker at a time. Blocks that lie within one
// piece are decoded with it; the soft bits of all others are kept in Stream::soft_bits, and those
// blocks come at the end, shared among workers. So too where UCI is among the bits. And so with
// what is left of a worker's last piece once another worker has nothing to do.

#include <atomic>

#include "phy/receive/front_end.h"

namespace noroshi::phy {

// Where a piece stands in every stream.
struct BlockWalk {
  // idle_workers: those that have nothing to do any more; null where none may help.
  BlockWalk(const ReceiveGroup& group, int first_symbol, const std::atomic<int>* idle_workers);

  std::array<int, nr::layers_max> block{};  // the next, by stream
  const std::atomic<int>* idle;
};

// Where the stream's soft bits of up to symbols_together symbols go.
View<SoftBit, 1> symbols_soft_bits(const Stream& stream, int first, int last,
                                   ReceiveScratch& scratch);

// The scrambling bits of those soft bits, made now: as masks, from the first of them on.
View<const std::uint8_t, 1> make_masks(const Stream& stream, int first, int last,
                                       ReceiveScratch& scratch);

// Decodes what the soft bits of these symbols complete. ends: the piece ends with them.
void decode_symbols(const ReceiveGroup& group, std::size_t stream, int first, int last, bool ends,
                    std::size_t worker, BlockWalk& walk);

// Decodes the blocks that are left, and ends the codeword.
CodewordResult decode_rest(const ReceiveGroup& group, std::size_t stream);

}  // namespace noroshi::phy
