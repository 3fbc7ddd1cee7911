// cpu:: rate recovery: everything that is known of a bit, added and brought to the decoder's scale.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/polar/polar_recover_cpu.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// After foreach_target.h.
#include <algorithm>
#include <cassert>
#include <cstring>

#include <hwy/highway.h>
#include "fec/polar/polar.h"
#include "fec/polar/polar_steps.h"
#include "fec/polar/polar_workspace.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<std::int32_t, 16>;
using TagF = hn::RebindToFloat<Tag>;
using Tag16 = hn::Rebind<std::int16_t, Tag>;
using Tag8 = hn::Rebind<std::int8_t, Tag>;

// sums[i] = coded[i], or its sum with sums[i]; -128 counts as -127. Writes up to a vector too much
// where it is the first to write.
template <bool first>
HWY_INLINE void Add(const std::int8_t* coded, std::size_t count, std::int16_t* sums) {
  const Tag16 d16;
  const Tag8 d8;
  const std::size_t lanes = hn::Lanes(d16);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto v = hn::PromoteTo(d16, hn::Max(hn::LoadU(d8, coded + i), hn::Set(d8, -127)));
    hn::StoreU(first ? v : hn::Add(v, hn::LoadU(d16, sums + i)), d16, sums + i);
  }
  for (; i < count; ++i) {
    const auto v = std::max<std::int16_t>(coded[i], -127);
    sums[i] = static_cast<std::int16_t>(first ? v : sums[i] + v);
  }
}

// The factor that makes the mean magnitude of the nonzero sums what decoding starts with.
HWY_INLINE float Scale(const std::int16_t* sums, std::size_t n) {
  const Tag d;
  const Tag16 d16;
  auto total = hn::Zero(d);
  auto nonzero = hn::Zero(d);
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto magnitude = hn::Abs(hn::PromoteTo(d, hn::Load(d16, sums + i)));
    total = hn::Add(total, magnitude);
    nonzero = hn::Add(nonzero, hn::Min(magnitude, hn::Set(d, 1)));
  }
  const auto all = static_cast<float>(hn::GetLane(hn::SumOfLanes(d, total)));
  const auto count = static_cast<float>(hn::GetLane(hn::SumOfLanes(d, nonzero)));
  return all == 0 ? 0 : polar_mean_magnitude * count / all;
}

HWY_INLINE void Scaled(const std::int16_t* sums, std::size_t n, float scale, std::int8_t* out) {
  const Tag d;
  const TagF df;
  const Tag16 d16;
  const Tag8 d8;
  const auto factor = hn::Set(df, scale);
  const auto most = hn::Set(df, 127.0f);
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto v = hn::ConvertTo(df, hn::PromoteTo(d, hn::Load(d16, sums + i)));
    const auto limited = hn::Max(hn::Min(hn::Mul(v, factor), most), hn::Neg(most));
    hn::Store(hn::DemoteTo(d8, hn::NearestInt(limited)), d8, out + i);
  }
}

// Block i of y is block P(i) of d.
template <std::size_t size>
HWY_INLINE void PlaceBlocks(const PolarCode& code, const std::int8_t* y, std::int8_t* d) {
  for (std::size_t i = 0; i < 32; ++i) {
    std::memcpy(d + code.subblock_position[size * i], y + size * i, size);
  }
}

void Recover(const PolarCode& code, const std::int8_t* coded, std::int8_t* out,
             PolarWorkspace::State& state) {
  const auto e = static_cast<std::size_t>(code.config.coded_bits);
  const auto n = static_cast<std::size_t>(code.block_bits);
  if (!code.triangle.empty()) {
    const std::uint16_t* to = code.triangle.data();
    for (std::size_t i = 0; i < e; ++i) state.selected[to[i]] = coded[i];
    coded = state.selected;
  }
  const std::size_t first = code.selection == PolarSelection::puncture ? n - e : 0;
  const std::size_t known = std::min(e, n);
  std::int16_t* sums = state.sums;
  std::fill_n(sums, first, std::int16_t{0});
  std::fill_n(sums + first + known, n - first - known, std::int16_t{0});
  Add<true>(coded, known, sums + first);
  for (std::size_t turn = n; turn < e; turn += n) {
    Add<false>(coded + turn, std::min(n, e - turn), sums);
  }
  std::int8_t* y = state.scaled;
  Scaled(sums, n, Scale(sums, n), y);
  if (code.selection == PolarSelection::shorten) std::fill(y + e, y + n, std::int8_t{127});
  switch (n) {
    case 32:
      return PlaceBlocks<1>(code, y, out);
    case 64:
      return PlaceBlocks<2>(code, y, out);
    case 128:
      return PlaceBlocks<4>(code, y, out);
    case 256:
      return PlaceBlocks<8>(code, y, out);
    case 512:
      return PlaceBlocks<16>(code, y, out);
    default:
      return PlaceBlocks<32>(code, y, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::fec {

HWY_EXPORT(Recover);

void polar_recover(const PolarCode& code, const std::int8_t* coded, std::int8_t* out,
                   PolarWorkspace::State& state) {
  HWY_DYNAMIC_DISPATCH(Recover)(code, coded, out, state);
}

void cpu::polar_rate_recover(const PolarCode& code, View<const SoftBit, 1> coded,
                             View<SoftBit, 1> out, PolarWorkspace& workspace) {
  assert(coded.size() == static_cast<std::size_t>(code.config.coded_bits));
  assert(out.size() >= static_cast<std::size_t>(code.block_bits));
  polar_recover(code, coded.data(), out.data(), *workspace.state);
}

}  // namespace noroshi::fec
#endif  // HWY_ONCE
