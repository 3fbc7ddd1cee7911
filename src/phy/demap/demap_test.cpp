// Catches: a soft bit of the wrong sign, place or scale, a piece of the folded lines that is not
// the exact max-log, saturation that wraps, -128, a tail that a vector reads or writes past, a
// target that disagrees.

#include "phy/demap/demap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"
#include "phy/modulation/modulation.h"

namespace noroshi::phy {
namespace {

using nr::Modulation;

constexpr Modulation modulations[] = {Modulation::bpsk,   Modulation::pi2_bpsk, Modulation::qpsk,
                                      Modulation::qam16,  Modulation::qam64,    Modulation::qam256,
                                      Modulation::qam1024};

TEST(Demap, ReferenceFindsWhatWasSent) {
  constexpr std::uint64_t seed = 6;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (Modulation modulation : modulations) {
    const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
    const std::size_t count = 24;
    std::vector<std::uint8_t> bits(bytes_for_bits(count * qm));
    for (auto& byte : bits) byte = static_cast<std::uint8_t>(prng());
    std::vector<cf64> symbols(count);
    ref::modulate(modulation, bits, 1.0, symbols);
    std::vector<double> llr(count * qm);
    ref::demap(modulation, symbols, 0.5, llr);
    // Every point is at least 2 units of the lattice away from one with the other bit; BPSK's
    // points are 2 apart.
    const double unit = constellation_unit(modulation);
    const double least = (qm == 1 ? 4 : 4 * unit * unit) / 0.5;
    for (std::size_t i = 0; i < llr.size(); ++i)
      ASSERT_GT(bit_at(bits.data(), i) ? -llr[i] : llr[i], least * (1 - 1e-9)) << qm << ' ' << i;
  }
}

// cpu rounds the reference's value: at most 1/2, and 1/2 more for float's error at the boundary.
TEST(Demap, EveryTargetIsTheReferenceAtEveryLength) {
  constexpr std::uint64_t seed = 7;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (Modulation modulation : modulations) {
      const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
      const std::size_t step = qm == 10 ? 23 : 1;  // the reference is slow there
      for (std::size_t count = 0; count < 150; count += count < 70 ? step : 13 * step) {
        const double noise_power = std::pow(10.0, -3 + 4 * prng.uniform());
        std::vector<cf32> symbols(count);
        for (cf32& symbol : symbols)
          symbol = {static_cast<float>(1.2 * prng.normal()),
                    static_cast<float>(1.2 * prng.normal())};
        const std::vector<cf64> wide(symbols.begin(), symbols.end());
        const std::vector<float> inverse_noise(count, static_cast<float>(1 / noise_power));
        std::vector<double> llr(count * qm);
        ref::demap(modulation, wide, noise_power, llr);
        std::vector<SoftBit> soft_bits(count * qm + 1, 77);
        cpu::demap(modulation, symbols, inverse_noise,
                   View<SoftBit, 1>(soft_bits.data(), count * qm));
        for (std::size_t i = 0; i < llr.size(); ++i) {
          const double expected = std::clamp(llr_scale * llr[i], -127.0, 127.0);
          ASSERT_LE(std::abs(soft_bits[i] - expected), 0.51)
              << "Qm " << qm << " bit " << i << " of " << llr.size();
        }
        ASSERT_EQ(soft_bits[count * qm], 77);
      }
    }
  });
}

TEST(Demap, EachSymbolHasItsOwnNoise) {
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    for (Modulation modulation : modulations) {
      const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
      const std::size_t count = 70;
      const std::vector<cf32> symbols(count, cf32(0.2f, -0.3f));
      for (std::size_t known = 0; known < count; ++known) {
        std::vector<float> inverse_noise(count, 0.0f);
        inverse_noise[known] = 50;
        std::vector<SoftBit> soft_bits(count * qm);
        cpu::demap(modulation, symbols, inverse_noise, soft_bits);
        int others = 0, own = 0;
        for (std::size_t i = 0; i < soft_bits.size(); ++i)
          (i / qm == known ? own : others) += soft_bits[i] != 0;
        ASSERT_EQ(others, 0) << "Qm " << qm << " symbol " << known;
        ASSERT_GT(own, 0) << "Qm " << qm << " symbol " << known;
      }
    }
  });
}

TEST(Demap, SaturatesAtExtremes) {
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    for (Modulation modulation : modulations) {
      const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
      const std::size_t count = 37;
      for (float size : {0.9f, 30.0f, 1e6f, 1e30f})
        for (float noise : {1.0f, 1e6f, 1e30f, std::numeric_limits<float>::infinity()}) {
          const std::vector<cf32> symbols(count, cf32(-size, -size));
          const std::vector<float> inverse_noise(count, noise);
          std::vector<SoftBit> soft_bits(count * qm, 1);
          cpu::demap(modulation, symbols, inverse_noise, soft_bits);
          for (std::size_t i = 0; i < soft_bits.size(); ++i)
            ASSERT_GE(soft_bits[i], -127) << qm << ' ' << size << ' ' << noise;
          // Both first bits are 1 (pi/2-BPSK: the even symbols').
          if (size > 1 && noise > 1) {
            for (std::size_t i = 0; i < count; i += 2)
              ASSERT_EQ(soft_bits[i * qm], -127) << qm << ' ' << size << ' ' << noise;
          }
        }
    }
  });
}

// Descrambling on the way is descrambling afterwards, at every length and start of the bits.
TEST(Demap, FlipsTheSignsThatTheMasksSay) {
  constexpr std::uint64_t seed = 8;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (Modulation modulation : modulations) {
      const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
      for (std::size_t count = 0; count < 150; ++count) {
        std::vector<cf32> symbols(count);
        for (cf32& symbol : symbols)
          symbol = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
        const std::vector<float> inverse_noise(count, static_cast<float>(20 * prng.uniform()));
        const std::size_t first = prng.below(70);
        std::vector<std::uint8_t> masks((first + count * qm) / 8 + cpu::demap_mask_slack_bytes);
        for (std::uint8_t& byte : masks) byte = static_cast<std::uint8_t>(prng());
        std::vector<SoftBit> expected(count * qm);
        cpu::demap(modulation, symbols, inverse_noise, expected);
        for (std::size_t i = 0; i < expected.size(); ++i)
          if ((masks[(first + i) / 8] >> (first + i) % 8 & 1) != 0)
            expected[i] = static_cast<SoftBit>(-expected[i]);
        std::vector<SoftBit> soft_bits(count * qm + 1, 77);
        cpu::demap(modulation, symbols, inverse_noise, masks, first,
                   View<SoftBit, 1>(soft_bits.data(), count * qm));
        ASSERT_EQ(soft_bits.back(), 77);
        soft_bits.pop_back();
        ASSERT_EQ(soft_bits, expected) << "Qm " << qm << " symbols " << count << " first " << first;
      }
    }
  });
}

}  // namespace
}  // namespace noroshi::phy
