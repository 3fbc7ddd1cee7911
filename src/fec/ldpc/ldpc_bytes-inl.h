// Vectors of signed bytes as the LDPC decoder needs them, for the current Highway target. Where the
// target has one lane a vector (g++ 12 below AVX2), 16 bytes as plain loops stand in.

#if defined(NOROSHI_FEC_LDPC_BYTES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_FEC_LDPC_BYTES_INL_H_
#undef NOROSHI_FEC_LDPC_BYTES_INL_H_
#else
#define NOROSHI_FEC_LDPC_BYTES_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <hwy/highway.h>
#include "fec/ldpc/ldpc_graph.h"

// Unrolls the loop that follows, of at most 19 rounds: its arrays of vectors become registers.
#ifndef NOROSHI_UNROLL
#if defined(__clang__)
#define NOROSHI_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NOROSHI_UNROLL _Pragma("GCC unroll 19")
#endif
#endif

#undef NOROSHI_LDPC_AVX512
#define NOROSHI_LDPC_AVX512 (HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL)

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<std::int8_t, 64>;
using UnsignedTag = hn::RebindToUnsigned<Tag>;
using Bytes = hn::Vec<Tag>;
inline constexpr std::size_t lanes = hn::MaxLanes(Tag());

HWY_INLINE Bytes zero() { return hn::Zero(Tag()); }
HWY_INLINE Bytes set(int value) { return hn::Set(Tag(), static_cast<std::int8_t>(value)); }
HWY_INLINE Bytes load(const std::int8_t* p) { return hn::Load(Tag(), p); }
HWY_INLINE Bytes load_unaligned(const std::int8_t* p) { return hn::LoadU(Tag(), p); }
HWY_INLINE void store(Bytes v, std::int8_t* p) { hn::Store(v, Tag(), p); }
HWY_INLINE void store_unaligned(Bytes v, std::int8_t* p) { hn::StoreU(v, Tag(), p); }
HWY_INLINE Bytes add_saturated(Bytes a, Bytes b) { return hn::SaturatedAdd(a, b); }
HWY_INLINE Bytes sub_saturated(Bytes a, Bytes b) { return hn::SaturatedSub(a, b); }
HWY_INLINE Bytes exclusive_or(Bytes a, Bytes b) { return hn::Xor(a, b); }
HWY_INLINE Bytes either(Bytes a, Bytes b) { return hn::Or(a, b); }
HWY_INLINE Bytes added(Bytes a, Bytes b) { return hn::Add(a, b); }
HWY_INLINE Bytes subtracted(Bytes a, Bytes b) { return hn::Sub(a, b); }
HWY_INLINE Bytes negated(Bytes a) { return hn::Neg(a); }
// -1 where negative, else 0.
HWY_INLINE Bytes sign_mask(Bytes a) { return hn::BroadcastSignBit(a); }
// |a|, and the comparisons of it, as unsigned bytes: |-128| is 128.
HWY_INLINE Bytes magnitude(Bytes a) { return hn::Abs(a); }
HWY_INLINE Bytes smaller(Bytes a, Bytes b) {
  const UnsignedTag u;
  return hn::BitCast(Tag(), hn::Min(hn::BitCast(u, a), hn::BitCast(u, b)));
}
HWY_INLINE Bytes larger(Bytes a, Bytes b) {
  const UnsignedTag u;
  return hn::BitCast(Tag(), hn::Max(hn::BitCast(u, a), hn::BitCast(u, b)));
}
HWY_INLINE Bytes if_negative(Bytes test, Bytes yes, Bytes no) {
  return hn::IfNegativeThenElse(test, yes, no);
}
HWY_INLINE Bytes if_equal(Bytes a, Bytes b, Bytes yes, Bytes no) {
  return hn::IfThenElse(hn::Eq(a, b), yes, no);
}
HWY_INLINE bool any_negative(Bytes a) { return !hn::AllFalse(Tag(), hn::Lt(a, zero())); }

// What a row's answer needs besides its smallest magnitude: how a magnitude is scaled.
struct Scaling {
  explicit Scaling(LdpcMinSum min_sum) : rule(min_sum) {
#if HWY_TARGET == HWY_AVX3_DL
    alignas(64) std::int8_t entries[64];
    for (int i = 0; i < 64; ++i)
      entries[i] = static_cast<std::int8_t>(std::max(i * rule.factor_x16 / 16, i - rule.offset));
    table = load(entries);
#endif
  }
  LdpcMinSum rule;
#if HWY_TARGET == HWY_AVX3_DL
  Bytes table;
#endif
};

// max(floor(a * factor / 16), a - offset) of magnitudes up to 63; 0 <= factor <= 16.
HWY_INLINE Bytes scaled_magnitude(Bytes a, const Scaling& scaling) {
#if HWY_TARGET == HWY_AVX3_DL
  return Bytes{_mm512_permutexvar_epi8(a.raw, scaling.table.raw)};
#else
  const UnsignedTag u;
  const hn::Repartition<std::uint16_t, Tag> u16;
  const int factor_x16 = scaling.rule.factor_x16;
  const auto whole = hn::BitCast(u, a);
  const auto less =
      hn::SaturatedSub(whole, hn::Set(u, static_cast<std::uint8_t>(scaling.rule.offset)));
  if (HWY_LIKELY(factor_x16 == 10 || factor_x16 == 12 || factor_x16 == 14)) {
    // a - ceil(3 a / 8), a - ceil(a / 4), a - ceil(a / 8): averages round up.
    auto part = hn::AverageRound(whole, hn::Zero(u));
    part = hn::AverageRound(part, factor_x16 == 10 ? whole : hn::Zero(u));
    if (factor_x16 != 12) part = hn::AverageRound(part, hn::Zero(u));
    return hn::BitCast(Tag(), hn::Max(less, hn::Sub(whole, part)));
  }
  const auto factor = hn::Set(u16, static_cast<std::uint16_t>(factor_x16));
  const auto pairs = hn::BitCast(u16, a);
  const auto even = hn::And(pairs, hn::Set(u16, std::uint16_t{0xff}));
  const auto odd = hn::ShiftRight<8>(pairs);
  const auto even_scaled = hn::ShiftRight<4>(hn::Mul(even, factor));
  const auto odd_scaled = hn::ShiftRight<4>(hn::Mul(odd, factor));
  const auto scaled = hn::BitCast(u, hn::Or(even_scaled, hn::ShiftLeft<8>(odd_scaled)));
  return hn::BitCast(Tag(), hn::Max(less, scaled));
#endif
}

// What a row answers to the bit that told it x: `second` where |x| is the row's minimum, else
// `first`, with its sign flipped where x is negative. 0 <= minimum <= min(|x|, 63).
//
// AVX-512 in its own instructions: of the two ports for 512-bit vectors only the first takes
// saturating, minimum and absolute operations, and it is the full one. Here everything can use the
// second. Measured against the plain form below: docs/measurements/ldpc-floor.md.
HWY_INLINE Bytes answer_to(Bytes x, Bytes minimum, Bytes first, Bytes second) {
#if NOROSHI_LDPC_AVX512
  const __m512i none = _mm512_setzero_si512();
  const __mmask64 is_minimum = _mm512_cmple_epu8_mask(_mm512_add_epi8(x.raw, minimum.raw),
                                                      _mm512_add_epi8(minimum.raw, minimum.raw));
  const __mmask64 negative = _mm512_cmplt_epi8_mask(x.raw, none);
  const __m512i answer = _mm512_mask_blend_epi8(is_minimum, first.raw, second.raw);
  return Bytes{_mm512_mask_sub_epi8(answer, negative, none, answer)};
#elif HWY_TARGET == HWY_AVX2
  const Bytes answer = if_equal(magnitude(x), minimum, second, first);
  return Bytes{_mm256_sign_epi8(answer.raw, _mm256_or_si256(x.raw, _mm256_set1_epi8(1)))};
#else
  const Bytes answer = if_equal(magnitude(x), minimum, second, first);
  return if_negative(x, negated(answer), answer);
#endif
}

// [l] = v[index[l]]; only where has_permute.
#if HWY_TARGET == HWY_AVX3_DL
inline constexpr bool has_permute = true;
HWY_INLINE Bytes permuted(Bytes v, Bytes index) {
  return Bytes{_mm512_permutexvar_epi8(index.raw, v.raw)};
}
#else
inline constexpr bool has_permute = false;
HWY_INLINE Bytes permuted(Bytes v, Bytes /*index*/) { return v; }
#endif

// round(a * gain / 128), saturated; 0 < gain < 32768. Highway has no demotion of two vectors to one
// of bytes in every block, hence x86's own.
HWY_INLINE Bytes amplified(const std::int8_t* p, int gain) {
#if NOROSHI_LDPC_AVX512
  const __m512i factor = _mm512_set1_epi16(static_cast<std::int16_t>(gain));
  const __m512i a = load_unaligned(p).raw;
  const __m512i low = _mm512_unpacklo_epi8(_mm512_setzero_si512(), a);  // 256 a
  const __m512i high = _mm512_unpackhi_epi8(_mm512_setzero_si512(), a);
  return Bytes{
      _mm512_packs_epi16(_mm512_mulhrs_epi16(low, factor), _mm512_mulhrs_epi16(high, factor))};
#elif HWY_TARGET == HWY_AVX2
  const __m256i factor = _mm256_set1_epi16(static_cast<std::int16_t>(gain));
  const __m256i a = load_unaligned(p).raw;
  const __m256i low = _mm256_unpacklo_epi8(_mm256_setzero_si256(), a);
  const __m256i high = _mm256_unpackhi_epi8(_mm256_setzero_si256(), a);
  return Bytes{
      _mm256_packs_epi16(_mm256_mulhrs_epi16(low, factor), _mm256_mulhrs_epi16(high, factor))};
#else
  const hn::Half<Tag> half;
  const hn::Rebind<std::int16_t, decltype(half)> wide;
  const auto factor = hn::Set(wide, static_cast<std::int16_t>(gain));
  const auto low = hn::ShiftLeft<8>(hn::PromoteTo(wide, hn::LoadU(half, p)));
  const auto high = hn::ShiftLeft<8>(hn::PromoteTo(wide, hn::LoadU(half, p + lanes / 2)));
  return hn::Combine(Tag(), hn::DemoteTo(half, hn::MulFixedPoint15(high, factor)),
                     hn::DemoteTo(half, hn::MulFixedPoint15(low, factor)));
#endif
}

// The sum of magnitudes and the count of what is not zero.
class MagnitudeSum {
 public:
  // Not implicit: that one would lack the target's instructions.
  HWY_INLINE MagnitudeSum() : sum_(hn::Zero(Wide())), count_(sum_) {}
  HWY_INLINE void add(const std::int8_t* p) {
    const UnsignedTag u;
    const auto size = hn::BitCast(u, hn::Abs(load_unaligned(p)));
    sum_ = hn::Add(sum_, hn::SumsOf8(size));
    count_ = hn::Add(count_, hn::SumsOf8(hn::Min(size, hn::Set(u, std::uint8_t{1}))));
  }
  HWY_INLINE std::uint64_t sum() const { return hn::GetLane(hn::SumOfLanes(Wide(), sum_)); }
  HWY_INLINE std::uint64_t count() const { return hn::GetLane(hn::SumOfLanes(Wide(), count_)); }

 private:
  using Wide = hn::Repartition<std::uint64_t, Tag>;
  hn::Vec<Wide> sum_;
  hn::Vec<Wide> count_;
};

// The signs of one vector as lanes / 8 packed bytes, the first lane in the most significant bit.
HWY_INLINE void store_signs(const std::int8_t* p, std::uint8_t* packed) {
  const Tag d;
  alignas(16) static constexpr std::int8_t reversed[16] = {7,  6,  5,  4,  3,  2,  1, 0,
                                                           15, 14, 13, 12, 11, 10, 9, 8};
  const Bytes a = hn::TableLookupBytes(load_unaligned(p), hn::LoadDup128(d, reversed));
  std::uint8_t mask[8 < lanes / 8 ? lanes / 8 : 8];
  hn::StoreMaskBits(d, hn::Lt(a, zero()), mask);
  std::memcpy(packed, mask, lanes / 8);
}

#else  // HWY_SCALAR

inline constexpr std::size_t lanes = 16;
struct Bytes {
  std::int8_t lane[lanes];
};

template <class F>
inline Bytes each(F f) {
  Bytes r;
  for (std::size_t i = 0; i < lanes; ++i) r.lane[i] = static_cast<std::int8_t>(f(i));
  return r;
}
inline int clamped(int a) { return a < -128 ? -128 : a > 127 ? 127 : a; }
inline std::uint8_t unsigned_of(std::int8_t a) { return static_cast<std::uint8_t>(a); }

inline Bytes set(int value) {
  return each([&](std::size_t) { return value; });
}
inline Bytes zero() { return set(0); }
inline Bytes load_unaligned(const std::int8_t* p) {
  Bytes r;
  std::memcpy(r.lane, p, lanes);
  return r;
}
inline Bytes load(const std::int8_t* p) { return load_unaligned(p); }
inline void store_unaligned(const Bytes& v, std::int8_t* p) { std::memcpy(p, v.lane, lanes); }
inline void store(const Bytes& v, std::int8_t* p) { store_unaligned(v, p); }
inline Bytes add_saturated(const Bytes& a, const Bytes& b) {
  return each([&](std::size_t i) { return clamped(a.lane[i] + b.lane[i]); });
}
inline Bytes sub_saturated(const Bytes& a, const Bytes& b) {
  return each([&](std::size_t i) { return clamped(a.lane[i] - b.lane[i]); });
}
inline Bytes exclusive_or(const Bytes& a, const Bytes& b) {
  return each([&](std::size_t i) { return a.lane[i] ^ b.lane[i]; });
}
inline Bytes either(const Bytes& a, const Bytes& b) {
  return each([&](std::size_t i) { return a.lane[i] | b.lane[i]; });
}
inline Bytes added(const Bytes& a, const Bytes& b) {
  return each([&](std::size_t i) { return a.lane[i] + b.lane[i]; });
}
inline Bytes subtracted(const Bytes& a, const Bytes& b) {
  return each([&](std::size_t i) { return a.lane[i] - b.lane[i]; });
}
inline Bytes sign_mask(const Bytes& a) {
  return each([&](std::size_t i) { return a.lane[i] < 0 ? -1 : 0; });
}
inline Bytes negated(const Bytes& a) {
  return each([&](std::size_t i) { return -a.lane[i]; });
}
inline Bytes magnitude(const Bytes& a) {
  return each([&](std::size_t i) { return a.lane[i] < 0 ? -a.lane[i] : a.lane[i]; });
}
inline Bytes smaller(const Bytes& a, const Bytes& b) {
  return each([&](std::size_t i) {
    return unsigned_of(a.lane[i]) < unsigned_of(b.lane[i]) ? a.lane[i] : b.lane[i];
  });
}
inline Bytes larger(const Bytes& a, const Bytes& b) {
  return each([&](std::size_t i) {
    return unsigned_of(a.lane[i]) > unsigned_of(b.lane[i]) ? a.lane[i] : b.lane[i];
  });
}
inline Bytes if_negative(const Bytes& test, const Bytes& yes, const Bytes& no) {
  return each([&](std::size_t i) { return test.lane[i] < 0 ? yes.lane[i] : no.lane[i]; });
}
inline Bytes if_equal(const Bytes& a, const Bytes& b, const Bytes& yes, const Bytes& no) {
  return each([&](std::size_t i) { return a.lane[i] == b.lane[i] ? yes.lane[i] : no.lane[i]; });
}
inline bool any_negative(const Bytes& a) {
  int any = 0;
  for (std::int8_t lane : a.lane) any |= lane;
  return any < 0;
}
struct Scaling {
  explicit Scaling(LdpcMinSum min_sum) : rule(min_sum) {}
  LdpcMinSum rule;
};
inline Bytes scaled_magnitude(const Bytes& a, const Scaling& scaling) {
  return each([&](std::size_t i) {
    const int whole = unsigned_of(a.lane[i]);
    return std::max(whole * scaling.rule.factor_x16 >> 4, whole - scaling.rule.offset);
  });
}
inline Bytes answer_to(const Bytes& x, const Bytes& minimum, const Bytes& first,
                       const Bytes& second) {
  const Bytes answer = if_equal(magnitude(x), minimum, second, first);
  return if_negative(x, negated(answer), answer);
}
inline constexpr bool has_permute = false;
inline Bytes permuted(const Bytes& v, const Bytes& /*index*/) { return v; }
inline Bytes amplified(const std::int8_t* p, int gain) {
  return each([&](std::size_t i) { return clamped((p[i] * gain + 64) >> 7); });
}
class MagnitudeSum {
 public:
  void add(const std::int8_t* p) {
    for (std::size_t i = 0; i < lanes; ++i) {
      sum_ += static_cast<std::uint64_t>(p[i] < 0 ? -p[i] : p[i]);
      count_ += p[i] != 0;
    }
  }
  std::uint64_t sum() const { return sum_; }
  std::uint64_t count() const { return count_; }

 private:
  std::uint64_t sum_ = 0;
  std::uint64_t count_ = 0;
};
inline void store_signs(const std::int8_t* p, std::uint8_t* packed) {
  for (std::size_t i = 0; i < lanes / 8; ++i) {
    unsigned byte = 0;
    for (std::size_t bit = 0; bit < 8; ++bit) byte = 2 * byte + (p[8 * i + bit] < 0);
    packed[i] = static_cast<std::uint8_t>(byte);
  }
}

#endif  // HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
