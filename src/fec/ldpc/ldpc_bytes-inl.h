// Vectors of signed bytes as the LDPC decoder needs them, for the current Highway target. Where the
// target has one lane a vector (g++ 12 below AVX2), 16 bytes as plain loops stand in.

#if defined(NOROSHI_FEC_LDPC_BYTES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_FEC_LDPC_BYTES_INL_H_
#undef NOROSHI_FEC_LDPC_BYTES_INL_H_
#else
#define NOROSHI_FEC_LDPC_BYTES_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <hwy/highway.h>

// Unrolls the loop that follows, of at most 19 rounds: its arrays of vectors become registers.
#ifndef NOROSHI_UNROLL
#if defined(__clang__)
#define NOROSHI_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NOROSHI_UNROLL _Pragma("GCC unroll 19")
#endif
#endif

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

// round(a * scale / 16), halves up, of magnitudes; 0 <= scale <= 16.
HWY_INLINE Bytes scaled_magnitude(Bytes a, int scale) {
  const UnsignedTag u;
  const hn::Repartition<std::uint16_t, Tag> u16;
  if (HWY_LIKELY(scale == 12)) {  // a - floor((a + 1) / 4)
    const auto half = hn::AverageRound(hn::BitCast(u, a), hn::Zero(u));
    const auto quarter = hn::And(hn::BitCast(u, hn::ShiftRight<1>(hn::BitCast(u16, half))),
                                 hn::Set(u, std::uint8_t{0x7f}));
    return hn::BitCast(Tag(), hn::Sub(hn::BitCast(u, a), quarter));
  }
  const auto factor = hn::Set(u16, static_cast<std::uint16_t>(scale));
  const auto rounding = hn::Set(u16, std::uint16_t{8});
  const auto pairs = hn::BitCast(u16, a);
  const auto even = hn::And(pairs, hn::Set(u16, std::uint16_t{0xff}));
  const auto odd = hn::ShiftRight<8>(pairs);
  const auto even_scaled = hn::ShiftRight<4>(hn::Add(hn::Mul(even, factor), rounding));
  const auto odd_scaled = hn::ShiftRight<4>(hn::Add(hn::Mul(odd, factor), rounding));
  return hn::BitCast(Tag(), hn::Or(even_scaled, hn::ShiftLeft<8>(odd_scaled)));
}

// round(a * gain / 2048), saturated; 0 < gain < 32768.
HWY_INLINE Bytes amplified(const std::int8_t* p, int gain) {
  const hn::Half<Tag> half;
  const hn::Rebind<std::int16_t, decltype(half)> wide;
  const auto factor = hn::Set(wide, static_cast<std::int16_t>(gain));
  const auto low = hn::ShiftLeft<4>(hn::PromoteTo(wide, hn::LoadU(half, p)));
  const auto high = hn::ShiftLeft<4>(hn::PromoteTo(wide, hn::LoadU(half, p + lanes / 2)));
  return hn::Combine(Tag(), hn::DemoteTo(half, hn::MulFixedPoint15(high, factor)),
                     hn::DemoteTo(half, hn::MulFixedPoint15(low, factor)));
}

// Adds the magnitudes of one vector to `sum` and its non-zero lanes to `count`.
HWY_INLINE void add_magnitudes(const std::int8_t* p, std::uint64_t& sum, std::uint64_t& count) {
  const Bytes a = load_unaligned(p);
  const UnsignedTag u;
  const hn::Repartition<std::uint64_t, Tag> u64;
  sum += hn::GetLane(hn::SumOfLanes(u64, hn::SumsOf8(hn::BitCast(u, hn::Abs(a)))));
  count += lanes - hn::CountTrue(Tag(), hn::Eq(a, zero()));
}

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
inline Bytes scaled_magnitude(const Bytes& a, int scale) {
  return each([&](std::size_t i) { return (unsigned_of(a.lane[i]) * scale + 8) >> 4; });
}
inline Bytes amplified(const std::int8_t* p, int gain) {
  return each([&](std::size_t i) { return clamped((p[i] * gain + 1024) >> 11); });
}
inline void add_magnitudes(const std::int8_t* p, std::uint64_t& sum, std::uint64_t& count) {
  for (std::size_t i = 0; i < lanes; ++i) {
    sum += static_cast<std::uint64_t>(p[i] < 0 ? -p[i] : p[i]);
    count += p[i] != 0;
  }
}
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
