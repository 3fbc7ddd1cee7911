#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/small_block/small_block_cpu.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "fec/bits/bits.h"
#include "fec/small_block/small_block.h"
#include "fec/small_block/small_block_tables.h"

// Columns 1 to 5 of the basis number its rows 0 to 31 in another order (column 0 is all ones): in
// that order the words of c0 ... c5 are the Hadamard functions and their opposites, and the columns
// 6 to 10 are masks of signs. A lane is a mask: the transform of 32 values needs no shuffle.

#ifndef NOROSHI_FEC_SMALL_BLOCK_CPU
#define NOROSHI_FEC_SMALL_BLOCK_CPU
namespace noroshi::fec {

inline constexpr int basis_rows = 32;
inline constexpr int period_max = 288;  // the least common multiple of 32 and 18; 24 needs 96

struct SmallBlockTables {
  std::array<std::uint8_t, basis_rows> row_of{};  // row whose columns 1..5 are h
  alignas(64)
      std::array<std::int32_t, basis_rows * basis_rows> signs{};  // [h, mask]: -1 turns the sign
};

constexpr SmallBlockTables make_small_block_tables() {
  SmallBlockTables tables;
  for (std::uint32_t i = 0; i < basis_rows; ++i) {
    const std::uint32_t h = (small_block_basis[i] >> 1) & 31;
    tables.row_of[h] = static_cast<std::uint8_t>(i);
    for (std::uint32_t mask = 0; mask < basis_rows; ++mask) {
      const int ones =
          std::popcount((static_cast<std::uint32_t>(small_block_basis[i]) >> 6) & mask);
      tables.signs[h * basis_rows + mask] = ones % 2 == 0 ? 0 : -1;
    }
  }
  return tables;
}

inline constexpr SmallBlockTables small_block_tables_cpu = make_small_block_tables();

struct SmallBlockSums {
  std::array<std::int32_t, basis_rows> sums{};  // of the soft bits of d(i); x: 0
  std::int64_t energy = 0;
};

struct SmallBlockBest {
  std::int32_t correlation = -1;
  std::uint32_t word = 0;  // c0 + 2 c1 + ...
};

}  // namespace noroshi::fec
#endif  // NOROSHI_FEC_SMALL_BLOCK_CPU

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Sums over the repetitions of the codeword: every vector of a common period of the codeword and
// the vectors runs down the soft bits on its own.
// Returns how many soft bits are in.
int Combine(const SmallBlock& block, const SoftBit* soft_bits, SmallBlockSums& result) {
  const hn::CappedTag<std::int16_t, 32> d16;
  const hn::Rebind<std::int8_t, decltype(d16)> d8;
  const hn::Repartition<std::int32_t, decltype(d16)> d32;
  const int lanes = static_cast<int>(hn::Lanes(d8));
  const int codeword = small_block_codeword_bits(block.bits, block.bits_per_symbol);
  int period = codeword;
  while (period % lanes != 0) period += codeword;
  const int whole = block.coded_bits / period;
  if (whole == 0) return 0;
  alignas(64) std::int16_t counts[period_max];  // -1: counts
  const int symbol = block.bits > 2 ? 1 : block.bits_per_symbol;
  for (int k = 0, in_symbol = 0; k < period; ++k, ++in_symbol) {
    if (in_symbol == symbol) in_symbol = 0;
    counts[k] = in_symbol < 2 ? -1 : 0;
  }
  alignas(64) std::int16_t lane_sums[32];
  alignas(64) std::int32_t lane_energies[16];
  for (int at = 0; at < period; at += lanes) {
    const auto mask = hn::Load(d16, counts + at);
    for (int turn = 0; turn < whole;) {
      const int end = std::min(whole, turn + 255);  // 255 * 127 is an int16 yet
      auto sum = hn::Zero(d16);
      auto energy0 = hn::Zero(d32);
      auto energy1 = hn::Zero(d32);
      for (; turn < end; ++turn) {
        const auto from = hn::LoadU(d8, soft_bits + turn * period + at);
        const auto wide = hn::PromoteTo(d16, hn::Max(from, hn::Set(d8, -soft_bit_max)));
        const auto soft = hn::And(wide, mask);
        sum = hn::Add(sum, soft);
        energy0 = hn::ReorderWidenMulAccumulate(d32, soft, soft, energy0, energy1);
      }
      hn::Store(sum, d16, lane_sums);
      for (int i = 0, position = at % codeword; i < lanes; ++i, ++position) {
        if (position == codeword) position = 0;
        result.sums[static_cast<std::size_t>(position)] += lane_sums[i];
      }
      hn::Store(hn::Add(energy0, energy1), d32, lane_energies);
      for (std::size_t i = 0; i < hn::Lanes(d32); ++i) result.energy += lane_energies[i];
    }
  }
  return whole * period;
}

template <int distance>
HWY_INLINE void Butterflies(hn::Vec<hn::CappedTag<std::int32_t, 16>>* v) {
  HWY_UNROLL(32)
  for (int i = 0; i < basis_rows; ++i) {
    if ((i & distance) != 0) continue;
    const auto sum = hn::Add(v[i], v[i + distance]);
    v[i + distance] = hn::Sub(v[i], v[i + distance]);
    v[i] = sum;
  }
}

SmallBlockBest Search(const SmallBlock& block, const SmallBlockSums& sums) {
  const hn::CappedTag<std::int32_t, 16> d;
  using V = hn::Vec<decltype(d)>;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto& tables = small_block_tables_cpu;
  const int functions = 1 << (std::min(block.bits, 6) - 1);
  const int masks = 1 << (std::max(block.bits, 6) - 6);
  SmallBlockBest best;
  for (int first = 0; first < masks; first += lanes) {
    V v[basis_rows];
    HWY_UNROLL(32)
    for (int h = 0; h < basis_rows; ++h) {
      const V sum = hn::Set(d, sums.sums[tables.row_of[static_cast<std::size_t>(h)]]);
      const V sign = hn::LoadU(d, tables.signs.data() + h * basis_rows + first);
      v[h] = hn::Sub(hn::Xor(sum, sign), sign);
    }
    Butterflies<1>(v);
    Butterflies<2>(v);
    Butterflies<4>(v);
    Butterflies<8>(v);
    Butterflies<16>(v);
    V most = hn::Set(d, -1);
    V which = hn::Zero(d);
    for (int h = 0; h < functions; ++h) {
      const V size = hn::Abs(v[h]);
      const auto greater = hn::Gt(size, most);
      most = hn::IfThenElse(greater, size, most);
      // Twice the function's number, and one more for the opposite.
      const V number = hn::Sub(hn::Set(d, 2 * h), hn::BroadcastSignBit(v[h]));
      which = hn::IfThenElse(greater, number, which);
    }
    alignas(64) std::int32_t most_of[16];
    alignas(64) std::int32_t which_of[16];
    hn::Store(most, d, most_of);
    hn::Store(which, d, which_of);
    for (int i = 0; i < std::min(lanes, masks - first); ++i) {
      if (most_of[i] <= best.correlation) continue;
      best.correlation = most_of[i];
      best.word = static_cast<std::uint32_t>(which_of[i] + 64 * (first + i));
    }
  }
  return best;
}

}  // namespace noroshi::fec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::fec::cpu {

HWY_EXPORT(Combine);
HWY_EXPORT(Search);

namespace {

// The soft bits behind the last whole period of the vectors.
void add_rest(const SmallBlock& block, const SoftBit* soft_bits, int from, SmallBlockSums& sums) {
  const int codeword = small_block_codeword_bits(block.bits, block.bits_per_symbol);
  const int symbol = block.bits > 2 ? 1 : block.bits_per_symbol;
  int position = 0;  // `from` is a multiple of the codeword, that of the symbol
  int in_symbol = 0;
  for (int k = from; k < block.coded_bits; ++k, ++position, ++in_symbol) {
    if (position == codeword) position = 0;
    if (in_symbol == symbol) in_symbol = 0;
    if (in_symbol >= 2) continue;
    const int soft = std::max<int>(soft_bits[k], -soft_bit_max);
    sums.sums[static_cast<std::size_t>(position)] += soft;
    sums.energy += soft * soft;
  }
}

// K = 1 and 2: c0, c1 and c2 come in turn.
SmallBlockBest search_few(const SmallBlock& block, const SmallBlockSums& sums) {
  const int codeword = small_block_codeword_bits(block.bits, block.bits_per_symbol);
  std::int32_t of[3] = {0, 0, 0};
  int number = 0;
  for (int i = 0; i < codeword; ++i) {
    if (small_block_coded_bit(block, i) == CodedBit::one) continue;
    of[block.bits == 1 ? 0 : number % 3] += sums.sums[static_cast<std::size_t>(i)];
    ++number;
  }
  SmallBlockBest best;
  for (std::uint32_t word = 0; word < 1u << block.bits; ++word) {
    const std::int32_t s0 = (word & 1) != 0 ? -of[0] : of[0];
    const std::int32_t s1 = (word & 2) != 0 ? -of[1] : of[1];
    const std::int32_t s2 = word == 1 || word == 2 ? -of[2] : of[2];
    if (s0 + s1 + s2 > best.correlation) best = {s0 + s1 + s2, word};
  }
  return best;
}

}  // namespace

void small_block_encode(const SmallBlock& block, View<const std::uint8_t, 1> message,
                        View<std::uint8_t, 1> out, std::size_t out_bit) {
  assert(check(block));
  assert(bytes_for_bits(static_cast<std::size_t>(block.bits)) <= message.size());
  assert(bytes_for_bits(out_bit + static_cast<std::size_t>(block.coded_bits)) <= out.size());
  const int codeword = small_block_codeword_bits(block.bits, block.bits_per_symbol);
  const int repeated = 32 / codeword * codeword;
  std::array<std::uint8_t, 4> period{};
  ref::small_block_encode({block.bits, repeated, block.bits_per_symbol}, message, period, 0);
  const auto whole = static_cast<std::size_t>(repeated);
  const auto coded_bits = static_cast<std::size_t>(block.coded_bits);
  for (std::size_t at = 0; at < coded_bits; at += whole) {
    copy_bits(out.data(), out_bit + at, period.data(), 0, std::min(whole, coded_bits - at));
  }
}

SmallBlockDecoded small_block_decode(const SmallBlock& block, View<const SoftBit, 1> soft_bits,
                                     View<std::uint8_t, 1> message) {
  assert(check(block));
  assert(soft_bits.size() == static_cast<std::size_t>(block.coded_bits));
  assert(bytes_for_bits(static_cast<std::size_t>(block.bits)) <= message.size());
  SmallBlockSums sums;
  const int done = HWY_DYNAMIC_DISPATCH(Combine)(block, soft_bits.data(), sums);
  add_rest(block, soft_bits.data(), done, sums);
  const SmallBlockBest best =
      block.bits <= 2 ? search_few(block, sums) : HWY_DYNAMIC_DISPATCH(Search)(block, sums);
  message[0] = 0;
  if (block.bits > 8) message[1] = 0;
  for (int k = 0; k < block.bits; ++k) {
    set_bit(message.data(), static_cast<std::size_t>(k), ((best.word >> k) & 1) != 0);
  }
  SmallBlockDecoded decoded;
  decoded.correlation = best.correlation;
  if (sums.energy > 0) {
    const double energy = static_cast<double>(sums.energy);
    decoded.metric =
        static_cast<float>(best.correlation / std::sqrt(small_block_used_bits(block) * energy));
  }
  return decoded;
}

}  // namespace noroshi::fec::cpu
#endif  // HWY_ONCE
