// Catches: a search that ends beside the crossing or leaves its bounds, an interval that is not the
// trials' own, results that depend on the number of threads.

#include "air/quality/crossing.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "base/prng.h"

namespace noroshi::air {
namespace {

// Fails below a level that is normal around 7.3 dB with this deviation: the rate is 10 % 1.2816
// deviations above the middle.
Trial normal_trial(double deviation) {
  return [=](double db, std::uint64_t index, int) {
    Prng prng(5, index);
    return db < 7.3 + deviation * prng.normal();
  };
}

TEST(Crossing, IsFoundFromEitherSideWithItsInterval) {
  for (double deviation : {0.02, 0.3, 2.0}) {
    const double expected = 7.3 + 1.2816 * deviation;
    // d rate / d level there is the normal density 0.1755 over the deviation.
    const double interval = 1.96 * std::sqrt(0.09 / 4000) / 0.1755 * deviation;
    for (double first : {-3.0, 7.0, 12.0}) {
      int levels = 0;
      const CrossingConfig config{.first_db = first, .trials = 4000, .threads = 2};
      const Crossing found =
          find_crossing(config, normal_trial(deviation), [&](double, double) { ++levels; });
      EXPECT_TRUE(found.found);
      EXPECT_NEAR(found.db, expected, 1.5 * interval + 0.02) << deviation << ' ' << first;
      EXPECT_LT(found.low_db, found.db);
      EXPECT_GT(found.high_db, found.db);
      if (deviation > 0.1) {
        EXPECT_NEAR(found.high_db - found.low_db, 2 * interval, 0.5 * interval + 0.02);
      }
      EXPECT_EQ(levels, found.levels);
      EXPECT_LT(levels, 30);
    }
  }
}

// Trials that fail by a tenth in ten tell as much as ten that fail or not.
TEST(Crossing, TrialsThatFailInPartHaveANarrowerInterval) {
  const auto run = [](int parts) {
    const Trial trial = [=](double db, std::uint64_t index, int) {
      Prng prng(6, index);
      double lost = 0;
      for (int i = 0; i < parts; ++i) lost += db < 2 + prng.normal();
      return lost / parts;
    };
    const Crossing found =
        find_crossing({.target = 0.3, .trials = 1000}, trial, [](double, double) {});
    return found.high_db - found.low_db;
  };
  EXPECT_NEAR(run(1) / run(10), std::sqrt(10.0), 0.6);
}

TEST(Crossing, ThreadsChangeNothing) {
  const auto run = [](int threads) {
    return find_crossing({.trials = 500, .threads = threads}, normal_trial(1),
                         [](double, double) {})
        .db;
  };
  EXPECT_EQ(run(1), run(3));
}

TEST(Crossing, SaysWhenThereIsNone) {
  const CrossingConfig config{.first_db = 0, .low_db = -2, .high_db = 3, .trials = 10};
  const auto always = [](double db, std::uint64_t, int) {
    EXPECT_GT(db, -3);
    EXPECT_LT(db, 4);
    return true;
  };
  EXPECT_FALSE(find_crossing(config, always, [](double, double) {}).found);
  const auto never = [](double, std::uint64_t, int) { return false; };
  EXPECT_FALSE(find_crossing(config, never, [](double, double) {}).found);
}

}  // namespace
}  // namespace noroshi::air
