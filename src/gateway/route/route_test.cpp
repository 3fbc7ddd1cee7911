// Catches: a router that chooses otherwise than its plain twin, herds, forgets requests or counts
// them twice, believes a broken report, keeps a dead site or gives up a living one, lets a loved
// prompt fill a site up, mixes two contents of one model.

#include "gateway/route/route.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>

#include "base/prng.h"
#include "gateway/route/prefix.h"
#include "gateway/route/route_ref.h"
#include "gateway/route/site_state_test.h"

namespace noroshi::gateway {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

SiteState random_site(const std::string& name, Prng& prng) {
  SiteState state = site_named(name, 100 * prng.uniform());
  state.instance = 1 + prng.below(30) / 29;
  state.region = "r" + std::to_string(prng.below(20) == 0 ? prng.below(3) : name.back() % 3u);
  if (prng.below(20) == 0) state.host = "10.0.0.2";
  state.ready = prng.below(10) != 0;
  state.draining = prng.below(12) == 0;
  state.lease_share = 0.2 + 0.8 * prng.uniform();
  state.lease_share_forecast = prng.below(2) == 0 ? state.lease_share : prng.uniform();
  state.models.clear();
  for (const char* model : {"m", "n"}) {
    if (prng.below(4) == 0) continue;
    ModelAtSite at;
    at.name = model;
    at.content_hash = prng.below(5) == 0 ? "bb" : "aa";
    at.places = static_cast<int>(prng.below(20));
    at.requests_in_flight = static_cast<int>(prng.below(9));
    at.requests_queued = static_cast<int>(prng.below(2));
    at.prompt_tokens_per_s = prng.below(8) == 0 ? 0 : 100 + 2000 * prng.uniform();
    at.tokens_per_s = prng.below(8) == 0 ? 0 : 5 + 50 * prng.uniform();
    at.service_s_mean = 5 * prng.uniform();
    at.cache_tokens = static_cast<int>(prng.below(40'000));
    state.models.push_back(at);
  }
  return state;
}

// What the router's choices must be told in the end.
struct Open {
  Choice choice;
  ref::PlainChoice plain;
  std::string model;
  int completion_tokens;
};

class Twins {
 public:
  Twins(std::uint64_t seed, int sites, RouterConfig config)
      : prng_(seed), sites_(sites), router_(config, seed + 1), plain_(config, seed + 1) {
    for (int i = 0; i < 12; ++i) texts_.push_back(std::string(500 + prng_.below(30'000), ' '));
    for (std::string& text : texts_) {
      for (char& c : text) c = static_cast<char>(prng_());
    }
  }

  void step() {
    now_ns_ += static_cast<std::int64_t>(prng_.below(second_ns / 5));
    const std::uint64_t what = prng_.below(10);
    if (what < 3) {
      SiteState state =
          random_site("s" + std::to_string(prng_.below(static_cast<std::uint64_t>(sites_))), prng_);
      state.received_at_ns = now_ns_;
      const auto done = router_.update(state);
      if (done) plain_.update(state);
      if (!done) {
        ASSERT_NE(done.error().message.find("a site of that name is alive"), std::string::npos);
      }
    } else if (what == 3 && prng_.below(4) == 0) {
      const std::string name =
          "s" + std::to_string(prng_.below(static_cast<std::uint64_t>(sites_)));
      if (router_.lost(name)) plain_.lost(name);
    } else if (what == 4 && prng_.below(10) == 0) {
      const std::vector<std::string> hashes =
          prng_.below(2) ? std::vector<std::string>{"aa", "bb"} : std::vector<std::string>{};
      router_.allow("m", hashes);
      plain_.allow("m", hashes);
    } else if (what == 4 && prng_.below(4) == 0 && !open_.empty()) {
      const Open& one = open_[prng_.below(open_.size())];
      const double round_trip_s = 0.3 * prng_.uniform();
      router_.measured(one.choice.site, *one.choice.at, round_trip_s, now_ns_);
      plain_.measured(*one.choice.at, round_trip_s, now_ns_);
    } else if (what == 4 && prng_.below(2) == 0) {
      hear();
    } else if (what < 7) {
      choose();
    } else if (!open_.empty()) {
      finish(prng_.below(open_.size()));
    }
  }

  int decided = 0;
  int with_cache = 0;

 private:
  // Another gateway had a turn of a session a moment ago.
  void hear() {
    const std::uint64_t session = 1 + prng_.below(19);
    const std::string site =
        "s" + std::to_string(prng_.below(static_cast<std::uint64_t>(sites_) + 1));
    const std::string model = prng_.below(3) ? "m" : "n";
    const std::string hash = prng_.below(5) == 0 ? "bb" : "aa";
    const int tokens = static_cast<int>(prng_.below(8000));
    const std::int64_t at_ns = now_ns_ - static_cast<std::int64_t>(prng_.below(120 * second_ns));
    router_.hear(
        {{{"another", 1}, {site, model_mark(model, hash)}}, {{session, 1, tokens, at_ns}}});
    plain_.hear(session, site, model, hash, tokens, at_ns);
  }
  void choose() {
    const std::string model = prng_.below(3) ? "m" : "n";
    PrefixHasher hasher(model);
    const std::string& text = texts_[prng_.below(texts_.size())];
    // A bucket of the index remembers eight copies, four sites with two contents.
    if (sites_ <= 4) {
      hasher.add(std::string_view(text).substr(0, text.size() / (1 + prng_.below(3))));
    }
    std::string tail(prng_.below(3000), ' ');
    for (char& c : tail) c = static_cast<char>(prng_());
    hasher.add(tail);
    std::vector<std::uint32_t> tried;
    std::vector<std::string> tried_names;
    for (std::uint64_t i = prng_.below(3); i > 0 && sites_ > 3 && !open_.empty(); --i) {
      const Open& one = open_[prng_.below(open_.size())];
      tried.push_back(one.choice.site);
      tried_names.push_back(one.plain.site);
    }
    const Ask ask{model,
                  prng_.below(6) == 0 ? "bb" : "",
                  hasher.blocks(),
                  prng_.below(3) ? prng_.below(20) : 0,
                  static_cast<int>(hasher.bytes() / bytes_per_token),
                  static_cast<int>(prng_.below(300)),
                  tried};
    Choice choice = router_.choose(ask, now_ns_);
    const ref::PlainChoice plain = plain_.choose(ask, tried_names, now_ns_);
    ASSERT_EQ(choice.at ? choice.at->name : "", plain.site) << "decision " << decided;
    ++decided;
    if (!choice.at) return;
    EXPECT_EQ(choice.content_hash, plain.content_hash);
    ASSERT_EQ(choice.cached_tokens, plain.cached_tokens) << "decision " << decided;
    EXPECT_NEAR(choice.predicted_s, plain.score_s, 1e-4 * (1 + plain.score_s));
    with_cache += choice.cached_tokens > 0 ? 1 : 0;
    open_.push_back({choice, plain, model, ask.completion_tokens});
  }

  void finish(std::size_t at) {
    const Open one = open_[at];
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(at));
    const Fate fates[] = {Fate::answered, Fate::answered, Fate::answered,
                          Fate::failed,   Fate::refused,  Fate::left};
    const Fared fared{fates[prng_.below(6)], one.choice.predicted_s * 3 * prng_.uniform(),
                      one.completion_tokens};
    const double expected =
        one.choice.expected_fixed_s + fared.completion_tokens * one.choice.expected_per_token_s;
    router_.finished(one.choice, fared, now_ns_);
    plain_.finished(one.plain, one.model, fared, expected, now_ns_);
  }

  Prng prng_;
  int sites_;
  std::int64_t now_ns_ = second_ns;
  Router router_;
  ref::PlainRouter plain_;
  std::vector<std::string> texts_;
  std::vector<Open> open_;
};

TEST(Router, ChoosesAsItsPlainTwin) {
  for (const auto& [sites, seed] : {std::pair{1, 51u}, {3, 52u}, {4, 56u}, {4, 57u}, {60, 55u}}) {
    SCOPED_TRACE(testing::Message() << sites << " sites, seed " << seed);
    RouterConfig config;
    config.prefix_entries = 1 << 18;
    config.cache_tokens = 5000;
    config.sessions_told_max = 1 << 16;
    Twins twins(seed, sites, config);
    for (int i = 0; i < 4000 && !testing::Test::HasFatalFailure(); ++i) twins.step();
    EXPECT_GT(twins.decided, 1000);
    EXPECT_GT(twins.with_cache, 20);
  }
}

struct Bare : testing::Test {
  std::string choose(Ask ask = {}) {
    if (ask.model.empty()) ask.model = "m";
    last = router.choose(ask, now_ns);
    return last.at ? last.at->name : "";
  }
  void report(SiteState state) {
    state.received_at_ns = now_ns;
    const auto done = router.update(state);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
  Router router;
  Choice last;
  std::int64_t now_ns = second_ns;
};

using RouterCase = Bare;

TEST_F(RouterCase, ABurstBetweenTwoReportsSpreadsOverTheSites) {
  for (int i = 0; i < 10; ++i) report(site_named("s" + std::to_string(i), 1 + 0.1 * i));
  std::map<std::string, int> times;
  for (int i = 0; i < 40; ++i) ++times[choose({.prompt_tokens = 100, .completion_tokens = 50})];
  EXPECT_EQ(times.size(), 10u);
  for (const auto& [site, count] : times) EXPECT_LE(count, 6) << site;
}

TEST_F(RouterCase, ALovedPromptDoesNotFillASiteUp) {
  for (int i = 0; i < 4; ++i) report(site_named("s" + std::to_string(i)));
  PrefixHasher hasher("m");
  hasher.add(std::string(16'000, 'x'));
  const Ask ask{"m", {}, hasher.blocks(), 0, 4000, 20, {}};
  std::map<std::string, int> times;
  for (int i = 0; i < 3; ++i) ++times[choose(ask)];
  EXPECT_EQ(times.size(), 1u) << "its cache is there";
  for (int i = 0; i < 13; ++i) ++times[choose(ask)];
  EXPECT_EQ(times.size(), 4u);
  for (const auto& [site, count] : times) EXPECT_LE(count, 5) << site;
}

TEST_F(RouterCase, APromptGoesWhereItsBeginningIsThoughItsAnswerIsLong) {
  for (int i = 0; i < 4; ++i) {
    SiteState site = site_named("s" + std::to_string(i));
    site.models[0].places = 24;
    report(site);
  }
  // Reading it anew takes a second, half of it is known, and the answer takes ten.
  std::map<std::string, std::string> homes;
  for (int turn = 0; turn < 4; ++turn) {
    for (int talk = 0; talk < 12; ++talk) {
      PrefixHasher hasher("m");
      hasher.add("talk " + std::to_string(talk) + std::string(2000 << turn, 'x'));
      const int tokens = static_cast<int>(hasher.bytes() / bytes_per_token);
      const std::string site = choose({"m", {}, hasher.blocks(), 0, tokens, 10'000, {}});
      const auto [home, is_new] = homes.try_emplace("talk" + std::to_string(talk), site);
      EXPECT_EQ(site, home->second) << "talk " << talk << " turn " << turn;
      EXPECT_EQ(is_new, turn == 0);
      router.finished(last, {Fate::left}, now_ns);
      now_ns += second_ns;
    }
  }
  std::set<std::string> used;
  for (const auto& [talk, site] : homes) used.insert(site);
  EXPECT_GE(used.size(), 3u) << "new talks spread";
}

TEST_F(RouterCase, ABeginningThatEveryoneHasDrawsNobody) {
  for (int i = 0; i < 4; ++i) {
    SiteState site = site_named("s" + std::to_string(i));
    site.models[0].places = 24;
    report(site);
  }
  std::map<std::string, int> times;
  for (int talk = 0; talk < 40; ++talk) {
    PrefixHasher hasher("m");
    hasher.add(std::string(512, 's') + std::to_string(talk) + std::string(16'000, 'x'));
    ++times[choose({"m", {}, hasher.blocks(), 0, 4128, 2000, {}})];
    router.finished(last, {Fate::left}, now_ns);
    now_ns += second_ns;
  }
  EXPECT_GE(times.size(), 3u);  // the worst of four is never drawn, as long as nobody has a load
  for (const auto& [site, count] : times) EXPECT_LE(count, 25) << site;
}

TEST_F(RouterCase, APromptIsNotQueuedBehindALongOneThatIsStillRead) {
  for (int i = 0; i < 2; ++i) {
    SiteState site = site_named("s" + std::to_string(i));
    site.models[0].places = 24;
    report(site);
  }
  const std::string busy = choose({.prompt_tokens = 50'000, .completion_tokens = 500});
  const Choice reading = last;
  for (int i = 0; i < 6; ++i) {
    EXPECT_NE(choose({.prompt_tokens = 100, .completion_tokens = 500}), busy) << i;
    EXPECT_LT(last.predicted_s, reading.predicted_s);
    router.finished(last, {Fate::left}, now_ns);
  }
  // Where nobody else is, it waits; and when the long one has been read, no more.
  ASSERT_TRUE(router.lost(busy == "s0" ? "s1" : "s0"));
  const Ask small{.prompt_tokens = 100, .completion_tokens = 500};
  EXPECT_EQ(choose(small), busy);
  EXPECT_GT(last.predicted_s, 100);
  now_ns += 1000 * second_ns;
  EXPECT_EQ(choose(small), busy);
  EXPECT_LT(last.predicted_s, 40);
}

TEST_F(RouterCase, ASessionStaysAndFollowsItsCacheOnlyWhileTheSiteIsWell) {
  for (int i = 0; i < 6; ++i) report(site_named("s" + std::to_string(i)));
  const Ask ask{"m", {}, {}, 77, 800, 50, {}};
  const std::string home = choose(ask);
  for (int turn = 0; turn < 20; ++turn) {
    router.finished(last, {Fate::answered, 1, 50}, now_ns);
    ASSERT_EQ(choose(ask), home);
    EXPECT_EQ(last.previous, Choice::none);
  }
  const std::uint32_t old_site = last.site;
  router.finished(last, {Fate::failed}, now_ns);
  EXPECT_NE(choose(ask), home);
  EXPECT_EQ(last.previous, old_site);
  EXPECT_EQ(router.counters().sessions_moved, 1u);
}

TEST_F(RouterCase, AFailedSiteIsTheLastResortUntilItsTimeIsOver) {
  report(site_named("near", 1));
  report(site_named("far", 400));
  EXPECT_EQ(choose(), "near");
  router.finished(last, {Fate::failed}, now_ns);
  EXPECT_EQ(choose(), "far");
  const std::uint32_t far = last.site;
  const std::uint32_t tried[] = {far};
  EXPECT_EQ(choose({.tried = tried}), "near") << "better than nothing";
  router.finished(last, {Fate::left}, now_ns);
  report(site_named("near", 1));
  EXPECT_EQ(choose(), "far") << "a report that was under way says nothing";
  now_ns += 2 * second_ns;
  EXPECT_EQ(choose(), "near");
  router.finished(last, {Fate::failed}, now_ns);
  now_ns += 3 * second_ns;
  EXPECT_EQ(choose(), "far") << "the second time lasts longer";
  SiteState fresh = site_named("near", 1);
  fresh.instance = 2;
  report(fresh);
  EXPECT_EQ(choose(), "near") << "a new process starts anew";
}

TEST_F(RouterCase, ASiteThatIsSlowerThanItSaysIsLearned) {
  report(site_named("liar", 1));
  report(site_named("honest", 30));
  int liar = 0;
  for (int i = 0; i < 60; ++i) {
    const bool is_liar = choose({.prompt_tokens = 100, .completion_tokens = 50}) == "liar";
    liar += is_liar ? 1 : 0;
    router.finished(last, {Fate::answered, is_liar ? 30.0 : last.predicted_s, 50}, now_ns);
  }
  EXPECT_LE(liar, 12);
}

TEST_F(RouterCase, LostDrainingAndUnreadySitesTakeNothing) {
  report(site_named("a", 1));
  report(site_named("b", 500));
  EXPECT_EQ(choose(), "a");
  const Choice at_a = last;
  EXPECT_TRUE(router.lost("a"));
  EXPECT_FALSE(router.lost("a"));
  EXPECT_FALSE(router.lost("never heard of"));
  EXPECT_EQ(choose(), "b");
  router.finished(at_a, {Fate::failed}, now_ns);  // of a copy that is unlisted by now
  SiteState drained = site_named("b", 500);
  drained.draining = true;
  report(drained);
  EXPECT_EQ(choose(), "");
  EXPECT_TRUE(router.capacity("m").known);
  EXPECT_FALSE(router.capacity("m").ready);
  EXPECT_FALSE(router.ready());
  EXPECT_EQ(router.models(), std::vector<std::string>{"m"});
  EXPECT_EQ(choose({.model = "no such"}), "");
  SiteState unready = site_named("b");
  unready.ready = false;
  unready.host = "";
  unready.tcp_port = 0;
  report(unready);
  EXPECT_EQ(choose(), "");
  report(site_named("b"));
  EXPECT_EQ(choose(), "b");
}

TEST_F(RouterCase, TwoContentsOfOneModelAreKeptApart) {
  for (const char* name : {"a", "b"}) report(site_named(name, 100));
  SiteState odd = site_named("odd", 1);
  odd.models[0].content_hash = "bb";
  report(odd);
  for (int i = 0; i < 5; ++i) EXPECT_NE(choose(), "odd") << "most sites have the other";
  EXPECT_EQ(choose({.content_hash = "bb"}), "odd");
  EXPECT_EQ(choose({.content_hash = "cc"}), "");
  router.allow("m", {"bb"});
  EXPECT_EQ(choose(), "odd");
  router.allow("m", {"aa", "bb"});
  EXPECT_EQ(router.capacity("m").places, 12);
  router.allow("m", {});
  EXPECT_NE(choose(), "odd");
}

TEST_F(RouterCase, CapacityIsTheSumOfWhatIsOpen) {
  SiteState half = site_named("a");
  half.lease_share = 0.5;
  report(half);
  report(site_named("b"));
  EXPECT_EQ(router.capacity("m").places, 8);
  EXPECT_DOUBLE_EQ(router.capacity("m").share, 0.75);
  SiteState open = site_named("c");
  open.models[0].places = 0;
  report(open);
  EXPECT_EQ(router.capacity("m").places, 0) << "one without a limit";
  router.lost("c");
  report(half);
  router.lost("b");
  EXPECT_EQ(router.capacity("m").places, 4);
  EXPECT_DOUBLE_EQ(router.capacity("m").share, 0.5);
}

TEST_F(RouterCase, BrokenReportsAreRefusedAndTheLastGoodOneStays) {
  report(site_named("a"));
  const auto refused = [&](auto spoil, const char* field) {
    SiteState state = site_named("a", 5);
    state.received_at_ns = now_ns;
    spoil(state);
    const auto done = router.update(state);
    ASSERT_FALSE(done.ok()) << field;
    EXPECT_NE(done.error().message.find(field), std::string::npos) << done.error().message;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refused([](SiteState& s) { s.name = ""; }, "name");
  refused([](SiteState& s) { s.name = "a\r\nX-Evil: 1"; }, "name 'a??X-Evil: 1'");
  refused([](SiteState& s) { s.name = std::string(1000, 'a'); }, "name");
  refused([](SiteState& s) { s.host = ""; }, "host");
  refused([](SiteState& s) { s.tcp_port = 70'000; }, "tcp_port 70000");
  refused([&](SiteState& s) { s.lease_share = nan; }, "lease_share nan");
  refused([](SiteState& s) { s.lease_share_forecast = 1.5; }, "lease_share_forecast");
  refused([](SiteState& s) { s.rtt_ms = -1; }, "rtt_ms -1");
  refused([](SiteState& s) { s.models[0].places = -3; }, "model 'm': places -3");
  refused([&](SiteState& s) { s.models[0].tokens_per_s = nan; }, "tokens_per_s nan");
  refused([](SiteState& s) { s.models.push_back(s.models[0]); }, "twice");
  refused([](SiteState& s) { s.models.resize(1000, s.models[0]); }, "models has 1000");
  refused(
      [](SiteState& s) {
        s.instance = 7;
        s.host = "10.9.9.9";
      },
      "a site of that name is alive at 10.0.0.1:8080");
  EXPECT_EQ(choose(), "a");
  EXPECT_EQ(last.at->host, "10.0.0.1");
  EXPECT_EQ(router.counters().updates_refused, 13u);
  // An older report that arrives late changes nothing.
  SiteState late = site_named("a");
  late.ready = false;
  late.received_at_ns = now_ns - 1;
  EXPECT_TRUE(router.update(late).ok());
  EXPECT_EQ(choose(), "a");
  // The name is free again when its site has been silent.
  now_ns += 5 * second_ns;
  SiteState moved = site_named("a");
  moved.instance = 8;
  moved.host = "10.9.9.9";
  report(moved);
  choose();
  EXPECT_EQ(last.at->host, "10.9.9.9");
}

TEST_F(RouterCase, SitesHaveALimit) {
  Router small({.sites_max = 2});
  EXPECT_TRUE(small.update(site_named("a")).ok());
  EXPECT_TRUE(small.update(site_named("b")).ok());
  const auto third = small.update(site_named("c"));
  ASSERT_FALSE(third.ok());
  EXPECT_NE(third.error().message.find("sites_max"), std::string::npos);
  EXPECT_TRUE(small.update(site_named("a")).ok());
}

}  // namespace
}  // namespace noroshi::gateway
