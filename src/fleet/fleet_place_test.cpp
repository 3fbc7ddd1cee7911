// What is asked of a fleet in memory: would catch a command that is lost; a drain, a placement or a
// roll-out that does not end, or that does what was not asked for.

#include "fleet/fleet_sim_test.h"

namespace noroshi::fleet {
namespace {

TEST_F(FleetSim, PlacesDrainsAndUndrains) {
  const CommandAnswer ambiguous = ask(placing("", 2));
  EXPECT_FALSE(ambiguous.ok);
  EXPECT_NE(ambiguous.message.find("the sites' files differ"), std::string::npos)
      << ambiguous.message;
  const CommandAnswer placed = ask(placing(hash_a, 2));
  ASSERT_TRUE(placed.ok) << placed.message;
  run_ms(4000);
  EXPECT_EQ(running(hash_a), 2);
  EXPECT_EQ(gateways[0]->allowed["m"], std::vector<std::string>{hash_a});
  const auto busy = std::ranges::find_if(sites, [](auto& s) { return !s.second->models.empty(); });
  const std::string name = busy->first;
  ASSERT_TRUE(ask({.kind = CommandKind::drain, .by = "test", .site = name}).ok);
  run_ms(5000);
  EXPECT_TRUE(gateways[0]->sites[name].draining);
  EXPECT_TRUE(gateways[1]->sites[name].draining);
  EXPECT_EQ(running(hash_a), 3) << "it finishes what it has, and another site took its place";
  ASSERT_TRUE(ask({.kind = CommandKind::undrain, .by = "test", .site = name}).ok);
  run_ms(5000);
  EXPECT_FALSE(gateways[0]->sites[name].draining);
  EXPECT_EQ(running(hash_a), 2);
  EXPECT_FALSE(ask({.kind = CommandKind::drain, .by = "test", .site = "nowhere"}).ok);
  EXPECT_FALSE(ask({.kind = CommandKind::forget, .by = "test", .site = name}).ok) << "alive";
}

// A mistyped region took a model off every site; a second `place` lifted what the first had said.
TEST_F(FleetSim, APlaceThatNoSiteFulfilsIsRefusedAndWhatItDoesNotNameStays) {
  Command sovereign = placing(hash_a, 1);
  sovereign.model.regions = {{"west"}};
  ASSERT_TRUE(ask(sovereign).ok);
  run_ms(4000);
  const auto where = [&](const char* region) {
    int copies = 0;
    for (auto& [name, site] : sites) {
      if (name[0] == region[0]) copies += site->models.empty() ? 0 : 1;
    }
    return copies;
  };
  ASSERT_EQ(where("b"), 1);
  const auto refused = [&](auto change, const char* words) {
    Command command{.kind = CommandKind::place, .by = "test"};
    command.model.name = "m";
    change(command.model);
    const CommandAnswer answer = ask(command);
    EXPECT_FALSE(answer.ok) << words;
    EXPECT_NE(answer.message.find(words), std::string::npos) << answer.message;
  };
  refused(
      [](ModelWish& m) {
        m.regions = {{"west", "mars"}};
      },
      "region 'mars' is no known site's (known: east, west)");
  refused([](ModelWish& m) { m.prefectures = {{"east"}}; },
          "prefecture 'east' is no known site's (known: east-p, west-p)");
  refused([](ModelWish& m) { m.labels = {{"sovereign"}}; }, "(known: none)");
  refused([](ModelWish& m) { m.prefectures = {{"east-p"}}; },
          "no known site fulfils all of: region west; prefecture east-p");
  refused([](ModelWish& m) { m.regions = {{"any", "west"}}; }, "region 'any' lifts");
  refused([](ModelWish& m) { m.copies_max = 0; }, "copies_max is 0, less than copies_min 1");
  run_ms(3000);
  EXPECT_EQ(where("b"), 1) << "what was refused changes nothing";
  // More copies: still only in the west, still the same content.
  Command more{.kind = CommandKind::place, .by = "test"};
  more.model = {.name = "m", .copies_min = 3};
  ASSERT_TRUE(ask(more).ok);
  run_ms(4000);
  EXPECT_EQ(where("b"), 2);
  EXPECT_EQ(where("a"), 0);
  EXPECT_EQ(running(hash_a), 2);
  const std::string status = controls[0]->control->status_text();
  EXPECT_NE(status.find("\"where\":\"region west\""), std::string::npos) << status;
  EXPECT_NE(status_table("models", status)->find("region west"), std::string::npos);
  Command lift{.kind = CommandKind::place, .by = "test"};
  lift.model = {.name = "m", .regions = {{"any"}}};
  ASSERT_TRUE(ask(lift).ok);
  run_ms(4000);
  EXPECT_EQ(running(hash_a), 3) << "at least three, as was said before";
  Command later{.kind = CommandKind::place, .by = "test"};
  later.model = {.name = "m", .regions = {{"mars"}}, .force = true};
  ASSERT_TRUE(ask(later).ok);
  run_ms(4000);
  EXPECT_EQ(running(hash_a), 0);
}

// In the clear only on this machine, or where it is said that the way is safe; near and far.
TEST_F(FleetSim, ASiteWithoutTlsIsAskedNothing) {
  const auto site_bus = network.join("plain");
  const auto hears = [&](const std::string& host, const std::string& region, bool plain_sites) {
    const auto bus = network.join("gw-new");
    gateway::Router router;
    Feed feed(*bus, clock, {.region = region, .id = "gw-new", .plain_sites = plain_sites},
              sink_of(router));
    EXPECT_TRUE(feed.start());
    SiteReport beat;
    beat.site = {.name = "plain",
                 .instance = 7,
                 .region = "east",
                 .host = host,
                 .tcp_port = 1,
                 .ready = true};
    for (int i = 0; i < 20; ++i) {
      beat.sequence = static_cast<std::uint64_t>(clock.now_ns());
      EXPECT_TRUE(site_bus->publish(beat_subject("east", "plain"), report_text(beat)));
      run_ms(100);
      feed.step();
    }
    const bool is_known = router.counters().sites == sites.size() + 1;
    if (!is_known) {
      EXPECT_GT(feed.counters().plain_sites, 0u);
      EXPECT_NE(feed.counters().last_error.find("'plain' at " + host + " speaks plain HTTP"),
                std::string::npos);
    }
    return is_known;
  };
  for (const std::string region : {"east", "west"}) {
    EXPECT_FALSE(hears("10.0.0.9", region, false));
    EXPECT_FALSE(hears("site.example.net", region, false));
    EXPECT_TRUE(hears("10.0.0.9", region, true));
    EXPECT_TRUE(hears("127.0.0.1", region, false));
  }
}

// A gateway that has asked nobody yet goes by what the sites say of themselves, near and far; a
// drained site has its share again when it is back, though nobody else fails.
TEST_F(FleetSim, RequestsGoByReportedSpeedsAndComeBackAfterUndrain) {
  ASSERT_TRUE(ask(placing(hash_a, 4)).ok);
  run_ms(4000);
  for (auto& [name, site] : sites) site->tokens_per_s = name == "b1" ? 25 : 250;
  gateway::Router router;
  const auto bus = network.join("gw-new");
  Feed feed(*bus, clock, {.region = "east", .id = "gw-new", .rtt_ms_other = 2}, sink_of(router));
  ASSERT_TRUE(feed.start());
  const auto requests = [&](int count) {
    std::map<std::string, int> times;
    for (int i = 0; i < count; ++i) {
      const gateway::Choice choice = router.choose(
          {.model = "m", .prompt_tokens = 100, .completion_tokens = 25}, clock.now_ns());
      EXPECT_TRUE(choice.at);
      if (!choice.at) break;
      ++times[choice.at->name];
      run_ms(100);
      feed.step();
      // Alike, but for the weather.
      const double took_s = 0.11 + 0.01 * (i % 5);
      router.finished(choice, {gateway::Fate::answered, took_s, 25}, clock.now_ns());
    }
    return times;
  };
  run_ms(2000);
  auto times = requests(60);
  for (const char* site : {"a1", "a2", "b2"}) EXPECT_GE(times[site], 5) << site;
  EXPECT_EQ(times["b1"], 0) << "ten times slower, it says";
  ASSERT_TRUE(ask({.kind = CommandKind::drain, .by = "test", .site = "a1"}).ok);
  run_ms(2000);
  EXPECT_EQ(requests(30)["a1"], 0);
  ASSERT_TRUE(ask({.kind = CommandKind::undrain, .by = "test", .site = "a1"}).ok);
  run_ms(2000);
  EXPECT_GE(requests(60)["a1"], 5);
  EXPECT_EQ(router.counters().failures, 0u);
  // What no site can be is refused, counted, and changes nothing.
  const std::uint64_t refused = feed.counters().refused;
  SiteReport lie;
  lie.site = {.name = "b1", .instance = 3, .region = "east", .host = "h", .tcp_port = 1};
  lie.site.models = {{.name = "m", .content_hash = hash_a, .tokens_per_s = 250}};
  const std::string text = report_text(lie);
  for (const char* speed : {"-1", "1e300", "1E+10", "NaN", "nan", "-1e-300", "\"fast\"", "null"}) {
    std::string bytes = text;
    const std::size_t at = bytes.find("\"tokens_per_s\":");
    ASSERT_NE(at, std::string::npos);
    const std::size_t from = bytes.find(':', at) + 1;
    bytes.replace(from, bytes.find_first_of(",}", from) - from, speed);
    network.send({"noroshi.east.b1.beat", "", bytes});
  }
  run_ms(200);
  EXPECT_EQ(feed.counters().refused - refused, 8u);
  EXPECT_EQ(requests(30)["b1"], 0);
}

TEST_F(FleetSim, RollsOutAndRollsBack) {
  ASSERT_TRUE(ask(placing(hash_a, 3)).ok);
  run_ms(4000);
  ASSERT_EQ(running(hash_a), 3);
  ASSERT_TRUE(ask(placing(hash_b, 3)).ok);
  int least = 3;
  for (int i = 0; i < 120; ++i) {
    run_ms(500);
    least = std::min(least, running(hash_a) + running(hash_b));
    if (running(hash_b) == 3) break;
    EXPECT_EQ(gateways[0]->allowed["m"].size(), 2u) << "both answer to the name meanwhile";
  }
  EXPECT_EQ(running(hash_b), 3);
  EXPECT_GE(least, 2);
  run_ms(10'000);
  EXPECT_EQ(gateways[0]->allowed["m"], std::vector<std::string>{hash_b});
  // Back to a at all but a site where it goes wrong with b: here the other way round.
  ASSERT_TRUE(ask(placing(hash_a, 3)).ok);
  run_ms(60'000);
  ASSERT_EQ(running(hash_a), 3);
  for (auto& [name, site] : sites) site->breaks_with_b = true;
  ASSERT_TRUE(ask(placing(hash_b, 3)).ok);
  run_ms(60'000);
  EXPECT_EQ(running(hash_a), 3) << "rolled back";
  EXPECT_EQ(running(hash_b), 0);
  EXPECT_EQ(gateways[0]->allowed["m"], std::vector<std::string>{hash_a});
  bool logged = false;
  for (auto& c : controls) {
    for (const std::string& line : c->audit) {
      logged |= line.find("rolled_back: site") != std::string::npos &&
                line.find("the engine died twice") != std::string::npos;
    }
  }
  EXPECT_TRUE(logged);
}

// The reason of a roll-out that went back stood in the JSON alone, and one that could only go back
// was "done".
TEST_F(FleetSim, ARollOutThatCanOnlyGoBackIsRefusedAndTheTableSaysWhyOneDid) {
  ASSERT_TRUE(ask(placing(hash_a, 3)).ok);
  run_ms(4000);
  const auto busy = std::ranges::find_if(sites, [](auto& s) { return !s.second->models.empty(); });
  busy->second->agent->set_files({{"m", hash_a, 400}}, {}, 0);
  run_ms(1000);
  const CommandAnswer refused = ask(placing(hash_b, 3));
  EXPECT_FALSE(refused.ok);
  for (const std::string& words : {std::string("1 of the 3 sites that run it have no file"),
                                   "(" + busy->first + ")", std::string("bbbbbbbbbbbb...")}) {
    EXPECT_NE(refused.message.find(words), std::string::npos) << refused.message;
  }
  run_ms(3000);
  EXPECT_EQ(running(hash_a), 3);
  busy->second->agent->set_files({{"m", hash_a, 400}, {"m", hash_b, 400}}, {}, 0);
  for (auto& [name, site] : sites) site->breaks_with_b = true;
  run_ms(1000);
  ASSERT_TRUE(ask(placing(hash_b, 3)).ok);
  run_ms(1500);
  const auto table = [&] { return *status_table("models", controls[0]->control->status_text()); };
  EXPECT_NE(table().find("running at "), std::string::npos) << table();
  run_ms(20'000);
  EXPECT_NE(table().find("rolled_back: site "), std::string::npos) << table();
  EXPECT_EQ(table().find("ROLL-OUT"), table().find("rolled_back") - table().find('\n') - 1);
  EXPECT_NE(table().find("the engine died twice"), std::string::npos) << table();
}

TEST_F(FleetSim, WhatASiteRunsByItselfStaysUntilTheFleetHasAWordAboutIt) {
  auto own = std::make_unique<SimSite>(network, "own", "east", 55, 0);
  own->agent->set_files({{"m", hash_a, 400}, {"mine", hash_b, 400}}, {"m", "mine"}, 0);
  sites["own"] = std::move(own);
  run_ms(4000);
  EXPECT_EQ(sites["own"]->models.size(), 2u);
  ASSERT_TRUE(ask(placing(hash_a, 2)).ok);
  run_ms(4000);
  EXPECT_EQ(running(hash_a), 2) << "of the model that was placed: where the fleet says";
  EXPECT_EQ(running(hash_b), 1) << "of the other: as configured";
  Command remove{.kind = CommandKind::remove, .by = "test"};
  remove.model.name = "m";
  ASSERT_TRUE(ask(remove).ok);
  run_ms(4000);
  EXPECT_EQ(running(hash_a), 1);
  EXPECT_EQ(sites["own"]->models.size(), 2u);
}

TEST_F(FleetSim, ADeadSitesCopyIsPlacedElsewhere) {
  ASSERT_TRUE(ask(placing(hash_a, 2)).ok);
  run_ms(4000);
  const auto busy = std::ranges::find_if(sites, [](auto& s) { return !s.second->models.empty(); });
  sites.erase(busy);
  run_ms(5000);
  EXPECT_EQ(running(hash_a), 2);
}

}  // namespace
}  // namespace noroshi::fleet
