#include <algorithm>
#include <cmath>

#include "phy/modulation/modulation.h"
#include "phy/receive/evm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/receive/evm_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

double error_vector_sum(float unit, float highest, const float* axes, std::size_t count) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const V half = hn::Set(d, 0.5f / unit), high = hn::Set(d, highest), one = hn::Set(d, 1.0f);
  const V size = hn::Set(d, unit), two = hn::Set(d, 2.0f);
  const auto squared = [&](V x) {
    const V level = hn::MulAdd(two, hn::Floor(hn::Mul(x, half)), one);
    const V error = hn::NegMulAdd(size, hn::Clamp(level, hn::Neg(high), high), x);
    return hn::IfThenElseZero(hn::Not(hn::IsNaN(error)), hn::Mul(error, error));
  };
  V sum = hn::Zero(d);
  std::size_t i = 0;
  const std::size_t lanes = hn::Lanes(d);
  for (; i + lanes <= count; i += lanes) sum = hn::Add(sum, squared(hn::LoadU(d, axes + i)));
  double total = static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
  for (; i < count; ++i) total += static_cast<double>(hn::GetLane(squared(hn::Set(d, axes[i]))));
  return total;
}

}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(error_vector_sum);

double error_vector_sum(nr::Modulation modulation, View<const cf32, 1> symbols) {
  const int bits = std::max(2, nr::bits_per_symbol(modulation));
  const double unit = bits == 2 ? std::sqrt(0.5) : constellation_unit(modulation);
  return HWY_DYNAMIC_DISPATCH(error_vector_sum)(
      static_cast<float>(unit), static_cast<float>((1 << (bits / 2)) - 1),
      reinterpret_cast<const float*>(symbols.data()), 2 * symbols.size());
}

}  // namespace noroshi::phy::cpu
#endif
