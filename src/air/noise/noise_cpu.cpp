#include "air/noise/noise.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "air/noise/noise_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "air/fading/phasor-inl.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::air::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DU = hn::CappedTag<std::uint32_t, noise_streams>;
using DF = hn::RebindToFloat<DU>;
using VU = hn::Vec<DU>;
using VF = hn::Vec<DF>;

struct Lanes {
  VU s0, s1, s2, s3;
};

HWY_INLINE VU draw(Lanes& s) {
  const VU sum = hn::Add(s.s0, s.s3);
  const VU result = hn::Add(hn::Or(hn::ShiftLeft<7>(sum), hn::ShiftRight<25>(sum)), s.s0);
  const VU t = hn::ShiftLeft<9>(s.s1);
  s.s2 = hn::Xor(s.s2, s.s0);
  s.s3 = hn::Xor(s.s3, s.s1);
  s.s1 = hn::Xor(s.s1, s.s2);
  s.s0 = hn::Xor(s.s0, s.s3);
  s.s2 = hn::Xor(s.s2, t);
  s.s3 = hn::Or(hn::ShiftLeft<11>(s.s3), hn::ShiftRight<21>(s.s3));
  return result;
}

// -ln((w / 2 + 1/2) / 2^31): exponent and a polynomial on [sqrt(1/2), sqrt(2)) (the one of Cephes).
HWY_INLINE VF minus_log(VU word) {
  const DU du;
  const DF df;
  const hn::RebindToSigned<DU> di;
  const VF u =
      hn::Add(hn::ConvertTo(df, hn::BitCast(di, hn::ShiftRight<1>(word))), hn::Set(df, 0.5f));
  // Half-way point of the mantissas in the logarithm: bits of sqrt(1/2).
  const auto bits = hn::Add(hn::BitCast(du, u), hn::Set(du, 0x3f800000u - 0x3f3504f3u));
  const auto exponent = hn::Sub(hn::BitCast(di, hn::ShiftRight<23>(bits)), hn::Set(di, 127 + 31));
  const auto mantissa =
      hn::BitCast(df, hn::Add(hn::And(bits, hn::Set(du, 0x007fffffu)), hn::Set(du, 0x3f3504f3u)));
  const VF x = hn::Sub(mantissa, hn::Set(df, 1.0f));
  const VF x2 = hn::Mul(x, x);
  VF p = hn::Set(df, 7.0376836292e-2f);
  p = hn::MulAdd(p, x, hn::Set(df, -1.1514610310e-1f));
  p = hn::MulAdd(p, x, hn::Set(df, 1.1676998740e-1f));
  p = hn::MulAdd(p, x, hn::Set(df, -1.2420140846e-1f));
  p = hn::MulAdd(p, x, hn::Set(df, 1.4249322787e-1f));
  p = hn::MulAdd(p, x, hn::Set(df, -1.6668057665e-1f));
  p = hn::MulAdd(p, x, hn::Set(df, 2.0000714765e-1f));
  p = hn::MulAdd(p, x, hn::Set(df, -2.4999993993e-1f));
  p = hn::MulAdd(p, x, hn::Set(df, 3.3333331174e-1f));
  VF log = hn::MulAdd(hn::Mul(p, x2), x, hn::Mul(x2, hn::Set(df, -0.5f)));
  log = hn::Add(log, x);
  log = hn::MulAdd(hn::ConvertTo(df, exponent), hn::Set(df, 0.6931471805599453f), log);
  // u rounded up to 2^31 gives 0; anything below is rounding.
  return hn::Max(hn::Neg(log), hn::Zero(df));
}

void noise_add(NoiseStreams& streams, float amplitude, View<cf32, 1> samples) {
  const DU du;
  const DF df;
  const int lanes = static_cast<int>(hn::Lanes(du));
  const VF scale = hn::Set(df, 2 * amplitude * amplitude);
  auto* const out = reinterpret_cast<float*>(samples.data());
  const std::size_t count = samples.size();
  HWY_ALIGN float last[2 * noise_streams];
  // Vector by vector through all of time: its streams' state stays in registers.
  for (int i = 0; i < noise_streams; i += lanes) {
    Lanes s{hn::Load(du, &streams.state[0][i]), hn::Load(du, &streams.state[1][i]),
            hn::Load(du, &streams.state[2][i]), hn::Load(du, &streams.state[3][i])};
    for (std::size_t first = 0; first < count; first += noise_streams) {
      const VF radius = hn::Sqrt(hn::Mul(minus_log(draw(s)), scale));
      VF cosine, sine;
      air::HWY_NAMESPACE::phasor(du, draw(s), cosine, sine);
      const VF re = hn::Mul(radius, cosine);
      const VF im = hn::Mul(radius, sine);
      const std::size_t at = first + i;
      if (at + lanes <= count) {
        VF old_re, old_im;
        hn::LoadInterleaved2(df, out + 2 * at, old_re, old_im);
        hn::StoreInterleaved2(hn::Add(old_re, re), hn::Add(old_im, im), df, out + 2 * at);
      } else if (at < count) {
        hn::StoreInterleaved2(re, im, df, last);
        for (std::size_t n = 0; n < 2 * (count - at); ++n) out[2 * at + n] += last[n];
      }
    }
    hn::Store(s.s0, du, &streams.state[0][i]);
    hn::Store(s.s1, du, &streams.state[1][i]);
    hn::Store(s.s2, du, &streams.state[2][i]);
    hn::Store(s.s3, du, &streams.state[3][i]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::air::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::air::cpu {

HWY_EXPORT(noise_add);

void noise_add(NoiseStreams& streams, float amplitude, View<cf32, 1> samples) {
  HWY_DYNAMIC_DISPATCH(noise_add)(streams, amplitude, samples);
}

}  // namespace noroshi::air::cpu
#endif
