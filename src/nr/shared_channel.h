#pragma once

// What one PDSCH or PUSCH codeword is: the fields of TS 38.211/212/214 that its processing needs,
// in the units of SCF FAPI. Who decides them (MAC, FAPI peer, test) is not our concern here.

#include <array>
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

inline constexpr int layers_max = 8;           // PDSCH, two codewords from 5 on
inline constexpr int codeword_layers_max = 4;  // of one codeword

// Group or sequence hopping of low-PAPR sequences (TS 38.211 6.4.1.1.1.2).
enum class SequenceHopping : std::uint8_t { none, group, sequence };

// DM-RS (TS 38.211 6.4.1.1, 7.4.1.1).
struct Dmrs {
  int type = 1;                     // configuration type 1 or 2
  std::uint16_t symbol_mask = 0;    // bit l: symbol l of the slot carries DM-RS
  bool double_symbol = false;       // symbols come in pairs (l' = 0, 1)
  int cdm_groups_without_data = 2;  // 1..3
  std::uint16_t port_mask = 1;      // bit p: port p (PUSCH) or 1000 + p (PDSCH); one a layer
  std::uint16_t scrambling_id = 0;  // N_ID^nSCID; with transform precoding n_ID^RS, 0..1007
  int n_scid = 0;
  // CRB whose subcarrier 0 the sequence counts from: 0, or where CORESET 0 begins for what it
  // schedules with SI-RNTI (TS 38.211 7.4.1.1.2).
  int reference_rb = 0;
  SequenceHopping hopping = SequenceHopping::none;  // with transform precoding
  // Factor of a DM-RS element over a data element where a peer does not follow the tables of
  // dmrs_amplitude(); 0: it does.
  float amplitude_override = 0;
};

// PT-RS (TS 38.211 6.4.1.2, 7.4.1.2; TS 38.214 5.1.6.3, 6.2.3).
struct PtRs {
  bool present = false;
  int time_density = 1;       // L_PT-RS: 1, 2, 4; with transform precoding 1, 2
  int frequency_density = 2;  // K_PT-RS: 2, 4
  int re_offset = 0;          // resourceElementOffset: 0..3 for 00, 01, 10, 11
  // The DM-RS port (one of port_mask, counted from 0) that each PT-RS port goes with; -1: no such
  // port. Downlink: one port. Uplink: one or two.
  std::array<std::int8_t, 2> dmrs_port = {0, -1};
  float amplitude = 1;  // of a PT-RS element relative to a data element of its layer
  // With transform precoding: N_group^PT-RS (2, 4, 8) groups of N_samp^group (2, 4) samples.
  int groups = 2;
  int group_samples = 2;
  std::uint16_t scrambling_id = 0;  // N_ID of TS 38.211 6.4.1.2.1.2 (transform precoding)
};

// Resource elements that a PDSCH goes around (TS 38.214 5.1.4): blocks x symbols x subcarriers of
// a block. A CORESET or an SS/PBCH block has all subcarriers, a CSI-RS or LTE's CRS a few.
struct ReservedElements {
  std::bitset<rb_max> rbs;
  std::uint16_t symbol_mask = 0;
  std::uint16_t subcarrier_mask = 0xfff;  // bit k: subcarrier k of each of these blocks
};
inline constexpr int reserved_max = 16;

// VRB-to-PRB mapping of a PDSCH (TS 38.211 7.3.1.6): 0: non-interleaved; else bundles of so many
// blocks are interleaved over the bandwidth part rb_first ... rb_first + rb_count - 1 (CRB). VRB n
// counts from rb_first. Bundles begin at multiples of bundle_rbs of CRB 0, or of rb_first for what
// CORESET 0 schedules in the search space of type 0.
struct VrbInterleaver {
  int bundle_rbs = 0;  // L_i: 0, 2, 4
  int rb_first = 0;
  int rb_count = 0;
  bool from_first = false;
};
// CRB of VRB n, 0 <= n < rb_count. Precondition: bundle_rbs > 0.
int vrb_to_crb(const VrbInterleaver& interleaver, int n);

// UCI on PUSCH (TS 38.212 6.3.2, 6.2.7; TS 38.213 9.3), bits as FAPI counts them.
struct PuschUci {
  int harq_bits = 0;
  int csi1_bits = 0;
  int csi2_bits = 0;
  int harq_beta_x8 = 160;  // beta offsets times 8
  int csi1_beta_x8 = 160;
  int csi2_beta_x8 = 160;
  int alpha_x100 = 100;  // 50, 65, 80, 100

  bool any() const { return harq_bits > 0 || csi1_bits > 0; }
};

// The second codeword of a PDSCH of 5 to 8 layers (TS 38.211 7.3.1.3): it has the upper half of
// the layers, rounded up. tb_bits 0: none.
struct SecondCodeword {
  Modulation modulation = Modulation::qpsk;
  int code_rate_x10240 = 0;
  int rv = 0;
  int tb_bits = 0;
  int limited_buffer_bits = 0;
};

struct SharedChannel {
  std::uint16_t rnti = 0;
  std::uint16_t scrambling_id = 0;  // n_ID of the data scrambling
  std::bitset<rb_max> rbs;          // allocated physical resource blocks, CRB numbering
  int symbol_start = 0;
  int symbol_count = symbols_per_slot;
  Modulation modulation = Modulation::qpsk;
  int code_rate_x10240 = 0;  // R * 1024 * 10, as SCF 222 targetCodeRate
  int layers = 1;
  int rv = 0;                   // 0..3
  int tb_bits = 0;              // TBS without CRC, a multiple of 8; PUSCH: 0 for UCI alone
  int limited_buffer_bits = 0;  // N_ref of TS 38.212 5.4.2.1; 0: N_cb = N
  Dmrs dmrs;
  PtRs ptrs;

  // PDSCH only.
  SecondCodeword second;
  VrbInterleaver vrb;
  std::array<ReservedElements, reserved_max> reserved{};
  int reserved_count = 0;

  // PUSCH only.
  bool transform_precoding = false;
  // Intra-slot frequency hopping (TS 38.214 6.3): first block of the second hop, which has the
  // symbols from symbol_count / 2 on; -1: none. rbs is the first hop, contiguous.
  int second_hop_rb = -1;
  PuschUci uci;
};

// Amplitude of a DM-RS element relative to a data element (TS 38.214 tables 4.1-1, 6.2.2-1).
double dmrs_amplitude(const Dmrs& dmrs);

// Codewords: 1, or 2 from 5 layers on; and the layers of each (TS 38.211 table 7.3.1.3-1).
constexpr int codewords(const SharedChannel& channel) { return channel.layers > 4 ? 2 : 1; }
constexpr int codeword_layers(const SharedChannel& channel, int codeword = 0) {
  if (codewords(channel) == 1) return channel.layers;
  return (channel.layers + codeword) / 2;
}
constexpr Modulation codeword_modulation(const SharedChannel& channel, int codeword = 0) {
  return codeword == 0 ? channel.modulation : channel.second.modulation;
}

// N'_RE of TS 38.214 5.1.3.2 without overhead: what DM-RS and CDM groups without data leave of one
// block. PT-RS and reserved elements do not count there.
int data_resource_elements_per_rb(const SharedChannel& channel);
// Elements that carry data on a layer (nr/data_elements.h), in the whole allocation, and the coded
// bits G of a codeword: those elements times its layers and Qm. Preconditions: those of
// find_data_elements.
int data_resource_elements(const SharedChannel& channel);
int coded_bits(const SharedChannel& channel, int codeword = 0);

}  // namespace noroshi::nr
