#pragma once

// Frequency resources as DCI and FAPI name them (TS 38.214 5.1.2.2, 6.1.2.2), to resource blocks.
// Blocks count from the start of the bandwidth part: they are VRBs of a PDSCH with interleaving,
// else PRBs.

#include <bitset>
#include <cstdint>

#include "base/result.h"
#include "nr/carrier.h"

namespace noroshi::nr {

// Type 1: first block and number of blocks.
struct RbRange {
  int first = 0;
  int count = 0;
};

// RIV = N (L - 1) + S                  where L - 1 <= floor(N / 2)
//     = N (N - L + 1) + N - 1 - S      else            (5.1.2.2.2, 6.1.2.2.2)
// N: blocks of the bandwidth part. Precondition: 1 <= L, 0 <= S, S + L <= N <= rb_max.
int resource_indication_value(int bandwidth_rbs, RbRange range);
// Errors: a value that no range has; a bandwidth part of no or too many blocks.
Result<RbRange> resource_range(int bandwidth_rbs, int resource_indication_value);

// Type 0: nominal size P of a resource block group; table 5.1.2.2.1-1, 6.1.2.2.1-1. configuration:
// rbg-Size, 1 or 2. Precondition: 1 <= bandwidth_rbs <= rb_max.
int rbg_size(int bandwidth_rbs, int configuration);
// Groups of a bandwidth part that begins at CRB bandwidth_start: the first and the last may be
// smaller, so that the others begin at multiples of P of CRB 0.
int rbg_count(int bandwidth_start, int bandwidth_rbs, int configuration);
// The blocks of the groups whose bit is set; bit g: group g. (On the air group 0 is the highest bit
// of the field.) Errors: a bit of a group that does not exist.
Result<std::bitset<rb_max>> rbg_blocks(int bandwidth_start, int bandwidth_rbs, int configuration,
                                       std::uint32_t groups);

// Inter-slot frequency hopping (6.3.1): the first block in a slot, first in even slots of the frame
// numbering and (first + offset) mod N in odd ones. Precondition: 0 <= first, offset < N.
constexpr int hopped_first_block(int bandwidth_rbs, int first, int offset, int slot) {
  return slot % 2 == 0 ? first : (first + offset) % bandwidth_rbs;
}

}  // namespace noroshi::nr
