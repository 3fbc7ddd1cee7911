#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>

#include "fec/small_block/small_block.h"
#include "fec/small_block/small_block_tables.h"

namespace noroshi::fec::ref {
namespace {

// d(i) of the word whose bit k is c(k): TS 38.212 5.3.3.1 to 5.3.3.3, y as the bit before.
bool codeword_bit(const SmallBlock& block, std::uint32_t word, int i) {
  if (block.bits > 2) {
    return (std::popcount(word & small_block_basis[static_cast<std::size_t>(i)]) & 1) != 0;
  }
  if (small_block_coded_bit(block, i) == CodedBit::one) return true;
  if (block.bits == 1) return word != 0;
  const int qm = block.bits_per_symbol;
  const int number = i / qm * std::min(2, qm) + i % qm;  // among c0 c1 c2 c0 c1 c2
  const bool values[3] = {(word & 1) != 0, (word & 2) != 0, std::popcount(word) == 1};
  return values[number % 3];
}

}  // namespace

void small_block_encode(const SmallBlock& block, View<const std::uint8_t, 1> message,
                        View<std::uint8_t, 1> out, std::size_t out_bit) {
  std::uint32_t word = 0;
  for (int k = 0; k < block.bits; ++k) {
    word |= static_cast<std::uint32_t>(bit_at(message.data(), static_cast<std::size_t>(k))) << k;
  }
  const int period = small_block_codeword_bits(block.bits, block.bits_per_symbol);
  for (int k = 0; k < block.coded_bits; ++k) {
    set_bit(out.data(), out_bit + static_cast<std::size_t>(k),
            codeword_bit(block, word, k % period));
  }
}

SmallBlockDecoded small_block_decode(const SmallBlock& block, View<const SoftBit, 1> soft_bits,
                                     View<std::uint8_t, 1> message) {
  const int period = small_block_codeword_bits(block.bits, block.bits_per_symbol);
  std::array<double, 32> sums{};
  double energy = 0;
  for (int k = 0; k < block.coded_bits; ++k) {
    if (small_block_coded_bit(block, k % period) == CodedBit::one) continue;
    const double soft = std::max<int>(soft_bits[static_cast<std::size_t>(k)], -soft_bit_max);
    sums[static_cast<std::size_t>(k % period)] += soft;
    energy += soft * soft;
  }
  double best = -1;
  std::uint32_t best_word = 0;
  for (std::uint32_t word = 0; word < 1u << block.bits; ++word) {
    double correlation = 0;
    for (int i = 0; i < period; ++i) {
      const double sum = sums[static_cast<std::size_t>(i)];
      correlation += codeword_bit(block, word, i) ? -sum : sum;
    }
    if (correlation > best) {
      best = correlation;
      best_word = word;
    }
  }
  std::fill_n(message.data(), bytes_for_bits(static_cast<std::size_t>(block.bits)),
              std::uint8_t{0});
  for (int k = 0; k < block.bits; ++k) {
    set_bit(message.data(), static_cast<std::size_t>(k), ((best_word >> k) & 1) != 0);
  }
  SmallBlockDecoded decoded;
  decoded.correlation = static_cast<int>(best);
  if (energy > 0) {
    decoded.metric = static_cast<float>(best / std::sqrt(small_block_used_bits(block) * energy));
  }
  return decoded;
}

}  // namespace noroshi::fec::ref
