// Catches: a speed that is told at one load and meant at another, one short answer that decides,
// nonsense that is believed, a copy that nobody asks because nobody has asked it.

#include "gateway/speeds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/prng.h"
#include "gateway/measure.h"
#include "gateway/route/copy_load.h"
#include "gateway/route/route.h"
#include "gateway/route/site_state_test.h"

namespace noroshi::gateway {
namespace {

TEST(Speeds, AreKnownOnceMeasuredAndForEachModelAlone) {
  SpeedMeter meter;
  EXPECT_EQ(meter.speeds("m", {}).tokens_per_s, 0);
  meter.learn("m",
              {.prompt_tokens = 1000, .prompt_s = 0.5, .tokens = 40, .tokens_s = 2, .whole_s = 2.5},
              {});
  const Speeds speeds = meter.speeds("m", {});
  EXPECT_DOUBLE_EQ(speeds.prompt_tokens_per_s, 2000);
  EXPECT_DOUBLE_EQ(speeds.tokens_per_s, 20);
  EXPECT_DOUBLE_EQ(speeds.service_s_mean, 2.5);
  EXPECT_EQ(meter.speeds("n", {}).tokens_per_s, 0);
}

TEST(Speeds, CountLongAnswersByTheirLengthAndForgetOldOnes) {
  SpeedMeter meter;
  meter.learn("m", {.tokens = 10, .tokens_s = 1}, {});
  meter.learn("m", {.tokens = 1000, .tokens_s = 10}, {});
  EXPECT_NEAR(meter.speeds("m", {}).tokens_per_s, 93, 1);
  for (int i = 0; i < 60; ++i) meter.learn("m", {.tokens = 50, .tokens_s = 1}, {});
  EXPECT_NEAR(meter.speeds("m", {}).tokens_per_s, 50, 0.5);
}

// Whatever the load at which it was measured, the router makes of it the same for any other: what
// is told at one load and there taken to another is what is told at the other.
TEST(Speeds, AreToldForTheLoadOfTheMomentAsTheRouterReadsThem) {
  constexpr std::uint64_t seed = 61;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  for (int round = 0; round < 200; ++round) {
    const double places = 1 + static_cast<double>(prng.below(16));
    const auto any_load = [&] {
      return EngineLoad{.others = static_cast<double>(prng.below(20)),
                        .places = places,
                        .share = 0.3 + 0.7 * prng.uniform()};
    };
    const EngineLoad measured = any_load();
    EngineLoad idle = measured;
    idle.others = 0;
    SpeedMeter meter;
    meter.learn("m", {.tokens = 100, .tokens_s = 5}, measured);
    EXPECT_NEAR(meter.speeds("m", measured).tokens_per_s, 20, 1e-9);
    // The router, told at the idle moment, for the load that was measured.
    CopyLoad load;
    load.places = places;
    load.share = load.share_now = measured.share;
    load.tokens_per_s = meter.speeds("m", idle).tokens_per_s;
    load.others = measured.others;
    EXPECT_NEAR(load.tokens_per_s / slow_there(load), 20, 1e-9);
    // Half the share is half as fast.
    EngineLoad half = idle;
    half.share = idle.share / 2;
    EXPECT_NEAR(meter.speeds("m", half).tokens_per_s, load.tokens_per_s / 2, 1e-9);
  }
}

TEST(Speeds, LeaveOutWhatSaysNothing) {
  SpeedMeter meter;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  meter.learn("m", {.prompt_tokens = SpeedMeter::prompt_tokens_min - 1, .prompt_s = 1}, {});
  meter.learn("m", {.tokens = SpeedMeter::tokens_min - 1, .tokens_s = 1}, {});
  for (const double seconds : {0.0, -1.0, nan}) {
    meter.learn("m",
                {.prompt_tokens = 100,
                 .prompt_s = seconds,
                 .tokens = 100,
                 .tokens_s = seconds,
                 .whole_s = seconds},
                {});
  }
  EXPECT_EQ(meter.speeds("m", {}).prompt_tokens_per_s, 0);
  EXPECT_EQ(meter.speeds("m", {}).tokens_per_s, 0);
  EXPECT_EQ(meter.speeds("m", {}).service_s_mean, 0);
  // No load makes a speed none.
  meter.learn("m", {.tokens = 100, .tokens_s = 1e-300}, {.share = 0});
  for (const EngineLoad& load : {EngineLoad{.others = inf, .places = 1, .share = 0},
                                 EngineLoad{.others = -5, .places = inf, .share = 7}}) {
    const double speed = meter.speeds("m", load).tokens_per_s;
    EXPECT_TRUE(speed > 0 && speed <= 1e9) << speed;
  }
  for (int i = 0; i < 1000; ++i) {
    meter.learn("n" + std::to_string(i), {.tokens = 100, .tokens_s = 1}, {});
  }
  EXPECT_EQ(meter.speeds("n999", {}).tokens_per_s, 0) << "names without end";
}

TEST(Speeds, AMeasurementTakesThePlaceOfWhatIsOld) {
  SpeedMeter meter;
  const AnswerTimes slow{
      .prompt_tokens = 8000, .prompt_s = 80, .tokens = 4000, .tokens_s = 1000, .whole_s = 1080};
  for (int i = 0; i < 20; ++i) meter.learn("m", slow, {});
  EXPECT_EQ(meter.answers("m"), 20u);
  const AnswerTimes well{.prompt_tokens = 128, .prompt_s = 0.128, .tokens = 32, .tokens_s = 0.8};
  meter.measured("m", well, {});
  EXPECT_EQ(meter.answers("m"), 20u);
  EXPECT_DOUBLE_EQ(meter.speeds("m", {}).tokens_per_s, 40);
  EXPECT_DOUBLE_EQ(meter.speeds("m", {}).prompt_tokens_per_s, 1000);
  EXPECT_DOUBLE_EQ(meter.speeds("m", {}).service_s_mean, 1080) << "it was too short for that";
  // So short a prompt is mostly the time around it: that it looks slow is no news.
  meter.measured("m", {.prompt_tokens = 128, .prompt_s = 1, .tokens = 32, .tokens_s = 3.2}, {});
  EXPECT_DOUBLE_EQ(meter.speeds("m", {}).tokens_per_s, 10);
  EXPECT_DOUBLE_EQ(meter.speeds("m", {}).prompt_tokens_per_s, 1000);
  meter.measured("m", {}, {});
  EXPECT_DOUBLE_EQ(meter.speeds("m", {}).tokens_per_s, 10) << "nothing says nothing";
  // Measured by itself at half the share, it is twice as fast alone with all of it.
  meter.measured("m", well, {.share = 0.5});
  EXPECT_DOUBLE_EQ(meter.speeds("m", {}).tokens_per_s, 80);
}

TEST(Speeds, OnlyWhoIsIdleForLongIsMeasured) {
  IdleWatch watch(10);
  const Time start{};
  const auto at = [&](double s) { return start + seconds_ns(s); };
  EXPECT_FALSE(watch.due("m", 0, false, at(0)));
  EXPECT_FALSE(watch.due("m", 0, false, at(9.9)));
  EXPECT_TRUE(watch.due("m", 0, false, at(10)));
  EXPECT_FALSE(watch.due("m", 0, false, at(19))) << "not again at once";
  EXPECT_FALSE(watch.due("m", 0, true, at(20))) << "somebody is there";
  EXPECT_FALSE(watch.due("m", 1, false, at(29)));
  EXPECT_FALSE(watch.due("m", 1, false, at(38))) << "answered at 29 at the latest";
  EXPECT_TRUE(watch.due("m", 1, false, at(39)));
  EXPECT_FALSE(watch.due("n", 1, false, at(39))) << "each for itself";
}

// --- what a router makes of them ---

class ReportedSpeeds : public testing::Test {
 protected:
  void report(const std::string& name, double tokens_per_s, bool draining = false) {
    SiteState state = site_named(name);
    state.draining = draining;
    state.received_at_ns = now_ns;
    state.models[0].prompt_tokens_per_s = std::min(1e9, 20 * tokens_per_s);
    state.models[0].tokens_per_s = tokens_per_s;
    state.models[0].service_s_mean = 0;
    const auto done = router.update(state);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
  // One request after the other, each alone in the fleet; what each site truly does is in `truth`.
  std::map<std::string, int> ask(int requests) {
    std::map<std::string, int> times;
    for (int i = 0; i < requests; ++i) {
      const Choice choice =
          router.choose({.model = "m", .prompt_tokens = 200, .completion_tokens = 100}, now_ns);
      if (!choice.at) continue;
      ++times[choice.at->name];
      const double alone_s =
          0.001 + 200 / (20 * truth[choice.at->name]) + 100 / truth[choice.at->name];
      const double took_s = alone_s * (0.85 + 0.3 * prng.uniform());
      now_ns += static_cast<std::int64_t>(took_s * 1e9);
      router.finished(choice, {Fate::answered, took_s, 100}, now_ns);
    }
    return times;
  }
  static constexpr std::uint64_t seed = 62;
  void SetUp() override { std::printf("seed %llu\n", static_cast<unsigned long long>(seed)); }
  Prng prng{seed};
  Router router;
  std::int64_t now_ns = 1'000'000'000;
  std::map<std::string, double> truth;
};

TEST_F(ReportedSpeeds, ANewGatewaySpreadsByThem) {
  truth = {{"a", 400}, {"b", 400}, {"slow", 40}};
  for (const auto& [name, speed] : truth) report(name, speed);
  auto times = ask(60);
  EXPECT_GE(times["a"], 10);
  EXPECT_GE(times["b"], 10);
  EXPECT_EQ(times.count("slow"), 0u) << "it says so itself: nobody has to find out";
}

TEST_F(ReportedSpeeds, ASiteThatHasAnsweredNothingIsTakenToBeLikeTheOthers) {
  truth = {{"known", 400}, {"silent", 400}};
  report("known", 400);
  report("silent", 0);
  EXPECT_GE(ask(40)["silent"], 10);
}

// All answer faster than they say (a prompt has fewer tokens than is thought, say). That is found
// of the one that is asked first, who then looked better than everybody else for ever.
TEST_F(ReportedSpeeds, WhatIsLearnedOfOneIsExpectedOfTheOthers) {
  truth = {{"a", 400}, {"b", 400}, {"c", 400}};
  for (const auto& [name, speed] : truth) report(name, 200, name != "a");
  ASSERT_EQ(ask(30)["a"], 30) << "the others drain";
  std::map<std::string, int> times;
  for (int second = 0; second < 120; ++second) {
    for (int beat = 0; beat < 5; ++beat) {
      for (const auto& [name, speed] : truth) report(name, 200);
      now_ns += 200'000'000;
    }
    for (const auto& [name, count] : ask(1)) times[name] += count;
  }
  EXPECT_GE(times["b"] + times["c"], 20);
}

TEST_F(ReportedSpeeds, AnUndrainedSiteHasItsShareAgain) {
  truth = {{"a", 400}, {"b", 400}};
  report("a", 400);
  report("b", 400, true);
  ASSERT_EQ(ask(40)["a"], 40);
  report("b", 400);
  EXPECT_GE(ask(40)["b"], 10);
  EXPECT_EQ(router.counters().failures, 0u);
}

TEST_F(ReportedSpeeds, OwnFiguresWinAndAge) {
  truth = {{"honest", 100}, {"boaster", 50}};
  report("honest", 100);
  report("boaster", 1000);
  ask(30);
  EXPECT_LE(ask(30)["boaster"], 5) << "seen to be slower than it says";
  for (int i = 0; i < 400; ++i) {
    report("honest", 100);
    report("boaster", 1000);
  }
  EXPECT_GE(ask(3)["boaster"], 1) << "that was long ago: it is given another chance";
}

// Fifty users, each asking anew when it is answered, at a site whose speed does not fall with its
// load as reports have it: what is learned swings in and stays.
TEST_F(ReportedSpeeds, ManyAnswersToOldQuestionsDoNotOvershoot) {
  report("a", 40);
  std::multimap<std::int64_t, Choice> open;  // by their end
  const auto ask_one = [&] {
    const Choice choice = router.choose({.model = "m", .completion_tokens = 60}, now_ns);
    ASSERT_TRUE(choice.at);
    open.emplace(now_ns + static_cast<std::int64_t>(1.5e9 * (0.7 + 0.6 * prng.uniform())), choice);
  };
  for (int user = 0; user < 50; ++user) ask_one();
  double least_s = 1e9;
  double most_s = 0;
  for (int answered = 0; answered < 3000; ++answered) {
    const auto [end_ns, choice] = *open.begin();
    open.erase(open.begin());
    if (answered % 10 == 0) report("a", 40);
    now_ns = end_ns;
    router.finished(choice, {Fate::answered, 1.5, 60}, now_ns);
    ask_one();
    if (answered < 500) continue;
    least_s = std::min(least_s, open.rbegin()->second.predicted_s);
    most_s = std::max(most_s, open.rbegin()->second.predicted_s);
  }
  EXPECT_GE(least_s, 0.75);
  EXPECT_LE(most_s, 3);
}

// A site becomes ten times slower, says so, and is well again: what was under way all the time saw
// both, and what it took is no news beside what was told.
TEST_F(ReportedSpeeds, WhatASiteTellsIsNotLearnedASecondTime) {
  const Ask fixed{.model = "m", .completion_tokens = 100};
  const auto expected_s = [&] {
    const Choice choice = router.choose(fixed, now_ns);
    router.finished(choice, {Fate::left}, now_ns);
    return choice.predicted_s;
  };
  report("a", 40);
  const double well_s = expected_s();
  const auto under_way = [&](double tells, double took_s) {
    const Choice choice = router.choose(fixed, now_ns);
    report("a", tells);
    router.finished(choice, {Fate::answered, took_s, 100}, now_ns);
  };
  for (int i = 0; i < 20; ++i) {
    under_way(4, 15);
    under_way(4, 25);
    EXPECT_NEAR(expected_s(), 10 * well_s, well_s) << "slow, round " << i;
    under_way(40, 15);
    under_way(40, 2.5);
    EXPECT_NEAR(expected_s(), well_s, 0.1 * well_s) << "well, round " << i;
  }
}

// All that the reports' parsers let through, and a table that holds floats.
TEST_F(ReportedSpeeds, ExtremesMakeNoSiteUnreachableAndNoNumberNone) {
  const double extremes[] = {1e-300, 5e-324, 1e-40, 1e-9, 1e9};
  int i = 0;
  for (const double speed : extremes) report("x" + std::to_string(i++), speed);
  for (int round = 0; round < 50; ++round) {
    const Choice choice = router.choose(
        {.model = "m", .prompt_tokens = round % 2 * 1'000'000, .completion_tokens = 0}, now_ns);
    ASSERT_TRUE(choice.at);
    EXPECT_TRUE(std::isfinite(choice.predicted_s)) << choice.predicted_s;
    router.finished(choice, {Fate::answered, 1, 5}, now_ns);
  }
  // Nor does one of them spoil the guess for who is silent.
  truth = {{"silent", 100}};
  for (int n = 0; n < 5; ++n) router.lost("x" + std::to_string(n));
  report("silent", 0);
  EXPECT_EQ(ask(5)["silent"], 5);
}

}  // namespace
}  // namespace noroshi::gateway
