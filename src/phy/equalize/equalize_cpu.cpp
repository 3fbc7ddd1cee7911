#include <cassert>

#include "nr/carrier.h"
#include "phy/equalize/equalize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/equalize/equalize_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

template <int antennas>
void weights_of(const float* const* h, float* const* w, std::size_t count, float inverse_power,
                float* inverse_noise) {
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t k = 0; k < count; k += lanes) {
    V re[antennas], im[antennas];
    V gain = hn::Zero(d);
    for (int a = 0; a < antennas; ++a) {
      re[a] = hn::LoadU(d, h[2 * a] + k);
      im[a] = hn::LoadU(d, h[2 * a + 1] + k);
      gain = hn::MulAdd(re[a], re[a], hn::MulAdd(im[a], im[a], gain));
    }
    hn::StoreU(hn::Mul(gain, hn::Set(d, inverse_power)), d, inverse_noise + k);
    const V inverse = hn::Div(hn::Set(d, 1.0f), hn::Max(gain, hn::Set(d, 1e-30f)));
    for (int a = 0; a < antennas; ++a) {
      hn::StoreU(hn::Mul(re[a], inverse), d, w[2 * a] + k);
      hn::StoreU(hn::Neg(hn::Mul(im[a], inverse)), d, w[2 * a + 1] + k);
    }
  }
}

template <int antennas>
void combine_of(const float* const* w, const cf32* const* received, std::size_t count, cf32* out) {
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  float* y = reinterpret_cast<float*>(out);
  std::size_t k = 0;
  for (; k + lanes <= count; k += lanes) {
    V re = hn::Zero(d), im = hn::Zero(d);
    for (int a = 0; a < antennas; ++a) {
      V p, q;
      hn::LoadInterleaved2(d, reinterpret_cast<const float*>(received[a]) + 2 * k, p, q);
      const V u = hn::LoadU(d, w[2 * a] + k), v = hn::LoadU(d, w[2 * a + 1] + k);
      re = hn::MulAdd(p, u, hn::NegMulAdd(q, v, re));
      im = hn::MulAdd(p, v, hn::MulAdd(q, u, im));
    }
    hn::StoreInterleaved2(re, im, d, y + 2 * k);
  }
  for (; k < count; ++k) {
    float re = 0, im = 0;
    for (int a = 0; a < antennas; ++a) {
      const float p = received[a][k].real(), q = received[a][k].imag();
      const float u = w[2 * a][k], v = w[2 * a + 1][k];
      re += p * u - q * v;
      im += p * v + q * u;
    }
    out[k] = cf32(re, im);
  }
}

}  // namespace

void combining_weights(View<const float, 3> channel, std::size_t subcarriers, float inverse_power,
                       View<float, 3> weights, float* inverse_noise) {
  const int antennas = static_cast<int>(channel.extent(0));
  const float* h[2 * nr::receive_antennas_max];
  float* w[2 * nr::receive_antennas_max];
  for (int i = 0; i < 2 * antennas; ++i) {
    h[i] = &channel(i / 2, i % 2, 0);
    w[i] = &weights(i / 2, i % 2, 0);
  }
  switch (antennas) {
    case 1:
      return weights_of<1>(h, w, subcarriers, inverse_power, inverse_noise);
    case 2:
      return weights_of<2>(h, w, subcarriers, inverse_power, inverse_noise);
    case 3:
      return weights_of<3>(h, w, subcarriers, inverse_power, inverse_noise);
    default:
      return weights_of<4>(h, w, subcarriers, inverse_power, inverse_noise);
  }
}

void combine(View<const float, 3> weights, std::size_t first_weight, View<const cf32, 3> grid,
             std::size_t symbol, std::size_t first_subcarrier, std::size_t count, cf32* out) {
  const int antennas = static_cast<int>(grid.extent(0));
  const float* w[2 * nr::receive_antennas_max];
  const cf32* received[nr::receive_antennas_max];
  for (int i = 0; i < 2 * antennas; ++i) w[i] = &weights(i / 2, i % 2, first_weight);
  for (int a = 0; a < antennas; ++a) received[a] = &grid(a, symbol, first_subcarrier);
  switch (antennas) {
    case 1:
      return combine_of<1>(w, received, count, out);
    case 2:
      return combine_of<2>(w, received, count, out);
    case 3:
      return combine_of<3>(w, received, count, out);
    default:
      return combine_of<4>(w, received, count, out);
  }
}

}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(combining_weights);
HWY_EXPORT(combine);

void combining_weights(View<const float, 3> channel, std::size_t subcarriers, float noise_power,
                       View<float, 3> weights, View<float, 1> inverse_noise) {
  assert(channel.extents() == weights.extents() && noise_power > 0);
  assert(channel.extent(0) >= 1 && channel.extent(0) <= nr::receive_antennas_max);
  assert(channel.extent(1) == 2 && channel.extent(2) >= equalize_padding(subcarriers));
  assert(inverse_noise.size() >= equalize_padding(subcarriers));
  HWY_DYNAMIC_DISPATCH(combining_weights)
  (channel, subcarriers, 1 / noise_power, weights, inverse_noise.data());
}

void combine(View<const float, 3> weights, std::size_t first_weight, View<const cf32, 3> grid,
             std::size_t symbol, std::size_t first_subcarrier, View<cf32, 1> symbols) {
  assert(weights.extent(0) == grid.extent(0) && weights.extent(1) == 2);
  assert(first_weight + symbols.size() <= weights.extent(2));
  assert(symbol < grid.extent(1) && first_subcarrier + symbols.size() <= grid.extent(2));
  HWY_DYNAMIC_DISPATCH(combine)
  (weights, first_weight, grid, symbol, first_subcarrier, symbols.size(), symbols.data());
}

}  // namespace noroshi::phy::cpu
#endif
