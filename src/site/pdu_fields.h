#pragma once

// Inner part of pdu.h: what PDSCH and PUSCH PDUs have in common.

#include "base/refusal.h"
#include "fapi/messages.h"
#include "nr/shared_channel.h"

namespace noroshi::site {

struct BwpRange {
  int first = 0;  // CRB
  int count = 0;
};
Refusal read_bwp(const nr::Carrier& carrier, const fapi::Bwp& bwp, BwpRange& range);
Refusal read_rnti(std::uint16_t rnti, nr::SharedChannel& channel);
Refusal read_time(const fapi::Allocation& allocation, nr::SharedChannel& channel);
// The allocated blocks, of bwp_rbs that there are.
Refusal read_blocks(const fapi::Allocation& allocation, int bwp_rbs,
                    std::bitset<nr::rb_max>& blocks);
// After symbols and hops. All but what transform precoding changes.
Refusal read_dmrs(const fapi::DmrsFields& dmrs, nr::SharedChannel& channel);
// tb_size may be 0. mcs_table_max: the highest number that mcs_table may have.
Refusal read_codeword(const fapi::CodewordFields& from, int mcs_table_max, std::uint32_t lbrm_bytes,
                      int base_graph, int index, nr::SecondCodeword& codeword);
void take_first(const nr::SecondCodeword& codeword, nr::SharedChannel& channel);

}  // namespace noroshi::site
