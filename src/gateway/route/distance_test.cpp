// Catches: a distance that a queue or a changed way spoils for long, that a site which moved house
// keeps, that one odd site gives to a whole region, or that costs more probes than it may; sites or
// regions that are never measured.

#include "gateway/route/distance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "base/prng.h"
#include "gateway/route/route.h"
#include "gateway/route/site_state_test.h"

namespace noroshi::gateway {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

TEST(Distance, IsTheLeastOfOneToTwoWindows) {
  Distance distance;
  EXPECT_FALSE(distance.known());
  distance.add(0.010, 50 * second_ns);
  distance.add(0.500, 60 * second_ns);
  EXPECT_NEAR(distance.round_trip_s(), 0.010, 1e-6) << "a queue on the way says nothing";
  distance.add(0.008, 61 * second_ns);
  EXPECT_NEAR(distance.round_trip_s(), 0.008, 1e-6) << "a nearer way counts at once";
  distance.add(0.030, 171 * second_ns);
  distance.add(0.033, 239 * second_ns);
  EXPECT_NEAR(distance.round_trip_s(), 0.008, 1e-6) << "the window before";
  distance.add(0.031, 241 * second_ns);
  EXPECT_NEAR(distance.round_trip_s(), 0.030, 1e-6) << "a farther way after two windows";
  distance.add(0.050, 100'000 * second_ns);
  EXPECT_NEAR(distance.round_trip_s(), 0.050, 1e-6) << "of long ago nothing is left";
}

// Against all measures with their times.
TEST(Distance, ForgetsAfterTwoWindowsAndNotBeforeOne) {
  constexpr std::uint64_t seed = 71;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  Distance distance;
  std::vector<std::pair<std::int64_t, double>> all;
  std::int64_t now_ns = 0;
  for (int i = 0; i < 3000; ++i) {
    now_ns += static_cast<std::int64_t>(prng.below(100) == 0 ? prng.below(400 * second_ns)
                                                             : prng.below(20 * second_ns));
    all.emplace_back(now_ns, 0.001 + prng.uniform());
    distance.add(all.back().second, now_ns);
    double least_all = 1e9;
    double least_new = 1e9;
    for (const auto& [at_ns, s] : all) {
      if (now_ns - at_ns < 2 * Distance::window_ns) least_all = std::min(least_all, s);
      if (now_ns - at_ns < Distance::window_ns) least_new = std::min(least_new, s);
    }
    ASSERT_GE(distance.round_trip_s(), least_all - 1e-6) << i;
    ASSERT_LE(distance.round_trip_s(), least_new + 1e-6) << i;
  }
}

struct Measured : testing::Test {
  void report(const std::string& name, const std::string& region, double rtt_ms = 20,
              const std::string& host = "10.0.0.1") {
    SiteState state = site_named(name, rtt_ms);
    state.region = region;
    state.host = host;
    state.received_at_ns = now_ns;
    const auto done = router.update(state);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
  // The site's number and address, as a request would have them.
  Choice choice_of(const std::string& name) {
    std::vector<std::uint32_t> tried;
    for (;;) {
      Choice choice = router.choose({.model = "m", .tried = tried}, now_ns);
      if (!choice.at) return {};
      router.finished(choice, {Fate::left}, now_ns);
      if (choice.at->name == name) return choice;
      tried.push_back(choice.site);
    }
  }
  void measure(const std::string& name, double round_trip_s) {
    const Choice choice = choice_of(name);
    ASSERT_TRUE(choice.at) << name;
    router.measured(choice.site, *choice.at, round_trip_s, now_ns);
  }
  // An answer of nothing: the score is the distance alone.
  double distance_s(const std::string& name) { return choice_of(name).predicted_s; }

  Router router{{.region = "east"}};
  std::int64_t now_ns = second_ns;
};

TEST_F(Measured, ReplacesWhatWasToldAndTheNearestIsChosen) {
  report("a", "east", 30);
  report("b", "west", 10);
  EXPECT_NEAR(distance_s("a"), 0.030, 1e-5);
  measure("a", 0.010);
  measure("b", 0.030);
  EXPECT_NEAR(distance_s("a"), 0.010, 1e-5);
  EXPECT_NEAR(distance_s("b"), 0.030, 1e-5);
  report("a", "east", 500);
  report("b", "west", 0);
  EXPECT_NEAR(distance_s("a"), 0.010, 1e-5) << "news of it changes nothing of that";
  for (int i = 0; i < 20; ++i) {
    const Choice choice = router.choose({.model = "m"}, now_ns);
    EXPECT_EQ(choice.at->name, "a");
    router.finished(choice, {Fate::left}, now_ns);
  }
}

TEST_F(Measured, WhatIsNoRoundTripTeachesNothing) {
  report("a", "east", 30);
  for (const double s : {0.0, -1.0, 61.0, 1e300, std::numeric_limits<double>::quiet_NaN(),
                         std::numeric_limits<double>::infinity()}) {
    measure("a", s);
  }
  router.measured(17, *choice_of("a").at, 0.01, now_ns);
  EXPECT_NEAR(distance_s("a"), 0.030, 1e-5);
  EXPECT_EQ(router.counters().measured, 0u);
  EXPECT_TRUE(router.distances().empty());
}

TEST_F(Measured, ASiteThatMovedHouseIsMeasuredAnew) {
  report("a", "east", 30);
  const Choice before = choice_of("a");
  measure("a", 0.010);
  report("a", "east", 30, "10.0.0.2");
  EXPECT_NEAR(distance_s("a"), 0.030, 1e-5) << "nobody else of the region was measured";
  router.measured(before.site, *before.at, 0.010, now_ns);
  EXPECT_NEAR(distance_s("a"), 0.030, 1e-5) << "a connection to where it was";
  measure("a", 0.020);
  EXPECT_NEAR(distance_s("a"), 0.020, 1e-5);
  report("a", "west", 40, "10.0.0.2");
  EXPECT_NEAR(distance_s("a"), 0.040, 1e-5) << "the same address, another region";
  EXPECT_TRUE(router.distances().empty());
}

TEST_F(Measured, ARegionIsAsFarAsTheMedianOfItsSites) {
  for (int i = 0; i < 9; ++i) report("b" + std::to_string(i), "west", 20);
  report("c", "south", 20);
  measure("b0", 0.011);
  measure("b1", 5);  // slow to take connections: its own harm
  measure("b2", 0.013);
  report("b8", "west", 20);
  report("c", "south", 20);
  EXPECT_NEAR(distance_s("b8"), 0.013, 1e-5);
  EXPECT_NEAR(distance_s("b1"), 5, 1e-4);
  EXPECT_NEAR(distance_s("c"), 0.020, 1e-5) << "another region's";
  const auto known = router.distances();
  ASSERT_EQ(known.size(), 1u);
  EXPECT_EQ(known[0].region, "west");
  EXPECT_NEAR(known[0].round_trip_s, 0.013, 1e-6);
  EXPECT_EQ(known[0].sites_measured, 3u);
}

TEST_F(Measured, OnlyTheSitesMeasuredLastSpeakForARegion) {
  const int sites = static_cast<int>(region_sites_max);
  for (int i = 0; i < 2 * sites; ++i) report("b" + std::to_string(i), "west", 20);
  for (int i = 0; i < sites; ++i) measure("b" + std::to_string(i), 0.050);
  EXPECT_NEAR(router.distances()[0].round_trip_s, 0.050, 1e-6);
  for (int i = 0; i < sites; ++i) measure("b" + std::to_string(sites + i), 0.010);
  EXPECT_NEAR(router.distances()[0].round_trip_s, 0.010, 1e-6);
  EXPECT_EQ(router.distances()[0].sites_measured, 2 * region_sites_max);
}

// What a gateway that asks five times a second measures, of a nation.
TEST_F(Measured, EveryRegionIsMeasuredEachMinuteAndTheOwnOneWhole) {
  constexpr int regions = 47;
  constexpr int own = 100;
  for (int r = 0; r < regions; ++r) {
    for (int i = 0; i < 5; ++i) {
      report("r" + std::to_string(r) + "-" + std::to_string(i), "r" + std::to_string(r));
    }
  }
  for (int i = 0; i < own; ++i) report("own" + std::to_string(i), "east");
  ASSERT_TRUE(router.lost("r0-0"));
  ASSERT_TRUE(router.lost("own7"));
  std::map<std::string, std::vector<std::int64_t>> asked_ns;  // by region
  std::map<std::string, std::set<std::string>> sites;         // that were measured, by region
  for (int minute = 0; minute < 6; ++minute) {
    std::set<std::string> own_sites;
    std::set<std::string> all_regions;
    for (int i = 0; i < 300; ++i) {
      now_ns += second_ns / 5;
      const auto due = router.to_measure(now_ns);
      if (!due) continue;
      const std::string& region = due->at->region;
      EXPECT_NE(due->at->name, "r0-0") << "lost";
      all_regions.insert(region);
      sites[region].insert(due->at->name);
      if (region == "east") own_sites.insert(due->at->name);
      router.measured(due->site, *due->at, 0.010, now_ns);
    }
    EXPECT_EQ(all_regions.size(), regions + 1u) << "minute " << minute;
    EXPECT_GE(own_sites.size(), minute == 0 ? 90u : own - 2u) << "minute " << minute;
  }
  EXPECT_EQ(sites["r0"].size(), 4u) << "in turns";
  EXPECT_EQ(sites["r1"].size(), 5u);
  EXPECT_EQ(sites["east"].size(), own - 1u);
  // Nobody is asked who was just measured, by a request's connection too.
  now_ns += 60 * second_ns;
  for (int i = 0; i < 300; ++i) {
    if (const auto due = router.to_measure(now_ns)) {
      router.measured(due->site, *due->at, 0.010, now_ns);
    }
  }
  EXPECT_FALSE(router.to_measure(now_ns));
  EXPECT_FALSE(router.to_measure(now_ns + 59 * second_ns));
  EXPECT_TRUE(router.to_measure(now_ns + 60 * second_ns));
}

TEST_F(Measured, ASiteThatDoesNotAnswerIsAskedAgainLaterAndHoldsUpNobody) {
  for (int i = 0; i < 3; ++i) report("b" + std::to_string(i), "west");
  report("c", "south");
  std::map<std::string, int> asked;
  for (int i = 0; i < 300; ++i) {
    now_ns += second_ns / 5;
    const auto due = router.to_measure(now_ns);
    if (!due) continue;
    ++asked[due->at->name];
    if (due->at->region == "south") router.measured(due->site, *due->at, 0.010, now_ns);
  }
  EXPECT_EQ(asked["c"], 1);
  EXPECT_EQ(asked["b0"] + asked["b1"] + asked["b2"], 4) << "each quarter of a minute";
  EXPECT_GE(asked["b1"], 1);
  EXPECT_GE(asked["b2"], 1);
}

TEST_F(Measured, NobodyIsNobodyToMeasure) {
  EXPECT_FALSE(router.to_measure(now_ns));
  report("a", "east");
  ASSERT_TRUE(router.lost("a"));
  EXPECT_FALSE(router.to_measure(now_ns));
}

}  // namespace
}  // namespace noroshi::gateway
