// Complex vectors, real and imaginary parts apart, and the short transforms that fft and dft are
// made of, for the current Highway target.

#if defined(NOROSHI_PHY_FFT_BUTTERFLIES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_PHY_FFT_BUTTERFLIES_INL_H_
#undef NOROSHI_PHY_FFT_BUTTERFLIES_INL_H_
#else
#define NOROSHI_PHY_FFT_BUTTERFLIES_INL_H_
#endif

#include <cstddef>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
struct ComplexOf {
  using V = hn::Vec<D>;
  V re, im;

  HWY_INLINE ComplexOf operator+(ComplexOf b) const {
    return {hn::Add(re, b.re), hn::Add(im, b.im)};
  }
  HWY_INLINE ComplexOf operator-(ComplexOf b) const {
    return {hn::Sub(re, b.re), hn::Sub(im, b.im)};
  }
  HWY_INLINE ComplexOf operator*(ComplexOf b) const {
    return {hn::NegMulAdd(im, b.im, hn::Mul(re, b.re)), hn::MulAdd(re, b.im, hn::Mul(im, b.re))};
  }
  // this + factor * b, factor real.
  HWY_INLINE ComplexOf plus(float factor, ComplexOf b) const {
    const V f = hn::Set(D(), factor);
    return {hn::MulAdd(f, b.re, re), hn::MulAdd(f, b.im, im)};
  }
  HWY_INLINE ComplexOf times(float factor) const {
    const V f = hn::Set(D(), factor);
    return {hn::Mul(f, re), hn::Mul(f, im)};
  }
  // this + j b, this - j b.
  HWY_INLINE ComplexOf plus_j(ComplexOf b) const { return {hn::Sub(re, b.im), hn::Add(im, b.re)}; }
  HWY_INLINE ComplexOf minus_j(ComplexOf b) const { return {hn::Add(re, b.im), hn::Sub(im, b.re)}; }
  HWY_INLINE ComplexOf swapped() const { return {im, re}; }
};

template <class D>
HWY_INLINE ComplexOf<D> load_complex(D d, const float* re, const float* im) {
  return {hn::LoadU(d, re), hn::LoadU(d, im)};
}

template <class C>
HWY_INLINE void butterfly2(C& a, C& b) {
  const C sum = a + b;
  b = a - b;
  a = sum;
}

template <class C>
HWY_INLINE void butterfly3(C& a, C& b, C& c) {
  constexpr float sine = 0.866025403784438647f;  // of 120 degrees
  const C sum = b + c, difference = (b - c).times(sine);
  const C middle = a.plus(-0.5f, sum);
  a = a + sum;
  b = middle.minus_j(difference);
  c = middle.plus_j(difference);
}

template <class C>
HWY_INLINE void butterfly4(C& a, C& b, C& c, C& d) {
  const C ac = a + c, bd = b + d, a_c = a - c, b_d = b - d;
  a = ac + bd;
  b = a_c.minus_j(b_d);
  c = ac - bd;
  d = a_c.plus_j(b_d);
}

template <class C>
HWY_INLINE void butterfly5(C* x) {
  constexpr float cosine1 = 0.309016994374947424f, cosine2 = -0.809016994374947424f;  // 72, 144
  constexpr float sine1 = 0.951056516295153572f, sine2 = 0.587785252292473129f;
  const C sum1 = x[1] + x[4], sum2 = x[2] + x[3];
  const C difference1 = x[1] - x[4], difference2 = x[2] - x[3];
  const C real1 = x[0].plus(cosine1, sum1).plus(cosine2, sum2);
  const C real2 = x[0].plus(cosine2, sum1).plus(cosine1, sum2);
  const C turned1 = difference1.times(sine1).plus(sine2, difference2);
  const C turned2 = difference1.times(sine2).plus(-sine1, difference2);
  x[0] = x[0] + sum1 + sum2;
  x[1] = real1.minus_j(turned1);
  x[4] = real1.plus_j(turned1);
  x[2] = real2.minus_j(turned2);
  x[3] = real2.plus_j(turned2);
}

// 2 and 3 have no common factor, so that none stands between them (Good, 1958): input 3 a + 2 b
// mod 6 goes to output 3 c + 4 d mod 6.
template <class C>
HWY_INLINE void butterfly6(C* x) {
  C even[3] = {x[0], x[2], x[4]}, odd[3] = {x[3], x[5], x[1]};
  butterfly3(even[0], even[1], even[2]);
  butterfly3(odd[0], odd[1], odd[2]);
  x[0] = even[0] + odd[0];
  x[3] = even[0] - odd[0];
  x[4] = even[1] + odd[1];
  x[1] = even[1] - odd[1];
  x[2] = even[2] + odd[2];
  x[5] = even[2] - odd[2];
}

template <class C>
HWY_INLINE void butterfly8(C* x) {
  constexpr float half = 0.707106781186547524f;  // its square is
  C even[4] = {x[0], x[2], x[4], x[6]}, odd[4] = {x[1], x[3], x[5], x[7]};
  butterfly4(even[0], even[1], even[2], even[3]);
  butterfly4(odd[0], odd[1], odd[2], odd[3]);
  const C one = odd[1].minus_j(odd[1]);   // times exp(-j pi / 4), but for the factor
  const C three = odd[3].plus_j(odd[3]);  // times -exp(-j 3 pi / 4)
  x[0] = even[0] + odd[0];
  x[4] = even[0] - odd[0];
  x[1] = even[1].plus(half, one);
  x[5] = even[1].plus(-half, one);
  x[2] = even[2].minus_j(odd[2]);
  x[6] = even[2].plus_j(odd[2]);
  x[3] = even[3].plus(-half, three);
  x[7] = even[3].plus(half, three);
}

// x[k] = sum_j x[j] exp(-j 2 pi j k / r), in place.
template <std::size_t r, class C>
HWY_INLINE void butterfly(C* x) {
  static_assert(r >= 1 && r <= 8 && r != 7);
  if constexpr (r == 2) butterfly2(x[0], x[1]);
  if constexpr (r == 3) butterfly3(x[0], x[1], x[2]);
  if constexpr (r == 4) butterfly4(x[0], x[1], x[2], x[3]);
  if constexpr (r == 5) butterfly5(x);
  if constexpr (r == 6) butterfly6(x);
  if constexpr (r == 8) butterfly8(x);
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy::cpu
HWY_AFTER_NAMESPACE();

#endif  // per target
