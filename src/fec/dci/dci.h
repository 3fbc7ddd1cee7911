#pragma once

// Downlink control information (TS 38.212 7.3.1-7.3.4): from A bits of a DCI format to the E bits
// of a PDCCH candidate, before scrambling, and back.
//
//   b = a, then the CRC24C of 24 ones and a, its last 16 bits XORed with the RNTI
//   f = polar code of b (n_max = 9, I_IL = 1, I_BIL = 0)
//
// A format of less than 12 bits is sent with zeros behind it. Bits are packed; a is not changed.

#include <cstddef>
#include <cstdint>

#include "fec/polar/polar.h"

namespace noroshi::fec {

inline constexpr int dci_payload_bits_max = 140;

struct DciCode {
  int payload_bits = 0;  // as the format has them
  PolarCode polar;
};

// Made once a size, outside of the slot. Errors: payload_bits not 1 ... 140, or E that polar.h
// refuses for max(12, A) + 24 bits. E is 108 times the aggregation level in NR.
Result<DciCode> make_dci_code(int payload_bits, int coded_bits);

// The 24 parity bits with the RNTI on them.
std::uint32_t dci_parity(const DciCode& code, View<const std::uint8_t, 1> payload,
                         std::uint16_t rnti);

// Writes bits out_bit ... out_bit + E - 1 of out; the others stay.
void dci_encode(const DciCode& code, View<const std::uint8_t, 1> payload, std::uint16_t rnti,
                View<std::uint8_t, 1> out, std::size_t out_bit);

// payload is written only if crc_ok: the CRC passes for this RNTI and the zeros behind a short
// format are zeros. list: 1, 2, 4 or 8.
PolarDecoded dci_decode(const DciCode& code, View<const SoftBit, 1> coded, std::uint16_t rnti,
                        int list, View<std::uint8_t, 1> payload, PolarWorkspace& workspace);

}  // namespace noroshi::fec
