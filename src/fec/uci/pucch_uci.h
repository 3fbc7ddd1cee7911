#pragma once

// UCI on PUCCH formats 2, 3 and 4: how many coded bits each part gets (TS 38.212 6.3.1.4) and where
// the two parts lie (6.3.1.6). The parts themselves are coded by uci.h.
//
//   E_tot = 16 N_symb N_PRB                 format 2 (QPSK)
//         = 12 Qm N_symb,UCI N_PRB          format 3
//         = 12 Qm N_symb,UCI / N_SF         format 4
//   E_1   = min(E_tot, Qm ceil((O_1 + L) / (R Qm)))    CSI of two parts: HARQ-ACK, SR, CSI part 1
//   E_2   = E_tot - E_1                                CSI part 2
//
// Part 1 fills the symbols next to DM-RS, then those two symbols away, and so on; of the last
// distance that it reaches, every symbol gets the same number of it (the first few one more), at
// its lowest frequencies. Part 2 has the rest. PUCCH with interlaces is not here.

#include <array>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "base/view.h"
#include "fec/uci/uci.h"
#include "nr/carrier.h"

namespace noroshi::fec {

struct PucchUciConfig {
  int format = 2;                // 2, 3, 4
  int symbols = 2;               // of the PUCCH, with DM-RS: 1, 2 (format 2), 4..14
  int rbs = 1;                   // 1..16; format 3: 2^a 3^b 5^c; format 4: 1
  int bits_per_symbol = 2;       // Qm: 2; with pi/2-BPSK (formats 3 and 4) 1
  int spreading = 2;             // format 4: N_SF, 2 or 4
  bool additional_dmrs = false;  // formats 3 and 4 with 10 symbols and more
  bool hopping = false;          // moves the DM-RS of 4 symbols
  int bits = 0;                  // HARQ-ACK, SR and CSI; of CSI of two parts its part 1
  int csi2_bits = 0;             // CSI part 2, formats 3 and 4; 0: CSI is of one part, or none
  int max_code_rate_x100 = 80;   // R: 8, 15, 25, 35, 45, 60, 80; matters with CSI part 2
  double false_alarm = 0.01;     // see UciConfig
};

struct PucchUciLayout {
  int bits_per_symbol = 0;
  int symbols = 0;          // with UCI
  int symbol_elements = 0;  // modulation symbols of UCI in each
  // Of symbol l (counted without DM-RS symbols) that many modulation symbols are part 1.
  std::array<int, nr::symbols_per_slot> part1_elements{};
  std::array<UciConfig, 2>
      parts{};  // for make_uci_code; part 2 has coded_bits 0 where there is none

  int coded_bits() const { return bits_per_symbol * symbols * symbol_elements; }
};

// Bit l: symbol l of a PUCCH of format 3 or 4 carries DM-RS (TS 38.211 table 6.4.1.3.3.2-1).
// Precondition: 4 <= symbols <= 14.
std::uint16_t pucch_dmrs_mask(int symbols, bool additional_dmrs, bool hopping);

// CSI part 2 of 1 or 2 bits is sent as 3, zeros behind (6.3.1.1.3): parts[1].bits is 3 then, and
// the message has them. Errors name the field and its value: a PUCCH that does not exist, bits out
// of range, CSI part 2 on format 2 or without room.
Result<PucchUciLayout> make_pucch_uci_layout(const PucchUciConfig& config);

// The coded bits of the parts (parts[i].coded_bits each) to the coded bits of the PUCCH and back.
// Packed: bytes_for_bits() of their bits; codeword is written in full.
void pucch_uci_multiplex(const PucchUciLayout& layout, View<const std::uint8_t, 1> part1,
                         View<const std::uint8_t, 1> part2, View<std::uint8_t, 1> codeword);
void pucch_uci_demultiplex(const PucchUciLayout& layout, View<const SoftBit, 1> soft_bits,
                           View<SoftBit, 1> part1, View<SoftBit, 1> part2);

}  // namespace noroshi::fec
