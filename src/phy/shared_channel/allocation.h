#pragma once

// Where one shared channel lies: its resource blocks as runs of neighbours, its DM-RS symbols, and
// which subcarriers of a block carry data. Everything that PDSCH and PUSCH have in common.

#include <array>
#include <cstdint>

#include "base/result.h"
#include "fec/sch/sch.h"
#include "nr/shared_channel.h"

namespace noroshi::phy {

struct RbRun {
  int first = 0;  // CRB
  int count = 0;
};

struct Allocation {
  int rb_count = 0;
  int run_count = 0;
  std::array<RbRun, (nr::rb_max + 1) / 2> runs{};  // ascending, never adjacent

  const RbRun* begin() const { return runs.data(); }
  const RbRun* end() const { return runs.data() + run_count; }
  int subcarriers() const { return rb_count * nr::subcarriers_per_rb; }
};

Allocation make_allocation(const nr::SharedChannel& channel);

struct SymbolList {
  int count = 0;
  std::array<int, nr::symbols_per_slot> symbol{};

  const int* begin() const { return symbol.data(); }
  const int* end() const { return symbol.data() + count; }
};

// The symbols that carry DM-RS, ascending.
SymbolList dmrs_symbols(const nr::Dmrs& dmrs);

// Bit k: subcarrier k of each allocated block carries data in this symbol of the allocation
// (TS 38.211 7.4.1.1.2: the CDM groups without data are the first ones).
std::uint16_t data_subcarriers(const nr::SharedChannel& channel, int symbol);
inline constexpr std::uint16_t all_subcarriers = 0xfff;

// First bit of the data scrambling sequence (TS 38.211 6.3.1.1, 7.3.1.1 with one codeword).
std::uint32_t data_scrambling_init(const nr::SharedChannel& channel);

// What sch_encode and sch_decode need.
fec::SchConfig sch_config(const nr::SharedChannel& channel);

// What any shared channel must fulfil: fields in the standard's range, blocks inside the carrier,
// DM-RS inside the symbols, one port a layer, a transport block that fits. Errors name the field.
Result<void> check_shared_channel(const nr::Carrier& carrier, const nr::SharedChannel& channel);

}  // namespace noroshi::phy
