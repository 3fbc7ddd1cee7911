#pragma once

// Code blocks decoded as their soft bits come, symbol by symbol, while those are still in the
// nearest caches: a slot of four layers has more soft bits than a core's second cache holds.
//
// Symbols go in pieces of neighbours, a piece to a worker at a time, or of a part of their
// subcarriers. Blocks that lie within one
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

// The scrambling bits of `size` soft bits from `bit` on, made now, as masks. offset: bytes into the
// stream's scratch.
View<const std::uint8_t, 1> make_masks(const Stream& stream, std::size_t bit, std::size_t size,
                                       std::size_t offset, ReceiveScratch& scratch);

// Where the soft bits of one symbol and stream go, and what they are descrambled with.
struct SoftBitTarget {
  std::size_t bit = 0;  // the number of the first
  View<SoftBit, 1> soft_bits;
  View<const std::uint8_t, 1> masks;
  std::size_t first_mask = 0;
};
using SoftBitTargets = std::array<SoftBitTarget, nr::layers_max>;  // by stream
// Of subcarriers first, ..., end - 1 of symbols that follow one another. whole: those are all.
void make_targets(const ReceiveGroup& group, View<const int, 1> symbols, std::size_t first,
                  std::size_t end, bool whole, ReceiveScratch& scratch, SoftBitTargets* targets);

// Decodes the blocks that lie within one target, of those that are no whole symbols.
void decode_parts(const ReceiveGroup& group, View<const int, 1> symbols,
                  const SoftBitTargets* targets, std::size_t worker, const BlockWalk& walk);

// Decodes what the soft bits of these symbols complete. ends: the piece ends with them.
void decode_symbols(const ReceiveGroup& group, std::size_t stream, int first, int last, bool ends,
                    std::size_t worker, BlockWalk& walk);

// Decodes the blocks that are left, and ends the codeword.
CodewordResult decode_rest(const ReceiveGroup& group, std::size_t stream);

}  // namespace noroshi::phy
