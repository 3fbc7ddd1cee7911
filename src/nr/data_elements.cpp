#include "nr/data_elements.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace noroshi::nr {
namespace {

bool has(std::uint32_t mask, int bit) { return (mask >> bit & 1) != 0; }

// TS 38.211 tables 6.4.1.2.2.1-1 and 7.4.1.2.2-1: subcarrier by DM-RS port and resourceElement-
// Offset.
constexpr std::int8_t ptrs_type1[4][4] = {{0, 2, 6, 8}, {2, 4, 8, 10}, {1, 3, 7, 9}, {3, 5, 9, 11}};
constexpr std::int8_t ptrs_type2[6][4] = {{0, 1, 6, 7}, {1, 6, 7, 0},   {2, 3, 8, 9},
                                          {3, 8, 9, 2}, {4, 5, 10, 11}, {5, 10, 11, 4}};

int ptrs_subcarrier(int dmrs_type, int port, int offset) {
  assert(offset >= 0 && offset < 4 && port >= 0 && port < (dmrs_type == 1 ? 4 : 6));
  return dmrs_type == 1 ? ptrs_type1[port][offset] : ptrs_type2[port][offset];
}

// Bit i: reservation i touches the symbol.
std::uint32_t reservations_in(const SharedChannel& channel, int symbol) {
  std::uint32_t touching = 0;
  for (int i = 0; i < channel.reserved_count; ++i)
    if (has(channel.reserved[static_cast<std::size_t>(i)].symbol_mask, symbol)) touching |= 1u << i;
  return touching;
}

// Masks of a symbol that PT-RS (where ptrs_at is not null) or reservations touch.
void find_block_masks(const SharedChannel& channel, const std::bitset<rb_max>& blocks,
                      std::uint32_t reservations, const PtRsBlocks* ptrs_at, SymbolElements& out,
                      std::array<std::uint16_t, rb_max>& masks) {
  int until_ptrs = ptrs_at != nullptr ? ptrs_at->first : rb_max;
  for (std::size_t rb = 0; rb < rb_max; ++rb) {
    if (!blocks[rb]) continue;
    unsigned taken = 0;
    for (std::uint32_t rest = reservations; rest != 0; rest &= rest - 1) {
      const ReservedElements& reserved =
          channel.reserved[static_cast<std::size_t>(std::countr_zero(rest))];
      if (reserved.rbs[rb]) taken |= reserved.subcarrier_mask;
    }
    if (until_ptrs-- == 0) {
      taken |= ptrs_at->mask;
      until_ptrs = ptrs_at->step - 1;
    }
    masks[rb] = static_cast<std::uint16_t>(out.mask & ~taken);
    out.count += std::popcount(masks[rb]);
  }
}

}  // namespace

int hop_symbol(const SharedChannel& channel) {
  return channel.symbol_start +
         (channel.second_hop_rb < 0 ? channel.symbol_count : channel.symbol_count / 2);
}

std::bitset<rb_max> hop_blocks(const SharedChannel& channel, int hop) {
  if (hop == 0 || channel.second_hop_rb < 0) return channel.rbs;
  std::size_t first = 0;
  while (first < rb_max && !channel.rbs[first]) ++first;
  return channel.rbs >> first << static_cast<std::size_t>(channel.second_hop_rb);
}

std::uint16_t dmrs_subcarriers(const Dmrs& dmrs) {
  // Type 1: group g has the subcarriers g, g + 2, ...; type 2: 2g, 2g + 1, 2g + 6, 2g + 7.
  unsigned taken = 0;
  for (int group = 0; group < dmrs.cdm_groups_without_data; ++group)
    taken |= dmrs.type == 1 ? 0x555u << group : 0x0c3u << (2 * group);
  return static_cast<std::uint16_t>(taken & all_subcarriers);
}

std::uint16_t ptrs_symbols(const SharedChannel& channel) {
  if (!channel.ptrs.present) return 0;
  // The clauses' steps, l counted from the start of the allocation.
  const std::uint32_t dmrs = channel.dmrs.symbol_mask >> channel.symbol_start;
  const int density = channel.ptrs.time_density;
  assert(density >= 1);
  std::uint32_t symbols = 0;
  int reference = 0, i = 0;
  while (reference + i * density < channel.symbol_count) {
    const int last = reference + i * density;
    int found = -1;
    // The first suffices for a pair too: the next turn finds the second.
    for (int l = std::max(last - density + 1, reference); l <= last && found < 0; ++l)
      if (has(dmrs, l)) found = l;
    if (found >= 0) {
      reference = found;
      i = 1;
    } else {
      symbols |= 1u << last;
      ++i;
    }
  }
  return static_cast<std::uint16_t>(symbols << channel.symbol_start);
}

PtRsBlocks ptrs_blocks(const SharedChannel& channel) {
  PtRsBlocks blocks;
  const int rbs = static_cast<int>(channel.rbs.count());
  blocks.step = channel.ptrs.frequency_density;
  assert(blocks.step >= 1);
  const int rest = rbs % blocks.step;
  blocks.first = channel.rnti % (rest == 0 ? blocks.step : rest);
  for (std::size_t port = 0; port < 2; ++port) {
    const std::int8_t dmrs_port = channel.ptrs.dmrs_port[port];
    blocks.subcarrier[port] = -1;
    if (dmrs_port < 0) continue;
    const int k = ptrs_subcarrier(channel.dmrs.type, dmrs_port, channel.ptrs.re_offset);
    blocks.subcarrier[port] = k;
    blocks.mask = static_cast<std::uint16_t>(blocks.mask | 1u << k);
  }
  return blocks;
}

int ptrs_samples(const SharedChannel& channel) {
  return channel.ptrs.groups * channel.ptrs.group_samples;
}

std::uint16_t reserved_subcarriers(const SharedChannel& channel, int symbol, int rb) {
  unsigned taken = 0;
  for (std::uint32_t rest = reservations_in(channel, symbol); rest != 0; rest &= rest - 1) {
    const ReservedElements& reserved =
        channel.reserved[static_cast<std::size_t>(std::countr_zero(rest))];
    if (reserved.rbs[static_cast<std::size_t>(rb)]) taken |= reserved.subcarrier_mask;
  }
  return static_cast<std::uint16_t>(taken);
}

void find_data_elements(const SharedChannel& channel, DataElements& elements) {
  const int rbs = static_cast<int>(channel.rbs.count());
  const int end = channel.symbol_start + channel.symbol_count;
  assert(channel.symbol_start >= 0 && channel.symbol_count >= 0 && end <= symbols_per_slot);
  const std::uint16_t ptrs = ptrs_symbols(channel);
  const PtRsBlocks ptrs_at =
      ptrs == 0 || channel.transform_precoding ? PtRsBlocks{} : ptrs_blocks(channel);
  const std::uint16_t dmrs = dmrs_subcarriers(channel.dmrs);
  const int second_hop = hop_symbol(channel);
  // Symbols that PT-RS alone touch are alike within a hop: the first of them.
  int model[2] = {-1, -1};

  elements.symbols = {};
  for (int l = channel.symbol_start; l < end; ++l) {
    SymbolElements& out = elements.symbols[static_cast<std::size_t>(l)];
    out.hop = l >= second_hop ? 1 : 0;
    const bool with_dmrs = has(channel.dmrs.symbol_mask, l);
    out.mask = static_cast<std::uint16_t>(all_subcarriers & ~(with_dmrs ? dmrs : 0));
    const bool with_ptrs = has(ptrs, l);
    const std::uint32_t reservations = reservations_in(channel, l);
    out.uniform = channel.transform_precoding || (!with_ptrs && reservations == 0);
    if (out.uniform) {
      out.count = std::popcount(out.mask) * rbs;
      // A symbol with DM-RS has no PT-RS.
      if (with_ptrs) out.count -= ptrs_samples(channel);
      continue;
    }
    auto& masks = elements.block_masks[static_cast<std::size_t>(l)];
    const bool ptrs_alone = with_ptrs && reservations == 0;
    int& alike = model[out.hop];
    if (ptrs_alone && alike >= 0) {
      masks = elements.block_masks[static_cast<std::size_t>(alike)];
      out.count = elements.symbols[static_cast<std::size_t>(alike)].count;
      continue;
    }
    find_block_masks(channel, hop_blocks(channel, out.hop), reservations,
                     with_ptrs ? &ptrs_at : nullptr, out, masks);
    if (ptrs_alone) alike = l;
  }
}

}  // namespace noroshi::nr
