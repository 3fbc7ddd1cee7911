// Catches: SIMD kernels of the air that differ from their references on some instruction set, size
// or tail; noise that is not Gaussian, white or of the stated power.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "air/channel.h"
#include "air/fading/fading.h"
#include "air/fir/fir.h"
#include "air/noise/noise.h"
#include "base/every_target.h"

namespace noroshi::air {
namespace {

constexpr std::uint64_t seed = 7;

TEST(Fir, EqualsReferenceForEverySizeAndTail) {
  on_every_target([](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (int taps : {1, 2, 7, 18, 90}) {
      for (int count : {1, 3, 8, 15, 16, 31, 32, 33, 64, 100, 129}) {
        const int length = taps - 1 + count;
        std::vector<cf32> h(taps), x(length), y(count), expected;
        for (auto* values : {&h, &x, &y}) {
          for (cf32& v : *values) v = cf32{float(prng.normal()), float(prng.normal())};
        }
        std::vector<float> re(length + fir_padding), im(length + fir_padding);
        cpu::to_planes(0.5f, View<const cf32, 1>(x), View<float, 1>(re).subview(0, length),
                       View<float, 1>(im).subview(0, length));
        for (int n = 0; n < length; ++n) ASSERT_EQ(0.5f * x[n], cf32(re[n], im[n]));
        ASSERT_EQ(re[length], 0);
        expected = y;
        const View<const float, 1> real(re.data(), length), imaginary(im.data(), length);
        ref::fir_add(View<const cf32, 1>(h), real, imaginary, View<cf32, 1>(expected));
        cpu::fir_add(View<const cf32, 1>(h), real, imaginary, View<cf32, 1>(y));
        for (int n = 0; n < count; ++n) {
          ASSERT_LT(std::abs(y[n] - expected[n]), 2e-5f) << taps << " taps, sample " << n;
        }
      }
    }
  });
}

TEST(FadingGains, EqualReferenceAtAnyTime) {
  on_every_target([](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    std::vector<Tap> taps(5);
    taps[1] = {0, -3, Fading::line_of_sight};
    taps[2] = {0, -3, Fading::constant};
    FadingBank bank = make_fading_bank(taps, 70, 1e-4, prng);
    std::vector<cf32> gains(5);
    std::vector<cf64> expected(5);
    for (std::int64_t interval : {0, 1, 17, 5000, -3, 100'000'000}) {
      cpu::fading_gains(bank, interval, View<cf32, 1>(gains));
      ref::fading_gains(bank, static_cast<double>(interval), View<cf64, 1>(expected));
      for (int tap = 0; tap < 5; ++tap) {
        EXPECT_LT(std::abs(cf64(gains[tap]) - expected[tap]), 2e-6) << interval << " " << tap;
      }
    }
  });
}

TEST(Noise, EqualsReferenceAndAddsUp) {
  on_every_target([](const char* target) {
    SCOPED_TRACE(target);
    for (int count : {1, 5, 16, 17, 100, 1000}) {
      Prng prng(seed);
      NoiseStreams streams(prng);
      NoiseStreams same = streams;
      std::vector<cf32> samples(count, cf32(1, -1)), expected = samples;
      cpu::noise_add(streams, 0.5f, View<cf32, 1>(samples));
      ref::noise_add(same, 0.5f, View<cf32, 1>(expected));
      EXPECT_EQ(streams.state, same.state);
      for (int n = 0; n < count; ++n) {
        ASSERT_LT(std::abs(samples[n] - expected[n]), 3e-6f) << count << " " << n;
      }
    }
  });
}

TEST(Noise, IsGaussianWhiteAndOfThisPower) {
  constexpr int count = 1 << 20;
  constexpr double power = 0.3;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  std::vector<cf32> samples(count);
  const int calls = 64;
  for (int i = 0; i < calls; ++i) {
    add_noise(power, prng, View<cf32, 1>(samples.data() + i * (count / calls), count / calls));
  }
  const double sigma = std::sqrt(power / 2);
  double sum = 0, square = 0, fourth = 0, cross = 0;
  cf64 lag = 0;
  std::vector<double> beyond(6);
  for (int n = 0; n < count; ++n) {
    for (const float part : {samples[n].real(), samples[n].imag()}) {
      const double z = part / sigma;
      sum += z;
      square += z * z;
      fourth += z * z * z * z;
      for (int k = 1; k < 6; ++k) beyond[k] += std::abs(z) > k;
    }
    cross += samples[n].real() * samples[n].imag() / (sigma * sigma);
    if (n > 0) lag += cf64(samples[n]) * std::conj(cf64(samples[n - 1])) / power;
  }
  const double values = 2.0 * count;
  EXPECT_NEAR(sum / values, 0, 4 / std::sqrt(values));
  EXPECT_NEAR(square / values, 1, 4 * std::sqrt(2 / values));
  EXPECT_NEAR(fourth / values, 3, 4 * std::sqrt(96 / values));
  EXPECT_NEAR(cross / count, 0, 4 / std::sqrt(count));
  EXPECT_LT(std::abs(lag) / count, 4 / std::sqrt(count));
  for (int k = 1; k < 5; ++k) {  // the tails: 63 values in a million lie beyond 4 sigma
    const double expected = values * std::erfc(k / std::sqrt(2));
    EXPECT_NEAR(beyond[k], expected, 4 * std::sqrt(expected)) << k << " sigma";
  }
  EXPECT_LE(beyond[5], 10);  // 1.2 expected
}

}  // namespace
}  // namespace noroshi::air
