#pragma once

// Channel coding of small blocks, their rate matching and their maximum-likelihood decoding
// (TS 38.212 5.3.3, 5.4.3).
//
//   K = 1        d = c0 y x x ...                                              N = Qm
//   K = 2        d = c0 c1 x ... c2 c0 x ... c1 c2 x ...,  c2 = c0 + c1        N = 3 Qm
//   3 <= K <= 11 d(i) = sum over k of c(k) M(i, k) mod 2                       N = 32
//   e(k) = d(k mod N),  k < E
//
// With Qm = 1 the 1-bit code has no y, and the 2-bit code is c0 c1 c2 at Qm = 1 and twice that at
// Qm = 2. x and y are placeholders: TS 38.211 6.3.1.1 scrambles x to 1 and y to the scrambled bit
// before it, so that such a symbol uses only the constellation's outer points.
//
// The decoder finds the word w with the largest correlation
//
//   C(w) = sum over k of s(k) (-1)^e(k, w)     s: soft bits; y counts as the bit before, x not at
//   all
//
// (with 3 to 11 bits by a fast Hadamard transform for each of the 2^(K-6) masks of the code) and
// tells how likely it is a signal by the normalised correlation
//
//   metric = C / sqrt(n sum over k of s(k)^2),  0 <= metric <= 1,  n: the soft bits that are no x
//
// Under noise of n equally strong Gaussian soft bits the square of one word's normalised
// correlation has the beta distribution with parameters 1/2 and (n - 1)/2, whatever the noise's
// power. The largest of the 2^K words exceeds t > 0 with a probability of at most
//
//   2^(K-1) I(1 - t^2; (n - 1)/2, 1/2)         I: the regularised incomplete beta function
//
// (the union bound, exact for K = 1). Neither the word nor the metric depends on the soft bits'
// scale. cpu:: is exact: the same word, correlation and metric as ref::.

#include <cstdint>

#include "base/refusal.h"
#include "base/result.h"
#include "base/units.h"
#include "base/view.h"

namespace noroshi::fec {

inline constexpr int small_block_bits_max = 11;
inline constexpr int small_block_coded_bits_max = 1 << 20;

struct SmallBlock {
  int bits = 0;             // K, 1..11
  int coded_bits = 0;       // E, 1..small_block_coded_bits_max
  int bits_per_symbol = 2;  // Qm: 1, 2, 4, 6, 8; matters for K <= 2
};

// Errors name the field and its value.
Result<void> check(const SmallBlock& block);
Refusal refuse(const SmallBlock& block);  // the same, without allocating

enum class CodedBit : std::uint8_t {
  bit,
  one,   // x
  again  // y
};

// N
int small_block_codeword_bits(int bits, int bits_per_symbol);
// What e(k) is.
CodedBit small_block_coded_bit(const SmallBlock& block, int k);
// n: the coded bits that are no x.
int small_block_used_bits(const SmallBlock& block);

struct SmallBlockDecoded {
  int correlation = 0;  // C of the word found
  float metric = 0;     // 0 where all soft bits that count are 0
};

// The probability that noise alone gives a metric above `metric` (the bound above, at most 1), and
// the metric that noise exceeds with this probability (1 where no metric will do: a few soft bits
// carry many words). A bisection: for configuration, not for the slot.
double small_block_false_alarm(const SmallBlock& block, double metric);
double small_block_threshold(const SmallBlock& block, double false_alarm);

// Precondition of all: check(block).
namespace ref {

// message: K packed bits. Bits out_bit ... out_bit + E - 1 of out are written, the others stay;
// x as 1, y as the bit before.
void small_block_encode(const SmallBlock& block, View<const std::uint8_t, 1> message,
                        View<std::uint8_t, 1> out, std::size_t out_bit);

// soft_bits: E, of y with the scrambling bit of the bit before it taken off; -128 counts as -127.
// message: bytes_for_bits(K) bytes, the last padded with zeros. Among equally good words the one
// with the least c0 + 2 c1 + 4 c2 + ... wins.
SmallBlockDecoded small_block_decode(const SmallBlock& block, View<const SoftBit, 1> soft_bits,
                                     View<std::uint8_t, 1> message);

}  // namespace ref

namespace cpu {

void small_block_encode(const SmallBlock& block, View<const std::uint8_t, 1> message,
                        View<std::uint8_t, 1> out, std::size_t out_bit);
SmallBlockDecoded small_block_decode(const SmallBlock& block, View<const SoftBit, 1> soft_bits,
                                     View<std::uint8_t, 1> message);

}  // namespace cpu
}  // namespace noroshi::fec
