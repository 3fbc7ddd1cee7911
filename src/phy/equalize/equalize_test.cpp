// Catches: a wrong conjugate, a bias of the symbols, wrong noise, layers in the wrong place, tails
// of odd length that are not written or write too far, a covariance on the wrong block or its
// conjugate, on every instruction set that this machine has.

#include "phy/equalize/equalize.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/every_target.h"
#include "base/prng.h"

namespace noroshi::phy {
namespace {

cf32 random_value(Prng& prng) {
  return {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
}

// R / noise_power of every resource block, and its inverse as the kernel takes it.
struct Colour {
  std::vector<std::vector<cf64>> covariance;  // [block][antenna, antenna]
  std::vector<float> planes;
  std::size_t blocks;

  // white: I, without planes.
  Colour(std::size_t antennas, std::size_t rbs, bool white, Prng& prng) : blocks(rbs + 2) {
    if (!white) planes.resize(antennas * antennas * blocks);
    for (std::size_t rb = 0; rb < rbs; ++rb) {
      // I and an interferer of any strength: the inverse is known.
      std::vector<cf64> r(antennas * antennas), v(antennas);
      double norm = 0;
      for (cf64& value : v) {
        value = white ? cf64(0) : cf64(random_value(prng));
        norm += std::norm(value);
      }
      for (std::size_t a = 0; a < antennas; ++a)
        for (std::size_t b = 0; b < antennas; ++b) {
          const cf64 outer = v[a] * std::conj(v[b]);
          const double one = a == b ? 1 : 0;
          r[a * antennas + b] = one + outer;
          const cf64 inverse = one - outer / (1 + norm);
          if (white || b > a) continue;
          const std::size_t plane = a * a + 2 * b;
          planes[plane * blocks + rb] = static_cast<float>(inverse.real());
          if (b < a) planes[(plane + 1) * blocks + rb] = static_cast<float>(inverse.imag());
        }
      covariance.push_back(r);
    }
  }
};

void compare(Equalizer kind, bool white, std::size_t antennas, std::size_t layers,
             std::size_t count, double noise_power, Prng& prng) {
  const std::size_t blocks = cpu::subcarrier_blocks(count);
  const Colour colour(antennas, (count + 11) / 12, white, prng);
  std::vector<cf64> channel(antennas * layers * count), received(antennas * count),
      symbols(layers * count);
  std::vector<double> inverse_noise(layers * count);
  std::vector<float> weights(blocks * antennas * layers * 32);
  std::vector<cf32> rows(antennas * count);
  const View<float, 5> h(weights.data(), blocks, antennas, layers, 2, 16);
  const View<cf64, 3> h_ref(channel.data(), antennas, layers, count);
  for (std::size_t a = 0; a < antennas; ++a) {
    for (std::size_t k = 0; k < count; ++k) {
      for (std::size_t i = 0; i < layers; ++i) {
        const cf32 gain = random_value(prng);
        h(k / 16, a, i, 0, k % 16) = gain.real();
        h(k / 16, a, i, 1, k % 16) = gain.imag();
        h_ref(a, i, k) = cf64(gain);
      }
      rows[a * count + k] = random_value(prng);
      received[a * count + k] = cf64(rows[a * count + k]);
    }
  }
  for (std::size_t rb = 0; rb < colour.covariance.size(); ++rb) {
    std::vector<cf64> covariance = colour.covariance[rb];
    for (cf64& value : covariance) value *= noise_power;
    const std::size_t first = 12 * rb, part = std::min<std::size_t>(12, count - first);
    std::vector<cf64> part_channel(antennas * layers * part), part_received(antennas * part);
    for (std::size_t a = 0; a < antennas; ++a)
      for (std::size_t k = 0; k < part; ++k) {
        part_received[a * part + k] = received[a * count + first + k];
        for (std::size_t i = 0; i < layers; ++i)
          part_channel[(a * layers + i) * part + k] = h_ref(a, i, first + k);
      }
    ref::equalize(kind, {part_channel.data(), antennas, layers, part},
                  {part_received.data(), antennas, part}, {covariance.data(), antennas, antennas},
                  {symbols.data() + first * layers, part, layers},
                  {inverse_noise.data() + first * layers, part, layers});
  }

  // The layers split into codewords at random.
  cpu::LayerStreams<float> noise_streams;
  cpu::LayerStreams<cf32> symbol_streams;
  std::vector<std::vector<float>> noise_out(layers);
  std::vector<std::vector<cf32>> symbols_out(layers);
  for (std::size_t left = layers; left > 0;) {
    const std::size_t take = 1 + prng.below(std::min<std::size_t>(left, 4));
    const std::size_t s = static_cast<std::size_t>(noise_streams.count++);
    symbol_streams.count = noise_streams.count;
    noise_streams.layers[s] = symbol_streams.layers[s] = static_cast<int>(take);
    noise_out[s].resize(blocks * 16 * take);
    symbols_out[s].assign(blocks * 16 * take + 1, cf32(77, 77));
    noise_streams.out[s] = noise_out[s].data();
    symbol_streams.out[s] = symbols_out[s].data();
    left -= take;
  }
  cpu::InverseNoiseSums sums{};
  cpu::InverseCovariance inverse;
  if (!white) inverse.planes = {colour.planes.data(), antennas * antennas, colour.blocks};
  cpu::equalizer_weights(kind, static_cast<float>(noise_power), inverse, count, h, noise_streams,
                         sums);
  std::array<const cf32*, nr::receive_antennas_max> antenna_rows{};
  for (std::size_t a = 0; a < antennas; ++a) antenna_rows[a] = rows.data() + a * count;
  cpu::combine(h, antenna_rows, count, symbol_streams);

  std::size_t first = 0;
  for (int s = 0; s < noise_streams.count; ++s) {
    const std::size_t take = static_cast<std::size_t>(noise_streams.layers[s]);
    for (std::size_t i = 0; i < take; ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < count; ++k) {
        const cf64 expected = symbols[k * layers + first + i];
        const double expected_noise = inverse_noise[k * layers + first + i];
        // Errors grow with the condition of the channel, as the noise does.
        const double scale = 1 + std::abs(expected) + 1 / expected_noise;
        ASSERT_LT(std::abs(cf64(symbols_out[s][k * take + i]) - expected), 3e-4 * scale * scale)
            << "layer " << first + i << " subcarrier " << k;
        ASSERT_NEAR(noise_out[s][k * take + i] / expected_noise, 1,
                    kind != Equalizer::zero_forcing && layers <= antennas ? 2e-3 : 2e-2);
        sum += static_cast<double>(noise_out[s][k * take + i]);
      }
      ASSERT_NEAR(sums[first + i] / sum, 1, 1e-4);
    }
    ASSERT_EQ(symbols_out[s].back(), cf32(77, 77));
    first += take;
  }
}

TEST(Equalize, CpuEqualsRefOnEveryTarget) {
  constexpr std::uint64_t seed = 21;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  on_every_target([&](const char* target) {
    for (std::size_t antennas = 1; antennas <= 8; ++antennas)
      for (std::size_t layers = 1; layers <= 8; ++layers)
        for (const std::size_t count : {12u, 17u, 36u}) {
          SCOPED_TRACE(testing::Message() << target << " " << layers << " layers " << antennas
                                          << " antennas " << count << " subcarriers");
          for (const bool white : {true, false}) {
            compare(white ? Equalizer::mmse : Equalizer::mmse_irc, white, antennas, layers, count,
                    0.37, prng);
            if (layers > antennas) continue;
            compare(Equalizer::mmse, white, antennas, layers, count, 1e-3, prng);
            compare(Equalizer::zero_forcing, white, antennas, layers, count, 0.1, prng);
          }
        }
  });
}

TEST(Equalize, DeadChannelGivesUnknownBits) {
  on_every_target([](const char* target) {
    for (std::size_t layers = 1; layers <= 2; ++layers) {
      std::vector<float> planes(2 * layers * 32, 0.0f), noise(16 * layers, 1.0f);
      std::vector<cf32> rows(16, cf32(1, 1)), out(16 * layers, cf32(5, 5));
      const View<float, 5> h(planes.data(), 1, 2, layers, 2, 16);
      cpu::InverseNoiseSums sums{};
      cpu::LayerStreams<float> noise_stream{1, {static_cast<int>(layers)}, {noise.data()}};
      cpu::LayerStreams<cf32> stream{1, {static_cast<int>(layers)}, {out.data()}};
      cpu::equalizer_weights(Equalizer::mmse, 0.1f, {}, 12, h, noise_stream, sums);
      cpu::combine(h, {rows.data(), rows.data()}, 12, stream);
      for (std::size_t k = 0; k < 12 * layers; ++k) {
        EXPECT_EQ(out[k], cf32(0, 0)) << target;
        EXPECT_LT(noise[k], 1e-6f) << target;
      }
    }
  });
}

}  // namespace
}  // namespace noroshi::phy
