#include "phy/receive/code_blocks.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>

#include "nr/prbs/prbs.h"

namespace noroshi::phy {
namespace {

// With the block, so far as all of it lies on this side of a bit.
bool ends_by(const Stream& stream, int block, std::size_t bit) {
  return block < stream.decode.segmentation.code_blocks &&
         fec::sch_block_begin(stream.decode, block + 1) <= bit;
}

void decode_block(const ReceiveGroup& group, std::size_t s, int block,
                  View<const SoftBit, 1> soft_bits, std::size_t worker) {
  const Stream& stream = group.streams[s];
  group.state.scratch[worker].iterations[s] +=
      fec::sch_decode_block(stream.decode, block, soft_bits, group.state.sch[worker]);
  stream.block_soft[block] = nullptr;
}

// The symbols' soft bits have this much room before them, for a block that began in those before.
std::size_t room_before(const Stream& stream, const ReceiveScratch& scratch) {
  return static_cast<std::size_t>(stream.layers) * scratch.soft_bits_a_layer;
}
SoftBit* passing_symbols(const Stream& stream, ReceiveScratch& scratch) {
  return scratch.soft_bits.data() +
         static_cast<std::size_t>((1 + symbols_together) * stream.first_layer) *
             scratch.soft_bits_a_layer +
         room_before(stream, scratch);
}

// Whether the stream's soft bits only pass through a worker's memory. Where a block is longer than
// the room, all is little enough to stay where it is.
bool passes(const Stream& stream, const ReceiveScratch& scratch) {
  if (!stream.has_blocks) return false;
  const int last = stream.decode.segmentation.code_blocks - 1;  // the longest
  return fec::sch_block_begin(stream.decode, last + 1) -
             fec::sch_block_begin(stream.decode, last) <=
         room_before(stream, scratch);
}

}  // namespace

BlockWalk::BlockWalk(const ReceiveGroup& group, int first_symbol,
                     const std::atomic<int>* idle_workers)
    : idle(idle_workers) {
  for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s) {
    const Stream& stream = group.streams[s];
    if (!stream.has_blocks) continue;
    const std::size_t bit = stream.first_bit[static_cast<std::size_t>(first_symbol)];
    while (fec::sch_block_begin(stream.decode, block[s]) < bit) ++block[s];
  }
}

View<SoftBit, 1> symbols_soft_bits(const Stream& stream, int first, int last,
                                   ReceiveScratch& scratch) {
  const std::size_t bit = stream.first_bit[static_cast<std::size_t>(first)];
  const std::size_t size = stream.first_bit[static_cast<std::size_t>(last) + 1] - bit;
  if (!passes(stream, scratch)) return stream.soft_bits.subview(bit, size);
  return {passing_symbols(stream, scratch), size};
}

View<const std::uint8_t, 1> make_masks(const Stream& stream, int first, int last,
                                       ReceiveScratch& scratch) {
  const std::size_t bit = stream.first_bit[static_cast<std::size_t>(first)];
  const std::size_t size = stream.first_bit[static_cast<std::size_t>(last) + 1] - bit;
  std::uint8_t* const masks =
      scratch.masks.data() + static_cast<std::size_t>(stream.first_layer) * scratch.masks_a_layer;
  nr::cpu::prbs_masks(stream.c_init, bit, {masks, bytes_for_bits(size)});
  return {masks, bytes_for_bits(size) + cpu::demap_mask_slack_bytes};
}

void decode_symbols(const ReceiveGroup& group, std::size_t s, int first_symbol, int last_symbol,
                    bool ends, std::size_t worker, BlockWalk& walk) {
  const Stream& stream = group.streams[s];
  if (!stream.has_blocks) return;
  ReceiveScratch& scratch = group.state.scratch[worker];
  const std::size_t first = stream.first_bit[static_cast<std::size_t>(first_symbol)];
  const std::size_t end = stream.first_bit[static_cast<std::size_t>(last_symbol) + 1];
  int& block = walk.block[s];
  std::size_t begin = fec::sch_block_begin(stream.decode, block);
  const bool pass = passes(stream, scratch);
  SoftBit* const passing = passing_symbols(stream, scratch);
  const auto at = [&](std::size_t bit) {
    return passing + (static_cast<std::ptrdiff_t>(bit) - static_cast<std::ptrdiff_t>(first));
  };
  // What these symbols have of a block that began in an earlier piece.
  if (pass && begin > first)
    std::memcpy(stream.soft_bits.data() + first, passing, std::min(begin, end) - first);
  for (; ends_by(stream, block, end); ++block) {
    const std::size_t next = fec::sch_block_begin(stream.decode, block + 1);
    const SoftBit* const from = pass ? at(begin) : stream.soft_bits.data() + begin;
    // An idle worker found no piece to take, so this one's memory will not be needed again.
    if (ends && walk.idle != nullptr && walk.idle->load(std::memory_order_relaxed) > 0) {
      stream.block_soft[block] = from;
    } else {
      decode_block(group, s, block, {from, next - begin}, worker);
    }
    begin = next;
  }
  if (!pass || begin >= end) return;
  if (ends) {
    std::memcpy(stream.soft_bits.data() + begin, at(begin), end - begin);
  } else {
    std::memmove(at(first) - (end - begin), at(begin), end - begin);
  }
}

CodewordResult decode_rest(const ReceiveGroup& group, std::size_t s) {
  const Stream& stream = group.streams[s];
  assert(stream.has_blocks);
  const int blocks = stream.decode.segmentation.code_blocks;
  std::atomic<int> next = 0;
  const int shares = stream.decode.shareable ? group.shares() : 1;
  group.options.workers.for_each(shares, [&](int share) {
    for (int block; (block = next.fetch_add(1, std::memory_order_relaxed)) < blocks;) {
      const SoftBit* const soft_bits = stream.block_soft[block];
      if (soft_bits == nullptr) continue;
      const std::size_t size = fec::sch_block_begin(stream.decode, block + 1) -
                               fec::sch_block_begin(stream.decode, block);
      decode_block(group, s, block, {soft_bits, size}, static_cast<std::size_t>(share));
    }
  });
  int iterations = 0;
  for (const ReceiveScratch& scratch : group.state.scratch) iterations += scratch.iterations[s];
  const fec::SchDecodeResult decoded = fec::sch_decode_end(stream.decode, iterations);
  return {decoded.crc_ok, decoded.code_blocks, decoded.code_blocks_ok, decoded.iterations};
}

}  // namespace noroshi::phy
