// Who is there and who leads, in a fleet in memory. Would catch a site that gateways learn to be
// gone later than in a second, or take for gone when only the bus is; two leaders; a name that two
// sites have; a message that harms more than itself.

#include "fleet/fleet_sim_test.h"
#include "base/prng.h"

namespace noroshi::fleet {
namespace {

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
  stranger_beats(5);
  ASSERT_TRUE(evil->kv_put("noroshi-north", "facts.a1",
                           facts_text({.name = "a1", .region = "north", .instance = 98}), 1));
  stranger_beats(5);
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
  stranger_beats(10);
  EXPECT_TRUE(sites["a1"]->agent->status().desired.draining) << "it obeys, with the stranger there";
  EXPECT_EQ(lost_writes(), before);
  EXPECT_NE(status().find("\"names_contested\":1"), std::string::npos) << status();
  EXPECT_NE(status_table("sites", status())->find("region north has its name too"),
            std::string::npos);
  const Command forget{.kind = CommandKind::forget, .by = "test", .site = "a1"};
  stranger_beats(1);
  run_ms(100);
  stranger_beats(1, 0);
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

// A key that the fleet's word stood in holds what nobody can read: it is there again before a
// control plane that begins then reads it, and nobody does anything else meanwhile.
TEST_F(FleetSim, WhatWasSpoiltInTheBucketsIsRestored) {
  ASSERT_TRUE(ask(placing(hash_a, 2)).ok);
  Command drain{.kind = CommandKind::drain, .by = "test"};
  drain.site = "b2";
  ASSERT_TRUE(ask(drain).ok);
  run_ms(8000);
  const auto evil = network.join("evil");
  std::string runner;
  for (const auto& [name, site] : sites) {
    if (!site->agent->status().desired.models.empty()) runner = name;
  }
  ASSERT_FALSE(runner.empty());
  const std::string region = runner[0] == 'a' ? "noroshi-east" : "noroshi-west";
  const std::pair<std::string, std::string> keys[] = {{"noroshi-fleet", "model.m"},
                                                      {"noroshi-fleet", "drain.b2"},
                                                      {region, "facts." + runner},
                                                      {region, "desired." + runner}};
  std::vector<std::string> before;
  for (const auto& [bucket, key] : keys) {
    const auto entry = evil->kv_get(bucket, key, 1);
    ASSERT_TRUE(entry && entry->has_value()) << key;
    before.push_back((*entry)->value);
    ASSERT_TRUE(evil->kv_put(bucket, key, R"({"stream":"KV_noroshi-east", "seq":4})", 1));
  }
  run_ms(1000);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const auto entry = evil->kv_get(keys[i].first, keys[i].second, 1);
    ASSERT_TRUE(entry && entry->has_value());
    EXPECT_EQ((*entry)->value, before[i]) << keys[i].second;
  }
  EXPECT_EQ(running(hash_a), 2);
  // Where nothing good was known there is nothing to restore.
  ASSERT_TRUE(evil->kv_put("noroshi-fleet", "model.unknown", "{", 1));
  run_ms(1000);
  EXPECT_EQ((*evil->kv_get("noroshi-fleet", "model.unknown", 1))->value, "{");
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
