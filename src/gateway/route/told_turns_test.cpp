// Catches: a session that other gateways are not told of, or told late, twice or as another's; one
// that moves because it came in by another door; what others tell that pushes out our own turns,
// takes memory without end, or outlives its site.

#include "gateway/route/told_turns.h"

#include <gtest/gtest.h>

#include <map>

#include "base/prng.h"
#include "gateway/route/route.h"
#include "gateway/route/site_state_test.h"

namespace noroshi::gateway {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

struct ToldTurnsTest : testing::Test {
  std::int64_t now_ns = second_ns;

  void report(Router& router, SiteState state) const {
    state.received_at_ns = now_ns;
    const auto done = router.update(state);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
};

// A user comes in by another gateway, which has heard of his last turn: he stays where he was, and
// when he cannot, it is known whence he comes.
TEST_F(ToldTurnsTest, ASessionsTurnsByOtherGatewaysCountAsOurs) {
  Router door({.sessions_told_max = 1 << 10}, 7);
  Router other({.sessions_told_max = 1 << 10}, 8);
  Router silent;
  const auto report_all = [&](const SiteState& state) {
    for (Router* router : {&door, &other, &silent}) report(*router, state);
  };
  for (int i = 0; i < 6; ++i) report_all(site_named("s" + std::to_string(i)));
  const auto asked = [](std::uint64_t session) { return Ask{"m", {}, {}, session, 800, 50, {}}; };
  ASSERT_TRUE(silent.choose(asked(1), now_ns).at);
  EXPECT_TRUE(silent.new_turns().turns.empty()) << "it is not to tell others";
  std::map<std::uint64_t, std::string> homes;
  for (std::uint64_t session = 1; session <= 20; ++session) {
    const Choice first = door.choose(asked(session), now_ns);
    homes[session] = first.at->name;
    door.finished(first, {Fate::left}, now_ns);
    now_ns += second_ns / 10;
  }
  const ToldTurns told = door.new_turns();
  ASSERT_EQ(told.turns.size(), 20u);
  EXPECT_EQ(told.turns.front().session, 20u) << "the newest first";
  EXPECT_LE(told.places.size(), 6u);
  EXPECT_TRUE(door.new_turns().turns.empty()) << "each is told once";
  other.hear(told);
  for (std::uint64_t session = 1; session <= 20; ++session) {
    const Choice next = other.choose(asked(session), now_ns);
    EXPECT_EQ(next.at->name, homes[session]);
    EXPECT_EQ(next.cached_tokens, 800);
    other.finished(next, {Fate::left}, now_ns);
  }
  // Its home drains: it goes elsewhere, and comes from there.
  SiteState drains = site_named(homes[1]);
  drains.draining = true;
  report_all(drains);
  const Choice moved = other.choose(asked(1), now_ns);
  EXPECT_NE(moved.at->name, homes[1]);
  ASSERT_NE(moved.previous, Choice::none);
  EXPECT_EQ(other.address(moved.previous)->name, homes[1]);
  EXPECT_TRUE(moved.previous_same_model);
  // What is told late of a turn before that one changes nothing.
  other.hear(told);
  EXPECT_EQ(other.choose(asked(1), now_ns).at->name, moved.at->name);
  EXPECT_EQ(other.counters().turns_heard, 40u);
}

TEST_F(ToldTurnsTest, OfMoreTurnsThanCanBeToldTheNewestAre) {
  Router door({.sessions_told_max = 1 << 10, .turns_told_max = 100}, 8);
  SiteState state = site_named("s0");
  state.models[0].places = 0;
  report(door, state);
  const auto turn = [&](std::uint64_t session, int tokens) {
    const Choice choice = door.choose({"m", {}, {}, session, tokens, 1, {}}, ++now_ns);
    door.finished(choice, {Fate::left}, now_ns);
  };
  for (std::uint64_t session = 1; session <= 250; ++session) turn(session, 5);
  turn(200, 9);
  const ToldTurns told = door.new_turns();
  EXPECT_EQ(told.turns.size(), 99u) << "one session had two of the hundred";
  EXPECT_EQ(told.turns[0].session, 200u);
  EXPECT_EQ(told.turns[0].tokens, 9);
  EXPECT_EQ(told.turns[1].session, 250u);
  EXPECT_EQ(told.turns.back().session, 152u);
  EXPECT_EQ(door.counters().turns_untold, 151u);
  // All that is known can be had again, in parts.
  std::map<std::uint64_t, int> all;
  std::size_t from = 0;
  int parts = 0;
  do {
    const ToldTurns part = door.known_turns(from, 2048, 0);
    for (const auto& one : part.turns) {
      EXPECT_TRUE(all.emplace(one.session, one.tokens).second);
      EXPECT_EQ(part.places.at(one.place).site, "s0");
    }
    EXPECT_LE(part.turns.size(), 4096u);
    ASSERT_LT(++parts, 1000);
  } while (from != 0);
  EXPECT_EQ(all.size(), 250u);
  EXPECT_EQ(all[200], 9);
  std::size_t again = 0;
  EXPECT_EQ(door.known_turns(again, 1 << 20, now_ns - 2).turns.size(), 3u) << "those since then";
}

// Others' turns come in numbers, and of whatever: they neither push out our own nor stay for ever.
TEST_F(ToldTurnsTest, WhatOthersTellIsBoundedAndHarmsNoTurnOfOurs) {
  Router door({.sessions_max = 1 << 10, .sessions_told_max = 1 << 10}, 8);
  for (int i = 0; i < 2; ++i) {
    SiteState state = site_named("s" + std::to_string(i));
    state.models[0].places = 0;
    report(door, state);
  }
  const std::uint64_t mark = model_mark("m", "aa");
  const Choice own = door.choose({"m", {}, {}, 5, 100, 1, {}}, now_ns);
  door.finished(own, {Fate::left}, now_ns);
  const std::size_t memory = door.memory_bytes();
  Prng prng(61);
  for (int n = 0; n < 200; ++n) {
    ToldTurns told{.places = {{"s0", mark}, {"s1", mark}}};
    for (int i = 0; i < 300; ++i) {
      told.turns.push_back({prng(), static_cast<std::uint32_t>(prng.below(2)), 50, now_ns - 5});
    }
    door.hear(told);
  }
  EXPECT_EQ(door.memory_bytes(), memory);
  const Choice same = door.choose({"m", {}, {}, 5, 100, 1, {}}, now_ns);
  EXPECT_EQ(same.site, own.site);
  EXPECT_EQ(same.cached_tokens, 100);
  const std::uint64_t nowhere = door.counters().turns_nowhere;
  door.hear({{{"s9", mark}, {"s0", mark + 1}, {"s0", mark}},
             {{7, 0, 1, now_ns}, {7, 1, 1, now_ns}, {7, 3, 1, now_ns}, {0, 2, 1, now_ns}}});
  EXPECT_EQ(door.counters().turns_nowhere, nowhere + 4);
  EXPECT_EQ(door.choose({"m", {}, {}, 7, 100, 1, {}}, now_ns).cached_tokens, 0);
  // A site that is lost has no session's context when it comes back.
  door.hear({{{"s0", mark}}, {{8, 0, 100, now_ns}}});
  ASSERT_TRUE(door.lost("s0"));
  report(door, site_named("s0"));
  EXPECT_EQ(door.choose({"m", {}, {}, 8, 100, 1, {}}, now_ns).cached_tokens, 0);
}

}  // namespace
}  // namespace noroshi::gateway
