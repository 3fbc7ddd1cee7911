#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "phy/demap/demap.h"
#include "phy/modulation/modulation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/demap/demap_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

// What all targets share.
#ifndef NOROSHI_PHY_DEMAP_CPU_LIMITS
#define NOROSHI_PHY_DEMAP_CPU_LIMITS
namespace noroshi::phy::cpu {

// Bounds that keep gain times F_m(t) below 2^22, where adding 1.5 * 2^23 rounds a float to an
// integer in its low bits. A symbol 128 levels out and a gain of thousands saturate every bit that
// is not on a boundary.
inline constexpr float level_max = 128;
constexpr float gain_max(int m) { return 32767.0f / static_cast<float>(1 << (m - 1)); }

inline constexpr std::size_t lanes_max = 16;

// Where the bits lie that change soft bits' signs; null: nowhere.
struct Flips {
  const std::uint8_t* bytes = nullptr;
  std::size_t first = 0;

  // 64 of them, from soft bit i on, the first in the least significant place.
  std::uint64_t at(std::size_t i) const {
    const std::uint8_t* const from = bytes + (first + i) / 8;
    const std::size_t shift = (first + i) % 8;
    std::uint64_t low;
    std::memcpy(&low, from, sizeof low);
    return low >> shift | (std::uint64_t{from[8]} << 1) << (63 - shift);
  }
};

inline void flip_plain(const Flips& flips, std::size_t begin, std::size_t end, SoftBit* soft_bits) {
  if (flips.bytes == nullptr) return;
  for (std::size_t i = begin; i < end; ++i) {
    const std::size_t bit = flips.first + i;
    if ((flips.bytes[bit / 8] >> bit % 8 & 1) != 0)
      soft_bits[i] = static_cast<SoftBit>(-soft_bits[i]);
  }
}

inline SoftBit saturated(float value) {
  constexpr float limit = soft_bit_max;
  return static_cast<SoftBit>(std::lrint(std::clamp(value, -limit, limit)));
}

// What a one-bit soft bit is along: the point for 0, (1 + j) / sqrt 2, or (-1 + j) / sqrt 2 where
// pi/2-BPSK has turned it.
inline void demap_bpsk_plain(bool turns, const float* symbols, const float* inverse_noise,
                             std::size_t first, std::size_t count, float unit, SoftBit* soft_bits) {
  for (std::size_t i = first; i < count; ++i) {
    const float real = turns && i % 2 == 1 ? -symbols[2 * i] : symbols[2 * i];
    soft_bits[i] = saturated(std::min(4 * llr_scale * unit * inverse_noise[i], gain_max(1)) *
                             (real + symbols[2 * i + 1]));
  }
}

// One by one.
inline void demap_plain(int m, const float* symbols, const float* inverse_noise, std::size_t count,
                        float unit, SoftBit* soft_bits) {
  for (std::size_t i = 0; i < count; ++i) {
    const float gain = std::min(4 * llr_scale * unit * unit * inverse_noise[i], gain_max(m));
    for (std::size_t axis = 0; axis < 2; ++axis) {
      float t = symbols[2 * i + axis] / unit;
      for (int j = 0; j < m; ++j) {
        const float half = static_cast<float>(1 << (m - 1 - j));
        const float x = std::abs(t);
        const float piece = std::min(std::floor(x / 2), half - 1);
        soft_bits[2 * (i * static_cast<std::size_t>(m) + static_cast<std::size_t>(j)) + axis] =
            saturated(gain * std::copysign(piece + 1, t) * (x - piece));
        t = half - x;
      }
    }
  }
}

}  // namespace noroshi::phy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR  // one lane a vector: no shuffles

void demap_bpsk(bool turns, const float* symbols, const float* inverse_noise, std::size_t count,
                float unit, const Flips& flips, std::int8_t* soft_bits) {
  demap_bpsk_plain(turns, symbols, inverse_noise, 0, count, unit, soft_bits);
  flip_plain(flips, 0, count, soft_bits);
}
void demap_qpsk(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                const Flips& flips, std::int8_t* soft_bits) {
  demap_plain(1, symbols, inverse_noise, count, unit, soft_bits);
  flip_plain(flips, 0, 2 * count, soft_bits);
}
void demap_qam16(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                 const Flips& flips, std::int8_t* soft_bits) {
  demap_plain(2, symbols, inverse_noise, count, unit, soft_bits);
  flip_plain(flips, 0, 4 * count, soft_bits);
}
void demap_qam64(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                 const Flips& flips, std::int8_t* soft_bits) {
  demap_plain(3, symbols, inverse_noise, count, unit, soft_bits);
  flip_plain(flips, 0, 6 * count, soft_bits);
}
void demap_qam256(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                  const Flips& flips, std::int8_t* soft_bits) {
  demap_plain(4, symbols, inverse_noise, count, unit, soft_bits);
  flip_plain(flips, 0, 8 * count, soft_bits);
}
void demap_qam1024(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                   const Flips& flips, std::int8_t* soft_bits) {
  demap_plain(5, symbols, inverse_noise, count, unit, soft_bits);
  flip_plain(flips, 0, 10 * count, soft_bits);
}

#else

using D = hn::CappedTag<float, lanes_max>;
using V = hn::Vec<D>;
using Words = hn::Repartition<std::int16_t, D>;
using Octets = hn::Repartition<std::uint8_t, D>;

using V32 = hn::Vec<hn::Rebind<std::int32_t, D>>;

// gain * value in whole numbers. Two operations; NearestInt takes five, for overflows that cannot
// be here.
HWY_INLINE V32 rounded_product(V gain, V value) {
  const D d;
  const V magic = hn::Set(d, 1.5f * (1 << 23));
  const hn::Rebind<std::int32_t, D> d32;
  return hn::Sub(hn::BitCast(d32, hn::MulAdd(gain, value, magic)), hn::BitCast(d32, magic));
}

// bits[j]: the j-th bit of each axis of the lanes' levels t, times gain, rounded. x_j is how far
// the level lies from where bit j changes: x_0 = |t|, x_(j+1) = |2^(m - 1 - j) - x_j|. The nearest
// level of all is |x_(m-1) - 1| away and the nearest with another bit j x_j + 1, so that
//
//   4 |F| = (x_j + 1)^2 - (x_(m-1) - 1)^2
template <int m>
HWY_INLINE void axis_bits(V t, V gain, V32* bits) {
  const D d;
  const V limit = hn::Set(d, level_max);
  if constexpr (m == 1) {
    bits[0] = rounded_product(gain, hn::Clamp(t, hn::Neg(limit), limit));
  } else if constexpr (m == 2) {  // shorter
    const V two = hn::Set(d, 2.0f), x = hn::Min(hn::Abs(t), limit);
    bits[0] = rounded_product(hn::CopySignToAbs(gain, t), hn::Max(x, hn::MulSub(two, x, two)));
    bits[1] = rounded_product(gain, hn::Sub(two, x));
  } else {
    const V one = hn::Set(d, 1.0f);
    V signed_x[m], x[m];
    signed_x[0] = t;
    x[0] = hn::Min(hn::Abs(t), limit);
    HWY_UNROLL(8)
    for (int j = 1; j < m; ++j) {
      signed_x[j] = hn::Sub(hn::Set(d, static_cast<float>(1 << (m - j))), x[j - 1]);
      x[j] = hn::Abs(signed_x[j]);
    }
    const V nearest = hn::Sub(x[m - 1], one), nearest_square = hn::Mul(nearest, nearest);
    const V quarter = hn::Mul(gain, hn::Set(d, 0.25f));
    HWY_UNROLL(8)
    for (int j = 0; j < m - 1; ++j) {
      const V other = hn::Add(x[j], one);
      bits[j] = rounded_product(hn::CopySignToAbs(quarter, signed_x[j]),
                                hn::MulSub(other, other, nearest_square));
    }
    bits[m - 1] = rounded_product(gain, signed_x[m - 1]);
  }
}

// Four vectors of 32-bit lanes to saturated bytes, each 16-byte block a0 .. a3 b0 .. b3 c0 .. d3 of
// the lanes of its block.
HWY_INLINE hn::Vec<Octets> pack(V32 a, V32 b, V32 c, V32 d) {
  const Words words;
  const hn::RebindToSigned<Octets> bytes;
  const auto ab = hn::ReorderDemote2To(words, a, b), cd = hn::ReorderDemote2To(words, c, d);
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  // Highway 1.0 narrows words to bytes one vector at a time: with it and its like for AVX2 this
  // instruction makes 256QAM a fifth faster.
  const hn::Vec<decltype(bytes)> packed{_mm512_packs_epi16(ab.raw, cd.raw)};
#elif HWY_TARGET == HWY_AVX2
  const hn::Vec<decltype(bytes)> packed{_mm256_packs_epi16(ab.raw, cd.raw)};
#else
  static_assert(hn::MaxLanes(D()) == 4, "a block is a vector");
  const hn::Half<decltype(bytes)> half;
  const auto packed = hn::Combine(bytes, hn::DemoteTo(half, cd), hn::DemoteTo(half, ab));
#endif
  return hn::BitCast(Octets(), hn::Max(packed, hn::Set(bytes, std::int8_t{-soft_bit_max})));
}

// With the signs of lanes changed whose bit is set.
HWY_INLINE hn::Vec<Octets> flipped(hn::Vec<Octets> v, std::uint64_t bits) {
  const hn::RebindToSigned<Octets> bytes;
  std::uint8_t mask[8];
  std::memcpy(mask, &bits, sizeof mask);
  const auto soft = hn::BitCast(bytes, v);
  return hn::BitCast(Octets(), hn::IfThenElse(hn::LoadMaskBits(bytes, mask), hn::Neg(soft), soft));
}

// Of soft bits that were stored already.
void flip_stored(const Flips& flips, std::size_t count, std::int8_t* soft_bits) {
  if (flips.bytes == nullptr) return;
  const Octets d;
  auto* const bytes = reinterpret_cast<std::uint8_t*>(soft_bits);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
    hn::StoreU(flipped(hn::LoadU(d, bytes + i), flips.at(i)), d, bytes + i);
  flip_plain(flips, i, count, soft_bits);
}

HWY_INLINE hn::Vec<Octets> in_order(hn::Vec<Octets> packed, const std::uint8_t* order) {
  return hn::TableLookupBytes(packed, hn::LoadDup128(Octets(), order));
}

// Orders within a block, by what the four vectors hold: bits of an axis each.
alignas(16) constexpr std::uint8_t two_bits_two_vectors[16] = {0, 1, 4,  5,  2,  3,  6,  7,
                                                               8, 9, 12, 13, 10, 11, 14, 15};
alignas(16) constexpr std::uint8_t three_bits[16] = {0, 1, 4,  5,  8,  9,  2,  3,
                                                     6, 7, 10, 11, 15, 15, 15, 15};
alignas(16) constexpr std::uint8_t four_bits[16] = {0, 1, 4, 5, 8,  9,  12, 13,
                                                    2, 3, 6, 7, 10, 11, 14, 15};

// flips: soft bits change their signs as Flips say. (1024QAM's do so afterwards.)
template <int qm, bool flips>
class Demapper {
 public:
  static constexpr int m = qm / 2;
  static HWY_INLINE std::size_t step() { return (qm == 2 ? 2 : 1) * hn::Lanes(D()); }  // symbols
  // Bytes written from soft_bits on by a step: more than it has soft bits when qm = 6.
  static HWY_INLINE std::size_t step_bytes() { return step() * qm + (qm == 6 ? lanes_max : 0); }

  HWY_INLINE Demapper(float unit, const Flips& signs)
      : signs_(signs),
        to_level_(hn::Set(D(), 1 / unit)),
        gain_(hn::Set(D(), 4 * llr_scale * unit * unit)) {
    const std::size_t lanes = hn::Lanes(D());
    const std::size_t blocks = lanes / 4;
    alignas(64) std::int32_t lower[lanes_max], upper[lanes_max], dwords[lanes_max];
    for (std::size_t i = 0; i < lanes; ++i) {
      lower[i] = static_cast<std::int32_t>(i / 2);
      upper[i] = static_cast<std::int32_t>((lanes + i) / 2);
      // Where a 32-bit word of the result comes from: vectors in sequence, each over all blocks.
      std::size_t from = i;
      if (qm == 2) from = i % blocks * 4 + i / blocks;
      if (qm == 4) from = i / 2 % blocks * 4 + i / 2 / blocks * 2 + i % 2;
      if (qm == 6) from = std::min(i / 3 * 4 + i % 3, lanes - 1);
      dwords[i] = static_cast<std::int32_t>(from);
    }
    lower_ = hn::SetTableIndices(D(), lower);
    upper_ = hn::SetTableIndices(D(), upper);
    dwords_ = hn::SetTableIndices(hn::RebindToUnsigned<D>(), dwords);
  }

  // at: the number of the first soft bit.
  HWY_INLINE void operator()(const float* symbols, const float* inverse_noise, std::size_t at,
                             std::int8_t* soft_bits) const {
    const std::size_t lanes = hn::Lanes(D());
    V32 a[m], b[m];
    pair(symbols, inverse_noise, a, b);
    if constexpr (qm == 2) {
      V32 c[m], d[m];
      pair(symbols + 2 * lanes, inverse_noise + lanes, c, d);
      store(pack(a[0], b[0], c[0], d[0]), at, soft_bits);
    } else if constexpr (qm == 4) {
      store(in_order(pack(a[0], a[1], b[0], b[1]), two_bits_two_vectors), at, soft_bits);
    } else if constexpr (qm == 6) {
      store(in_order(pack(a[0], a[1], a[2], a[2]), three_bits), at, soft_bits);
      store(in_order(pack(b[0], b[1], b[2], b[2]), three_bits), at + lanes / 2 * qm,
            soft_bits + lanes / 2 * qm);
    } else if constexpr (qm == 8) {
      store(in_order(pack(a[0], a[1], a[2], a[3]), four_bits), at, soft_bits);
      store(in_order(pack(b[0], b[1], b[2], b[3]), four_bits), at + lanes / 2 * qm,
            soft_bits + lanes / 2 * qm);
    } else {
      // Eight bits of a symbol, and its two last ones: 4 axes of each of a and b a block.
      alignas(64) std::int8_t eight[8 * lanes_max], last[4 * lanes_max];
      store(in_order(pack(a[0], a[1], a[2], a[3]), four_bits), 0, eight);
      store(in_order(pack(b[0], b[1], b[2], b[3]), four_bits), 0, eight + 4 * lanes);
      store(pack(a[4], b[4], b[4], b[4]), 0, last);
      for (std::size_t i = 0; i < lanes; ++i) {
        const std::size_t of_half = i % (lanes / 2);
        std::memcpy(soft_bits + 10 * i, eight + 8 * i, 8);
        std::memcpy(soft_bits + 10 * i + 8,
                    last + of_half / 2 * 16 + i / (lanes / 2) * 4 + of_half % 2 * 2, 2);
      }
    }
  }

 private:
  // Lanes(D) symbols: the first half in a, the second in b.
  HWY_INLINE void pair(const float* symbols, const float* inverse_noise, V32* a, V32* b) const {
    const D d;
    const V gain = hn::Min(hn::Mul(hn::LoadU(d, inverse_noise), gain_), hn::Set(d, gain_max(m)));
    const V t_a = hn::Mul(hn::LoadU(d, symbols), to_level_);
    const V t_b = hn::Mul(hn::LoadU(d, symbols + hn::Lanes(d)), to_level_);
    axis_bits<m>(t_a, hn::TableLookupLanes(gain, lower_), a);
    axis_bits<m>(t_b, hn::TableLookupLanes(gain, upper_), b);
  }

  HWY_INLINE void store(hn::Vec<Octets> bytes, std::size_t at, std::int8_t* to) const {
    const hn::RebindToUnsigned<D> d32;
    auto words = hn::BitCast(d32, bytes);
    if constexpr (qm < 8) words = hn::TableLookupLanes(words, dwords_);
    auto out = hn::BitCast(Octets(), words);
    if constexpr (flips && qm < 10) out = flipped(out, signs_.at(at));
    hn::StoreU(out, Octets(), reinterpret_cast<std::uint8_t*>(to));
  }

  Flips signs_;

  V to_level_;
  V gain_;
  decltype(hn::SetTableIndices(D(), static_cast<const std::int32_t*>(nullptr))) lower_, upper_;
  decltype(hn::SetTableIndices(hn::RebindToUnsigned<D>(),
                               static_cast<const std::int32_t*>(nullptr))) dwords_;
};

void demap_bpsk(bool turns, const float* HWY_RESTRICT symbols,
                const float* HWY_RESTRICT inverse_noise, std::size_t count, float unit,
                const Flips& flips, std::int8_t* HWY_RESTRICT soft_bits) {
  const D d;
  const hn::RebindToUnsigned<D> d32;
  const std::size_t lanes = hn::Lanes(d), blocks = lanes / 4;
  alignas(64) std::int32_t dwords[lanes_max];
  alignas(64) std::uint32_t signs[lanes_max];
  for (std::size_t i = 0; i < lanes; ++i) {
    dwords[i] = static_cast<std::int32_t>(i % blocks * 4 + i / blocks);
    signs[i] = turns && i % 2 == 1 ? 0x80000000u : 0;
  }
  const auto order = hn::SetTableIndices(d32, dwords);
  const V turn = hn::BitCast(d, hn::Load(d32, signs)), limit = hn::Set(d, level_max);
  const auto bits = [&](std::size_t i) HWY_ATTR {
    V re, im;
    hn::LoadInterleaved2(d, symbols + 2 * i, re, im);
    const V along = hn::Clamp(hn::Add(hn::Xor(re, turn), im), hn::Neg(limit), limit);
    const V gain = hn::Mul(hn::LoadU(d, inverse_noise + i), hn::Set(d, 4 * llr_scale * unit));
    return rounded_product(hn::Min(gain, hn::Set(d, gain_max(1))), along);
  };
  std::size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    const auto packed = pack(bits(i), bits(i + lanes), bits(i + 2 * lanes), bits(i + 3 * lanes));
    const auto words = hn::TableLookupLanes(hn::BitCast(d32, packed), order);
    hn::StoreU(hn::BitCast(Octets(), words), Octets(),
               reinterpret_cast<std::uint8_t*>(soft_bits + i));
  }
  demap_bpsk_plain(turns, symbols, inverse_noise, i, count, unit, soft_bits);
  flip_stored(flips, count, soft_bits);
}

template <int qm, bool flip>
void demap_symbols(const float* HWY_RESTRICT symbols, const float* HWY_RESTRICT inverse_noise,
                   std::size_t count, float unit, const Flips& flips,
                   std::int8_t* HWY_RESTRICT soft_bits) {
  const Demapper<qm, flip> demapper(unit, flips);
  const std::size_t step = demapper.step();
  std::size_t i = 0;
  for (; i * qm + demapper.step_bytes() <= count * qm; i += step)
    demapper(symbols + 2 * i, inverse_noise + i, i * qm, soft_bits + i * qm);
  for (; i < count; i += step) {
    float padded[4 * lanes_max] = {};
    float padded_noise[2 * lanes_max] = {};
    std::int8_t result[10 * lanes_max + lanes_max];
    const std::size_t rest = std::min(count - i, step);
    std::memcpy(padded, symbols + 2 * i, 2 * rest * sizeof(float));
    std::memcpy(padded_noise, inverse_noise + i, rest * sizeof(float));
    demapper(padded, padded_noise, i * qm, result);
    std::memcpy(soft_bits + i * qm, result, rest * qm);
  }
}

template <int qm>
void demap_symbols(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                   const Flips& flips, std::int8_t* soft_bits) {
  if (qm == 10 || flips.bytes == nullptr) {
    demap_symbols<qm, false>(symbols, inverse_noise, count, unit, flips, soft_bits);
    flip_stored(flips, count * qm, soft_bits);
  } else {
    demap_symbols<qm, true>(symbols, inverse_noise, count, unit, flips, soft_bits);
  }
}

void demap_qpsk(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                const Flips& flips, std::int8_t* soft_bits) {
  demap_symbols<2>(symbols, inverse_noise, count, unit, flips, soft_bits);
}
void demap_qam16(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                 const Flips& flips, std::int8_t* soft_bits) {
  demap_symbols<4>(symbols, inverse_noise, count, unit, flips, soft_bits);
}
void demap_qam64(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                 const Flips& flips, std::int8_t* soft_bits) {
  demap_symbols<6>(symbols, inverse_noise, count, unit, flips, soft_bits);
}
void demap_qam256(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                  const Flips& flips, std::int8_t* soft_bits) {
  demap_symbols<8>(symbols, inverse_noise, count, unit, flips, soft_bits);
}
void demap_qam1024(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                   const Flips& flips, std::int8_t* soft_bits) {
  demap_symbols<10>(symbols, inverse_noise, count, unit, flips, soft_bits);
}

#endif  // HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(demap_bpsk);
HWY_EXPORT(demap_qpsk);
HWY_EXPORT(demap_qam16);
HWY_EXPORT(demap_qam64);
HWY_EXPORT(demap_qam256);
HWY_EXPORT(demap_qam1024);

namespace {

void demap_flipped(nr::Modulation modulation, View<const cf32, 1> symbols,
                   View<const float, 1> inverse_noise, const Flips& flips,
                   View<SoftBit, 1> soft_bits) {
  const std::size_t count = symbols.size();
  assert(inverse_noise.size() == count);
  assert(soft_bits.size() == count * static_cast<std::size_t>(nr::bits_per_symbol(modulation)));
  const float unit = static_cast<float>(constellation_unit(modulation));
  const float* const in = reinterpret_cast<const float*>(symbols.data());
  const float* const noise = inverse_noise.data();
  SoftBit* const out = soft_bits.data();
  switch (modulation) {
    case nr::Modulation::bpsk:
    case nr::Modulation::pi2_bpsk:
      return HWY_DYNAMIC_DISPATCH(demap_bpsk)(modulation == nr::Modulation::pi2_bpsk, in, noise,
                                              count, unit, flips, out);
    case nr::Modulation::qpsk:
      return HWY_DYNAMIC_DISPATCH(demap_qpsk)(in, noise, count, unit, flips, out);
    case nr::Modulation::qam16:
      return HWY_DYNAMIC_DISPATCH(demap_qam16)(in, noise, count, unit, flips, out);
    case nr::Modulation::qam64:
      return HWY_DYNAMIC_DISPATCH(demap_qam64)(in, noise, count, unit, flips, out);
    case nr::Modulation::qam256:
      return HWY_DYNAMIC_DISPATCH(demap_qam256)(in, noise, count, unit, flips, out);
    case nr::Modulation::qam1024:
      return HWY_DYNAMIC_DISPATCH(demap_qam1024)(in, noise, count, unit, flips, out);
  }
}

}  // namespace

void demap(nr::Modulation modulation, View<const cf32, 1> symbols,
           View<const float, 1> inverse_noise, View<SoftBit, 1> soft_bits) {
  demap_flipped(modulation, symbols, inverse_noise, {}, soft_bits);
}

void demap(nr::Modulation modulation, View<const cf32, 1> symbols,
           View<const float, 1> inverse_noise, View<const std::uint8_t, 1> masks, std::size_t first,
           View<SoftBit, 1> soft_bits) {
  assert((first + soft_bits.size()) / 8 + demap_mask_slack_bytes <= masks.size());
  demap_flipped(modulation, symbols, inverse_noise, {masks.data(), first}, soft_bits);
}

}  // namespace noroshi::phy::cpu
#endif
