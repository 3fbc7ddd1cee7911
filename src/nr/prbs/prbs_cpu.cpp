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

inline std::uint64_t ReverseBits(std::uint64_t x) {
  x = ((x >> 1) & 0x5555555555555555u) | ((x & 0x5555555555555555u) << 1);
  x = ((x >> 2) & 0x3333333333333333u) | ((x & 0x3333333333333333u) << 2);
  x = ((x >> 4) & 0x0f0f0f0f0f0f0f0fu) | ((x & 0x0f0f0f0f0f0f0f0fu) << 4);
  return __builtin_bswap64(x);
}

// The order of bits within the bytes of a word.
enum class Order { most_significant_first, least_significant_first };

// The first words of a register, bit 63 - i of s being x(n + i).
template <class Feedback>
inline void SeedWords(Order order, std::uint64_t s, Feedback feedback, std::size_t count,
                      std::uint32_t* words) {
  constexpr std::uint64_t top5 = ~std::uint64_t{0} << 59;
  constexpr std::uint64_t top28 = ~std::uint64_t{0} << 36;
  constexpr std::uint64_t top31 = ~std::uint64_t{0} << 33;
  for (std::size_t i = 0; i < count; ++i) {
    s |= (feedback(s) & top28) >> 31;
    s |= (feedback(s << 28) & top5) >> 59;
    const std::uint32_t word = static_cast<std::uint32_t>(s >> 32);
    words[i] = order == Order::most_significant_first
                   ? __builtin_bswap32(word)
                   : static_cast<std::uint32_t>(ReverseBits(word) >> 32);
    s = (s << 32) & top31;
  }
}

// The sequence in chunks of packed bytes.
struct Stream {
  alignas(64) std::uint32_t x1[chunk_words + 48];
  alignas(64) std::uint32_t x2[chunk_words + 48];
  alignas(64) std::uint32_t c[chunk_words + 16];

  Stream(std::uint32_t c_init, std::size_t first, std::size_t bytes,
         Order order = Order::most_significant_first) {
    namespace detail = prbs_detail;
    std::uint32_t s1 = detail::x1_at_nc;
    std::uint32_t s2 = detail::apply(detail::x2_to_nc, c_init);
    if (first != 0) {
      s1 = detail::jump(detail::x1_steps, s1, first);
      s2 = detail::jump(detail::x2_steps, s2, first);
    }
    const std::size_t count = std::min(history, (bytes + 3) / 4);
    SeedWords(
        order, ReverseBits(s1), [](std::uint64_t s) { return s ^ (s << 3); }, count, x1);
    SeedWords(
        order, ReverseBits(s2), [](std::uint64_t s) { return s ^ (s << 1) ^ (s << 2) ^ (s << 3); },
        count, x2);
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
