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
  stream.blocks[block] = {stream.slot, nullptr};
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

// Soft bits of the longest block, which is the last.
std::size_t longest_block(const Stream& stream) {
  const int last = stream.decode.segmentation.code_blocks - 1;
  return fec::sch_block_begin(stream.decode, last + 1) - fec::sch_block_begin(stream.decode, last);
}

// Whether the stream's soft bits only pass through a worker's memory. Where a block is longer than
// the room, all is little enough to stay where it is.
bool passes(const Stream& stream, const ReceiveScratch& scratch) {
  return stream.has_blocks && longest_block(stream) <= room_before(stream, scratch);
}

// The first that begins at a bit or after it; one more than there are, if there is none.
int first_block(const Stream& stream, std::size_t bit) {
  int low = 0, high = stream.decode.segmentation.code_blocks;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (fec::sch_block_begin(stream.decode, middle) < bit) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace

BlockWalk::BlockWalk(const ReceiveGroup& group, int first_symbol,
                     const std::atomic<int>* idle_workers)
    : idle(idle_workers) {
  for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s) {
    const Stream& stream = group.streams[s];
    if (!stream.has_blocks) continue;
    block[s] = first_block(stream, stream.first_bit[static_cast<std::size_t>(first_symbol)]);
  }
}

View<SoftBit, 1> symbols_soft_bits(const Stream& stream, int first, int last,
                                   ReceiveScratch& scratch) {
  const std::size_t bit = stream.first_bit[static_cast<std::size_t>(first)];
  const std::size_t size = stream.first_bit[static_cast<std::size_t>(last) + 1] - bit;
  if (!passes(stream, scratch)) return stream.soft_bits.subview(bit, size);
  return {passing_symbols(stream, scratch), size};
}

View<const std::uint8_t, 1> make_masks(const Stream& stream, std::size_t bit, std::size_t size,
                                       std::size_t offset, ReceiveScratch& scratch) {
  std::uint8_t* const masks = scratch.masks.data() + offset +
                              static_cast<std::size_t>(stream.first_layer) * scratch.masks_a_layer;
  nr::cpu::prbs_masks(stream.c_init, bit, {masks, bytes_for_bits(size)});
  return {masks, bytes_for_bits(size) + cpu::demap_mask_slack_bytes};
}

void make_targets(const ReceiveGroup& group, View<const int, 1> symbols, std::size_t first,
                  std::size_t end, bool whole, ReceiveScratch& scratch, SoftBitTargets* targets) {
  const int last_symbol = symbols[symbols.size() - 1];
  for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s) {
    const Stream& stream = group.streams[s];
    const std::size_t element = static_cast<std::size_t>(stream.layers) *
                                static_cast<std::size_t>(nr::bits_per_symbol(stream.modulation));
    const std::size_t size = (end - first) * element;
    const std::size_t begin = stream.first_bit[static_cast<std::size_t>(symbols[0])];
    const View<SoftBit, 1> passing = symbols_soft_bits(stream, symbols[0], last_symbol, scratch);
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      SoftBitTarget& to = targets[i][s];
      to.bit = stream.first_bit[static_cast<std::size_t>(symbols[i])] + first * element;
      // What is shorter than any block will be put together with others.
      to.soft_bits = whole || !stream.has_blocks || size >= longest_block(stream)
                         ? passing.subview(to.bit - begin, size)
                         : stream.soft_bits.subview(to.bit, size);
      if (whole && i > 0) {
        to.masks = targets[0][s].masks, to.first_mask = to.bit - begin;
      } else {
        const std::size_t offset = i * (bytes_for_bits(size) + cpu::demap_mask_slack_bytes);
        to.masks = make_masks(stream, to.bit, whole ? passing.size() : size, offset, scratch);
        to.first_mask = 0;
      }
    }
  }
}

void decode_parts(const ReceiveGroup& group, View<const int, 1> symbols,
                  const SoftBitTargets* targets, std::size_t worker, const BlockWalk& walk) {
  // Once another worker is idle, this one's memory will not be needed again.
  const auto wait = [&] {
    return walk.idle != nullptr && walk.idle->load(std::memory_order_relaxed) > 0;
  };
  for (std::size_t i = 0; i < symbols.size(); ++i)
    for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s) {
      const Stream& stream = group.streams[s];
      if (!stream.has_blocks) continue;
      const SoftBitTarget& from = targets[i][s];
      const std::size_t end = from.bit + from.soft_bits.size();
      const bool pass = from.soft_bits.data() != stream.soft_bits.data() + from.bit;
      const auto keep = [&](std::size_t bit, std::size_t to) {
        if (pass && bit < to)
          std::memcpy(stream.soft_bits.data() + bit, &from.soft_bits[bit - from.bit], to - bit);
      };
      int block = first_block(stream, from.bit);
      std::size_t begin = fec::sch_block_begin(stream.decode, block);
      keep(from.bit, std::min(begin, end));
      for (; ends_by(stream, block, end); ++block) {
        const std::size_t next = fec::sch_block_begin(stream.decode, block + 1);
        const View<const SoftBit, 1> soft_bits(&from.soft_bits[begin - from.bit], next - begin);
        if (wait()) {
          stream.blocks[block] = {stream.slot, soft_bits.data()};
        } else {
          decode_block(group, s, block, soft_bits, worker);
        }
        begin = next;
      }
      keep(begin, end);
    }
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
      stream.blocks[block] = {stream.slot, from};
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

// Each worker begins with blocks of its own, the same in every slot: what it reads and writes of
// the HARQ buffer and the transport block is then mostly in its own caches.
CodewordResult decode_rest(const ReceiveGroup& group, std::size_t s) {
  const Stream& stream = group.streams[s];
  assert(stream.has_blocks);
  const int blocks = stream.decode.segmentation.code_blocks;
  const int shares = stream.decode.shareable ? group.shares() : 1;
  struct alignas(64) Own {
    std::atomic<int> taken = 0;
  };
  std::array<Own, receive_shares_max> own;
  group.options.workers.for_each(shares, [&](int share) {
    for (int turn = 0; turn < shares; ++turn) {
      const int from = (share + turn) % shares;
      const int first = blocks * from / shares, count = blocks * (from + 1) / shares - first;
      std::atomic<int>& taken = own[static_cast<std::size_t>(from)].taken;
      for (int i; (i = taken.fetch_add(1, std::memory_order_relaxed)) < count;) {
        const int block = first + i;
        const BlockPlace& place = stream.blocks[block];
        const std::size_t begin = fec::sch_block_begin(stream.decode, block);
        const std::size_t size = fec::sch_block_begin(stream.decode, block + 1) - begin;
        const SoftBit* const soft_bits =
            place.slot == stream.slot ? place.soft_bits : stream.soft_bits.data() + begin;
        if (soft_bits != nullptr)
          decode_block(group, s, block, {soft_bits, size}, static_cast<std::size_t>(share));
      }
    }
  });
  int iterations = 0;
  for (const ReceiveScratch& scratch : group.state.scratch) iterations += scratch.iterations[s];
  const fec::SchDecodeResult decoded = fec::sch_decode_end(stream.decode, iterations);
  return {decoded.crc_ok, decoded.code_blocks, decoded.code_blocks_ok, decoded.iterations};
}

}  // namespace noroshi::phy
