#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/bits/bits_cpu.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>
#include <cassert>
#include <cstdint>
#include <cstring>

#include "fec/bits/bits.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec::HWY_NAMESPACE {

void CopyShifted(std::uint8_t* to, const std::uint8_t* from, int shift, std::size_t bytes) {
  std::size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<std::uint8_t, 64> d;
  const hn::Repartition<std::uint16_t, decltype(d)> d16;
  const std::size_t lanes = hn::Lanes(d);
  const auto upper = hn::Set(d, static_cast<std::uint8_t>(0xff << shift));
  const auto copy = [&](std::size_t at) HWY_ATTR {
    const auto here = hn::BitCast(d16, hn::LoadU(d, from + at));
    const auto next = hn::BitCast(d16, hn::LoadU(d, from + at + 1));
    const auto high = hn::BitCast(d, hn::ShiftLeftSame(here, shift));
    const auto low = hn::BitCast(d, hn::ShiftRightSame(next, 8 - shift));
    hn::StoreU(hn::Or(hn::And(upper, high), hn::AndNot(upper, low)), d, to + at);
  };
  if (bytes >= lanes) {
    for (; i + lanes < bytes; i += lanes) copy(i);
    copy(bytes - lanes);
    return;
  }
#endif
  for (; i < bytes; ++i) {
    to[i] = static_cast<std::uint8_t>((from[i] << shift) | (from[i + 1] >> (8 - shift)));
  }
}

}  // namespace noroshi::fec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::fec::cpu {

HWY_EXPORT(CopyShifted);

void copy_shifted(std::uint8_t* to, const std::uint8_t* from, int shift, std::size_t bytes) {
  assert(shift > 0 && shift < 8);
  HWY_DYNAMIC_DISPATCH(CopyShifted)(to, from, shift, bytes);
}

}  // namespace noroshi::fec::cpu
#endif  // HWY_ONCE
