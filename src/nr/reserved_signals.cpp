#include "nr/reserved_signals.h"

#include <array>
#include <bit>
#include <cassert>

#include "base/slot.h"

namespace noroshi::nr {
namespace {

// A row of table 7.4.1.5.3-1. Its elements are `span` subcarriers from each k on, the same in every
// symbol.
enum class Symbols : std::uint8_t { first, two, two_and_two, four };
struct Row {
  int count;  // of the k_i that the bitmap gives
  int span;   // of k'
  Symbols symbols;
  std::uint8_t densities;  // bit 0: one half, 1: one, 2: three
  std::uint8_t cdm_type;
};
constexpr std::array<Row, 18> rows = {{
    {1, 1, Symbols::first, 4, 0},        // 1: at k_0, k_0 + 4, k_0 + 8
    {1, 1, Symbols::first, 3, 0},        //
    {1, 2, Symbols::first, 3, 1},        //
    {1, 2, Symbols::first, 2, 1},        // 4: at k_0, k_0 + 2
    {1, 2, Symbols::two, 2, 1},          //
    {4, 2, Symbols::first, 2, 1},        //
    {2, 2, Symbols::two, 2, 1},          //
    {2, 2, Symbols::two, 2, 2},          //
    {6, 2, Symbols::first, 2, 1},        //
    {3, 2, Symbols::two, 2, 2},          // 10
    {4, 2, Symbols::two, 3, 1},          //
    {4, 2, Symbols::two, 3, 2},          //
    {3, 2, Symbols::two_and_two, 3, 1},  //
    {3, 2, Symbols::two_and_two, 3, 2},  //
    {3, 2, Symbols::four, 3, 3},         // 15
    {4, 2, Symbols::two_and_two, 3, 1},  //
    {4, 2, Symbols::two_and_two, 3, 2},  //
    {4, 2, Symbols::four, 3, 3},         //
}};

// Bits of frequencyDomainAllocation, and the subcarriers that one bit stands for.
struct Bitmap {
  int bits, step;
};
constexpr Bitmap bitmap_of(int row) {
  return row == 1   ? Bitmap{4, 1}
         : row == 2 ? Bitmap{12, 1}
         : row == 4 ? Bitmap{3, 4}
                    : Bitmap{6, 2};
}

}  // namespace

int csi_rs_cdm_type(int row) {
  assert(row >= 1 && row <= 18);
  return rows[static_cast<std::size_t>(row - 1)].cdm_type;
}

Refusal find_csi_rs(const CsiRs& csi_rs, ReservedElements& elements) {
  if (csi_rs.row < 1 || csi_rs.row > 18) return {"row", double(csi_rs.row), "1..18"};
  const Row& row = rows[static_cast<std::size_t>(csi_rs.row - 1)];
  const Bitmap bitmap = bitmap_of(csi_rs.row);
  if (csi_rs.frequency >> bitmap.bits != 0 ||
      std::popcount(unsigned{csi_rs.frequency}) != row.count)
    return {"frequency", double(csi_rs.frequency), "as many bits set as this row has k"};
  const int density = static_cast<int>(csi_rs.density);
  if (density > 3 || (row.densities >> (density == 0 ? 0 : density - 1) & 1) == 0)
    return {"density", double(density), "what this row has"};
  const int span = row.symbols == Symbols::first ? 1 : row.symbols == Symbols::four ? 4 : 2;
  if (csi_rs.symbol_0 < 0 || csi_rs.symbol_0 + span > symbols_per_slot)
    return {"symbol_0", double(csi_rs.symbol_0), "what keeps this row inside the slot"};
  unsigned symbols = ((1u << span) - 1) << csi_rs.symbol_0;
  if (row.symbols == Symbols::two_and_two) {
    if (csi_rs.symbol_1 < 2 || csi_rs.symbol_1 > 12 || (symbols & 3u << csi_rs.symbol_1) != 0)
      return {"symbol_1", double(csi_rs.symbol_1), "2..12, clear of symbol_0"};
    symbols |= 3u << csi_rs.symbol_1;
  }
  if (csi_rs.rb_count < 1 || csi_rs.rb_start < 0 || csi_rs.rb_start + csi_rs.rb_count > rb_max)
    return {"rb_count", double(csi_rs.rb_count), "1 or more blocks, up to 275 in all"};
  elements = {};
  elements.symbol_mask = static_cast<std::uint16_t>(symbols);
  unsigned subcarriers = 0;
  for (int bit = 0; bit < bitmap.bits; ++bit) {
    if ((csi_rs.frequency >> bit & 1) == 0) continue;
    const int k = bit * bitmap.step;
    const unsigned one = ((1u << row.span) - 1) << k;
    subcarriers |= one;
    if (csi_rs.row == 1) subcarriers |= one << 4 | one << 8;
    if (csi_rs.row == 4) subcarriers |= one << 2;
  }
  elements.subcarrier_mask = static_cast<std::uint16_t>(subcarriers);
  for (int rb = csi_rs.rb_start; rb < csi_rs.rb_start + csi_rs.rb_count; ++rb) {
    const bool has = density > 1 || rb % 2 == density;
    elements.rbs[static_cast<std::size_t>(rb)] = has;
  }
  return {};
}

SsbStart ssb_start(SsbCase pattern, int index) {
  constexpr std::array<int, 4> of_case_b = {4, 8, 16, 20};
  const int symbol = pattern == SsbCase::b
                         ? of_case_b[static_cast<std::size_t>(index % 4)] + 28 * (index / 4)
                         : (index % 2 == 0 ? 2 : 8) + symbols_per_slot * (index / 2);
  return {symbol / symbols_per_slot, symbol % symbols_per_slot};
}

Refusal find_ssb(const Carrier& carrier, int slot, const Ssb& ssb, ReservedElements& elements) {
  const int scs_khz = ssb.pattern == SsbCase::a ? 15 : 30;
  if (ssb.pattern > SsbCase::c || scs_khz != carrier.scs_khz)
    return {"pattern", double(static_cast<int>(ssb.pattern)),
            "0 (A) with 15 kHz, 1 (B) or 2 (C) with 30 kHz"};
  if (ssb.index < 0 || ssb.index >= ssb_blocks_max) return {"index", double(ssb.index), "0..7"};
  const SsbStart start = ssb_start(ssb.pattern, ssb.index);
  if (slot % (slots_per_frame(scs_khz) / 2) != start.slot)
    return {"index", double(ssb.index), "a block that lies in this slot"};
  const int scale = scs_khz / 15;
  if (ssb.subcarrier_offset < 0 || ssb.subcarrier_offset > 23 || ssb.subcarrier_offset % scale != 0)
    return {"subcarrier_offset", double(ssb.subcarrier_offset),
            "0..23, on the carrier's subcarriers"};
  if (ssb.offset_to_point_a < 0 || ssb.offset_to_point_a > 2199)
    return {"offset_to_point_a", double(ssb.offset_to_point_a), "0..2199"};
  const int first = (subcarriers_per_rb * ssb.offset_to_point_a + ssb.subcarrier_offset) / scale;
  const int last_rb = (first + 239) / subcarriers_per_rb;
  if (last_rb >= carrier.rb_count)
    return {"offset_to_point_a", double(ssb.offset_to_point_a), "what keeps it on the carrier"};
  elements = {};
  elements.symbol_mask = static_cast<std::uint16_t>(0xf << start.symbol);
  for (int rb = first / subcarriers_per_rb; rb <= last_rb; ++rb)
    elements.rbs.set(static_cast<std::size_t>(rb));
  return {};
}

}  // namespace noroshi::nr
