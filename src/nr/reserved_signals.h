#pragma once

// Which resource elements an SS/PBCH block and a CSI-RS have, as a PDSCH goes around them
// (TS 38.214 5.1.4). What they carry is not here.

#include "base/refusal.h"
#include "nr/shared_channel.h"

namespace noroshi::nr {

// CSI-RS of all ports of one resource (TS 38.211 7.4.1.5.3, table 7.4.1.5.3-1).
enum class CsiRsDensity : std::uint8_t { half_even, half_odd, one, three };  // as FAPI counts
struct CsiRs {
  int row = 1;                  // of the table, 1..18
  std::uint16_t frequency = 1;  // frequencyDomainAllocation, lowest bit b_0
  int symbol_0 = 0;             // l_0
  int symbol_1 = 0;             // l_1, with rows 13, 14, 16, 17
  CsiRsDensity density = CsiRsDensity::one;
  int rb_start = 0;  // CRB; with density one half only its even or odd blocks
  int rb_count = 0;
};
// How many ports have a code in common: 0 none, 1 fd-CDM2, 2 cdm4-FD2-TD2, 3 cdm8-FD2-TD4. Row in
// 1..18.
int csi_rs_cdm_type(int row);
// Refuses by the field's name in this struct what the table does not have.
Refusal find_csi_rs(const CsiRs& csi_rs, ReservedElements& elements);

// SS/PBCH block (TS 38.213 4.1, TS 38.211 7.4.3.1): 240 subcarriers in 4 symbols; every block that
// it touches is taken whole (TS 38.214 5.1.4). Of the carrier's own subcarrier spacing.
enum class SsbCase : std::uint8_t { a, b, c };  // A: 15 kHz; B, C: 30 kHz
inline constexpr int ssb_blocks_max = 8;        // FR1
struct Ssb {
  SsbCase pattern = SsbCase::c;
  int index = 0;              // of the block in its half frame
  int offset_to_point_a = 0;  // blocks of 15 kHz
  int subcarrier_offset = 0;  // k_SSB, of 15 kHz, 0..23
};
// Where block `index` begins: its slot in the half frame, and its first symbol there.
struct SsbStart {
  int slot = 0;
  int symbol = 0;
};
SsbStart ssb_start(SsbCase pattern, int index);
// slot: in the frame. Refuses a block of another slot, spacing, or outside the carrier.
Refusal find_ssb(const Carrier& carrier, int slot, const Ssb& ssb, ReservedElements& elements);

}  // namespace noroshi::nr
