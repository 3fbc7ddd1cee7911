#pragma once

// Modulation and coding schemes, transport block size (TS 38.214 5.1.3, 6.1.4), limited buffer
// (TS 38.212 5.4.2.1).

#include <cstdint>
#include <optional>

#include "nr/shared_channel.h"

namespace noroshi::nr {

// TS 38.214 tables 5.1.3.1-1, -2, -3 (also PUSCH without transform precoding), 5.1.3.1-4, and with
// transform precoding 6.1.4.1-1, -2: with q = 2, and with q = 1 (tp-pi2BPSK).
enum class McsTable : std::uint8_t {
  qam64 = 1,
  qam256 = 2,
  qam64_low_se = 3,
  qam1024 = 4,
  tp_qam64 = 5,
  tp_qam64_low_se = 6,
  tp_qam64_pi2_bpsk = 7,
  tp_qam64_low_se_pi2_bpsk = 8,
};

struct Mcs {
  Modulation modulation;
  int code_rate_x10240;
};

// Nothing for a reserved or nonexistent index.
std::optional<Mcs> mcs(McsTable table, int index);
int mcs_index_max(McsTable table);  // the highest index that is not reserved

// TS 38.214 5.1.3.2. re_per_rb: N'_RE, before the cap at 156.
int transport_block_bits(int re_per_rb, int rbs, Mcs mcs, int layers);
// The same from an allocation (symbols, DM-RS, overhead xOh), of one codeword.
int transport_block_bits(const SharedChannel& channel, int overhead_re_per_rb = 0,
                         int codeword = 0);

// TBS_LBRM of TS 38.212 5.4.2.1: the largest transport block of a handset's configuration. rbs: the
// largest bandwidth part's; layers: the most that one transport block gets, at most 4; qm: of the
// highest modulation order configured, 6, 8 or 10.
int limited_buffer_tb_bits(int rbs, int layers, int qm);

}  // namespace noroshi::nr
