#pragma once

// The broadcast channel's coding (TS 38.212 7.1): from the master information block and the timing
// of its SS/PBCH block to 864 bits, and back.
//
//   a  = MIB (24 bits), 4 LSBs of the SFN, half frame, 3 bits of the block's index or k_SSB
//   (7.1.1),
//        in the order G(j)
//   a' = a XOR s, a Gold sequence of the cell that leaves the timing bits readable (7.1.2)
//   f  = polar code (n_max = 9, I_IL = 1) of a' and its CRC24C, repeated to E = 864 bits
//   (7.1.3-7.1.5)
//
// What TS 38.211 7.3.3 does next (scrambling by the block's index, QPSK) is not done here. L_max is
// 4, 8 or 64; the 10 and 20 of shared spectrum are not built.

#include <cstdint>

#include "fec/polar/polar.h"

namespace noroshi::fec {

inline constexpr int pbch_coded_bits = 864;
inline constexpr int pbch_payload_bits = 32;

// The MIB of TS 38.331 6.2.2, as numbers on the air: enumerations count from 0.
struct Mib {
  int sfn = 0;                        // 0 ... 1023; its 6 MSBs are in the MIB
  int subcarrier_spacing_common = 0;  // 0: 15 or 60 kHz, 1: 30 or 120 kHz
  int k_ssb = 0;                      // 0 ... 31; its 4 LSBs are in the MIB
  int dmrs_type_a_position = 0;       // 0: symbol 2, 1: symbol 3
  int pdcch_config_sib1 = 0;          // 0 ... 255
  int cell_barred = 0;                // 0: barred, 1: not barred
  int intra_freq_reselection = 0;     // 0: allowed, 1: not allowed
  int spare = 0;
};

struct PbchBlock {
  Mib mib;
  bool half_frame = false;  // in the second half of the frame
  // Of the index only the 3 MSBs are sent, and only where L_max = 64; the DM-RS tells the rest.
  int ssb_index = 0;
};

struct PbchConfig {
  int cell_id = 0;  // 0 ... 1007
  int l_max = 8;    // 4, 8 or 64
};

// Errors name the field, its value and its range.
Result<void> check(const PbchConfig& config);
Result<void> check(const PbchConfig& config, const PbchBlock& block);

// BCCH-BCH-Message: 24 bits, the first one sent in bit 23.
std::uint32_t mib_bits(const Mib& mib);

// a before G(j): 32 bits, a(0) in bit 31.
std::uint32_t pbch_payload(const PbchConfig& config, const PbchBlock& block);

// The same for every cell; made once, outside of the slot.
PolarCode make_pbch_code();

// Precondition of both: check(config, block) passes. out: 864 bits, 108 bytes.
void pbch_encode(const PbchConfig& config, const PolarCode& code, const PbchBlock& block,
                 View<std::uint8_t, 1> out);

struct PbchDecoded {
  PolarDecoded polar;
  PbchBlock block;  // where polar.crc_ok; ssb_index has its 3 MSBs where L_max = 64, else 0; k_ssb
                    // its 4 LSBs there, all 5 bits else
};
PbchDecoded pbch_decode(const PbchConfig& config, const PolarCode& code,
                        View<const SoftBit, 1> coded, int list, PolarWorkspace& workspace);

}  // namespace noroshi::fec
