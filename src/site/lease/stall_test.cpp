// Catches stalls that are taken for work, work that is taken for a stall, and a cost model whose
// tail is the host's.

#include "site/lease/stall.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/prng.h"
#include "site/lease/cost_model.h"
#include "site/realtime.h"

namespace noroshi::site {
namespace {

TEST(Stopwatch, WhatTheThreadDidNotRunIsStalled) {
  ManualClock wall, thread;
  const Stopwatch stopwatch(wall, thread);
  const Stopwatch::Start start = stopwatch.start();
  const auto work = [&](std::int64_t ns) {
    wall.advance_ns(ns);
    thread.advance_ns(ns);
  };
  work(100'000);
  EXPECT_EQ(stopwatch.since(start).own_ns(), 100'000);
  EXPECT_FALSE(stopwatch.since(start).stalled());
  wall.advance_ns(stall_min_ns - 1);  // an interrupt: not work either, yet no stall
  EXPECT_EQ(stopwatch.since(start).own_ns(), 100'000);
  EXPECT_FALSE(stopwatch.since(start).stalled());
  wall.advance_ns(1);
  work(50'000);
  const Elapsed elapsed = stopwatch.since(start);
  EXPECT_EQ(elapsed.took_ns, 150'000 + stall_min_ns);
  EXPECT_EQ(elapsed.own_ns(), 150'000);
  EXPECT_TRUE(elapsed.stalled());
}

TEST(Stopwatch, ClocksThatAreReadOneAfterTheOtherMakeNoNegativeTime) {
  ManualClock wall, thread;
  const Stopwatch stopwatch(wall, thread);
  const Stopwatch::Start start = stopwatch.start();
  wall.advance_ns(1'000);
  thread.advance_ns(1'200);
  EXPECT_EQ(stopwatch.since(start).own_ns(), 1'000);
  EXPECT_EQ(stopwatch.since(start).stalled_ns, 0);
}

// The real clocks: a thread that sleeps runs less than the time that passes.
TEST(Stopwatch, SleepIsNoWork) {
  MonotonicClock wall;
  ThreadClock thread;
  const Stopwatch stopwatch(wall, thread);
  const Stopwatch::Start start = stopwatch.start();
  wall.sleep_until_ns(start.wall_ns + 2'000'000);
  const Elapsed elapsed = stopwatch.since(start);
  EXPECT_GE(elapsed.took_ns, 2'000'000);
  EXPECT_TRUE(elapsed.stalled());
  EXPECT_GE(elapsed.own_ns(), 0);
}

// Slots of any size on a host that stalls one in fifty for a tenth of a millisecond to several: the
// model's tail is what it is without stalls, while one that is not told of them learns the host.
TEST(CostModel, LearnsTheRadiosTailAndNotTheHosts) {
  for (const std::uint64_t seed : {51u, 52u, 53u}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Prng prng(seed);
    ManualClock wall, thread;
    const Stopwatch stopwatch(wall, thread);
    CostModel told, untold, undisturbed;
    const auto true_ns = [](const SlotWork& work) {
      return 20'000 + 2'000 * double{work.units[2]};
    };
    std::uint64_t stalls = 0;
    for (int i = 0; i < 60'000; ++i) {
      SlotWork work;
      const auto size = static_cast<float>(10 + 60 * prng.uniform());
      work.units = {1, 1, size, size * 4, size * 20};
      const auto cost = static_cast<std::int64_t>(true_ns(work) * std::exp(0.06 * prng.normal()));
      const Stopwatch::Start start = stopwatch.start();
      wall.advance_ns(cost);
      thread.advance_ns(cost);
      if (prng.below(50) == 0) {
        wall.advance_ns(100'000 + static_cast<std::int64_t>(prng.below(3'000'000)));
        ++stalls;
      }
      const Elapsed elapsed = stopwatch.since(start);
      told.learn(work, elapsed);
      untold.learn(work, {elapsed.took_ns, 0});
      undisturbed.learn(work, {cost, 0});
    }
    EXPECT_EQ(told.error().stalled, stalls);
    EXPECT_EQ(told.error().slots + told.error().stalled, 60'000u);
    EXPECT_EQ(untold.error().stalled, 0u);
    for (const float size : {15.0F, 40.0F, 65.0F}) {
      SlotWork work;
      work.units = {1, 1, size, size * 4, size * 20};
      const auto p9999 = [&](const CostModel& model) {
        return static_cast<double>(model.predict(work).p9999_ns);
      };
      EXPECT_NEAR(p9999(told) / p9999(undisturbed), 1, 0.15) << size;
      EXPECT_GT(p9999(untold) / p9999(undisturbed), 2) << size;
      // And so is the risk of lending: finishing between 300 and 700 us.
      EXPECT_LT(told.share_between(work, 300'000, 700'000), 2e-4) << size;
      EXPECT_GT(untold.share_between(work, 300'000, 700'000), 1e-3) << size;
    }
  }
}

}  // namespace
}  // namespace noroshi::site
