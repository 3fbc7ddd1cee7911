// Catches: bits in the wrong order or on the wrong axis, a wrong normalisation, a tail that a
// vector reads or writes past, a target that disagrees.

#include "phy/modulation/modulation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"

namespace noroshi::phy {
namespace {

using nr::Modulation;

constexpr Modulation modulations[] = {Modulation::bpsk,   Modulation::pi2_bpsk, Modulation::qpsk,
                                      Modulation::qam16,  Modulation::qam64,    Modulation::qam256,
                                      Modulation::qam1024};

// TS 38.211 5.1.3 to 5.1.6 as they are printed: bits b[0] .. b[Qm - 1] are 0 or 1.
cf64 printed(Modulation modulation, const int* b) {
  const auto s = [&](int i) { return 1 - 2 * b[i]; };
  switch (modulation) {
    case Modulation::qpsk:
      return cf64(s(0), s(1)) / std::numbers::sqrt2;
    case Modulation::qam16:
      return cf64(s(0) * (2 - s(2)), s(1) * (2 - s(3))) / std::sqrt(10.0);
    case Modulation::qam64:
      return cf64(s(0) * (4 - s(2) * (2 - s(4))), s(1) * (4 - s(3) * (2 - s(5)))) / std::sqrt(42.0);
    case Modulation::qam256:
      return cf64(s(0) * (8 - s(2) * (4 - s(4) * (2 - s(6)))),
                  s(1) * (8 - s(3) * (4 - s(5) * (2 - s(7))))) /
             std::sqrt(170.0);
    case Modulation::qam1024:
      return cf64(s(0) * (16 - s(2) * (8 - s(4) * (4 - s(6) * (2 - s(8))))),
                  s(1) * (16 - s(3) * (8 - s(5) * (4 - s(7) * (2 - s(9)))))) /
             std::sqrt(682.0);
    default:
      return cf64(s(0), s(0)) / std::numbers::sqrt2;
  }
}

TEST(Modulation, ReferenceIsTheClause) {
  for (Modulation modulation : modulations) {
    const int qm = nr::bits_per_symbol(modulation);
    double power = 0;
    for (int point = 0; point < 1 << qm; ++point) {
      int b[10];
      std::uint8_t packed[2] = {0, 0};
      for (int i = 0; i < qm; ++i) {
        b[i] = point >> i & 1;
        set_bit(packed, static_cast<std::size_t>(i), b[i] == 1);
      }
      cf64 symbol;
      ref::modulate(modulation, {packed, bytes_for_bits(static_cast<std::size_t>(qm))}, 3.0,
                    View<cf64, 1>(&symbol, 1));
      EXPECT_LT(std::abs(symbol - 3.0 * printed(modulation, b)), 1e-12) << qm << ' ' << point;
      power += std::norm(symbol) / 9;
    }
    EXPECT_NEAR(power / (1 << qm), 1, 1e-12) << qm;
  }
}

TEST(Modulation, HalfPiBpskTurnsAtOddSymbols) {
  const std::uint8_t bits[] = {0b01100000};
  const double h = 1 / std::numbers::sqrt2;
  const cf64 expected[] = {{h, h}, {h, -h}, {-h, -h}, {-h, h}};
  cf64 symbols[4];
  ref::modulate(Modulation::pi2_bpsk, {bits, 1}, 1.0, View<cf64, 1>(symbols, 4));
  for (int i = 0; i < 4; ++i) EXPECT_LT(std::abs(symbols[i] - expected[i]), 1e-12) << i;
}

TEST(Modulation, EveryTargetIsTheReferenceAtEveryLength) {
  constexpr std::uint64_t seed = 5;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (Modulation modulation : modulations)
      for (std::size_t count = 0; count < 150; count += count < 70 ? 1 : 13) {
        const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
        // On the heap and of exact size, so that a sanitizer sees a byte too many.
        std::vector<std::uint8_t> bits(bytes_for_bits(count * qm));
        for (auto& byte : bits) byte = static_cast<std::uint8_t>(prng());
        std::vector<cf64> expected(count);
        ref::modulate(modulation, bits, 1.25, expected);
        std::vector<cf32> symbols(count + 1, cf32(99));
        cpu::modulate(modulation, bits, 1.25f, View<cf32, 1>(symbols.data(), count));
        for (std::size_t i = 0; i < count; ++i)
          ASSERT_LT(std::abs(cf64(symbols[i]) - expected[i]), 3e-7)
              << "Qm " << qm << " symbol " << i << " of " << count;
        ASSERT_EQ(symbols[count], cf32(99));
      }
  });
}

}  // namespace
}  // namespace noroshi::phy
