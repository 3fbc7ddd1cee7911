#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nr/prbs/prbs_cpu.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>
#include <algorithm>
#include <cassert>
#include <cstring>

#include "nr/prbs/prbs.h"
#include "nr/prbs/prbs_jump.h"

// Squaring a recurrence over GF(2) five times spreads it over 32-bit words: with w(m) = x(32 m ...
// 32 m + 31), w1(m + 31) = w1(m + 3) + w1(m), and likewise for x2. So 28 words may be computed side
// by side, in any fixed order of the bits in a word: here the order of packed bits in memory.

HWY_BEFORE_NAMESPACE();
namespace noroshi::nr::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t history = 31;       // words that the recurrence looks back
constexpr std::size_t chunk_words = 256;  // a multiple of every vector
constexpr std::size_t chunk_bytes = 4 * chunk_words;

inline std::uint32_t ReverseBitsOfBytes(std::uint32_t x) {
  x = ((x >> 1) & 0x55555555u) | ((x & 0x55555555u) << 1);
  x = ((x >> 2) & 0x33333333u) | ((x & 0x33333333u) << 2);
  return ((x >> 4) & 0x0f0f0f0fu) | ((x & 0x0f0f0f0fu) << 4);
}

// The order of bits within the bytes of a word.
enum class Order { most_significant_first, least_significant_first };

// A step map that vectors hold, applied to a register.
inline std::uint32_t Apply(const prbs_detail::PaddedMap& map, std::uint32_t x) {
  const hn::CappedTag<std::uint32_t, 16> d;
  alignas(64) static constexpr auto bits = [] {
    std::array<std::uint32_t, 32> of{};
    for (int i = 0; i < 32; ++i) of[i] = 1u << i;
    return of;
  }();
  auto sum = hn::Zero(d);
  for (std::size_t i = 0; i < 32; i += hn::Lanes(d)) {
    const auto bit = hn::Load(d, bits.data() + i);
    const auto has = hn::Eq(hn::And(hn::Set(d, x), bit), bit);
    sum = hn::Xor(sum, hn::IfThenElseZero(has, hn::LoadU(d, map.data() + i)));
  }
  alignas(64) std::uint32_t parts[16] = {};
  hn::Store(sum, d, parts);
  std::uint64_t pairs[8];
  std::memcpy(pairs, parts, sizeof pairs);
  const std::uint64_t both = ((pairs[0] ^ pairs[1]) ^ (pairs[2] ^ pairs[3])) ^
                             ((pairs[4] ^ pairs[5]) ^ (pairs[6] ^ pairs[7]));
  return static_cast<std::uint32_t>(both ^ both >> 32);
}

// Both registers, `steps` later.
inline void Jump(std::size_t steps, std::uint32_t& s1, std::uint32_t& s2) {
  namespace detail = prbs_detail;
  constexpr std::size_t far = std::size_t{1} << 4 * detail::digits;
  if (steps >= far) {
    s1 = detail::jump(detail::x1_steps, s1, steps / far * far);
    s2 = detail::jump(detail::x2_steps, s2, steps / far * far);
  }
  for (std::size_t k = 0; k < detail::digits; ++k) {
    const std::size_t digit = steps >> 4 * k & 15;
    if (digit == 0) continue;
    s1 = Apply(detail::x1_digits[k][digit], s1);
    s2 = Apply(detail::x2_digits[k][digit], s2);
  }
}

// The first words of both registers, bit i of s being x(n + i). Squared once, the recurrences look
// back twice as far, and from 62 elements on so many words can be made without a step for each of
// their parts:
//
//   x1(n + 62) = x1(n + 6) + x1(n),   x2(n + 62) = x2(n + 6) + x2(n + 4) + x2(n + 2) + x2(n)
inline void SeedWords(Order order, std::uint64_t s1, std::uint64_t s2, std::size_t count,
                      std::uint32_t* x1, std::uint32_t* x2) {
  constexpr std::uint64_t low28 = (std::uint64_t{1} << 28) - 1;
  // 31 elements, 28 more, and the 5 that then fill the word.
  s1 |= ((s1 ^ s1 >> 3) & low28) << 31;
  s1 |= (s1 >> 28 ^ s1 >> 31) << 59;
  s2 |= ((s2 ^ s2 >> 1 ^ s2 >> 2 ^ s2 >> 3) & low28) << 31;
  s2 |= (s2 >> 28 ^ s2 >> 29 ^ s2 >> 30 ^ s2 >> 31) << 59;
  for (std::size_t i = 0; i < count; ++i) {
    x1[i] = static_cast<std::uint32_t>(s1);
    x2[i] = static_cast<std::uint32_t>(s2);
    s1 = s1 >> 32 | (s1 >> 2 ^ s1 >> 8) << 32;
    s2 = s2 >> 32 | (s2 >> 2 ^ s2 >> 4 ^ s2 >> 6 ^ s2 >> 8) << 32;
  }
  if (order == Order::least_significant_first) return;
  for (std::size_t i = 0; i < count; ++i) {
    x1[i] = ReverseBitsOfBytes(x1[i]);
    x2[i] = ReverseBitsOfBytes(x2[i]);
  }
}

// The sequence in chunks of packed bytes.
struct Stream {
  alignas(64) std::uint32_t x1[chunk_words + 48];
  alignas(64) std::uint32_t x2[chunk_words + 48];
  alignas(64) std::uint32_t c[chunk_words + 16];

  Stream(std::uint32_t c_init, std::size_t first, std::size_t bytes,
         Order order = Order::most_significant_first) {
    std::uint32_t s1 = 1, s2 = c_init;
    Jump(first + prbs_detail::nc, s1, s2);
    SeedWords(order, s1, s2, std::min(history, (bytes + 3) / 4), x1, x2);
  }

  // Makes the next bytes (at most chunk_bytes; less only for the last chunk) of the sequence in c.
  const std::uint8_t* Next(std::size_t bytes) {
    const hn::CappedTag<std::uint32_t, 16> d;
    const std::size_t lanes = hn::Lanes(d);
    const std::size_t words = (bytes + 3) / 4;
    for (std::size_t i = 0; i < words; i += lanes) {
      const auto a0 = hn::Load(d, x1 + i);
      const auto b0 = hn::Load(d, x2 + i);
      hn::Store(hn::Xor(a0, b0), d, c + i);
      if (i + history > words && words < chunk_words) continue;  // nobody will look back at it
      const auto a1 = hn::Xor(a0, hn::LoadU(d, x1 + i + 3));
      const auto b1 = hn::Xor(hn::Xor(b0, hn::LoadU(d, x2 + i + 1)),
                              hn::Xor(hn::LoadU(d, x2 + i + 2), hn::LoadU(d, x2 + i + 3)));
      hn::StoreU(a1, d, x1 + i + history);
      hn::StoreU(b1, d, x2 + i + history);
    }
    std::memcpy(x1, x1 + chunk_words, 4 * history);
    std::memcpy(x2, x2 + chunk_words, 4 * history);
    return reinterpret_cast<const std::uint8_t*>(c);
  }
};

void PrbsBytes(Stream&& stream, std::uint8_t* packed, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += chunk_bytes) {
    const std::size_t count = std::min(chunk_bytes, bytes - at);
    std::memcpy(packed + at, stream.Next(count), count);
  }
}

void PrbsPacked(std::uint32_t c_init, std::size_t first, std::uint8_t* packed, std::size_t bytes) {
  PrbsBytes(Stream(c_init, first, bytes), packed, bytes);
}

void PrbsMasks(std::uint32_t c_init, std::size_t first, std::uint8_t* masks, std::size_t bytes) {
  PrbsBytes(Stream(c_init, first, bytes, Order::least_significant_first), masks, bytes);
}

void Scramble(std::uint32_t c_init, std::size_t first, std::uint8_t* packed, std::size_t bits) {
  const hn::CappedTag<std::uint8_t, 64> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t bytes = bits / 8;  // whole ones
  Stream stream(c_init, first, bytes_for_bits(bits));
  for (std::size_t at = 0; at < bytes_for_bits(bits); at += chunk_bytes) {
    const std::uint8_t* c = stream.Next(std::min(chunk_bytes, bytes_for_bits(bits) - at));
    const std::size_t count = std::min(chunk_bytes, bytes - at);
    std::uint8_t* out = packed + at;
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      hn::StoreU(hn::Xor(hn::LoadU(d, out + i), hn::Load(d, c + i)), d, out + i);
    }
    for (; i < count; ++i) out[i] = static_cast<std::uint8_t>(out[i] ^ c[i]);
    if (bits % 8 != 0 && at + count == bytes && count < chunk_bytes) {
      out[count] = static_cast<std::uint8_t>(out[count] ^ (c[count] & (0xff00u >> (bits % 8))));
    }
  }
}

void Descramble(std::uint32_t c_init, std::size_t first, SoftBit* soft_bits, std::size_t size) {
  Stream stream(c_init, first, bytes_for_bits(size));
  for (std::size_t at = 0; at < size; at += 8 * chunk_bytes) {
    const std::size_t count = std::min(8 * chunk_bytes, size - at);
    const std::uint8_t* c = stream.Next(bytes_for_bits(count));
    SoftBit* out = soft_bits + at;
    std::size_t i = 0;
#if HWY_TARGET != HWY_SCALAR  // which has one lane a vector; g++ 12 gets it where AVX2 is missing
    const hn::CappedTag<std::uint8_t, 64> d8;
    const hn::RebindToSigned<decltype(d8)> di8;
    const hn::Repartition<std::uint64_t, decltype(d8)> d64;
    // Lane l looks at bit l of the stream: byte l / 8, mask 0x80 >> l % 8.
    const auto byte_of_lane =
        hn::BitCast(d8, hn::ShiftRight<3>(hn::And(hn::BitCast(d64, hn::Iota(d8, 0)),
                                                  hn::Set(d64, 0xf8f8f8f8f8f8f8f8u))));
    const auto mask = hn::BitCast(d8, hn::Set(d64, 0x0102040810204080u));
    for (; i + hn::Lanes(d8) <= count; i += hn::Lanes(d8)) {
      std::uint64_t word;
      std::memcpy(&word, c + i / 8, 8);
      const auto bytes = hn::TableLookupBytes(hn::BitCast(d8, hn::Set(d64, word)), byte_of_lane);
      const auto flip = hn::BitCast(di8, hn::VecFromMask(d8, hn::Eq(hn::And(bytes, mask), mask)));
      const auto soft = hn::LoadU(di8, out + i);
      hn::StoreU(hn::SaturatedSub(hn::Xor(soft, flip), flip), di8, out + i);
    }
#endif
    for (; i < count; ++i) {
      if (bit_at(c, i)) out[i] = static_cast<SoftBit>(out[i] == -128 ? soft_bit_max : -out[i]);
    }
  }
}

void DmrsQpsk(std::uint32_t c_init, std::size_t first_symbol, cf32* symbols, std::size_t size) {
  constexpr float a = 0.70710678118654752f;
  struct Pair {
    float values[4];
  };
  static constexpr auto pairs = [] {  // two symbols of four bits
    std::array<Pair, 16> table{};
    for (int bits = 0; bits < 16; ++bits) {
      for (int i = 0; i < 4; ++i) table[bits].values[i] = ((bits >> (3 - i)) & 1) != 0 ? -a : a;
    }
    return table;
  }();
  const std::size_t bytes = (size + 3) / 4;
  Stream stream(c_init, 2 * first_symbol, bytes);
  for (std::size_t at = 0; at < size; at += 4 * chunk_bytes) {
    const std::size_t count = std::min(4 * chunk_bytes, size - at);
    const std::uint8_t* c = stream.Next((count + 3) / 4);
    cf32* out = symbols + at;
    for (std::size_t i = 0; i < count; i += 4) {
      const std::uint8_t byte = c[i / 4];
      const Pair both[2] = {pairs[byte >> 4], pairs[byte & 15]};
      std::memcpy(static_cast<void*>(out + i), both,
                  std::min<std::size_t>(4, count - i) * sizeof(cf32));
    }
  }
}

}  // namespace noroshi::nr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::nr::cpu {

HWY_EXPORT(PrbsPacked);
HWY_EXPORT(PrbsMasks);
HWY_EXPORT(Scramble);
HWY_EXPORT(Descramble);
HWY_EXPORT(DmrsQpsk);

void prbs_packed(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> packed) {
  assert(c_init < (1u << 31));
  HWY_DYNAMIC_DISPATCH(PrbsPacked)(c_init, first, packed.data(), packed.size());
}

void prbs_masks(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> masks) {
  assert(c_init < (1u << 31));
  HWY_DYNAMIC_DISPATCH(PrbsMasks)(c_init, first, masks.data(), masks.size());
}

void scramble(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> packed,
              std::size_t bits) {
  assert(c_init < (1u << 31) && bytes_for_bits(bits) <= packed.size());
  HWY_DYNAMIC_DISPATCH(Scramble)(c_init, first, packed.data(), bits);
}

void descramble(std::uint32_t c_init, std::size_t first, View<SoftBit, 1> soft_bits) {
  assert(c_init < (1u << 31));
  HWY_DYNAMIC_DISPATCH(Descramble)(c_init, first, soft_bits.data(), soft_bits.size());
}

void dmrs_qpsk(std::uint32_t c_init, std::size_t first_symbol, View<cf32, 1> symbols) {
  assert(c_init < (1u << 31));
  HWY_DYNAMIC_DISPATCH(DmrsQpsk)(c_init, first_symbol, symbols.data(), symbols.size());
}

}  // namespace noroshi::nr::cpu
#endif  // HWY_ONCE
