// Catches: a response of the wrong power, delay sign or antenna, ports that are not independent, a
// vector's tail, a target that disagrees.

#include "air/grid_channel/grid_channel.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/every_target.h"

namespace noroshi::air {
namespace {

GridChannelConfig config_of(const char* profile, TapGain gain, int antennas, int ports,
                            int subcarriers) {
  return {channel_profile(profile, 30e-9).value(), gain, antennas, ports, 30, subcarriers};
}

TEST(GridChannel, EveryTargetIsTheReference) {
  constexpr std::uint64_t seed = 11;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (int subcarriers : {1, 12, 31, 300})
      for (TapGain gain : {TapGain::uniform_phase, TapGain::rayleigh}) {
        const int antennas = 1 + static_cast<int>(prng.below(4));
        const int ports = 1 + static_cast<int>(prng.below(4));
        const GridChannelConfig config = config_of("tdlc300", gain, antennas, ports, subcarriers);
        GridChannel channel(config);
        channel.draw(prng);
        const std::size_t symbols = 3;
        const auto elements = symbols * static_cast<std::size_t>(subcarriers);
        std::vector<cf32> sent(elements * static_cast<std::size_t>(ports));
        std::vector<cf32> received(elements * static_cast<std::size_t>(antennas), cf32(9));
        std::vector<cf64> expected(received.size());
        for (cf32& x : sent)
          x = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
        const View<const cf32, 3> transmit(sent.data(), ports, symbols, subcarriers);
        channel.apply(transmit, {received.data(), antennas, symbols, subcarriers});
        ref::grid_channel(config, channel.gains(), transmit,
                          {expected.data(), antennas, symbols, subcarriers});
        for (std::size_t i = 0; i < received.size(); ++i)
          ASSERT_LT(std::abs(cf64(received[i]) - expected[i]), 1e-5) << subcarriers << ' ' << i;
      }
  });
}

TEST(GridChannel, AllAntennasTogetherReceivePowerOneOfEachPort) {
  constexpr std::uint64_t seed = 12;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (const char* profile : {"awgn", "tdla30", "tdlc300"})
    for (TapGain gain : {TapGain::uniform_phase, TapGain::rayleigh})
      for (int antennas : {1, 4}) {
        GridChannel channel(config_of(profile, gain, antennas, 2, 24));
        double power[2] = {};
        cf64 product = 0;
        const int draws = 4000;
        for (int i = 0; i < draws; ++i) {
          channel.draw(prng);
          const View<const cf32, 3> h = channel.response();
          for (std::size_t a = 0; a < h.extent(0); ++a) {
            for (std::size_t p = 0; p < 2; ++p) power[p] += std::norm(cf64(h(a, p, 5))) / draws;
            product += cf64(h(a, 0, 5)) * std::conj(cf64(h(a, 1, 5))) / double{draws};
          }
        }
        for (double p : power) EXPECT_NEAR(p, 1, 0.08) << profile << ' ' << antennas;
        EXPECT_LT(std::abs(product), 0.08) << profile << ' ' << antennas;
      }
}

TEST(GridChannel, ButlerMatrixKeepsPortsApart) {
  GridChannel channel(config_of("awgn", TapGain::butler, 4, 4, 12));
  Prng prng(14);
  channel.draw(prng);
  const View<const cf32, 3> h = channel.response();
  for (std::size_t p = 0; p < 4; ++p)
    for (std::size_t q = 0; q < 4; ++q) {
      cf64 product = 0;
      for (std::size_t a = 0; a < 4; ++a) product += cf64(h(a, p, 3)) * std::conj(cf64(h(a, q, 3)));
      EXPECT_LT(std::abs(product - (p == q ? 1.0 : 0.0)), 1e-6) << p << ' ' << q;
    }
}

// A tap of delay tau turns by -2 pi df tau from subcarrier to subcarrier.
TEST(GridChannel, DelayTurnsBackwards) {
  GridChannelConfig config = config_of("awgn", TapGain::uniform_phase, 1, 1, 100);
  config.profile.taps[0].delay_s = 400e-9;
  GridChannel channel(config);
  Prng prng(13);
  channel.draw(prng);
  const View<const cf32, 3> h = channel.response();
  for (std::size_t k = 1; k < 100; ++k)
    ASSERT_NEAR(std::arg(h(0, 0, k) * std::conj(h(0, 0, k - 1))),
                -2 * std::numbers::pi * 30e3 * 400e-9, 1e-4);
}

}  // namespace
}  // namespace noroshi::air
