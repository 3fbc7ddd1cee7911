#pragma once

// Code block segmentation (TS 38.212 5.2.2) and the choice of the base graph (6.2.2, 7.2.2).
//
//   transport block of A bits + CRC of L bits = B bits
//     -> C code blocks of K' bits, each ending with CRC24B when C > 1
//     -> K = 22 Zc or 10 Zc bits with F = K - K' fillers behind them

#include <cstdint>

#include "base/result.h"
#include "base/view.h"
#include "fec/crc/crc.h"

namespace noroshi::fec {

struct Segmentation {
  int base_graph = 1;    // 1 or 2
  int bits = 0;          // B
  int code_blocks = 0;   // C
  int info_bits = 0;     // K', of one code block, with its CRC
  int crc_bits = 0;      // of them CRC24B: 24 or 0
  int lifting_size = 0;  // Zc
  int block_bits = 0;    // K

  int filler_bits() const { return block_bits - info_bits; }  // F
  int payload_bits() const { return info_bits - crc_bits; }   // of B, in one code block
  int coded_bits() const { return lifting_size * (base_graph == 1 ? 66 : 50); }  // N
};

// TS 38.212 6.2.2, 7.2.2. A without CRC; the rate is R * 10240.
int choose_base_graph(int tb_bits, int code_rate_x10240);

// TS 38.212 6.2.1, 7.2.1.
constexpr Crc tb_crc(int tb_bits) { return tb_bits > 3824 ? Crc::crc24a : Crc::crc16; }

// bits: B > 0, the transport block's CRC included. Errors: no bits, no such base graph, or B does
// not divide into equal code blocks (every size of TS 38.214 5.1.3.2 does).
Result<Segmentation> make_segmentation(int bits, int base_graph);
// Whether it has one, without allocating. Precondition: base_graph is 1 or 2.
bool has_segmentation(int bits, int base_graph);

// The K bits of one code block, packed, fillers as zeros. The B bits are `bits` bits of tb and then
// the parity of its CRC (none when tb ends with it already). out: bytes_for_bits(K) bytes or more;
// the bits after K in its last byte are zero.
void make_code_block(const Segmentation& segmentation, View<const std::uint8_t, 1> tb, int tb_bits,
                     std::uint32_t parity, int block, View<std::uint8_t, 1> out);

}  // namespace noroshi::fec
