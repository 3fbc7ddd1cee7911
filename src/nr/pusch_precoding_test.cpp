// Catches: a matrix with a wrong entry, size or power, a TPMI that does not exist.

#include "nr/pusch_precoding.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace noroshi::nr {
namespace {

TEST(PuschPrecoding, EveryMatrixIsOrthogonalAndOfUnitPower) {
  constexpr int counts[5][5] = {{}, {0, 1}, {0, 6, 3}, {}, {0, 28, 22, 7, 5}};
  for (const int ports : {1, 2, 4})
    for (int layers = 1; layers <= ports; ++layers)
      for (const bool dft : {false, true}) {
        if (dft && layers > 1) {
          EXPECT_FALSE(pusch_precoder(ports, layers, 0, dft).ok());
          continue;
        }
        std::set<std::string> seen;
        for (int tpmi = 0; tpmi < counts[ports][layers]; ++tpmi) {
          const auto made = pusch_precoder(ports, layers, tpmi, dft);
          ASSERT_TRUE(made.ok());
          const View<const cf32, 2> w = made->matrix();
          std::string text;
          double power = 0;
          for (int a = 0; a < layers; ++a)
            for (int b = 0; b < layers; ++b) {
              cf32 sum = 0;
              for (int port = 0; port < ports; ++port) sum += std::conj(w(port, a)) * w(port, b);
              if (a != b) {
                EXPECT_LT(std::abs(sum), 1e-6f) << ports << "x" << layers << " TPMI " << tpmi;
              } else {
                power += static_cast<double>(sum.real());
              }
            }
          for (const cf32 value : w)
            text += std::to_string(value.real()) + std::to_string(value.imag());
          EXPECT_TRUE(seen.insert(text).second) << "twice: TPMI " << tpmi;
          EXPECT_LE(power, 1 + 1e-6) << ports << "x" << layers << " TPMI " << tpmi;
        }
        EXPECT_FALSE(pusch_precoder(ports, layers, counts[ports][layers], dft).ok());
        EXPECT_FALSE(pusch_precoder(ports, layers, -1, dft).ok());
      }
  EXPECT_FALSE(pusch_precoder(3, 1, 0, false).ok());
  EXPECT_FALSE(pusch_precoder(2, 3, 0, false).ok());
  EXPECT_FALSE(pusch_precoder(4, 0, 0, false).ok());
}

}  // namespace
}  // namespace noroshi::nr
