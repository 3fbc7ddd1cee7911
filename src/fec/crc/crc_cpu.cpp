#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/crc/crc_cpu.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>
#include <algorithm>
#include <cassert>
#include <cstring>

#include "fec/crc/crc.h"
#include "fec/crc/crc_constants.h"

// Every generator is lifted to degree 32, g(x) x^(32-L), so that one code serves all; the parity is
// then the upper L of 32 bits. Long messages are folded 128 bits at a time by carry-less products
// (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", 2009).

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using crc_detail::Constants;

// One byte of message at a time; state is the remainder of what came before.
inline std::uint32_t ByteByByte(const Constants& g, std::uint32_t state, const std::uint8_t* bytes,
                                std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    state = (state << 8) ^ g.table[(state >> 24) ^ bytes[i]];
  }
  return state;
}

#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
using D64 = hn::FixedTag<std::uint64_t, 2>;
using V64 = hn::Vec<D64>;

// Blocks of 16 bytes as polynomials: the upper of two lanes holds the upper coefficients.
template <class D>
inline hn::Vec<D> LoadBlocks(D d, const std::uint8_t* bytes) {
  const hn::Repartition<std::uint8_t, D> d8;
  alignas(16) static constexpr std::uint8_t reversed[16] = {15, 14, 13, 12, 11, 10, 9, 8,
                                                            7,  6,  5,  4,  3,  2,  1, 0};
  return hn::BitCast(d, hn::TableLookupBytes(hn::LoadU(d8, bytes), hn::LoadDup128(d8, reversed)));
}
inline V64 LoadBlock(const std::uint8_t* bytes) { return LoadBlocks(D64(), bytes); }

// The first `count` < 16 of 16 bytes that can be read, with zeros before them.
inline V64 LoadHead(const std::uint8_t* bytes, std::size_t count) {
  const D64 d;
  const hn::Repartition<std::uint8_t, D64> d8;
  alignas(16) static constexpr std::uint8_t reversed_or_0[32] = {
      15,   14,   13,   12,   11,   10,   9,    8,    7,    6,    5,
      4,    3,    2,    1,    0,    0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
      0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
  return hn::BitCast(
      d, hn::TableLookupBytesOr0(hn::LoadU(d8, bytes), hn::LoadU(d8, reversed_or_0 + 16 - count)));
}

// Moves a up by the distance of k = {x^n mod g, x^(n+64) mod g} and reduces it to 96 bits.
template <class V>
inline V Fold(V a, V k) {
  return hn::Xor(hn::CLMulLower(a, k), hn::CLMulUpper(a, k));
}

// m x^32 mod g for a 128-bit m (Barrett).
inline std::uint32_t Reduce(const Constants& g, V64 m) {
  const D64 d;
  alignas(16) std::uint64_t w[2];
  hn::Store(hn::CLMulUpper(m, hn::Set(d, g.x96)), d, w);
  const std::uint64_t low = hn::GetLane(m);
  const std::uint64_t s_high = w[1] ^ (low >> 32);
  const std::uint64_t s_low = w[0] ^ (low << 32);
  const std::uint64_t t =
      hn::GetLane(hn::CLMulLower(hn::Set(d, s_high), hn::Set(d, g.x64))) ^ s_low;
  hn::Store(hn::CLMulLower(hn::Set(d, t >> 32), hn::Set(d, g.barrett)), d, w);
  const std::uint64_t q = w[0] >> 32;
  const std::uint64_t r = t ^ hn::GetLane(hn::CLMulLower(hn::Set(d, q), hn::Set(d, g.generator)));
  return static_cast<std::uint32_t>(r);
}

#if HWY_TARGET == HWY_AVX3_DL  // carry-less products of four pairs at once
// What came before and `count` times 64 bytes.
inline V64 FoldedWide(const Constants& g, V64 before, const std::uint8_t* bytes,
                      std::size_t count) {
  const hn::FixedTag<std::uint64_t, 8> d;
  const auto k4 = hn::LoadDup128(d, g.fold512);
  const auto k16 = hn::LoadDup128(d, g.fold2048);
  alignas(64) std::uint64_t lanes[8] = {};
  hn::Store(before, D64(), lanes + 6);
  auto a3 = hn::Load(d, lanes);
  for (; count % 4 != 0; --count, bytes += 64) {
    a3 = hn::Xor(Fold(a3, k4), LoadBlocks(d, bytes));
  }
  auto a0 = hn::Zero(d);
  auto a1 = a0;
  auto a2 = a0;
  for (; count != 0; count -= 4, bytes += 256) {
    a0 = hn::Xor(Fold(a0, k16), LoadBlocks(d, bytes));
    a1 = hn::Xor(Fold(a1, k16), LoadBlocks(d, bytes + 64));
    a2 = hn::Xor(Fold(a2, k16), LoadBlocks(d, bytes + 128));
    a3 = hn::Xor(Fold(a3, k16), LoadBlocks(d, bytes + 192));
  }
  a1 = hn::Xor(Fold(a0, k4), a1);
  a2 = hn::Xor(Fold(a1, k4), a2);
  a3 = hn::Xor(Fold(a2, k4), a3);
  hn::Store(Fold(a3, hn::Load(d, g.fold_lanes)), d, lanes);
  const D64 d2;
  return hn::Xor(hn::Xor(hn::Load(d2, lanes), hn::Load(d2, lanes + 2)),
                 hn::Xor(hn::Load(d2, lanes + 4), hn::Load(d2, lanes + 6)));
}
#endif

// count >= 16.
inline std::uint32_t Folded(const Constants& g, const std::uint8_t* bytes, std::size_t count) {
  const D64 d;
  const V64 k1 = hn::Load(d, g.fold128);
  const V64 k4 = hn::Load(d, g.fold512);
  V64 a = hn::Zero(d);
  // Zeros before a message change nothing: the odd bytes become a block of their own.
  if (const std::size_t head = count % 16; head != 0) {
    a = LoadHead(bytes, head);
    bytes += head;
  }
  std::size_t blocks = count / 16;
  for (; blocks % 4 != 0; --blocks, bytes += 16) a = hn::Xor(Fold(a, k1), LoadBlock(bytes));
#if HWY_TARGET == HWY_AVX3_DL
  if (blocks >= 16) return Reduce(g, FoldedWide(g, a, bytes, blocks / 4));
#endif
  if (blocks != 0) {
    V64 a0 = hn::Zero(d);
    V64 a1 = a0;
    V64 a2 = a0;
    for (; blocks != 0; blocks -= 4, bytes += 64) {
      a0 = hn::Xor(Fold(a0, k4), LoadBlock(bytes));
      a1 = hn::Xor(Fold(a1, k4), LoadBlock(bytes + 16));
      a2 = hn::Xor(Fold(a2, k4), LoadBlock(bytes + 32));
      a = hn::Xor(Fold(a, k4), LoadBlock(bytes + 48));
    }
    a1 = hn::Xor(Fold(a0, k1), a1);
    a2 = hn::Xor(Fold(a1, k1), a2);
    a = hn::Xor(Fold(a2, k1), a);
  }
  return Reduce(g, a);
}
#endif

std::uint32_t Parity(const Constants& g, const std::uint8_t* bytes, std::size_t bits) {
  const std::size_t count = bits / 8;
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  std::uint32_t state = count < 16 ? ByteByByte(g, 0, bytes, count) : Folded(g, bytes, count);
#else
  std::uint32_t state = ByteByByte(g, 0, bytes, count);
#endif
  if (const std::size_t rest = bits % 8; rest != 0) {
    const std::uint32_t last = static_cast<std::uint32_t>(bytes[count]) >> (8 - rest);
    state = (state << rest) ^ g.table[(state >> (32 - rest)) ^ last];
  }
  return state;
}

}  // namespace noroshi::fec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::fec::cpu {

HWY_EXPORT(Parity);

std::uint32_t crc(Crc crc, View<const std::uint8_t, 1> packed, std::size_t bits) {
  assert(bytes_for_bits(bits) <= packed.size());
  const auto& g = crc_detail::constants[static_cast<std::size_t>(crc)];
  return HWY_DYNAMIC_DISPATCH(Parity)(g, packed.data(), bits) >> (32 - crc_bits(crc));
}

// Every step multiplies by the same x^part_bits, which is linear: a table for each nibble.
std::uint32_t crc_of_parts(Crc crc, View<const std::uint32_t, 1> parities, std::size_t part_bits) {
  const auto& g = crc_detail::constants[static_cast<std::size_t>(crc)];
  const std::uint32_t generator = static_cast<std::uint32_t>(g.generator);
  assert(part_bits >> g.powers.size() == 0);
  std::uint32_t shift = 1;
  for (std::size_t i = 0; part_bits >> i != 0; ++i)
    if ((part_bits >> i & 1) != 0) shift = crc_detail::product_mod(generator, shift, g.powers[i]);
  std::array<std::array<std::uint32_t, 16>, 8> shifted;
  for (std::array<std::uint32_t, 16>& table : shifted) {
    table[0] = 0;
    for (std::size_t bit = 1; bit < 16; bit *= 2) {
      for (std::size_t i = 0; i < bit; ++i) table[bit + i] = table[i] ^ shift;
      shift = (shift << 1) ^ ((shift >> 31) != 0 ? generator : 0);
    }
  }
  const int above = 32 - crc_bits(crc);
  std::uint32_t state = 0;
  for (const std::uint32_t parity : parities) {
    std::uint32_t next = parity << above;
    for (std::size_t i = 0; i < 8; ++i) next ^= shifted[i][state >> (4 * i) & 15];
    state = next;
  }
  return state >> above;
}

}  // namespace noroshi::fec::cpu
#endif  // HWY_ONCE
