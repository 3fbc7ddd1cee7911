// exp(j 2 pi p / 2^32) for vectors of 32-bit phases, by the quadrant and two short polynomials on
// [-pi/4, pi/4]; error below 2e-7. Included once for each target (Highway's convention).

#if defined(NOROSHI_AIR_PHASOR_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_AIR_PHASOR_INL_H
#undef NOROSHI_AIR_PHASOR_INL_H
#else
#define NOROSHI_AIR_PHASOR_INL_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::air {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class DU, class VU, class VF>
HWY_INLINE void phasor(DU du, VU phase, VF& cosine, VF& sine) {
  const hn::RebindToSigned<DU> di;
  const hn::RebindToFloat<DU> df;
  const auto quadrant = hn::ShiftRight<30>(hn::Add(phase, hn::Set(du, 1u << 29)));
  const auto rest = hn::BitCast(di, hn::Sub(phase, hn::ShiftLeft<30>(quadrant)));
  const auto x = hn::Mul(hn::ConvertTo(df, rest), hn::Set(df, 1.4629180792671596e-9f));
  const auto x2 = hn::Mul(x, x);
  auto s = hn::Set(df, -1.9515295891e-4f);
  s = hn::MulAdd(s, x2, hn::Set(df, 8.3321608736e-3f));
  s = hn::MulAdd(s, x2, hn::Set(df, -1.6666654611e-1f));
  s = hn::MulAdd(hn::Mul(s, x2), x, x);
  auto c = hn::Set(df, 2.443315711809948e-5f);
  c = hn::MulAdd(c, x2, hn::Set(df, -1.388731625493765e-3f));
  c = hn::MulAdd(c, x2, hn::Set(df, 4.166664568298827e-2f));
  c = hn::MulAdd(c, x2, hn::Set(df, -0.5f));
  c = hn::MulAdd(c, x2, hn::Set(df, 1.0f));
  // Quadrant 1: (-s, c); 2: (-c, -s); 3: (s, -c).
  const auto one = hn::Set(du, 1u);
  const auto odd =
      hn::MaskFromVec(hn::BitCast(df, hn::VecFromMask(du, hn::Eq(hn::And(quadrant, one), one))));
  const auto sign_sine = hn::BitCast(df, hn::ShiftLeft<30>(hn::And(quadrant, hn::Set(du, 2u))));
  const auto sign_cosine =
      hn::BitCast(df, hn::ShiftLeft<30>(hn::And(hn::Add(quadrant, one), hn::Set(du, 2u))));
  cosine = hn::Xor(hn::IfThenElse(odd, s, c), sign_cosine);
  sine = hn::Xor(hn::IfThenElse(odd, c, s), sign_sine);
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::air
HWY_AFTER_NAMESPACE();

#endif  // per target
