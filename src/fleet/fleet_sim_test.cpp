// A whole fleet in memory under a manual clock: sites, control planes and gateways as they are,
// over the bus in memory. Would catch a site that gateways learn to be gone later than in a second,
// or take for gone when only the bus is; two leaders; a command that is lost; a drain or a roll-out
// that does not end; a message that harms more than itself.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/prng.h"
#include "fleet/agent.h"
#include "fleet/control.h"
#include "fleet/feed.h"
#include "fleet/memory_bus.h"
#include "fleet/status.h"

namespace noroshi::fleet {
namespace {

constexpr std::int64_t ms = 1'000'000;
const std::string hash_a(64, 'a');
const std::string hash_b(64, 'b');

// A site's clock is off by a minute, and its engine does what it is told a second later.
struct SimSite {
  ManualClock clock;
  std::unique_ptr<Bus> bus;
  std::unique_ptr<Agent> agent;
  std::vector<ModelFile> models;
  std::vector<ModelFile> loading;
  std::int64_t loaded_ns = 0;
  int requests = 0;
  double tokens_per_s = 0;
  bool breaks_with_b = false;

  SimSite(MemoryNetwork& network, const std::string& name, const std::string& region,
          std::uint64_t instance, std::int64_t offset_ns)
      : bus(network.join(name)) {
    clock.advance_ns(offset_ns);
    AgentConfig config;
    config.facts = {.name = name,
                    .region = region,
                    .instance = instance,
                    .prefecture = region + "-p",
                    .memory_bytes = 1000,
                    .processors = 4,
                    .files = {{"m", hash_a, 400}, {"m", hash_b, 400}}};
    config.host = "10.0.0.1";
    config.tcp_port = 8080;
    agent = std::make_unique<Agent>(
        *bus, clock, config, [this](SiteReport& report) { describe(report); },
        [this](const DesiredSite& desired) {
          loading = desired.models;
          loaded_ns = clock.now_ns() + 1000 * ms;
        });
    EXPECT_TRUE(agent->start());
  }
  void describe(SiteReport& report) {
    if (clock.now_ns() >= loaded_ns) models = loading;
    report.site.ready = !models.empty() && models.size() == loading.size();
    report.site.lease_share = 0.7;
    report.site.lease_share_forecast = 0.7;
    for (const ModelFile& file : models) {
      if (breaks_with_b && file.content_hash == hash_b) report.fault = "the engine died twice";
      report.site.models.push_back({.name = file.name,
                                    .content_hash = file.content_hash,
                                    .places = 4,
                                    .requests_in_flight = requests,
                                    .prompt_tokens_per_s = 20 * tokens_per_s,
                                    .tokens_per_s = tokens_per_s});
    }
  }
};

struct SimGateway {
  std::unique_ptr<Bus> bus;
  std::map<std::string, gateway::SiteState> sites;
  std::vector<std::string> lost;
  std::map<std::string, std::vector<std::string>> allowed;
  std::unique_ptr<Feed> feed;

  SimGateway(MemoryNetwork& network, Clock& clock, const std::string& region)
      : bus(network.join("gw-" + region)) {
    feed = std::make_unique<Feed>(
        *bus, clock, FeedConfig{.region = region, .id = "gw-" + region},
        FeedSink{.update =
                     [this](const gateway::SiteState& site) {
                       sites[site.name] = site;
                       return Result<void>();
                     },
                 .lost =
                     [this](const std::string& site) {
                       sites.erase(site);
                       lost.push_back(site);
                     },
                 .allow = [this](const std::string& model,
                                 std::vector<std::string> hashes) { allowed[model] = hashes; }});
    EXPECT_TRUE(feed->start());
  }
};

struct SimControl {
  std::unique_ptr<Bus> bus;
  std::unique_ptr<Control> control;
  std::vector<std::string> audit;
  bool dead = false;

  SimControl(MemoryNetwork& network, Clock& clock, const std::string& id) : bus(network.join(id)) {
    ControlConfig config{.id = id, .instance = std::hash<std::string>()(id)};
    config.audit = [this](const std::string& line) { audit.push_back(line); };
    control = std::make_unique<Control>(*bus, clock, config);
    EXPECT_TRUE(control->start());
  }
};

class FleetSim : public testing::Test {
 protected:
  MemoryNetwork network;
  ManualClock clock;
  std::map<std::string, std::unique_ptr<SimSite>> sites;
  std::vector<std::unique_ptr<SimControl>> controls;
  std::vector<std::unique_ptr<SimGateway>> gateways;
  std::unique_ptr<Bus> admin = network.join("admin");

  void add(const std::string& name, const std::string& region, std::uint64_t instance) {
    sites[name] = std::make_unique<SimSite>(network, name, region, instance,
                                            instance % 2 == 0 ? 60'000 * ms : 3600'000 * ms);
  }
  void SetUp() override {
    for (const auto& [name, region] :
         {std::pair{"a1", "east"}, {"a2", "east"}, {"b1", "west"}, {"b2", "west"}}) {
      add(name, region, sites.size() + 1);
    }
    controls.push_back(std::make_unique<SimControl>(network, clock, "c1"));
    controls.push_back(std::make_unique<SimControl>(network, clock, "c2"));
    gateways.push_back(std::make_unique<SimGateway>(network, clock, "east"));
    gateways.push_back(std::make_unique<SimGateway>(network, clock, "west"));
    run_ms(6000);
  }
  int leaders() {
    int count = 0;
    for (auto& c : controls) count += !c->dead && c->control->leads() ? 1 : 0;
    return count;
  }
  void run_ms(int duration) {
    for (int t = 0; t < duration; t += 25) {
      clock.advance_ns(25 * ms);
      network.set_now_ns(clock.now_ns());
      for (auto& [name, site] : sites) {
        site->clock.advance_ns(25 * ms);
        site->agent->step();
        site->agent->step_desired();
        site->agent->step_slow();
      }
      for (auto& c : controls) {
        if (c->dead) continue;
        c->control->step();
        c->control->step_slow();
        c->control->step_plan();
      }
      for (auto& g : gateways) g->feed->step();
      network.deliver();
      EXPECT_LE(leaders(), 1);
    }
  }
  CommandAnswer ask(const Command& command) {
    CommandAnswer answer;
    bool answered = false;
    const auto inbox = admin->subscribe("_INBOX.admin", "", [&](const Message& m) {
      const auto parsed = parse_answer(m.data);
      EXPECT_TRUE(parsed);
      answer = *parsed;
      answered = true;
    });
    network.send({command_subject, "_INBOX.admin", command_text(command)});
    run_ms(500);
    EXPECT_TRUE(answered);
    return answer;
  }
  static Command placing(const std::string& hash, int copies) {
    Command command{.kind = CommandKind::place, .by = "test"};
    command.model = {.name = "m", .content_hash = hash, .copies_min = copies};
    return command;
  }
  int running(const std::string& hash) {
    int count = 0;
    for (auto& [name, site] : sites) {
      count += static_cast<int>(std::ranges::count(site->models, hash, &ModelFile::content_hash));
    }
    return count;
  }
};

TEST_F(FleetSim, EveryGatewayKnowsEverySiteAndOneLeads) {
  EXPECT_EQ(leaders(), 1);
  for (auto& g : gateways) {
    EXPECT_EQ(g->sites.size(), 4u);
    EXPECT_EQ(g->feed->counters().refused, 0u) << g->feed->counters().last_error;
  }
  EXPECT_EQ(gateways[0]->sites["a1"].rtt_ms, 1) << "its own region";
  EXPECT_EQ(gateways[0]->sites["b1"].rtt_ms, 20);
  // One digest a second of each region, by one of the two control planes.
  const auto before = gateways[0]->feed->counters().digests;
  run_ms(10'000);
  EXPECT_EQ(gateways[0]->feed->counters().digests - before, 10u);
  for (auto& [name, site] : sites) EXPECT_TRUE(site->agent->status().facts_known) << name;
}

TEST_F(FleetSim, ALostSiteIsGoneWithinASecondInItsRegionAndElsewhere) {
  // At every place in the second between two digests.
  for (int i = 0; i < 5; ++i) {
    sites.erase("a1");
    run_ms(800);
    EXPECT_EQ(gateways[0]->sites.count("a1"), 0u) << i;
    EXPECT_EQ(gateways[1]->sites.count("a1"), 0u) << i;
    add("a1", "east", static_cast<std::uint64_t>(50 + i));
    run_ms(3150);
    EXPECT_EQ(gateways[1]->sites.count("a1"), 1u) << i;
  }
  sites.erase("a1");
  run_ms(800);
  EXPECT_EQ(gateways[0]->sites.size(), 3u);
  add("a1", "east", 77);
  run_ms(2500);
  EXPECT_EQ(gateways[0]->sites["a1"].instance, 77u);
  EXPECT_EQ(gateways[1]->sites["a1"].instance, 77u);
}

TEST_F(FleetSim, NobodyIsLostWhenOnlyTheBusDies) {
  for (auto& [name, site] : sites) network.cut_off(name, true);
  for (const char* name : {"c1", "c2", "gw-east", "gw-west"}) network.cut_off(name, true);
  run_ms(120'000);
  for (auto& g : gateways) EXPECT_EQ(g->sites.size(), 4u);
  EXPECT_EQ(leaders(), 0) << "who cannot renew does not lead";
  for (auto& [name, site] : sites) network.cut_off(name, false);
  for (const char* name : {"c1", "c2", "gw-east", "gw-west"}) network.cut_off(name, false);
  run_ms(6000);
  for (auto& g : gateways) {
    EXPECT_EQ(g->sites.size(), 4u);
    EXPECT_TRUE(g->lost.empty());
  }
  EXPECT_EQ(leaders(), 1);
}

TEST_F(FleetSim, ACutOffRegionServesItsOwnAndComesBack) {
  // The west keeps its own hub in truth; here its gateway hears nothing at all.
  for (const char* name : {"b1", "b2", "gw-west"}) network.cut_off(name, true);
  run_ms(5000);
  EXPECT_EQ(gateways[0]->sites.size(), 2u);
  EXPECT_EQ(gateways[1]->sites.size(), 4u) << "on what it knew last";
  for (const char* name : {"b1", "b2", "gw-west"}) network.cut_off(name, false);
  run_ms(3000);
  EXPECT_EQ(gateways[0]->sites.size(), 4u);
}

TEST_F(FleetSim, TheNextControlPlaneLeadsOnAndSendsDigests) {
  const std::size_t first = controls[0]->control->leads() ? 0 : 1;
  const std::uint64_t before = gateways[0]->feed->counters().digests;
  controls[first]->dead = true;
  network.cut_off(first == 0 ? "c1" : "c2", true);
  run_ms(6000);
  EXPECT_TRUE(controls[1 - first]->control->leads());
  EXPECT_GE(gateways[0]->feed->counters().digests - before, 4u);
  for (auto& g : gateways) EXPECT_EQ(g->sites.size(), 4u);
  EXPECT_TRUE(ask(placing(hash_a, 2)).ok);
}

TEST_F(FleetSim, ASecondSiteOfANameIsRefusedAndHarmsNothing) {
  SimSite second(network, "a1", "east", 99, 5 * ms);
  for (int i = 0; i < 200; ++i) {
    second.clock.advance_ns(25 * ms);
    second.agent->step();
    run_ms(25);
  }
  EXPECT_EQ(second.agent->status().state, AgentState::refused);
  EXPECT_NE(second.agent->status().refusal.find("a site named 'a1' of region 'east' is there"),
            std::string::npos);
  EXPECT_EQ(second.agent->status().beats, 0u);
  EXPECT_EQ(sites["a1"]->agent->status().state, AgentState::joined);
  EXPECT_EQ(gateways[0]->sites["a1"].instance, 1u);
}

// Facts were held by name over all regions' buckets: a second a1 in another region made the first
// one deaf to the fleet, also when it was long gone.
TEST_F(FleetSim, ANameOfAnotherRegionsSiteIsRefusedAndWhoeverTookItHarmsNothing) {
  SimSite polite(network, "a1", "north", 99, 5 * ms);
  for (int i = 0; i < 60; ++i) {
    polite.clock.advance_ns(25 * ms);
    polite.agent->step();
    run_ms(25);
  }
  EXPECT_EQ(polite.agent->status().state, AgentState::refused);
  EXPECT_NE(polite.agent->status().refusal.find("a site named 'a1' of region 'east' is there"),
            std::string::npos)
      << polite.agent->status().refusal;
  // One that asks nobody: it beats and writes its facts in a region of its own.
  ASSERT_TRUE(ask(placing(hash_a, 4)).ok);
  run_ms(4000);
  const auto evil = network.join("evil");
  SiteReport lie;
  lie.site = {.name = "a1", .instance = 98, .region = "north", .host = "h", .tcp_port = 1};
  lie.uptime_s = 1e6;
  const auto beat = [&](int times) {
    for (int i = 0; i < times; ++i) {
      ++lie.sequence;
      network.send({"noroshi.north.a1.beat", "", report_text(lie)});
      run_ms(200);
    }
  };
  beat(5);
  ASSERT_TRUE(evil->kv_put("noroshi-north", "facts.a1",
                           facts_text({.name = "a1", .region = "north", .instance = 98}), 1));
  beat(5);
  EXPECT_EQ(sites["a1"]->agent->status().state, AgentState::joined);
  EXPECT_EQ(running(hash_a), 4);
  const auto lost_writes = [&] {
    std::uint64_t count = 0;
    for (auto& c : controls) count += c->control->counters().writes_lost;
    return count;
  };
  const auto status = [&] { return controls[0]->control->status_text(); };
  const std::uint64_t before = lost_writes();
  Command drain{.kind = CommandKind::drain, .by = "test", .site = "a1"};
  ASSERT_TRUE(ask(drain).ok);
  beat(10);
  EXPECT_TRUE(sites["a1"]->agent->status().desired.draining) << "it obeys, with the stranger there";
  EXPECT_EQ(lost_writes(), before);
  EXPECT_NE(status().find("\"names_contested\":1"), std::string::npos) << status();
  EXPECT_NE(status_table("sites", status())->find("region north has its name too"),
            std::string::npos);
  const Command forget{.kind = CommandKind::forget, .by = "test", .site = "a1"};
  beat(1);
  run_ms(100);
  lie.sequence += 1;
  network.send({"noroshi.north.a1.beat", "", report_text(lie)});
  const CommandAnswer both = ask(forget);
  EXPECT_FALSE(both.ok);
  EXPECT_NE(both.message.find("stop that one first"), std::string::npos) << both.message;
  run_ms(2000);  // it is gone
  drain.kind = CommandKind::undrain;
  ASSERT_TRUE(ask(drain).ok);
  run_ms(3000);
  EXPECT_FALSE(sites["a1"]->agent->status().desired.draining);
  const CommandAnswer forgot = ask(forget);
  EXPECT_TRUE(forgot.ok) << forgot.message;
  run_ms(2000);
  EXPECT_NE(status().find("\"names_contested\":0"), std::string::npos);
  EXPECT_EQ(running(hash_a), 4) << "only the stranger was forgotten";
  EXPECT_FALSE(ask(forget).ok) << "alive";
}

// A site that moves house: the name goes with the one that lives.
TEST_F(FleetSim, ASiteThatComesBackInAnotherRegionKeepsItsName) {
  ASSERT_TRUE(ask(placing(hash_a, 4)).ok);
  run_ms(4000);
  sites.erase("a1");
  run_ms(2000);
  add("a1", "west", 77);
  run_ms(6000);
  EXPECT_EQ(sites["a1"]->agent->status().state, AgentState::joined);
  EXPECT_EQ(running(hash_a), 4);
  ASSERT_TRUE(ask({.kind = CommandKind::drain, .by = "test", .site = "a1"}).ok);
  run_ms(3000);
  EXPECT_TRUE(sites["a1"]->agent->status().desired.draining);
}

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

// Who holds every right to write: what nobody can read is written over, also the leader's key.
TEST_F(FleetSim, GarbageInTheLeadersOwnKeysIsWrittenOver) {
  ASSERT_TRUE(ask(placing(hash_a, 2)).ok);
  run_ms(4000);
  const auto evil = network.join("evil");
  for (const char* body : {"", "{", R"({"v":1,"holder":"x","term":-3})", "null"}) {
    ASSERT_TRUE(evil->kv_put("noroshi-fleet", "leader", body, 1));
    for (const char* site : {"a1", "a2"}) {
      ASSERT_TRUE(evil->kv_put("noroshi-east", "desired." + std::string(site), body, 1));
    }
    run_ms(9000);
    EXPECT_EQ(leaders(), 1) << body;
    EXPECT_EQ(running(hash_a), 2) << body;
  }
  Command drain{.kind = CommandKind::drain, .by = "test"};
  drain.site = "a1";
  ASSERT_TRUE(ask(drain).ok);
  run_ms(4000);
  EXPECT_TRUE(sites["a1"]->agent->status().desired.draining) << "the term still grows";
}

// Garbage, lies and giants on every subject and in every key, all the while: nothing else changes.
TEST_F(FleetSim, HostileMessagesAreCountedAndHarmNothing) {
  constexpr std::uint64_t seed = 41;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  ASSERT_TRUE(ask(placing(hash_a, 2)).ok);
  run_ms(4000);
  const auto evil = network.join("evil");
  const std::string digest = digest_bytes({.region = "west", .origin = 9, .sequence = 1});
  const std::string bodies[] = {"",
                                "{",
                                "null",
                                R"({"v":1})",
                                R"({"v":2,"name":"a1"})",
                                digest,
                                std::string(1 << 20, 'x'),
                                std::string(1 << 20, '['),
                                R"({"v":1,"name":"a1","region":"east","instance":5})"};
  for (int round = 0; round < 300; ++round) {
    std::string body = bodies[prng.below(std::size(bodies))];
    if (!body.empty() && prng.below(2) == 0) body[prng.below(body.size())] ^= 0x55;
    for (const char* subject :
         {"noroshi.east.a1.beat", "noroshi.east.nobody.beat", "noroshi.digest.north",
          "noroshi.control.command", "noroshi.control.status", "noroshi.control.pulse.zz",
          "noroshi.pulse.gw-east", "noroshi.pulse.gw-nobody"}) {
      ASSERT_TRUE(evil->publish(subject, body));
    }
    if (round % 10 == 0) {
      for (const char* key : {"model.x", "drain.a1", "rollout.m", "what.ever"}) {
        ASSERT_TRUE(evil->kv_put("noroshi-fleet", key, body, 1));
      }
      ASSERT_TRUE(evil->kv_put("noroshi-east", "facts.zz", body, 1));
      ASSERT_TRUE(evil->kv_put("noroshi-east", "facts.a2x",
                               facts_text({.name = "a1", .region = "east"}), 1));
    }
    run_ms(50);
  }
  run_ms(3000);
  EXPECT_EQ(running(hash_a), 2);
  EXPECT_EQ(gateways[0]->sites.size(), 4u);
  EXPECT_GT(gateways[0]->feed->counters().refused, 100u);
  EXPECT_LT(gateways[0]->feed->counters().last_error.size(), 400u);
  std::uint64_t refused = 0;
  for (auto& c : controls) refused += c->control->counters().refused;
  EXPECT_GT(refused, 100u);
  EXPECT_EQ(leaders(), 1);
  EXPECT_TRUE(ask({.kind = CommandKind::drain, .by = "test", .site = "a1"}).ok);
}

}  // namespace
}  // namespace noroshi::fleet
