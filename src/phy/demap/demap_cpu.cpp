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

// Bounds that keep gain times F_m(t) below 2^21, where adding 1.5 * 2^23 rounds a float to an
// integer in its low bits. A symbol 64 levels out and a gain of thousands saturate every bit that
// is not on a boundary.
inline constexpr float level_max = 64;
constexpr float gain_max(int m) { return 32768.0f / static_cast<float>(1 << (m - 1)); }

inline constexpr std::size_t lanes_max = 16;

inline SoftBit saturated(float value) {
  constexpr float limit = soft_bit_max;
  return static_cast<SoftBit>(std::lrint(std::clamp(value, -limit, limit)));
}

// One by one: the modulations that no data channel of ours uses.
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

void demap_qpsk(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                std::int8_t* soft_bits) {
  demap_plain(1, symbols, inverse_noise, count, unit, soft_bits);
}
void demap_qam16(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                 std::int8_t* soft_bits) {
  demap_plain(2, symbols, inverse_noise, count, unit, soft_bits);
}
void demap_qam64(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                 std::int8_t* soft_bits) {
  demap_plain(3, symbols, inverse_noise, count, unit, soft_bits);
}
void demap_qam256(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                  std::int8_t* soft_bits) {
  demap_plain(4, symbols, inverse_noise, count, unit, soft_bits);
}

#else

using D = hn::CappedTag<float, lanes_max>;
using V = hn::Vec<D>;
using Words = hn::Repartition<std::int16_t, D>;
using Octets = hn::Repartition<std::uint8_t, D>;

// sign(t) (r + 1) (|t| - r) with 2^(m - 1) straight pieces; x = |t|.
template <int m>
HWY_INLINE V folded(V t, V x) {
  const D d;
  if constexpr (m == 1) {
    return t;
  } else if constexpr (m == 2) {
    return hn::CopySignToAbs(hn::Max(x, hn::Sub(hn::Add(x, x), hn::Set(d, 2.0f))), t);
  } else {
    const V piece = hn::Min(hn::Floor(hn::Mul(x, hn::Set(d, 0.5f))),
                            hn::Set(d, static_cast<float>((1 << (m - 1)) - 1)));
    const V rest = hn::Sub(x, piece);
    return hn::CopySignToAbs(hn::MulAdd(rest, piece, rest), t);
  }
}

// bits[j]: the j-th bit of each axis of the lanes' levels t, times gain, rounded.
template <int m>
HWY_INLINE void axis_bits(V t, V gain, hn::Vec<hn::Rebind<std::int32_t, D>>* bits) {
  const D d;
  const V x = hn::Abs(t);
  // Two operations; NearestInt takes five, for overflows that cannot be here.
  const V magic = hn::Set(d, 1.5f * (1 << 23));
  const hn::Rebind<std::int32_t, D> d32;
  bits[0] =
      hn::Sub(hn::BitCast(d32, hn::MulAdd(gain, folded<m>(t, x), magic)), hn::BitCast(d32, magic));
  if constexpr (m > 1)
    axis_bits<m - 1>(hn::Sub(hn::Set(d, static_cast<float>(1 << (m - 1))), x), gain, bits + 1);
}

// Four vectors of 32-bit lanes to saturated bytes. `order` arranges each 16-byte block, whose
// bytes come as a0 c0 a1 c1 .. a3 c3 b0 d0 .. b3 d3 (the lanes of the same block of a, b, c, d).
template <class V32>
HWY_INLINE hn::Vec<Octets> pack(V32 a, V32 b, V32 c, V32 d, const std::uint8_t* order) {
  const Words words;
  const Octets octets;
  const auto low = hn::Set(words, std::int16_t{-soft_bit_max});
  const auto high = hn::Set(words, std::int16_t{soft_bit_max});
  const auto ab = hn::Clamp(hn::ReorderDemote2To(words, a, b), low, high);
  const auto cd = hn::Clamp(hn::ReorderDemote2To(words, c, d), low, high);
  const auto mixed = hn::Or(hn::And(ab, hn::Set(words, std::int16_t{0xff})), hn::ShiftLeft<8>(cd));
  return hn::TableLookupBytes(hn::BitCast(octets, mixed), hn::LoadDup128(octets, order));
}

// Orders within a block, by what the four vectors hold.
alignas(16) constexpr std::uint8_t four_symbol_vectors[16] = {0, 2, 4, 6, 8, 10, 12, 14,
                                                              1, 3, 5, 7, 9, 11, 13, 15};
alignas(16) constexpr std::uint8_t two_bits_two_vectors[16] = {0, 2, 8, 10, 4, 6, 12, 14,
                                                               1, 3, 9, 11, 5, 7, 13, 15};
alignas(16) constexpr std::uint8_t three_bits[16] = {0,  2,  8, 10, 1,  3,  4,  6,
                                                     12, 14, 5, 7,  15, 15, 15, 15};
alignas(16) constexpr std::uint8_t four_bits[16] = {0, 2, 8,  10, 1, 3, 9,  11,
                                                    4, 6, 12, 14, 5, 7, 13, 15};

template <int qm>
class Demapper {
 public:
  static constexpr int m = qm / 2;
  static HWY_INLINE std::size_t step() { return (qm == 2 ? 2 : 1) * hn::Lanes(D()); }  // symbols
  // Bytes written from soft_bits on by a step: more than it has soft bits when qm = 6.
  static HWY_INLINE std::size_t step_bytes() { return step() * qm + (qm == 6 ? lanes_max : 0); }

  HWY_INLINE explicit Demapper(float unit)
      : to_level_(hn::Set(D(), 1 / unit)), gain_(hn::Set(D(), 4 * llr_scale * unit * unit)) {
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

  HWY_INLINE void operator()(const float* symbols, const float* inverse_noise,
                             std::int8_t* soft_bits) const {
    using V32 = hn::Vec<hn::Rebind<std::int32_t, D>>;
    const std::size_t lanes = hn::Lanes(D());
    V32 a[m], b[m];
    pair(symbols, inverse_noise, a, b);
    if constexpr (qm == 2) {
      V32 c[m], d[m];
      pair(symbols + 2 * lanes, inverse_noise + lanes, c, d);
      store(pack(a[0], b[0], c[0], d[0], four_symbol_vectors), soft_bits);
    } else if constexpr (qm == 4) {
      store(pack(a[0], a[1], b[0], b[1], two_bits_two_vectors), soft_bits);
    } else if constexpr (qm == 6) {
      store(pack(a[0], a[1], a[2], a[2], three_bits), soft_bits);
      store(pack(b[0], b[1], b[2], b[2], three_bits), soft_bits + lanes / 2 * qm);
    } else {
      store(pack(a[0], a[1], a[2], a[3], four_bits), soft_bits);
      store(pack(b[0], b[1], b[2], b[3], four_bits), soft_bits + lanes / 2 * qm);
    }
  }

 private:
  // Lanes(D) symbols: the first half in a, the second in b.
  template <class V32>
  HWY_INLINE void pair(const float* symbols, const float* inverse_noise, V32* a, V32* b) const {
    const D d;
    const V limit = hn::Set(d, level_max);
    const V gain = hn::Min(hn::Mul(hn::LoadU(d, inverse_noise), gain_), hn::Set(d, gain_max(m)));
    const V t_a = hn::Mul(hn::LoadU(d, symbols), to_level_);
    const V t_b = hn::Mul(hn::LoadU(d, symbols + hn::Lanes(d)), to_level_);
    axis_bits<m>(hn::Clamp(t_a, hn::Neg(limit), limit), hn::TableLookupLanes(gain, lower_), a);
    axis_bits<m>(hn::Clamp(t_b, hn::Neg(limit), limit), hn::TableLookupLanes(gain, upper_), b);
  }

  HWY_INLINE void store(hn::Vec<Octets> bytes, std::int8_t* to) const {
    const hn::RebindToUnsigned<D> d32;
    auto words = hn::BitCast(d32, bytes);
    if constexpr (qm != 8) words = hn::TableLookupLanes(words, dwords_);
    hn::StoreU(hn::BitCast(Octets(), words), Octets(), reinterpret_cast<std::uint8_t*>(to));
  }

  V to_level_;
  V gain_;
  decltype(hn::SetTableIndices(D(), static_cast<const std::int32_t*>(nullptr))) lower_, upper_;
  decltype(hn::SetTableIndices(hn::RebindToUnsigned<D>(),
                               static_cast<const std::int32_t*>(nullptr))) dwords_;
};

template <int qm>
void demap_symbols(const float* HWY_RESTRICT symbols, const float* HWY_RESTRICT inverse_noise,
                   std::size_t count, float unit, std::int8_t* HWY_RESTRICT soft_bits) {
  const Demapper<qm> demapper(unit);
  const std::size_t step = demapper.step();
  std::size_t i = 0;
  for (; i * qm + demapper.step_bytes() <= count * qm; i += step)
    demapper(symbols + 2 * i, inverse_noise + i, soft_bits + i * qm);
  for (; i < count; i += step) {
    float padded[4 * lanes_max] = {};
    float padded_noise[2 * lanes_max] = {};
    std::int8_t result[2 * lanes_max * 8 + lanes_max];
    const std::size_t rest = std::min(count - i, step);
    std::memcpy(padded, symbols + 2 * i, 2 * rest * sizeof(float));
    std::memcpy(padded_noise, inverse_noise + i, rest * sizeof(float));
    demapper(padded, padded_noise, result);
    std::memcpy(soft_bits + i * qm, result, rest * qm);
  }
}

void demap_qpsk(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                std::int8_t* soft_bits) {
  demap_symbols<2>(symbols, inverse_noise, count, unit, soft_bits);
}
void demap_qam16(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                 std::int8_t* soft_bits) {
  demap_symbols<4>(symbols, inverse_noise, count, unit, soft_bits);
}
void demap_qam64(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                 std::int8_t* soft_bits) {
  demap_symbols<6>(symbols, inverse_noise, count, unit, soft_bits);
}
void demap_qam256(const float* symbols, const float* inverse_noise, std::size_t count, float unit,
                  std::int8_t* soft_bits) {
  demap_symbols<8>(symbols, inverse_noise, count, unit, soft_bits);
}

#endif  // HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(demap_qpsk);
HWY_EXPORT(demap_qam16);
HWY_EXPORT(demap_qam64);
HWY_EXPORT(demap_qam256);

namespace {

// BPSK, pi/2-BPSK: along the point for 0, which is (1 + j) / sqrt 2 or (-1 + j) / sqrt 2.
void demap_bpsk(bool turns, View<const cf32, 1> symbols, View<const float, 1> inverse_noise,
                float unit, View<SoftBit, 1> soft_bits) {
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const float real = turns && i % 2 == 1 ? -symbols[i].real() : symbols[i].real();
    const float along = real + symbols[i].imag();
    soft_bits[i] =
        saturated(std::min(4 * llr_scale * unit * inverse_noise[i], gain_max(1)) * along);
  }
}

}  // namespace

void demap(nr::Modulation modulation, View<const cf32, 1> symbols,
           View<const float, 1> inverse_noise, View<SoftBit, 1> soft_bits) {
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
      return demap_bpsk(modulation == nr::Modulation::pi2_bpsk, symbols, inverse_noise, unit,
                        soft_bits);
    case nr::Modulation::qpsk:
      return HWY_DYNAMIC_DISPATCH(demap_qpsk)(in, noise, count, unit, out);
    case nr::Modulation::qam16:
      return HWY_DYNAMIC_DISPATCH(demap_qam16)(in, noise, count, unit, out);
    case nr::Modulation::qam64:
      return HWY_DYNAMIC_DISPATCH(demap_qam64)(in, noise, count, unit, out);
    case nr::Modulation::qam256:
      return HWY_DYNAMIC_DISPATCH(demap_qam256)(in, noise, count, unit, out);
    case nr::Modulation::qam1024:
      return demap_plain(5, in, noise, count, unit, out);
  }
}

}  // namespace noroshi::phy::cpu
#endif
