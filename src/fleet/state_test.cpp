// The fleet's state rules, under a manual clock: would catch a site lost too late, or lost because
// the bus died; two leaders at once; a copy placed where it may not be, or moved without need; a
// roll-out that changes two sites at a time, or goes on past a site that is not well.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/prng.h"
#include "fleet/leadership.h"
#include "fleet/membership.h"
#include "fleet/placement.h"
#include "fleet/rollout.h"

namespace noroshi::fleet {
namespace {

constexpr std::int64_t ms = 1'000'000;

SiteReport beat_of(const std::string& name, std::uint64_t instance, std::uint64_t sequence) {
  SiteReport report;
  report.site.name = name;
  report.site.region = "tokyo";
  report.site.instance = instance;
  report.site.host = "10.0.0.1";
  report.site.tcp_port = 8080;
  report.sequence = sequence;
  return report;
}

TEST(Membership, SilenceCountsOnlyWhileTheBusWorks) {
  Membership sites;
  BusPulse pulse;
  std::int64_t now = 0;
  const auto run_ms = [&](int duration, bool bus, std::uint64_t* beats) {
    std::vector<std::string> lost;
    for (int i = 0; i < duration; i += 50, now += 50 * ms) {
      if (bus) pulse.came_back(now);
      if (bus && beats != nullptr && i % 250 == 0) sites.hear(beat_of("a", 1, ++*beats), now);
      for (auto& name : sites.expire(pulse)) lost.push_back(name);
    }
    return lost;
  };
  std::uint64_t beats = 0;
  EXPECT_TRUE(run_ms(3000, true, &beats).empty());
  EXPECT_TRUE(run_ms(60'000, false, nullptr).empty()) << "the bus is dead: nobody is lost";
  EXPECT_TRUE(run_ms(550, true, nullptr).empty()) << "back, and the site has had no time yet";
  EXPECT_TRUE(run_ms(1000, true, &beats).empty());
  const std::int64_t silent_since = sites.find("a")->heard_ns;
  const auto lost = run_ms(2000, true, nullptr);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_FALSE(sites.find("a")->alive);
  EXPECT_EQ(sites.hear(beat_of("a", 1, ++beats), now), Heard::joined);
  // When it was seen: at the first look after 650 ms.
  Membership again;
  again.hear(beat_of("a", 1, 1), 0);
  BusPulse steady;
  std::int64_t seen = -1;
  for (std::int64_t t = 0; seen < 0; t += 50 * ms) {
    steady.came_back(t);
    if (!again.expire(steady).empty()) seen = t;
  }
  EXPECT_LE(seen, 1000 * ms);
  EXPECT_GE(silent_since, 0);
}

TEST(Membership, TheSendersClockAndOrderDoNotMatter) {
  Membership sites;
  SiteReport report = beat_of("a", 1, 5);
  report.uptime_s = 1e9;  // whatever it believes
  EXPECT_EQ(sites.hear(report, 0), Heard::joined);
  EXPECT_EQ(sites.hear(beat_of("a", 1, 4), 10 * ms), Heard::old);
  EXPECT_EQ(sites.find("a")->heard_ns, 0);
  EXPECT_EQ(sites.hear(beat_of("a", 1, 6), 20 * ms), Heard::updated);
}

TEST(Membership, ASecondSiteOfTheNameIsRefusedWhileTheFirstLives) {
  Membership sites;
  sites.hear(beat_of("a", 1, 1), 0);
  EXPECT_EQ(sites.hear(beat_of("a", 2, 1), 100 * ms), Heard::duplicate);
  EXPECT_EQ(sites.find("a")->rival_instance, 2u);
  EXPECT_EQ(sites.find("a")->report.site.instance, 1u);
  // The first one is silent for long enough: it was restarted.
  EXPECT_EQ(sites.hear(beat_of("a", 2, 2), 900 * ms), Heard::restarted);
  EXPECT_EQ(sites.hear(beat_of("a", 1, 2), 950 * ms), Heard::duplicate);
  // Of two that meet, exactly one falls silent, whatever their ages.
  for (const double a_s : {0.0, 5.0, 5.5}) {
    for (const double b_s : {0.0, 5.0, 5.5}) {
      SiteReport a = beat_of("x", 1, 1);
      SiteReport b = beat_of("x", 2, 1);
      a.uptime_s = a_s;
      b.uptime_s = b_s;
      const bool a_yields = rival_of(1, a_s, b) == Rival::we_yield;
      const bool b_yields = rival_of(2, b_s, a) == Rival::we_yield;
      EXPECT_NE(a_yields, b_yields);
    }
  }
  EXPECT_EQ(rival_of(1, 3, beat_of("x", 1, 9)), Rival::ourself);
}

// Several candidates on one key, with clocks that differ and run at their own rates, writes that
// fail and candidates that sleep: never two that lead at once.
TEST(Leadership, OneLeadsAtATime) {
  constexpr std::uint64_t seed = 21;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  struct Candidate {
    Leadership leadership;
    std::int64_t offset_ns;
    double rate;
    int asleep = 0;
    std::int64_t now(std::int64_t t) const {
      return offset_ns + static_cast<std::int64_t>(static_cast<double>(t) * rate);
    }
  };
  std::vector<Candidate> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back({Leadership("c" + std::to_string(i)),
                   static_cast<std::int64_t>(prng.below(60'000'000'000)),
                   1 + 0.0001 * (prng.uniform() - 0.5)});
  }
  std::uint64_t revision = 0;
  LeaderKey key;
  std::uint64_t term_last = 0;
  std::set<std::string> holders;
  std::int64_t led = 0;
  for (std::int64_t t = 0; t < 400'000; t += 50) {  // milliseconds
    int leaders = 0;
    for (Candidate& c : all) {
      if (c.leadership.leads(c.now(t * ms))) {
        ++leaders;
        EXPECT_GE(c.leadership.term(), term_last);
        term_last = c.leadership.term();
        holders.insert(c.leadership.holder());
      }
      if (c.asleep > 0) {
        --c.asleep;
        continue;
      }
      if (prng.below(400) == 0) c.asleep = static_cast<int>(prng.below(200));
      if (prng.below(2) == 0) c.leadership.saw(revision, key, c.now(t * ms));
      const auto attempt = c.leadership.next(c.now(t * ms));
      if (!attempt || prng.below(10) == 0) continue;  // the write fails
      if (attempt->revision != revision) continue;    // somebody else was faster
      key = attempt->key;
      c.leadership.wrote(*attempt, ++revision);
    }
    EXPECT_LE(leaders, 1) << "at " << t << " ms";
    led += leaders;
  }
  EXPECT_GT(led, 4000) << "somebody leads most of the time";
  EXPECT_GT(holders.size(), 1u);
}

PlacementSite site_of(const std::string& name, const std::string& prefecture, double left) {
  return {.name = name,
          .region = "east",
          .prefecture = prefecture,
          .memory_bytes = 100,
          .processors_left = left,
          .files = {{"m", "aa", 40}, {"n", "bb", 40}, {"big", "cc", 90}}};
}

int copies_of(const Placement& placement, const std::string& model) {
  int copies = 0;
  for (const auto& [name, models] : placement.sites) {
    copies += static_cast<int>(
        std::ranges::count_if(models, [&](const ModelFile& m) { return m.name == model; }));
  }
  return copies;
}

bool runs(const Placement& placement, const std::string& site, const std::string& model) {
  const auto& models = placement.sites.at(site);
  return std::ranges::find(models, model, &ModelFile::name) != models.end();
}

TEST(Placement, PutsCopiesWhereTheRadioLeavesMostAndSpreadsThem) {
  const std::vector<PlacementSite> sites = {site_of("a", "chiba", 8), site_of("b", "chiba", 7),
                                            site_of("c", "saitama", 2)};
  const ModelSpec m{.name = "m", .content_hash = "aa", .memory_bytes = 40, .copies_min = 2};
  const Placement placement = place({m}, sites, {});
  EXPECT_TRUE(runs(placement, "a", "m"));
  EXPECT_TRUE(runs(placement, "c", "m")) << "another prefecture before a second copy in one";
  EXPECT_TRUE(placement.shortfalls.empty());
}

TEST(Placement, ObeysConstraintsAndSaysWhyItCannot) {
  std::vector<PlacementSite> sites = {site_of("a", "chiba", 8),   site_of("b", "chiba", 7),
                                      site_of("c", "saitama", 2), site_of("d", "tokyo", 9),
                                      site_of("e", "chiba", 9),   site_of("f", "chiba", 9),
                                      site_of("g", "chiba", 9)};
  for (auto& site : sites) site.labels = {"sovereign"};
  sites[1].draining = true;
  sites[3].labels = {};
  sites[4].alive = false;
  sites[5].files = {{"m", "ff", 40}};
  sites[6].memory_bytes = 39;
  const ModelSpec m{.name = "m",
                    .content_hash = "aa",
                    .memory_bytes = 40,
                    .copies_min = 5,
                    .prefectures = {"chiba", "tokyo"},
                    .labels = {"sovereign"}};
  const Placement placement = place({m}, sites, {});
  EXPECT_EQ(copies_of(placement, "m"), 1);
  EXPECT_TRUE(runs(placement, "a", "m"));
  ASSERT_EQ(placement.shortfalls.size(), 1u);
  const Shortfall& shortfall = placement.shortfalls[0];
  EXPECT_EQ(shortfall.wanted, 5);
  EXPECT_EQ(shortfall.placed, 1);
  for (const char* words : {"1 of 7 sites: draining", "1 of 7 sites: another prefecture",
                            "1 of 7 sites: lost", "1 of 7 sites: without label 'sovereign'",
                            "its file has another content hash", "too little memory left"}) {
    EXPECT_NE(shortfall.why.find(words), std::string::npos) << shortfall.why;
  }
  EXPECT_EQ(placement.sites.count("e"), 0u) << "nothing is said of a lost site";
}

TEST(Placement, AFileIsSentOnlyWhereNobodyWhoHasItIsLeft) {
  std::vector<PlacementSite> sites = {site_of("a", "x", 9), site_of("b", "x", 8),
                                      site_of("c", "y", 7), site_of("d", "z", 6),
                                      site_of("e", "z", 5)};
  for (const int i : {2, 3, 4}) sites[static_cast<std::size_t>(i)].files.clear();
  sites[2].disk_bytes = 39;
  sites[3].disk_bytes = 40;
  ModelSpec m{.name = "m", .content_hash = "aa", .memory_bytes = 40, .copies_min = 2};
  Placement placement = place({m}, sites, {});
  EXPECT_TRUE(runs(placement, "a", "m") && runs(placement, "b", "m"))
      << "rather two in a prefecture than a file on its way";
  m.copies_min = 5;
  placement = place({m}, sites, {});
  EXPECT_EQ(copies_of(placement, "m"), 3);
  EXPECT_TRUE(runs(placement, "d", "m"));
  ASSERT_EQ(placement.shortfalls.size(), 1u);
  for (const char* words : {"1 of 5 sites: without the file;",
                            "1 of 5 sites: without the file and "
                            "the disk for it"}) {
    EXPECT_NE((placement.shortfalls[0].why + ";").find(words), std::string::npos)
        << placement.shortfalls[0].why;
  }
}

TEST(Placement, AMinimumComesBeforeAnothersDemand) {
  const std::vector<PlacementSite> sites = {site_of("a", "x", 8), site_of("b", "y", 7)};
  const ModelSpec loved{.name = "big", .content_hash = "cc", .memory_bytes = 90};
  const ModelSpec quiet{.name = "n", .content_hash = "bb", .memory_bytes = 40};
  const Placement placement = place({loved, quiet}, sites, {{"big", 1000}});
  EXPECT_EQ(copies_of(placement, "n"), 1);
  EXPECT_EQ(copies_of(placement, "big"), 1);
  ASSERT_EQ(placement.shortfalls.size(), 1u);
  EXPECT_EQ(placement.shortfalls[0].model, "big");
}

TEST(Placement, GrowsWithDemandAndShrinksWithRoom) {
  std::vector<PlacementSite> sites;
  for (int i = 0; i < 10; ++i) sites.push_back(site_of("s" + std::to_string(i), "p", 4));
  const ModelSpec m{.name = "m",
                    .content_hash = "aa",
                    .memory_bytes = 40,
                    .copies_min = 1,
                    .copies_max = 6,
                    .requests_per_copy = 10};
  const auto copies_at = [&](double requests) {
    const Placement placement = place({m}, sites, {{"m", requests}});
    for (PlacementSite& site : sites) site.models = placement.sites.at(site.name);
    return copies_of(placement, "m");
  };
  EXPECT_EQ(copies_at(0), 1);
  EXPECT_EQ(copies_at(25), 3);
  EXPECT_EQ(copies_at(20), 3) << "20 is all that two could take: no room";
  EXPECT_EQ(copies_at(13), 2);
  EXPECT_EQ(copies_at(500), 6);
  EXPECT_EQ(copies_at(0), 1);
}

// Thousands of sites that die, drain and come back: what is placed obeys the rules, nothing moves
// while nothing changes, and a change moves little.
TEST(Placement, HoldsItsRulesForThousandsOfSites) {
  constexpr std::uint64_t seed = 31;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  std::vector<PlacementSite> sites;
  for (int i = 0; i < 3000; ++i) {
    sites.push_back(site_of("s" + std::to_string(i), "p" + std::to_string(prng.below(47)),
                            1 + static_cast<double>(prng.below(64))));
    sites.back().region = "r" + std::to_string(prng.below(8));
    if (prng.below(3) == 0) sites.back().labels = {"sovereign"};
  }
  const std::vector<ModelSpec> models = {
      {.name = "m", .content_hash = "aa", .memory_bytes = 40, .copies_min = 100},
      {.name = "n",
       .content_hash = "bb",
       .memory_bytes = 40,
       .copies_min = 300,
       .labels = {"sovereign"}},
      {.name = "big",
       .content_hash = "cc",
       .memory_bytes = 90,
       .copies_min = 200,
       .regions = {"r1", "r2"}}};
  for (int round = 0; round < 8; ++round) {
    const Placement placement = place(models, sites, {{"m", 4000}});
    for (const PlacementSite& site : sites) {
      if (!site.alive) continue;
      std::uint64_t memory = 0;
      for (const ModelFile& file : placement.sites.at(site.name)) {
        memory += file.memory_bytes;
        const auto& spec = *std::ranges::find(models, file.name, &ModelSpec::name);
        EXPECT_EQ(why_not(spec, site), "");
      }
      EXPECT_LE(memory, site.memory_bytes);
    }
    EXPECT_EQ(copies_of(placement, "m"), 500);
    EXPECT_EQ(copies_of(placement, "n"), 300);
    EXPECT_EQ(copies_of(placement, "big"), 200);
    int moved = 0;
    for (PlacementSite& site : sites) {
      if (!site.alive || site.draining) continue;
      if (round > 0 && site.models != placement.sites.at(site.name)) ++moved;
      site.models = placement.sites.at(site.name);
    }
    EXPECT_LE(moved, round == 0 ? 3000 : 60) << "round " << round;
    const Placement still = place(models, sites, {{"m", 4000}});
    for (const PlacementSite& site : sites) {
      if (!site.alive || site.draining) continue;
      EXPECT_EQ(still.sites.at(site.name), site.models);
    }
    for (int i = 0; i < 20; ++i) {
      PlacementSite& site = sites[prng.below(sites.size())];
      site.alive = prng.below(3) > 0;
      site.draining = prng.below(4) == 0;
    }
  }
}

struct RolloutSim {
  std::vector<RolloutSite> sites;
  Rollout rollout{.model = "m", .from_hash = "aa", .to_hash = "bb"};
  RolloutWatch watch;
  std::int64_t now_ns = 0;
  std::set<std::string> never_well = {};

  RolloutSim() {
    for (const char* name : {"a", "b", "c", "d"}) {
      sites.push_back({.name = name, .ready = true, .content_hash = "aa"});
    }
  }
  void step() {
    rollout = advance(rollout, {}, sites, now_ns, watch);
    int changing = 0;
    for (RolloutSite& site : sites) {
      const std::string& wanted = wanted_hash(rollout, site.name);
      if (site.content_hash != wanted) {
        site.content_hash = wanted;
        site.ready = false;  // until the next step
        ++changing;
      } else {
        site.ready = wanted == "aa" || never_well.count(site.name) == 0;
      }
    }
    EXPECT_TRUE(changing <= 1 || rollout.state != RolloutState::running);
    now_ns += 500 * ms;
  }
  void run() {
    for (int i = 0; i < 1000 && rollout.state == RolloutState::running; ++i) step();
    for (int i = 0; i < 3; ++i) step();
  }
};

TEST(Rollout, ChangesOneSiteAtATimeThroughTheGate) {
  RolloutSim sim;
  sim.run();
  EXPECT_EQ(sim.rollout.state, RolloutState::done);
  for (const RolloutSite& site : sim.sites) EXPECT_EQ(site.content_hash, "bb");
  EXPECT_GE(sim.now_ns, 4 * RolloutConfig{}.gate_ns);
}

TEST(Rollout, GoesBackEverywhereWhenASiteIsNotWell) {
  RolloutSim sim;
  sim.never_well = {"c"};
  sim.run();
  EXPECT_EQ(sim.rollout.state, RolloutState::rolled_back);
  EXPECT_NE(sim.rollout.reason.find("site c: it was not ready"), std::string::npos)
      << sim.rollout.reason;
  EXPECT_EQ(sim.rollout.done.size(), 2u);
  for (const RolloutSite& site : sim.sites) EXPECT_EQ(site.content_hash, "aa");
}

TEST(Rollout, GoesBackAtOnceForAFaultALossOrAMissingFile) {
  for (const int kind : {0, 1, 2}) {
    RolloutSim sim;
    for (int i = 0; i < 3; ++i) sim.step();
    ASSERT_EQ(sim.rollout.site, "a");
    if (kind == 0) sim.sites[0].fault = "cannot map the file";
    if (kind == 1) sim.sites[0].alive = false;
    if (kind == 2) sim.sites[1].has_new_file = false;
    sim.run();
    EXPECT_EQ(sim.rollout.state, RolloutState::rolled_back) << kind;
    const char* words[] = {"site a: cannot map the file", "site a: it was lost",
                           "site b: it has no file"};
    EXPECT_NE(sim.rollout.reason.find(words[kind]), std::string::npos) << sim.rollout.reason;
  }
}

}  // namespace
}  // namespace noroshi::fleet
