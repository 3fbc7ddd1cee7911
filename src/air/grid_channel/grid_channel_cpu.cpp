#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

#include "air/grid_channel/grid_channel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "air/grid_channel/grid_channel_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::air::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

// sums += (re + j im) * values, a vector of elements at a time and the last ones alone.
template <class Factor>
HWY_INLINE void add_vectors(std::size_t count, const float* HWY_RESTRICT values,
                            float* HWY_RESTRICT sums, Factor factor) {
  const D d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    V re, im, x_re, x_im, sum_re, sum_im;
    factor(i, re, im);
    hn::LoadInterleaved2(d, values + 2 * i, x_re, x_im);
    hn::LoadInterleaved2(d, sums + 2 * i, sum_re, sum_im);
    sum_re = hn::NegMulAdd(im, x_im, hn::MulAdd(re, x_re, sum_re));
    sum_im = hn::MulAdd(im, x_re, hn::MulAdd(re, x_im, sum_im));
    hn::StoreInterleaved2(sum_re, sum_im, d, sums + 2 * i);
  }
}

HWY_INLINE void add_one(float re, float im, const float* value, float* sum) {
  sum[0] += re * value[0] - im * value[1];
  sum[1] += re * value[1] + im * value[0];
}

void add_product_vectors(const float* HWY_RESTRICT factors, const float* HWY_RESTRICT values,
                         std::size_t count, float* HWY_RESTRICT sums) {
  add_vectors(count, values, sums, [&](std::size_t i, V& re, V& im) HWY_ATTR {
    hn::LoadInterleaved2(D(), factors + 2 * i, re, im);
  });
  for (std::size_t i = count / hn::Lanes(D()) * hn::Lanes(D()); i < count; ++i)
    add_one(factors[2 * i], factors[2 * i + 1], values + 2 * i, sums + 2 * i);
}

void add_multiple_vectors(float factor_re, float factor_im, const float* HWY_RESTRICT values,
                          std::size_t count, float* HWY_RESTRICT sums) {
  add_vectors(count, values, sums, [&](std::size_t, V& re, V& im) HWY_ATTR {
    re = hn::Set(D(), factor_re);
    im = hn::Set(D(), factor_im);
  });
  for (std::size_t i = count / hn::Lanes(D()) * hn::Lanes(D()); i < count; ++i)
    add_one(factor_re, factor_im, values + 2 * i, sums + 2 * i);
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::air::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::air {
namespace cpu {

HWY_EXPORT(add_product_vectors);
HWY_EXPORT(add_multiple_vectors);

void add_products(View<const cf32, 1> factors, View<const cf32, 1> values, View<cf32, 1> sums) {
  assert(factors.size() == sums.size() && values.size() == sums.size());
  HWY_DYNAMIC_DISPATCH(add_product_vectors)
  (reinterpret_cast<const float*>(factors.data()), reinterpret_cast<const float*>(values.data()),
   sums.size(), reinterpret_cast<float*>(sums.data()));
}

void add_multiple(cf32 factor, View<const cf32, 1> values, View<cf32, 1> sums) {
  assert(values.size() == sums.size());
  HWY_DYNAMIC_DISPATCH(add_multiple_vectors)
  (factor.real(), factor.imag(), reinterpret_cast<const float*>(values.data()), sums.size(),
   reinterpret_cast<float*>(sums.data()));
}

}  // namespace cpu

GridChannel::GridChannel(const GridChannelConfig& config) : config_(config) {
  assert(config.antennas >= 1 && config.ports >= 1 && config.subcarriers >= 1);
  const std::size_t taps = config.profile.taps.size();
  const auto subcarriers = static_cast<std::size_t>(config.subcarriers);
  const auto links = static_cast<std::size_t>(config.antennas * config.ports);
  for (const Tap& tap : config.profile.taps) {
    const double amplitude = std::sqrt(std::pow(10.0, tap.power_db / 10) / config.antennas);
    for (std::size_t k = 0; k < subcarriers; ++k) {
      const double cycles = static_cast<double>(k) * config.scs_khz * 1e3 * tap.delay_s;
      taps_.push_back(static_cast<cf32>(std::polar(amplitude, -2 * std::numbers::pi * cycles)));
    }
  }
  gains_.resize(links * taps);
  response_.resize(links * subcarriers);
}

View<const cf32, 3> GridChannel::gains() const {
  return {gains_.data(), config_.antennas, config_.ports, config_.profile.taps.size()};
}

View<const cf32, 3> GridChannel::response() const {
  return {response_.data(), config_.antennas, config_.ports, config_.subcarriers};
}

void GridChannel::draw(Prng& prng) {
  const std::size_t taps = config_.profile.taps.size();
  const View<const cf32, 2> unit(taps_.data(), taps, config_.subcarriers);
  std::ranges::fill(response_, cf32(0));
  for (std::size_t i = 0; i < gains_.size(); ++i) {
    const std::size_t port = i / taps % static_cast<std::size_t>(config_.ports);
    const std::size_t antenna = i / taps / static_cast<std::size_t>(config_.ports);
    const double turns = config_.gain == TapGain::butler
                             ? static_cast<double>(antenna * port) / config_.ports
                             : prng.uniform();
    const double size = config_.gain == TapGain::rayleigh ? std::sqrt(prng.exponential()) : 1.0;
    gains_[i] = static_cast<cf32>(std::polar(size, 2 * std::numbers::pi * turns));
    const View<cf32, 2> links(response_.data(), gains_.size() / taps, config_.subcarriers);
    cpu::add_multiple(gains_[i], unit[i % taps], links[i / taps]);
  }
}

void GridChannel::apply(View<const cf32, 3> transmit, View<cf32, 3> receive) const {
  const View<const cf32, 3> h = response();
  assert(transmit.extent(0) == h.extent(1) && receive.extent(0) == h.extent(0));
  assert(transmit.extent(1) == receive.extent(1));
  assert(transmit.extent(2) == h.extent(2) && receive.extent(2) == h.extent(2));
  std::fill(receive.begin(), receive.end(), cf32(0));
  for (std::size_t a = 0; a < receive.extent(0); ++a)
    for (std::size_t p = 0; p < transmit.extent(0); ++p)
      for (std::size_t l = 0; l < transmit.extent(1); ++l)
        cpu::add_products(h[a][p], transmit[p][l], receive[a][l]);
}

}  // namespace noroshi::air
#endif
