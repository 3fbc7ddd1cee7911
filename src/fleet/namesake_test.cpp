// Two sites of one name in two regions that could not hear each other when they started. Would
// catch: the one that was there first put out, or the younger one left to believe that it is in;
// one that stays out when the name is free; a stranger that takes a name by a leader's restart;
// gateways that send requests to the wrong one.

#include "fleet/fleet_sim_test.h"

namespace noroshi::fleet {
namespace {

class Namesakes : public FleetSim {
 protected:
  // "a1" of the north, up for a while behind a cut; then the cut heals.
  SimSite& meet() {
    const std::string node = "a1-north";
    network.cut_off(node, true);
    sites[node] = std::make_unique<SimSite>(network, "a1", "north", 99, 7 * ms, node);
    run_ms(3000);
    EXPECT_EQ(sites[node]->agent->status().state, AgentState::joined) << "it hears nobody";
    network.cut_off(node, false);
    return *sites[node];
  }
  AgentStatus status_of(const std::string& node) { return sites[node]->agent->status(); }
  std::uint64_t instance_at(std::size_t gateway) { return gateways[gateway]->sites["a1"].instance; }
  std::size_t audited(const std::string& text) {
    std::size_t count = 0;
    for (auto& c : controls) {
      for (const std::string& line : c->audit) count += line.find(text) != std::string::npos;
    }
    return count;
  }
  std::string fleet_status() { return controls[0]->control->status_text(); }
};

TEST_F(Namesakes, TheYoungerIsToldStaysOutAndComesBackWhenTheNameIsFree) {
  ASSERT_TRUE(ask(placing(hash_a, 4)).ok);
  run_ms(4000);
  SimSite& younger = meet();
  run_ms(4000);
  const AgentStatus told = status_of("a1-north");
  EXPECT_EQ(told.state, AgentState::refused);
  EXPECT_NE(told.refusal.find("region 'east' has a site named 'a1' already"), std::string::npos)
      << told.refusal;
  EXPECT_EQ(status_of("a1").state, AgentState::joined);
  EXPECT_EQ(audited("site a1 of region north is refused: region east has a site of its name"), 1u);
  EXPECT_NE(fleet_status().find("\"name_refused_to\":[\"north\"]"), std::string::npos);
  EXPECT_NE(status_table("sites", fleet_status())->find("and was told to take another"),
            std::string::npos);
  const std::uint64_t beats = told.beats;
  run_ms(20'000);
  EXPECT_EQ(status_of("a1-north").beats, beats) << "it says nothing more";
  EXPECT_EQ(running(hash_a), 4);
  for (std::size_t g : {0u, 1u}) EXPECT_EQ(instance_at(g), 1u) << g;
  // What it runs it goes on running, whatever the fleet wanted of the name.
  EXPECT_TRUE(younger.models.empty());

  sites.erase("a1");
  run_ms(10'000);
  EXPECT_EQ(status_of("a1-north").state, AgentState::joined);
  EXPECT_EQ(status_of("a1-north").refusal, "");
  EXPECT_EQ(instance_at(0), 99u);
  EXPECT_EQ(instance_at(1), 99u);
  EXPECT_EQ(gateways[0]->sites["a1"].region, "north");
  EXPECT_EQ(audited("site a1 of region north: the name is free"), 1u);
  EXPECT_EQ(running(hash_a), 4) << "and is placed on";

  // The first one again: now it is the one that comes second.
  add("a1", "east", 55);
  run_ms(4000);
  EXPECT_EQ(status_of("a1").state, AgentState::refused);
  EXPECT_EQ(status_of("a1-north").state, AgentState::joined);
  sites.erase("a1-north");
  run_ms(8000);
  EXPECT_EQ(status_of("a1").state, AgentState::joined) << "it heard that the name is free";
  EXPECT_EQ(instance_at(1), 55u);
}

TEST_F(Namesakes, OneThatIsRefusedAndCutOffAgainKeepsStill) {
  meet();
  run_ms(4000);
  ASSERT_EQ(status_of("a1-north").state, AgentState::refused);
  network.cut_off("a1-north", true);
  run_ms(30'000);
  EXPECT_EQ(status_of("a1-north").state, AgentState::refused) << "silence of the bus says nothing";
  network.cut_off("a1-north", false);
  run_ms(5000);
  EXPECT_EQ(status_of("a1-north").state, AgentState::refused);
  EXPECT_EQ(status_of("a1").state, AgentState::joined);
}

// Told or not, a stranger beats on and is heard first by a control plane that begins just then.
TEST_F(Namesakes, ANameIsKeptThroughALeadersRestart) {
  meet();
  run_ms(4000);
  sites.erase("a1-north");
  stranger_beats(10);
  for (auto& c : controls) c->dead = true;
  network.cut_off("c1", true);
  network.cut_off("c2", true);
  controls.push_back(std::make_unique<SimControl>(network, clock, "c3"));
  network.cut_off("a1", true);  // for the first moments
  stranger_beats(2);
  network.cut_off("a1", false);
  stranger_beats(60);
  EXPECT_EQ(leaders(), 1);
  EXPECT_EQ(status_of("a1").state, AgentState::joined);
  EXPECT_EQ(instance_at(1), 1u) << "by the digest of its region";
  Command drain{.kind = CommandKind::drain, .by = "test", .site = "a1"};
  ASSERT_TRUE(ask(drain).ok);
  stranger_beats(10);
  EXPECT_TRUE(status_of("a1").desired.draining);
}

TEST_F(Namesakes, TwoOfOneRegionThatMeetLaterTheYoungerComesBackToo) {
  const std::string node = "a1-again";
  network.cut_off(node, true);
  sites[node] = std::make_unique<SimSite>(network, "a1", "east", 99, 7 * ms, node);
  run_ms(3000);
  network.cut_off(node, false);
  run_ms(3000);
  EXPECT_EQ(status_of(node).state, AgentState::refused);
  EXPECT_EQ(status_of("a1").state, AgentState::joined);
  EXPECT_EQ(instance_at(0), 1u);
  sites.erase("a1");
  run_ms(5000);
  EXPECT_EQ(status_of(node).state, AgentState::joined);
  EXPECT_EQ(instance_at(0), 99u);
  EXPECT_EQ(instance_at(1), 99u);
}

// A gateway by itself: what the control planes say of a name comes later than its beats.
TEST_F(Namesakes, GatewaysKeepANameForTheRegionThatHadItFirst) {
  std::uint64_t sequence = 0;
  const auto known = gateways[0]->sites;
  const auto digest_of_north = [&](const std::string& name) {
    gateway::SiteState site = known.at(name);
    site.region = "north";
    site.instance = 98;
    site.host = "stranger";
    network.send(
        {"noroshi.digest.north", "",
         digest_bytes(
             {.region = "north", .origin = 9, .sequence = ++sequence, .sites = {{.site = site}}})});
  };
  const auto duplicates = [&] { return gateways[0]->feed->counters().duplicates; };
  for (const std::string name : {"a1", "b1"}) {  // of the gateway's region, and of another
    const std::uint64_t before = duplicates();
    for (int i = 0; i < 10; ++i) {
      digest_of_north(name);
      run_ms(500);
      EXPECT_NE(gateways[0]->sites[name].host, "stranger") << name;
    }
    EXPECT_EQ(duplicates() - before, 10u) << name;
  }
  EXPECT_TRUE(gateways[0]->lost.empty());
  // A beat of the own region whose name another region's digest has.
  SiteReport lie;
  lie.site = {.name = "b1", .instance = 97, .region = "east", .host = "h", .tcp_port = 1};
  const std::uint64_t before = duplicates();
  for (int i = 0; i < 10; ++i) {
    ++lie.sequence;
    network.send({"noroshi.east.b1.beat", "", report_text(lie)});
    run_ms(200);
    EXPECT_EQ(gateways[0]->sites["b1"].region, "west");
  }
  EXPECT_EQ(duplicates() - before, 10u);
  // Gone from its region, the name is whose it is then.
  sites.erase("b1");
  run_ms(3000);
  EXPECT_EQ(gateways[0]->sites.count("b1"), 0u);
  digest_of_north("b1");
  run_ms(100);
  EXPECT_EQ(gateways[0]->sites["b1"].host, "stranger");
  // So is one of the own region, whatever beat of it comes late.
  sites.erase("a1");
  run_ms(1000);
  SiteReport late;
  late.site = {.name = "a1", .instance = 1, .region = "east", .host = "h", .tcp_port = 1};
  late.sequence = 1;
  network.send({"noroshi.east.a1.beat", "", report_text(late)});
  run_ms(100);
  EXPECT_EQ(gateways[0]->sites.count("a1"), 0u);
  digest_of_north("a1");
  run_ms(100);
  EXPECT_EQ(gateways[0]->sites["a1"].host, "stranger");
}

// A region whose control planes are gone, and its site in another one since.
TEST_F(Namesakes, ARegionThatTellsNothingMoreKeepsNoName) {
  for (auto& c : controls) c->dead = true;
  network.cut_off("c1", true);
  network.cut_off("c2", true);
  sites.erase("b1");
  run_ms(1000);
  add("b1", "east", 77);
  run_ms(1400);
  EXPECT_EQ(gateways[0]->sites["b1"].region, "west") << "who knows";
  run_ms(3000);
  EXPECT_EQ(gateways[0]->sites["b1"].region, "east");
  EXPECT_EQ(gateways[0]->sites["b1"].instance, 77u);
}

}  // namespace
}  // namespace noroshi::fleet
