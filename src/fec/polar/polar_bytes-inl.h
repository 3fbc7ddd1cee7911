// The nodes' arithmetic on signed bytes for the current Highway target: one byte a bit, or 8 (one a
// path). Lengths are powers of two.

#if defined(NOROSHI_FEC_POLAR_BYTES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_FEC_POLAR_BYTES_INL_H_
#undef NOROSHI_FEC_POLAR_BYTES_INL_H_
#else
#define NOROSHI_FEC_POLAR_BYTES_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Calls op(tag, at) until `bytes` are covered, never more.
template <class Op>
HWY_INLINE void over(std::size_t bytes, Op op) {
  using Full = hn::CappedTag<std::int8_t, 64>;
  constexpr std::size_t full = hn::MaxLanes(Full());
  if (bytes >= full) {
    for (std::size_t at = 0; at < bytes; at += full) op(Full(), at);
    return;
  }
  if constexpr (full > 32) {
    if (bytes == 32) return op(hn::CappedTag<std::int8_t, 32>(), 0);
  }
  if constexpr (full > 1) {
    switch (bytes) {
      case 16:
        return op(hn::CappedTag<std::int8_t, 16>(), 0);
      case 8:
        return op(hn::CappedTag<std::int8_t, 8>(), 0);
      case 4:
        return op(hn::CappedTag<std::int8_t, 4>(), 0);
      case 2:
        return op(hn::CappedTag<std::int8_t, 2>(), 0);
      default:
        return op(hn::CappedTag<std::int8_t, 1>(), 0);
    }
  }
}

// Bytes `at` on, each path's from the path that it was when they were written.
template <class D>
HWY_INLINE hn::Vec<D> load_paths(D d, const std::int8_t* from, std::size_t at,
                                 const std::uint8_t* pattern) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Load(d, from + (at & ~std::size_t{7}) + pattern[at & 7]);
#else
  if constexpr (hn::MaxLanes(D()) < 16) {
    const hn::Vec<D> order = hn::LoadU(d, reinterpret_cast<const std::int8_t*>(pattern));
    return hn::TableLookupBytes(hn::LoadU(d, from + at), order);
  } else {
    const hn::Vec<D> order = hn::LoadDup128(d, reinterpret_cast<const std::int8_t*>(pattern));
    return hn::TableLookupBytes(hn::LoadU(d, from + at), order);
  }
#endif
}

// Byte `at` / 8 on, each for all 8 paths.
template <class D>
HWY_INLINE hn::Vec<D> load_shared(D d, const std::int8_t* from, std::size_t at) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Load(d, from + at / 8);
#else
  constexpr std::size_t count = hn::MaxLanes(D());
  alignas(64) static constexpr std::int8_t spread[64] = {
      0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
      2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5,
      5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7};
  const hn::Vec<D> order = hn::LoadU(d, spread);
  if constexpr (count <= 8) {
    return hn::Set(d, from[at / 8]);
  } else {
    const hn::Repartition<std::uint64_t, D> d64;
    std::uint64_t eight;  // the soft bits of a stage have slack behind them
    std::memcpy(&eight, from + at / 8, 8);
    return hn::TableLookupBytes(hn::BitCast(d, hn::Set(d64, eight)), order);
  }
#endif
}

// sign(a) sign(b) min(|a|, |b|)
template <class D>
HWY_INLINE hn::Vec<D> f_of(D, hn::Vec<D> a, hn::Vec<D> b) {
  return hn::Max(hn::Min(a, b), hn::Neg(hn::Max(a, b)));
}

// b + a, or b - a where the bit is -1
template <class D>
HWY_INLINE hn::Vec<D> g_of(D d, hn::Vec<D> a, hn::Vec<D> b, hn::Vec<D> bit) {
  const hn::Vec<D> turned = hn::Sub(hn::Xor(a, bit), bit);
  return hn::Max(hn::SaturatedAdd(b, turned), hn::Set(d, std::int8_t{-127}));
}

// All: `half` bytes of out from 2 half bytes of soft.
HWY_INLINE void f_node(const std::int8_t* soft, std::size_t half, std::int8_t* out) {
  over(half, [=](auto d, std::size_t at) HWY_ATTR {
    hn::StoreU(f_of(d, hn::LoadU(d, soft + at), hn::LoadU(d, soft + half + at)), d, out + at);
  });
}

HWY_INLINE void g_node(const std::int8_t* soft, const std::int8_t* bits, std::size_t half,
                       std::int8_t* out) {
  over(half, [=](auto d, std::size_t at) HWY_ATTR {
    const auto a = hn::LoadU(d, soft + at);
    const auto b = hn::LoadU(d, soft + half + at);
    hn::StoreU(g_of(d, a, b, hn::LoadU(d, bits + at)), d, out + at);
  });
}

HWY_INLINE void g_paths(const std::int8_t* soft, const std::int8_t* bits, std::size_t half,
                        const std::uint8_t* pattern, std::int8_t* out) {
  over(half, [=](auto d, std::size_t at) HWY_ATTR {
    const auto a = load_paths(d, soft, at, pattern);
    const auto b = load_paths(d, soft + half, at, pattern);
    hn::StoreU(g_of(d, a, b, hn::LoadU(d, bits + at)), d, out + at);
  });
}

HWY_INLINE void g_shared(const std::int8_t* soft, const std::int8_t* bits, std::size_t half,
                         std::int8_t* out) {
  over(half, [=](auto d, std::size_t at) HWY_ATTR {
    const auto a = load_shared(d, soft, at);
    const auto b = load_shared(d, soft + half / 8, at);
    hn::StoreU(g_of(d, a, b, hn::LoadU(d, bits + at)), d, out + at);
  });
}

HWY_INLINE void g_zero_node(const std::int8_t* soft, std::size_t half, std::int8_t* out) {
  over(half, [=](auto d, std::size_t at) HWY_ATTR {
    const auto sum = hn::SaturatedAdd(hn::LoadU(d, soft + at), hn::LoadU(d, soft + half + at));
    hn::StoreU(hn::Max(sum, hn::Set(d, std::int8_t{-127})), d, out + at);
  });
}

HWY_INLINE void combine(std::int8_t* bits, std::size_t half) {
  over(half, [=](auto d, std::size_t at) HWY_ATTR {
    hn::StoreU(hn::Xor(hn::LoadU(d, bits + at), hn::LoadU(d, bits + half + at)), d, bits + at);
  });
}

HWY_INLINE void combine_paths(std::int8_t* bits, std::size_t half, const std::uint8_t* pattern) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t at = 0; at < half; at += 8) {
    std::int8_t left[8];
    std::memcpy(left, bits + at, 8);
    for (std::size_t p = 0; p < 8; ++p) {
      bits[at + p] = static_cast<std::int8_t>(left[pattern[p]] ^ bits[half + at + p]);
    }
  }
#else
  over(half, [=](auto d, std::size_t at) HWY_ATTR {
    const auto left = load_paths(d, bits, at, pattern);
    hn::StoreU(hn::Xor(left, hn::LoadU(d, bits + half + at)), d, bits + at);
  });
#endif
}

HWY_INLINE void copy_bytes(const std::int8_t* from, std::size_t bytes, std::int8_t* to) {
  over(bytes,
       [=](auto d, std::size_t at) HWY_ATTR { hn::StoreU(hn::LoadU(d, from + at), d, to + at); });
}

HWY_INLINE void fill_bytes(std::int8_t value, std::size_t bytes, std::int8_t* to) {
  over(bytes, [=](auto d, std::size_t at) HWY_ATTR { hn::StoreU(hn::Set(d, value), d, to + at); });
}

// -1 where negative, else 0.
HWY_INLINE void decide(const std::int8_t* soft, std::size_t bytes, std::int8_t* bits) {
  over(bytes, [=](auto d, std::size_t at) HWY_ATTR {
    hn::StoreU(hn::BroadcastSignBit(hn::LoadU(d, soft + at)), d, bits + at);
  });
}

HWY_INLINE void decide_paths(const std::int8_t* soft, std::size_t bytes,
                             const std::uint8_t* pattern, std::int8_t* bits) {
  over(bytes, [=](auto d, std::size_t at) HWY_ATTR {
    hn::StoreU(hn::BroadcastSignBit(load_paths(d, soft, at, pattern)), d, bits + at);
  });
}

HWY_INLINE void widen(const std::int8_t* single, std::size_t count, std::int8_t* paths) {
  over(8 * count, [=](auto d, std::size_t at)
                      HWY_ATTR { hn::StoreU(load_shared(d, single, at), d, paths + at); });
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#endif  // per target
