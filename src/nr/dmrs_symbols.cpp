#include "nr/dmrs_symbols.h"

#include <algorithm>

#include "nr/carrier.h"
#include "nr/dmrs_tables.h"

namespace noroshi::nr {
namespace {

// Fields inside their ranges, the allocation inside the slot, and what the clauses' notes rule out.
bool possible(int symbol_start, int symbol_count, const DmrsPlacement& placement) {
  if (symbol_start < 0 || symbol_start >= symbols_per_slot || symbol_count < 1 ||
      symbol_count > symbols_per_slot - symbol_start)
    return false;
  if (placement.additional_positions < 0 ||
      placement.additional_positions > (placement.double_symbol ? 1 : 3))
    return false;
  if (placement.mapping == MappingType::b) return true;
  const int l_0 = placement.type_a_position;
  if (l_0 != 2 && l_0 != 3) return false;
  // dmrs-AdditionalPosition 3 is supported only when dmrs-TypeA-Position is 2.
  return placement.additional_positions != 3 || l_0 == 2;
}

// The first symbol and those of a table's entry; pairs where wanted. 0 where the entry does not
// exist or a symbol leaves the `end` symbols that there are.
std::uint32_t expand(std::uint16_t entry, int first, bool pairs, int end) {
  if ((entry & dmrs_tables::defined) == 0) return 0;
  std::uint32_t mask = (entry & ~std::uint32_t{dmrs_tables::defined}) | 1u << first;
  if (pairs) mask |= mask << 1;
  return mask >> end != 0 ? 0 : mask;
}

using Column = std::size_t;

std::uint16_t without_hopping(int start, int count, const DmrsPlacement& placement, bool uplink) {
  const auto column = static_cast<Column>(placement.additional_positions);
  if (placement.mapping == MappingType::a) {
    const int l_d = start + count, l_0 = placement.type_a_position;
    if (start > l_0) return 0;
    const std::uint16_t entry = placement.double_symbol ? dmrs_tables::a_double[l_d][column]
                                                        : dmrs_tables::a_single[l_d][column];
    return static_cast<std::uint16_t>(expand(entry, l_0, placement.double_symbol, l_d));
  }
  const auto& single = uplink ? dmrs_tables::b_single_pusch : dmrs_tables::b_single_pdsch;
  const auto& pairs = uplink ? dmrs_tables::b_double_pusch : dmrs_tables::b_double_pdsch;
  const std::uint16_t entry =
      placement.double_symbol ? pairs[count][column] : single[count][column];
  return static_cast<std::uint16_t>(expand(entry, 0, placement.double_symbol, count) << start);
}

}  // namespace

std::uint16_t pdsch_dmrs_symbols(int symbol_start, int symbol_count, const DmrsPlacement& placement,
                                 bool lte_crs) {
  if (!possible(symbol_start, symbol_count, placement)) return 0;
  std::uint16_t mask = without_hopping(symbol_start, symbol_count, placement, false);
  const bool l_1_moves = lte_crs && placement.mapping == MappingType::a &&
                         !placement.double_symbol && placement.additional_positions == 1 &&
                         placement.type_a_position == 3 && symbol_start + symbol_count >= 13;
  if (l_1_moves) mask = static_cast<std::uint16_t>((mask & ~(1u << 11)) | 1u << 12);
  return mask;
}

std::uint16_t pusch_dmrs_symbols(int symbol_start, int symbol_count, const DmrsPlacement& placement,
                                 bool hopping) {
  if (!possible(symbol_start, symbol_count, placement)) return 0;
  const bool type_a = placement.mapping == MappingType::a;
  // TS 38.214 table 6.1.2.1-1: type A begins with the slot and has 4 symbols or more.
  if (type_a && (symbol_start != 0 || symbol_count < 4)) return 0;
  if (!hopping) return without_hopping(symbol_start, symbol_count, placement, true);
  if (placement.double_symbol || symbol_count < 2) return 0;
  const auto column = static_cast<Column>(std::min(placement.additional_positions, 1));
  const auto& table = !type_a                          ? dmrs_tables::b_hop
                      : placement.type_a_position == 2 ? dmrs_tables::a2_hop
                                                       : dmrs_tables::a3_hop;
  const int first = symbol_count / 2, second = symbol_count - first;
  const std::uint32_t hop_1 =
      expand(table[first][column][0], type_a ? placement.type_a_position : 0, false, first);
  const std::uint32_t hop_2 = expand(table[second][column][1], 0, false, second);
  if (hop_1 == 0 || hop_2 == 0) return 0;
  return static_cast<std::uint16_t>((hop_1 | hop_2 << first) << symbol_start);
}

}  // namespace noroshi::nr
