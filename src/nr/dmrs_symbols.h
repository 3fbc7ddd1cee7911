#pragma once

// Which symbols carry DM-RS (TS 38.211 6.4.1.1.3, 7.4.1.1.2): l_0 and the positions of tables
// 6.4.1.1.3-3, -4, -6 and 7.4.1.1.2-3, -4.
//
// Mapping type A counts symbols from the start of the slot (with hopping, of the hop) and l_0 is
// dmrs-TypeA-Position; type B counts from the first allocated symbol, which is l_0.

#include <cstdint>

namespace noroshi::nr {

enum class MappingType : std::uint8_t { a, b };

struct DmrsPlacement {
  MappingType mapping = MappingType::a;
  int type_a_position = 2;       // 2 or 3
  int additional_positions = 0;  // dmrs-AdditionalPosition, 0..3; two symbols: 0, 1
  bool double_symbol = false;
};

// Bit l: symbol l of the slot. 0: no such combination in the standard, whatever the arguments are.
//
// lte_crs: the entry l_1 of mapping type A is 12 instead of 11 (7.4.1.1.2: a cell that shares its
// carrier with LTE, one additional position, l_0 = 3, the handset can). The shift of mapping type B
// behind a colliding CORESET is not here.
std::uint16_t pdsch_dmrs_symbols(int symbol_start, int symbol_count, const DmrsPlacement& placement,
                                 bool lte_crs = false);

// hopping: intra-slot frequency hopping; the first hop has floor(symbol_count / 2) symbols. More
// than one additional position counts as one there (TS 38.214 6.2.2).
std::uint16_t pusch_dmrs_symbols(int symbol_start, int symbol_count, const DmrsPlacement& placement,
                                 bool hopping = false);

}  // namespace noroshi::nr
