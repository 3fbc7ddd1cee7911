// Vectors of planes (layers, real and imaginary parts) to elements one after another, for the
// current Highway target.

#if defined(NOROSHI_PHY_EQUALIZE_ELEMENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_PHY_EQUALIZE_ELEMENTS_INL_H_
#undef NOROSHI_PHY_EQUALIZE_ELEMENTS_INL_H_
#else
#define NOROSHI_PHY_EQUALIZE_ELEMENTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include <hwy/highway.h>
#include "base/units.h"
#include "phy/estimate/estimate.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, cpu::subcarrier_block>;
using V = hn::Vec<D>;

#if HWY_TARGET != HWY_SCALAR
using D64 = hn::CappedTag<std::uint64_t, cpu::subcarrier_block / 2>;
using V64 = hn::Vec<D64>;

// a0 b0 a1 b1 ...: low has the first half of it.
template <class DT, class VT>
HWY_INLINE void zip(DT d, VT a, VT b, VT& low, VT& high) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  // Highway 1.0 takes six shuffles where two do, and 56 for four layers where 24 do.
  static_cast<void>(d);
  alignas(64) static constexpr std::uint32_t words_low[16] = {0, 16, 1, 17, 2, 18, 3, 19,
                                                              4, 20, 5, 21, 6, 22, 7, 23};
  alignas(64) static constexpr std::uint32_t words_high[16] = {8,  24, 9,  25, 10, 26, 11, 27,
                                                               12, 28, 13, 29, 14, 30, 15, 31};
  alignas(64) static constexpr std::uint64_t pairs_low[8] = {0, 8, 1, 9, 2, 10, 3, 11};
  alignas(64) static constexpr std::uint64_t pairs_high[8] = {4, 12, 5, 13, 6, 14, 7, 15};
  if constexpr (sizeof(hn::TFromD<DT>) == 4) {
    low = VT{_mm512_permutex2var_ps(a.raw, _mm512_load_si512(words_low), b.raw)};
    high = VT{_mm512_permutex2var_ps(a.raw, _mm512_load_si512(words_high), b.raw)};
  } else {
    low = VT{_mm512_permutex2var_epi64(a.raw, _mm512_load_si512(pairs_low), b.raw)};
    high = VT{_mm512_permutex2var_epi64(a.raw, _mm512_load_si512(pairs_high), b.raw)};
  }
#else
  const VT even = hn::InterleaveLower(d, a, b), odd = hn::InterleaveUpper(d, a, b);
#if HWY_TARGET == HWY_AVX2
  low = hn::ConcatLowerLower(d, odd, even);
  high = hn::ConcatUpperUpper(d, odd, even);
#else
  static_assert(hn::MaxLanes(D()) == 4, "a block is a vector");
  low = even, high = odd;
#endif
#endif
}

// The same with units of two lanes of 64 bits.
HWY_INLINE void zip_units(V64 a, V64 b, V64& low, V64& high) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  alignas(64) static constexpr std::uint64_t units_low[8] = {0, 1, 8, 9, 2, 3, 10, 11};
  alignas(64) static constexpr std::uint64_t units_high[8] = {4, 5, 12, 13, 6, 7, 14, 15};
  low = V64{_mm512_permutex2var_epi64(a.raw, _mm512_load_si512(units_low), b.raw)};
  high = V64{_mm512_permutex2var_epi64(a.raw, _mm512_load_si512(units_high), b.raw)};
#elif HWY_TARGET == HWY_AVX2
  low = hn::ConcatLowerLower(D64(), b, a);
  high = hn::ConcatUpperUpper(D64(), b, a);
#else
  low = a, high = b;
#endif
}
#endif  // HWY_SCALAR

// A real number of each layer.
HWY_INLINE void store_real(int layers, const V* x, float* out) {
  const D d;
  switch (layers) {
    case 1:
      return hn::StoreU(x[0], d, out);
    case 2:
      return hn::StoreInterleaved2(x[0], x[1], d, out);
    case 3:
      return hn::StoreInterleaved3(x[0], x[1], x[2], d, out);
    default:
      return hn::StoreInterleaved4(x[0], x[1], x[2], x[3], d, out);
  }
}

// A complex number of each layer: units of 64 bits.
HWY_INLINE void store_complex(int layers, const V* re, const V* im, cf32* to) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < layers; ++i) to[i] = cf32(hn::GetLane(re[i]), hn::GetLane(im[i]));
#else
  const D d;
  const D64 d64;
  const std::size_t lanes = hn::Lanes(d64);
  std::uint64_t* const out = reinterpret_cast<std::uint64_t*>(to);
  V low, high;
  zip(d, re[0], im[0], low, high);
  V64 unit[4][2];  // [layer][half]
  unit[0][0] = hn::BitCast(d64, low), unit[0][1] = hn::BitCast(d64, high);
  if (layers == 1) {
    hn::StoreU(unit[0][0], d64, out);
    hn::StoreU(unit[0][1], d64, out + lanes);
    return;
  }
  zip(d, re[1], im[1], low, high);
  unit[1][0] = hn::BitCast(d64, low), unit[1][1] = hn::BitCast(d64, high);
  V64 first[2][2], second[2][2];  // pairs of layers, [half][quarter]
  for (int half = 0; half < 2; ++half)
    zip(d64, unit[0][half], unit[1][half], first[half][0], first[half][1]);
  if (layers == 2) {
    for (std::size_t i = 0; i < 4; ++i) hn::StoreU(first[i / 2][i % 2], d64, out + i * lanes);
    return;
  }
  zip(d, re[2], im[2], low, high);
  unit[2][0] = hn::BitCast(d64, low), unit[2][1] = hn::BitCast(d64, high);
  if (layers == 3) {
    for (std::size_t half = 0; half < 2; ++half)
      hn::StoreInterleaved3(unit[0][half], unit[1][half], unit[2][half], d64,
                            out + 3 * half * lanes);
    return;
  }
  zip(d, re[3], im[3], low, high);
  unit[3][0] = hn::BitCast(d64, low), unit[3][1] = hn::BitCast(d64, high);
  for (std::size_t half = 0; half < 2; ++half) {
    zip(d64, unit[2][half], unit[3][half], second[half][0], second[half][1]);
    for (std::size_t quarter = 0; quarter < 2; ++quarter) {
      V64 a, b;
      zip_units(first[half][quarter], second[half][quarter], a, b);
      std::uint64_t* const at = out + (4 * half + 2 * quarter) * lanes;
      hn::StoreU(a, d64, at);
      hn::StoreU(b, d64, at + lanes);
    }
  }
#endif
}

}  // namespace
}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
