// What a list decoder does with its 8 paths as lanes, for the current Highway target. Where vectors
// have less than 32 bytes, plain loops stand in.

#if defined(NOROSHI_FEC_POLAR_PATHS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_FEC_POLAR_PATHS_INL_H_
#undef NOROSHI_FEC_POLAR_PATHS_INL_H_
#else
#define NOROSHI_FEC_POLAR_PATHS_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include <hwy/highway.h>

#undef NOROSHI_POLAR_VECTORS
#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE && HWY_MAX_BYTES >= 32
#define NOROSHI_POLAR_VECTORS 1
#else
#define NOROSHI_POLAR_VECTORS 0
#endif

#ifndef NOROSHI_FEC_POLAR_PATHS_ONCE
#define NOROSHI_FEC_POLAR_PATHS_ONCE
namespace noroshi::fec {
// The metric of a path that is none: above all others, and never beyond 28 bits.
inline constexpr std::int32_t polar_no_path = 1 << 26;
constexpr std::int32_t polar_lane_mask(unsigned lanes, unsigned lane) {
  return ((lanes >> lane) & 1) != 0 ? -1 : 0;
}
}  // namespace noroshi::fec
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if NOROSHI_POLAR_VECTORS

using Paths = hn::Vec<hn::FixedTag<std::int32_t, 8>>;
using PathsTag = hn::FixedTag<std::int32_t, 8>;

HWY_INLINE Paths load8(const std::int32_t* p) { return hn::Load(PathsTag(), p); }
HWY_INLINE void store8(Paths v, std::int32_t* p) { hn::Store(v, PathsTag(), p); }
HWY_INLINE Paths set8(std::int32_t value) { return hn::Set(PathsTag(), value); }
HWY_INLINE Paths iota8() { return hn::Iota(PathsTag(), 0); }
HWY_INLINE Paths add8(Paths a, Paths b) { return hn::Add(a, b); }
HWY_INLINE Paths xor8(Paths a, Paths b) { return hn::Xor(a, b); }
HWY_INLINE Paths or8(Paths a, Paths b) { return hn::Or(a, b); }
HWY_INLINE Paths and8(Paths a, Paths b) { return hn::And(a, b); }
template <int bits>
HWY_INLINE Paths left8(Paths a) {
  return hn::ShiftLeft<bits>(a);
}
template <int bits>
HWY_INLINE Paths right8(Paths a) {
  return hn::ShiftRight<bits>(a);
}
HWY_INLINE Paths left8(Paths a, int bits) { return hn::ShiftLeftSame(a, bits); }
// -a where sign is 1, a where it is 0
HWY_INLINE Paths negate8(Paths a, Paths sign) {
  const Paths all = hn::Neg(sign);
  return hn::Sub(hn::Xor(a, all), all);
}
// a[from[lane]]
HWY_INLINE Paths take8(Paths a, Paths from) {
  return hn::TableLookupLanes(a, hn::IndicesFromVec(PathsTag(), from));
}

template <int distance>
HWY_INLINE Paths partner8(Paths v) {
  if constexpr (distance == 1) return hn::Shuffle2301(v);
  if constexpr (distance == 2) return hn::Shuffle1032(v);
  if constexpr (distance == 4) return hn::ConcatLowerUpper(PathsTag(), v, v);
}

// One step of a bitonic sort: lane i keeps the smaller one of its pair where bit i of smaller_at is
// set.
template <int distance, unsigned smaller_at>
HWY_INLINE Paths exchange8(Paths v) {
  alignas(32) static constexpr std::int32_t keep[8] = {
      polar_lane_mask(smaller_at, 0), polar_lane_mask(smaller_at, 1),
      polar_lane_mask(smaller_at, 2), polar_lane_mask(smaller_at, 3),
      polar_lane_mask(smaller_at, 4), polar_lane_mask(smaller_at, 5),
      polar_lane_mask(smaller_at, 6), polar_lane_mask(smaller_at, 7)};
  const hn::RebindToUnsigned<PathsTag> u;
  const auto a = hn::BitCast(u, v);
  const auto b = hn::BitCast(u, partner8<distance>(v));
  return hn::IfVecThenElse(hn::Load(PathsTag(), keep), hn::BitCast(PathsTag(), hn::Min(a, b)),
                           hn::BitCast(PathsTag(), hn::Max(a, b)));
}

// All 8 lanes, as unsigned numbers; turned = 0xff: descending.
template <unsigned turned>
HWY_INLINE Paths sort8(Paths v) {
  v = exchange8<1, 0x99 ^ turned>(v);
  v = exchange8<2, 0xc3 ^ turned>(v);
  v = exchange8<1, 0xa5 ^ turned>(v);
  v = exchange8<4, 0x0f ^ turned>(v);
  v = exchange8<2, 0x33 ^ turned>(v);
  return exchange8<1, 0x55 ^ turned>(v);
}

// The `list` smallest of both, and first of all lanes below `list`.
HWY_INLINE Paths smallest8(Paths stay, Paths flip, int list) {
  const PathsTag d;
  if (HWY_LIKELY(list == 8)) {
    const hn::RebindToUnsigned<PathsTag> u;
    return hn::BitCast(d,
                       hn::Min(hn::BitCast(u, sort8<0>(stay)), hn::BitCast(u, sort8<0xff>(flip))));
  }
  const Paths sorted = sort8<0>(hn::ConcatLowerLower(d, flip, stay));
  const Paths none = hn::Set(d, polar_no_path << 4);
  return hn::IfThenElse(hn::Lt(iota8(), hn::Set(d, list)), sorted, none);
}

HWY_INLINE bool any8(Paths a) { return !hn::AllTrue(PathsTag(), hn::Eq(a, hn::Zero(PathsTag()))); }

// The 16 bytes that say where each path of a block of two bits comes from.
HWY_INLINE void store_pattern(Paths from, std::uint8_t* pattern) {
  const hn::RebindToUnsigned<PathsTag> u;
  const auto low = hn::U8FromU32(hn::BitCast(u, from));
  const hn::FixedTag<std::uint8_t, 8> d8;
  hn::StoreU(low, d8, pattern);
  hn::StoreU(hn::Add(low, hn::Set(d8, std::uint8_t{8})), d8, pattern + 8);
}

// pattern[stage] = pattern[stage] after `then`
HWY_INLINE void compose_patterns(std::uint8_t* patterns, std::size_t stages,
                                 const std::uint8_t* then) {
  const hn::CappedTag<std::uint8_t, 64> d;
  const auto order = hn::LoadDup128(d, then);
  for (std::size_t at = 0; at < 16 * stages; at += hn::MaxLanes(d)) {
    hn::Store(hn::TableLookupBytes(hn::Load(d, patterns + at), order), d, patterns + at);
  }
}

template <class V>
HWY_INLINE auto fold16(V v) {
  constexpr std::size_t lanes = hn::MaxLanes(hn::DFromV<V>());
  if constexpr (lanes <= 8) {
    return v;
  } else {
    const hn::Half<hn::DFromV<V>> half;
    return fold16(hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

template <class D8>
HWY_INLINE void sums_over(D8, const std::int8_t* soft, std::size_t bytes, Paths& against_zero,
                          Paths& all) {
  const D8 d8;
  const hn::Rebind<std::int16_t, D8> d16;
  auto negative = hn::Zero(d16);
  auto sum = hn::Zero(d16);
  for (std::size_t at = 0; at < bytes; at += hn::MaxLanes(d8)) {
    const auto v = hn::PromoteTo(d16, hn::LoadU(d8, soft + at));
    negative = hn::Sub(negative, hn::Min(v, hn::Zero(d16)));
    sum = hn::Add(sum, v);
  }
  against_zero = hn::PromoteTo(PathsTag(), fold16(negative));
  all = hn::PromoteTo(PathsTag(), fold16(sum));
}

// Per path: what all zeros would cost, and the sum. At most 256 bits.
HWY_INLINE void sums8(const std::int8_t* soft, std::size_t count, Paths& against_zero, Paths& all) {
  const std::size_t bytes = 8 * count;
  constexpr std::size_t wide = hn::MaxLanes(hn::CappedTag<std::int16_t, 32>());
  if (bytes >= wide) {
    sums_over(hn::CappedTag<std::int8_t, wide>(), soft, bytes, against_zero, all);
  } else if (wide > 16 && bytes == 16) {
    sums_over(hn::CappedTag<std::int8_t, 16>(), soft, bytes, against_zero, all);
  } else {
    sums_over(hn::CappedTag<std::int8_t, 8>(), soft, bytes, against_zero, all);
  }
}

template <class V>
HWY_INLINE auto fold_least16(V v) {
  constexpr std::size_t lanes = hn::MaxLanes(hn::DFromV<V>());
  if constexpr (lanes <= 8) {
    return v;
  } else {
    const hn::Half<hn::DFromV<V>> half;
    return fold_least16(hn::Min(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

template <class D16>
HWY_INLINE Paths search_start_over(D16, const std::int8_t* soft, std::size_t bytes,
                                   std::int16_t* keys) {
  const D16 d16;
  const hn::Rebind<std::int8_t, D16> d8;
  auto least = hn::Set(d16, std::int16_t{0x7fff});
  auto position = hn::ShiftRight<3>(hn::Iota(d16, 0));
  for (std::size_t at = 0; at < bytes; at += hn::MaxLanes(d16)) {
    const auto v = hn::Abs(hn::PromoteTo(d16, hn::LoadU(d8, soft + at)));
    const auto key = hn::Or(hn::ShiftLeft<6>(v), position);
    hn::Store(key, d16, keys + at);
    least = hn::Min(least, key);
    position = hn::Add(position, hn::Set(d16, static_cast<std::int16_t>(hn::MaxLanes(d16) / 8)));
  }
  return hn::PromoteTo(PathsTag(), fold_least16(least));
}

template <class D16>
HWY_INLINE Paths search_next_over(D16, Paths last, std::size_t bytes, std::int16_t* keys) {
  const D16 d16;
  alignas(16) std::int16_t last16[8];
  hn::Store(hn::DemoteTo(hn::FixedTag<std::int16_t, 8>(), last), hn::FixedTag<std::int16_t, 8>(),
            last16);
  const auto gone = hn::LoadDup128(d16, last16);
  auto least = hn::Set(d16, std::int16_t{0x7fff});
  for (std::size_t at = 0; at < bytes; at += hn::MaxLanes(d16)) {
    const auto old = hn::Load(d16, keys + at);
    const auto key = hn::IfThenElse(hn::Eq(old, gone), hn::Set(d16, std::int16_t{0x7fff}), old);
    hn::Store(key, d16, keys + at);
    least = hn::Min(least, key);
  }
  return hn::PromoteTo(PathsTag(), fold_least16(least));
}

// The least reliable bit of each path, as magnitude * 64 + position; 2 to 64 bits.
HWY_INLINE Paths search_start(const std::int8_t* soft, std::size_t count, std::int16_t* keys) {
  constexpr std::size_t wide = hn::MaxLanes(hn::CappedTag<std::int16_t, 32>());
  if (8 * count >= wide) {
    return search_start_over(hn::CappedTag<std::int16_t, wide>(), soft, 8 * count, keys);
  }
  return search_start_over(hn::CappedTag<std::int16_t, 16>(), soft, 8 * count, keys);
}

// The next one, after `last` of all paths.
HWY_INLINE Paths search_next(Paths last, std::size_t count, std::int16_t* keys) {
  constexpr std::size_t wide = hn::MaxLanes(hn::CappedTag<std::int16_t, 32>());
  if (8 * count >= wide) {
    return search_next_over(hn::CappedTag<std::int16_t, wide>(), last, 8 * count, keys);
  }
  return search_next_over(hn::CappedTag<std::int16_t, 16>(), last, 8 * count, keys);
}

// 8 bytes, 0 or -1, of lanes 0 or 1
HWY_INLINE std::uint64_t bytes_of8(Paths flags) {
  const hn::RebindToUnsigned<PathsTag> u;
  const hn::FixedTag<std::uint8_t, 8> d8;
  std::uint64_t bytes;
  const auto narrow =
      hn::Neg(hn::BitCast(hn::FixedTag<std::int8_t, 8>(), hn::U8FromU32(hn::BitCast(u, flags))));
  hn::StoreU(hn::BitCast(d8, narrow), d8, reinterpret_cast<std::uint8_t*>(&bytes));
  return bytes;
}

#else  // plain loops

struct Paths {
  std::int32_t lane[8];
};

template <class Op>
HWY_INLINE Paths each8(Op op) {
  Paths out;
  for (int i = 0; i < 8; ++i) out.lane[i] = op(i);
  return out;
}
HWY_INLINE Paths load8(const std::int32_t* p) {
  return each8([=](int i) { return p[i]; });
}
HWY_INLINE void store8(const Paths& v, std::int32_t* p) { std::copy_n(v.lane, 8, p); }
HWY_INLINE Paths set8(std::int32_t value) {
  return each8([=](int) { return value; });
}
HWY_INLINE Paths iota8() {
  return each8([](int i) { return i; });
}
HWY_INLINE Paths add8(const Paths& a, const Paths& b) {
  return each8([&](int i) { return a.lane[i] + b.lane[i]; });
}
HWY_INLINE Paths xor8(const Paths& a, const Paths& b) {
  return each8([&](int i) { return a.lane[i] ^ b.lane[i]; });
}
HWY_INLINE Paths or8(const Paths& a, const Paths& b) {
  return each8([&](int i) { return a.lane[i] | b.lane[i]; });
}
HWY_INLINE Paths and8(const Paths& a, const Paths& b) {
  return each8([&](int i) { return a.lane[i] & b.lane[i]; });
}
HWY_INLINE Paths left8(const Paths& a, int bits) {
  return each8([&](int i) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(a.lane[i]) << bits);
  });
}
template <int bits>
HWY_INLINE Paths left8(const Paths& a) {
  return left8(a, bits);
}
template <int bits>
HWY_INLINE Paths right8(const Paths& a) {
  return each8([&](int i) { return a.lane[i] >> bits; });
}
HWY_INLINE Paths negate8(const Paths& a, const Paths& sign) {
  return each8([&](int i) { return sign.lane[i] != 0 ? -a.lane[i] : a.lane[i]; });
}
HWY_INLINE Paths take8(const Paths& a, const Paths& from) {
  return each8([&](int i) { return a.lane[from.lane[i]]; });
}

// In the order in which the vectors have them, so that ties fall alike.
HWY_INLINE Paths smallest8(const Paths& stay, const Paths& flip, int list) {
  std::uint32_t keys[16];
  const auto half = static_cast<std::size_t>(list == 8 ? 8 : 4);
  for (std::size_t i = 0; i < half; ++i) {
    keys[i] = static_cast<std::uint32_t>(stay.lane[i]);
    keys[half + i] = static_cast<std::uint32_t>(flip.lane[i]);
  }
  if (list == 8) {
    std::sort(keys, keys + 8);
    std::sort(keys + 8, keys + 16, std::greater<>());
    return each8([&](int i) { return static_cast<std::int32_t>(std::min(keys[i], keys[8 + i])); });
  }
  std::sort(keys, keys + 8);
  return each8(
      [&](int i) { return i < list ? static_cast<std::int32_t>(keys[i]) : polar_no_path << 4; });
}

HWY_INLINE bool any8(const Paths& a) {
  return std::any_of(a.lane, a.lane + 8, [](std::int32_t x) { return x != 0; });
}

HWY_INLINE void store_pattern(const Paths& from, std::uint8_t* pattern) {
  for (int i = 0; i < 8; ++i) {
    pattern[i] = static_cast<std::uint8_t>(from.lane[i]);
    pattern[8 + i] = static_cast<std::uint8_t>(from.lane[i] + 8);
  }
}

HWY_INLINE void compose_patterns(std::uint8_t* patterns, std::size_t stages,
                                 const std::uint8_t* then) {
  for (std::size_t stage = 0; stage < stages; ++stage) {
    std::uint8_t old[16];
    std::memcpy(old, patterns + 16 * stage, 16);
    for (std::size_t i = 0; i < 16; ++i) patterns[16 * stage + i] = old[then[i]];
  }
}

HWY_INLINE void sums8(const std::int8_t* soft, std::size_t count, Paths& against_zero, Paths& all) {
  against_zero = set8(0);
  all = set8(0);
  for (std::size_t at = 0; at < 8 * count; at += 8) {
    for (std::size_t p = 0; p < 8; ++p) {
      against_zero.lane[p] -= std::min<std::int32_t>(soft[at + p], 0);
      all.lane[p] += soft[at + p];
    }
  }
}

HWY_INLINE Paths search_next(const Paths& last, std::size_t count, std::int16_t* keys) {
  Paths least = set8(0x7fff);
  for (std::size_t at = 0; at < 8 * count; at += 8) {
    for (std::size_t p = 0; p < 8; ++p) {
      std::int16_t& key = keys[at + p];
      if (key == last.lane[p]) key = 0x7fff;
      least.lane[p] = std::min<std::int32_t>(least.lane[p], key);
    }
  }
  return least;
}

HWY_INLINE Paths search_start(const std::int8_t* soft, std::size_t count, std::int16_t* keys) {
  for (std::size_t i = 0; i < 8 * count; ++i) {
    const int magnitude = soft[i] < 0 ? -soft[i] : soft[i];
    keys[i] = static_cast<std::int16_t>(magnitude * 64 + static_cast<int>(i / 8));
  }
  return search_next(set8(-1), count, keys);
}

HWY_INLINE std::uint64_t bytes_of8(const Paths& flags) {
  std::uint8_t narrow[8];
  for (int i = 0; i < 8; ++i) narrow[i] = static_cast<std::uint8_t>(-flags.lane[i]);
  std::uint64_t bytes;
  std::memcpy(&bytes, narrow, 8);
  return bytes;
}

#endif

// One decision: every path stays as it is or flips a bit, each at its price; the best `list` of the
// 16 survive. from: where each new path comes from; flipped: 1 where it flipped.
struct Choice {
  Paths metric;
  Paths from;
  Paths flipped;
};

HWY_INLINE Choice choose8(const Paths& stay, const Paths& flip, int list) {
  const Paths lane = iota8();
  const Paths best =
      smallest8(or8(left8<4>(stay), lane), or8(left8<4>(flip), or8(lane, set8(8))), list);
  // Metrics have 28 bits: the shift back is of a number whose top bit may be set.
  return {and8(right8<4>(best), set8((1 << 28) - 1)), and8(best, set8(7)),
          and8(right8<3>(best), set8(1))};
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#endif  // per target
