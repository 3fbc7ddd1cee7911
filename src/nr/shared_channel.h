#pragma once

// What one PDSCH or PUSCH codeword is: the fields of TS 38.211/212/214 that its processing needs,
// in the units of SCF FAPI. Who decides them (MAC, FAPI peer, test) is not our concern here.

#include <bitset>
#include <cstdint>

#include "nr/carrier.h"

namespace noroshi::nr {

// The value is Qm, bits per symbol (pi/2-BPSK and BPSK share Qm = 1 and are told apart by name).
enum class Modulation : std::uint8_t {
  bpsk = 0,
  pi2_bpsk = 1,
  qpsk = 2,
  qam16 = 4,
  qam64 = 6,
  qam256 = 8,
  qam1024 = 10,
};

constexpr int bits_per_symbol(Modulation m) {
  return m == Modulation::bpsk ? 1 : static_cast<int>(m);
}

// DM-RS (TS 38.211 6.4.1.1, 7.4.1.1).
struct Dmrs {
  int type = 1;                     // configuration type 1 or 2
  std::uint16_t symbol_mask = 0;    // bit l: symbol l of the slot carries DM-RS
  bool double_symbol = false;       // symbols come in pairs (l' = 0, 1)
  int cdm_groups_without_data = 2;  // 1..3
  std::uint16_t port_mask = 1;      // bit p: port p (PUSCH) or 1000 + p (PDSCH); one a layer
  std::uint16_t scrambling_id = 0;  // N_ID^nSCID
  int n_scid = 0;
  // Factor of a DM-RS element over a data element where a peer does not follow the tables of
  // dmrs_amplitude(); 0: it does.
  float amplitude_override = 0;
};

struct SharedChannel {
  std::uint16_t rnti = 0;
  std::uint16_t scrambling_id = 0;  // n_ID of the data scrambling
  std::bitset<rb_max> rbs;          // allocated resource blocks, CRB numbering of the carrier
  int symbol_start = 0;
  int symbol_count = symbols_per_slot;
  Modulation modulation = Modulation::qpsk;
  int code_rate_x10240 = 0;  // R * 1024 * 10, as SCF 222 targetCodeRate
  int layers = 1;
  int rv = 0;                   // 0..3
  int tb_bits = 0;              // TBS without CRC, a multiple of 8
  int limited_buffer_bits = 0;  // N_ref of TS 38.212 5.4.2.1; 0: N_cb = N
  Dmrs dmrs;
};

// Amplitude of a DM-RS element relative to a data element (TS 38.214 tables 4.1-1, 6.2.2-1).
double dmrs_amplitude(const Dmrs& dmrs);

// Resource elements that carry data: in one resource block, N'_RE of TS 38.214 5.1.3.2 without
// overhead; and in the whole allocation on a layer, G = that * layers * Qm.
int data_resource_elements_per_rb(const SharedChannel& channel);
int data_resource_elements(const SharedChannel& channel);
int coded_bits(const SharedChannel& channel);

}  // namespace noroshi::nr
