#pragma once

// Rate matching of LDPC code blocks (TS 38.212 5.4.2) and its inverse in the receiver.
//
//   e(k), k < E: the circular buffer d(0) ... d(Ncb - 1) read from k0 on, again and again, without
//                the fillers
//   f(i + j Qm) = e(i E / Qm + j),   i < Qm, j < E / Qm
//
// Bits are packed; soft bits are one SoftBit each. cpu:: is exact, with the one freedom that
// rate_recover states.

#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "base/view.h"

namespace noroshi::fec {

struct RateMatch {
  int buffer_bits = 0;      // N_cb
  int start = 0;            // k0, below N_cb
  int filler_start = 0;     // the first filler in d: K' - 2 Zc
  int filler_bits = 0;      // F; those at or beyond N_cb do not matter
  int coded_bits = 0;       // E, a multiple of Qm
  int bits_per_symbol = 2;  // Qm: 1, 2, 4, 6, 8, 10
};

// k0 of TS 38.212 table 5.4.2.1-2.
int rate_match_start(int base_graph, int lifting_size, int buffer_bits, int rv);
// The first bits of the codeword beyond which no e(k) lies: an encoder need not go further.
int rate_match_end(const RateMatch& match);

// Precondition of all: at least one bit of the buffer is no filler.
namespace ref {

// codeword: N_cb bits or more; the fillers' values do not matter. Bits out_bit ... out_bit + E - 1
// of out are written, the others stay.
void rate_match(const RateMatch& match, View<const std::uint8_t, 1> codeword,
                View<std::uint8_t, 1> out, std::size_t out_bit);

// Adds E soft bits to the buffer, N_cb soft bits or more, of which the first `valid` hold something
// and the rest counts as zero whatever it holds. Returns the new `valid`. Sums saturate at +-127
// after every addition; where a bit comes more than once in one call, in any order. -128 counts as
// -127. Fillers get zero or stay.
int rate_recover(const RateMatch& match, View<const SoftBit, 1> soft_bits, View<SoftBit, 1> buffer,
                 int valid);

}  // namespace ref

namespace cpu {

void rate_match(const RateMatch& match, View<const std::uint8_t, 1> codeword,
                View<std::uint8_t, 1> out, std::size_t out_bit);
int rate_recover(const RateMatch& match, View<const SoftBit, 1> soft_bits, View<SoftBit, 1> buffer,
                 int valid);

}  // namespace cpu
}  // namespace noroshi::fec
