#pragma once

// One part of UCI, information bits to coded bits and back (TS 38.212 6.3.1.2 to 6.3.1.5 on PUCCH,
// 6.3.2.2 to 6.3.2.5 on PUSCH: the same).
//
//   1 ... 11 bits     a small block (small_block.h), no CRC
//   12 ... 1706 bits  C = 1 or 2 code blocks, each with CRC6 (12 ... 19 bits) or CRC11, polar with
//                     n_max = 10 and the triangular interleaver, E_r = floor(E / C) bits each; bits
//                     behind C E_r are 0
//   C = 2             with 360 bits or more and E >= 1088, and with 1013 bits or more; an odd
//   number
//                     of bits gets a zero in front
//
// Bits are packed, soft bits one SoftBit each. A code is made once a configuration; nothing after
// that allocates.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "base/view.h"
#include "fec/crc/crc.h"
#include "fec/polar/polar.h"
#include "fec/small_block/small_block.h"

namespace noroshi::fec {

inline constexpr int uci_bits_max = 1706;

// L of one code block; also the L of the rate formulas, which set 11 from 360 bits on.
constexpr int uci_crc_bits(int bits) { return bits < 12 ? 0 : bits < 20 ? 6 : 11; }
// I_seg + 1
constexpr int uci_code_blocks(int bits, int coded_bits) {
  return (bits >= 360 && coded_bits >= 1088) || bits >= 1013 ? 2 : 1;
}

struct UciConfig {
  int bits = 0;               // A, 1..1706
  int coded_bits = 0;         // E of all code blocks
  int bits_per_symbol = 2;    // Qm; matters for 1 and 2 bits
  double false_alarm = 0.01;  // of up to 11 bits: how often noise alone may count as a message
};

struct UciCode {
  UciConfig config;
  double threshold = 0;  // up to 11 bits: the small block's metric must exceed it
  // Above 11 bits.
  int code_blocks = 1;
  int block_bits = 0;  // of the message with the zero in front, in each code block
  int leading_zeros = 0;
  Crc crc = Crc::crc6;
  PolarCode polar;  // of each code block
};

// Errors name the field and its value: bits, coded_bits, Qm or false_alarm out of range, a polar
// code that does not exist (E_r below K or above 8192).
Result<UciCode> make_uci_code(const UciConfig& config);
// The same in place, for the slot: allocates nothing where reserve(code.polar) came before.
Refusal make_uci_code(const UciConfig& config, UciCode& code);
Refusal refuse(const UciConfig& config);

// message: A bits. Bits out_bit ... out_bit + E - 1 of out are written, the others stay.
void uci_encode(const UciCode& code, View<const std::uint8_t, 1> message, View<std::uint8_t, 1> out,
                std::size_t out_bit);

// C code blocks of block_bits + L bits each, the zero in front and the CRC included, packed one
// behind the other from byte borders on: bytes_for_bits(block_bits + L) bytes each.
// Precondition: more than 11 bits.
void uci_code_block(const UciCode& code, View<const std::uint8_t, 1> message, int block,
                    View<std::uint8_t, 1> out);

struct UciDecodeOptions {
  int list = 8;  // of the polar decoder: 1, 2, 4, 8
};

struct UciDecoded {
  bool ok = false;   // all CRCs hold; up to 11 bits: the metric exceeds the threshold
  float metric = 0;  // up to 11 bits: the small block's, 0..1; else 0
};

// soft_bits: E, placeholders as small_block.h wants them. message: bytes_for_bits(A) bytes, the
// last padded with zeros; the best guess where `ok` is false. The soft bits' scale does not matter.
UciDecoded uci_decode(const UciCode& code, View<const SoftBit, 1> soft_bits,
                      const UciDecodeOptions& options, View<std::uint8_t, 1> message,
                      PolarWorkspace& workspace);

}  // namespace noroshi::fec
