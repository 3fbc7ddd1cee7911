#pragma once

// Modulation and coding schemes, transport block size, DM-RS positions (TS 38.214 5.1.3, 6.1.4;
// TS 38.211 tables 6.4.1.1.3-3/-4, 7.4.1.1.2-3/-4).

#include <cstdint>
#include <optional>

#include "nr/shared_channel.h"

namespace noroshi::nr {

// Numbered as TS 38.214: tables 5.1.3.1-1, -2, -3 (also PUSCH without transform precoding).
enum class McsTable : std::uint8_t { qam64 = 1, qam256 = 2, qam64_low_se = 3 };

struct Mcs {
  Modulation modulation;
  int code_rate_x10240;
};

// Nothing for a reserved or nonexistent index.
std::optional<Mcs> mcs(McsTable table, int index);
int mcs_index_max(McsTable table);  // the highest index that is not reserved

// TS 38.214 5.1.3.2. re_per_rb: N'_RE, before the cap at 156.
int transport_block_bits(int re_per_rb, int rbs, Mcs mcs, int layers);
// The same from an allocation (symbols, DM-RS, overhead xOh).
int transport_block_bits(const SharedChannel& channel, int overhead_re_per_rb = 0);

// Symbol mask of DM-RS, mapping type A. symbol_count counts from symbol 0 of the slot when
// symbol_start = 0 (l_d is the last allocated symbol + 1). Errors never: a combination that the
// tables do not define gives 0.
std::uint16_t dmrs_symbols_type_a(int symbol_start, int symbol_count, int type_a_position,
                                  int additional_positions, bool double_symbol);

}  // namespace noroshi::nr
