#include "air/fading/fading.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "air/fading/fading_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "air/fading/phasor-inl.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::air::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void sum_phasors(const FadingBank& bank, View<cf32, 1> gains) {
  const hn::CappedTag<std::uint32_t, 16> du;
  const hn::RebindToFloat<decltype(du)> df;
  using V = hn::Vec<decltype(df)>;
  const int lanes = static_cast<int>(hn::Lanes(du));
  static_assert(fading_sinusoids % 16 == 0);
  for (int tap = 0; tap < bank.taps; ++tap) {
    const std::uint32_t* const phases = bank.phases.data() + tap * fading_sinusoids;
    V re = hn::Zero(df);
    V im = hn::Zero(df);
    for (int s = 0; s < fading_sinusoids; s += lanes) {
      V cosine, sine;
      air::HWY_NAMESPACE::phasor(du, hn::LoadU(du, phases + s), cosine, sine);
      re = hn::Add(re, cosine);
      im = hn::Add(im, sine);
    }
    gains[tap] = bank.amplitude[tap] *
                 cf32(hn::GetLane(hn::SumOfLanes(df, re)), hn::GetLane(hn::SumOfLanes(df, im)));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::air::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::air::cpu {

HWY_EXPORT(sum_phasors);

void fading_gains(FadingBank& bank, std::int64_t interval, View<cf32, 1> gains) {
  assert(gains.size() == static_cast<std::size_t>(bank.taps));
  const auto time = static_cast<std::uint64_t>(interval);
  for (std::size_t i = 0; i < bank.sinusoids.size(); ++i) {
    const FadingBank::Sinusoid& sinusoid = bank.sinusoids[i];
    bank.phases[i] = static_cast<std::uint32_t>((sinusoid.phase + sinusoid.step * time) >> 32);
  }
  HWY_DYNAMIC_DISPATCH(sum_phasors)(bank, gains);
}

}  // namespace noroshi::air::cpu
#endif
