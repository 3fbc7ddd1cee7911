#pragma once

// Where one shared channel lies: its resource blocks as runs of neighbours, in frequency order and
// in the order in which data fill them, and its DM-RS symbols. Everything that PDSCH and PUSCH have
// in common. Which elements of these blocks carry data: nr/data_elements.h.

#include <array>
#include <cstdint>

#include "base/refusal.h"
#include "base/result.h"
#include "fec/sch/sch.h"
#include "nr/data_elements.h"
#include "nr/shared_channel.h"

namespace noroshi::phy {

using nr::all_subcarriers;

struct RbRun {
  int first = 0;  // CRB
  int count = 0;
};

struct Allocation {
  int rb_count = 0;
  int run_count = 0;
  std::array<RbRun, (nr::rb_max + 1) / 2> runs{};

  const RbRun* begin() const { return runs.data(); }
  const RbRun* end() const { return runs.data() + run_count; }
  int subcarriers() const { return rb_count * nr::subcarriers_per_rb; }
};

// The blocks of a hop (0 or 1), ascending; runs are never adjacent.
Allocation make_allocation(const nr::SharedChannel& channel, int hop = 0);

// The same blocks in the order in which data fill them (TS 38.211 7.3.1.5, 7.3.1.6): ascending
// virtual resource blocks. Without interleaving that is make_allocation. A run's blocks ascend.
Allocation mapping_order(const nr::SharedChannel& channel, int hop = 0);

struct SymbolList {
  int count = 0;
  std::array<int, nr::symbols_per_slot> symbol{};

  const int* begin() const { return symbol.data(); }
  const int* end() const { return symbol.data() + count; }
};

// The symbols that carry DM-RS, ascending.
SymbolList dmrs_symbols(const nr::Dmrs& dmrs);

// Bit k: DM-RS leave subcarrier k of each allocated block to data in this symbol of the allocation
// (TS 38.211 7.4.1.1.2: the CDM groups without data are the first ones).
std::uint16_t data_subcarriers(const nr::SharedChannel& channel, int symbol);

// First bit of the data scrambling sequence of a codeword (TS 38.211 6.3.1.1, 7.3.1.1).
std::uint32_t data_scrambling_init(const nr::SharedChannel& channel, int codeword = 0);

// What sch_encode and sch_decode need. coded_bits: nr::coded_bits; UCI on PUSCH takes from them.
// elements: nr::data_resource_elements, where they are known already.
fec::SchConfig sch_config(const nr::SharedChannel& channel, int codeword = 0);
fec::SchConfig sch_config(const nr::SharedChannel& channel, int codeword, int elements);

// What any shared channel must fulfil, as PDSCH or as PUSCH: fields in the standard's range, blocks
// inside the carrier, DM-RS inside the symbols, one port a layer, transport blocks that fit. Errors
// name the field and its value. What only one of the links has must be consistent here; that the
// other link does not have it is for check_downlink and check_uplink.
Result<void> check_shared_channel(const nr::Carrier& carrier, const nr::SharedChannel& channel);

// check_shared_channel, and no field of the other link.
Result<void> check_downlink(const nr::Carrier& carrier, const nr::SharedChannel& pdsch);
Result<void> check_uplink(const nr::Carrier& carrier, const nr::SharedChannel& pusch);

// The same without allocating, for the slot.
Refusal refuse_shared_channel(const nr::Carrier& carrier, const nr::SharedChannel& channel);
Refusal refuse_downlink(const nr::Carrier& carrier, const nr::SharedChannel& pdsch);
Refusal refuse_uplink(const nr::Carrier& carrier, const nr::SharedChannel& pusch);

}  // namespace noroshi::phy
