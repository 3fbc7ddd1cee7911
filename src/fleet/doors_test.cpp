// Several gateways of one fleet, over HTTP, with a control plane over the bus in memory. Would
// catch a session that begins anew because its user came in by another door or the door had been
// restarted, one that is told another name or another tenant's history, a secret that gateways do
// not share, are not told of or lose, and others' messages that harm a gateway.

#include "fleet/doors.h"

#include <gtest/gtest.h>

#include <list>
#include <optional>

#include "base/prng.h"
#include "fleet/command.h"
#include "fleet/desired.h"
#include "fleet/fleet_sim_test.h"
#include "fleet/turns_kept.h"
#include "gateway/fake_engine.h"
#include "gateway/gateway.h"
#include "gateway/test_client.h"

namespace noroshi::fleet {
namespace {

using gateway::FakeEngine;
using gateway::Router;
using gateway::SiteState;

struct Door {
  std::unique_ptr<Bus> bus;
  Router router;
  std::unique_ptr<Doors> doors;
  std::optional<gateway::Gateway> gateway = {};
  int near = 0;  // the site that it takes where it knows nothing better

  Door(MemoryNetwork& network, Clock& clock, const std::string& id, std::uint64_t origin)
      : bus(network.join(id)), router({.sessions_told_max = 1 << 16}, origin) {
    doors = std::make_unique<Doors>(
        *bus, clock, DoorsConfig{.id = id, .origin = origin, .secret = "drawn by " + id},
        doors_sink_of(router));
    EXPECT_TRUE(doors->start());
  }
  void open(std::vector<gateway::Tenant> tenants = {}) {
    gateway::GatewayConfig config{.port = 0, .instance = "gw"};
    config.tenants = std::make_shared<gateway::Tenants>(std::move(tenants));
    gateway::GatewayCalls calls;
    calls.session_secret = [this] { return doors->secret(); };
    auto started = gateway::Gateway::start(std::move(config), router, std::move(calls));
    ASSERT_TRUE(started) << started.error().message;
    gateway.emplace(*std::move(started));
  }
  // The site that answered.
  std::string ask(const std::string& session, const std::string& headers = "") {
    gateway::TestClient client(gateway->tcp_port());
    const std::string body = R"({"model":"m","user":")" + session +
                             R"(","messages":[{"role":"user","content":")" + std::string(400, 'x') +
                             R"("}]})";
    client.send(gateway::test_request("POST", "/v1/chat/completions", body, headers));
    return std::string(client.read()["X-Noroshi-Site"]);
  }
};

// What a control plane keeps of it.
struct Keeper {
  std::unique_ptr<Bus> bus;
  TurnsKept kept{1 << 12};
  Doors doors;

  Keeper(MemoryNetwork& network, Clock& clock, const std::string& id, std::uint64_t origin)
      : bus(network.join(id)),
        doors(*bus, clock, {.id = id, .origin = origin}, doors_sink_of(kept)) {
    EXPECT_TRUE(doors.start());
  }
};

class DoorsTest : public testing::Test {
 protected:
  MemoryNetwork network;
  ManualClock clock;
  SimControl control{network, clock, "c1"};
  std::list<FakeEngine> sites = std::list<FakeEngine>(2);
  std::list<Door> doors;
  std::list<Keeper> keepers;
  std::uint64_t origins = 0;

  // Ahead of the clock of the gateways' own choices, which is the machine's.
  DoorsTest() { clock.advance_ns(MonotonicClock().now_ns() + 60'000 * ms); }

  FakeEngine& site(int i) { return *std::next(sites.begin(), i); }
  Door& door(const std::string& id) {
    return doors.emplace_back(network, clock, id, 0x1234567890ULL + ++origins);
  }
  void report(Door& at, int i, int in_flight = 0, bool draining = false) {
    SiteState state;
    state.name = "s" + std::to_string(i);
    state.instance = 1;
    state.region = "east";
    state.ready = true;
    state.draining = draining;
    state.host = "127.0.0.1";
    state.tcp_port = site(i).tcp_port();
    state.rtt_ms = i == at.near ? 1 : 20;
    state.received_at_ns = clock.now_ns();
    state.models = {{.name = "m",
                     .content_hash = hash_a,
                     .places = 4,
                     .requests_in_flight = in_flight,
                     .prompt_tokens_per_s = 500,
                     .tokens_per_s = 1000}};
    ASSERT_TRUE(at.router.update(state));
  }
  void report_all(Door& at) {
    for (int i = 0; i < 2; ++i) report(at, i);
  }
  void run_ms(int duration) {
    for (int t = 0; t < duration; t += 25) {
      clock.advance_ns(25 * ms);
      network.set_now_ns(clock.now_ns());
      control.control->step();
      control.control->step_slow();
      for (Door& one : doors) one.doors->step();
      for (Keeper& one : keepers) one.doors.step();
      network.deliver();
    }
  }
  Door& open_door(const std::string& id, std::vector<gateway::Tenant> tenants = {}) {
    Door& one = door(id);
    report_all(one);
    one.open(std::move(tenants));
    return one;
  }
};

TEST_F(DoorsTest, ASessionGoesOnByAnotherDoor) {
  Door& a = open_door("a");
  Door& b = open_door("b");
  run_ms(6000);
  ASSERT_TRUE(a.doors->counters().shares_secret && b.doors->counters().shares_secret);
  EXPECT_EQ(a.doors->secret(), b.doors->secret());

  EXPECT_EQ(a.ask("ann"), "s0");
  const std::string name = site(0).last_session;
  EXPECT_EQ(name.size(), 32u);
  run_ms(400);
  b.near = 1;
  report_all(b);
  EXPECT_EQ(b.ask("ann"), "s0");
  EXPECT_EQ(site(0).last_session, name) << "the same session";
  EXPECT_EQ(site(0).last_context_from, "") << "which has not moved";

  report(b, 0, 40);  // full
  EXPECT_EQ(b.ask("ann"), "s1");
  EXPECT_EQ(site(1).last_session, name);
  EXPECT_EQ(site(1).last_context_from, "east/s0");
  run_ms(400);
  EXPECT_EQ(a.ask("ann"), "s1") << "though it knows nothing of s0's being full";
  EXPECT_EQ(site(1).last_session, name);
  EXPECT_EQ(site(1).last_context_from, "");
  EXPECT_EQ(a.ask("bob"), "s0");
  EXPECT_EQ(b.ask("cyd"), "s1");

  report(a, 1, 0, true);  // drains
  EXPECT_EQ(a.ask("ann"), "s0");
  EXPECT_EQ(site(0).last_session, name);
  EXPECT_EQ(site(0).last_context_from, "east/s1");
  EXPECT_EQ(a.doors->counters().lost + b.doors->counters().lost, 0u);
  EXPECT_EQ(a.doors->counters().refused + b.doors->counters().refused, 0u);
}

TEST_F(DoorsTest, ASessionGoesOnAfterItsDoorWasRestarted) {
  Door& a = open_door("a");
  open_door("b");
  run_ms(6000);
  report(a, 0, 40);
  EXPECT_EQ(a.ask("ann"), "s1");
  const std::string name = site(1).last_session;
  run_ms(400);
  doors.pop_front();

  Door& again = open_door("a");
  EXPECT_EQ(again.ask("bob"), "s0") << "what it would choose";
  run_ms(4000);
  EXPECT_EQ(again.ask("ann"), "s1");
  EXPECT_EQ(site(1).last_session, name);
  report(again, 1, 40);
  EXPECT_EQ(again.ask("ann"), "s0");
  EXPECT_EQ(site(0).last_session, name);
  EXPECT_EQ(site(0).last_context_from, "east/s1");
}

TEST_F(DoorsTest, TheOnlyDoorFindsItsSessionsAfterItsRestartAndSoDoesWhoKeepsThem) {
  Door& a = open_door("a");
  keepers.emplace_back(network, clock, "control-a", 5);
  run_ms(6000);
  report(a, 0, 40);
  EXPECT_EQ(a.ask("ann"), "s1");
  const std::string name = site(1).last_session;
  run_ms(400);
  EXPECT_EQ(keepers.front().kept.sessions_known(), 1u);
  // The control plane is restarted, and then the door.
  keepers.clear();
  keepers.emplace_back(network, clock, "control-a", 6);
  run_ms(4000);
  EXPECT_EQ(keepers.front().kept.sessions_known(), 1u);
  doors.clear();
  Door& again = open_door("a");
  run_ms(4000);
  EXPECT_EQ(again.ask("ann"), "s1");
  EXPECT_EQ(site(1).last_session, name);
}

TEST_F(DoorsTest, ATenantsSessionIsNoneOfAnothersByAnyDoor) {
  const std::vector<gateway::Tenant> tenants = {
      {.name = "x", .keys = {gateway::hash_of_key("key-x")}},
      {.name = "y", .keys = {gateway::hash_of_key("key-y")}}};
  Door& a = open_door("a", tenants);
  Door& b = open_door("b", tenants);
  run_ms(6000);
  report(a, 0, 40);
  EXPECT_EQ(a.ask("ann", "Authorization: Bearer key-x\r\n"), "s1");
  const std::string name = site(1).last_session;
  run_ms(400);
  EXPECT_EQ(b.ask("ann", "Authorization: Bearer key-y\r\n"), "s0") << "it was nowhere";
  EXPECT_NE(site(0).last_session, name);
  EXPECT_EQ(site(0).last_context_from, "");
  EXPECT_EQ(b.ask("ann", "Authorization: Bearer key-x\r\n"), "s1");
  EXPECT_EQ(site(1).last_session, name);
}

TEST_F(DoorsTest, WithoutTheBusADoorIsItsOwnAndJoinsWhenItIsThere) {
  Door& a = open_door("a");
  run_ms(6000);
  network.cut_off("b", true);
  Door& b = open_door("b");
  run_ms(3000);
  EXPECT_EQ(b.doors->secret(), "drawn by b");
  EXPECT_EQ(a.ask("ann"), "s0");
  const std::string name = site(0).last_session;
  EXPECT_EQ(b.ask("ann"), "s0");
  EXPECT_NE(site(0).last_session, name);
  run_ms(400);
  EXPECT_EQ(b.doors->counters().lost, 1u);
  network.cut_off("b", false);
  run_ms(1000);
  EXPECT_EQ(b.ask("ann"), "s0");
  EXPECT_EQ(site(0).last_session, name);
  // It goes on with what it knows.
  const std::string secret = b.doors->secret();
  network.cut_off("b", true);
  EXPECT_EQ(b.ask("ann"), "s0");
  run_ms(400);
  EXPECT_EQ(b.doors->secret(), secret);
  EXPECT_EQ(b.doors->counters().lost, 2u);
  EXPECT_EQ(b.doors->counters().last_error, "no connection of b");
}

TEST_F(DoorsTest, TheSecretIsMadeOnceRestoredAndMadeAnewWhenItIsErased) {
  Door& a = door("a");
  run_ms(6000);
  const std::string secret = a.doors->secret();
  EXPECT_EQ(secret.size(), 64u);
  const auto admin = network.join("admin");
  // Other control planes, and this one after a restart, find it there.
  SimControl second(network, clock, "c0");
  second.secrets = 7;
  for (int t = 0; t < 4000; t += 25) {
    second.control->step();
    second.control->step_slow();
    run_ms(25);
  }
  EXPECT_EQ(control.secrets, 1);
  EXPECT_EQ(second.secrets, 7);
  EXPECT_EQ(a.doors->secret(), secret);
  // What nobody can read there is written over with what was, and no gateway takes it.
  const std::string ack = R"({"stream":"KV_noroshi-east", "seq":4})";
  ASSERT_TRUE(admin->kv_put(fleet_bucket, session_secret_key, ack, 1));
  run_ms(1000);
  EXPECT_EQ(a.doors->secret(), secret);
  EXPECT_EQ(a.doors->counters().refused, 1u);
  EXPECT_EQ((*admin->kv_get(fleet_bucket, session_secret_key, 1))->value,
            session_secret_text(secret));
  // An admin wants another one.
  network.send({command_subject, "", command_text({.kind = CommandKind::renew, .by = "test"})});
  run_ms(2000);
  EXPECT_EQ(control.secrets + second.secrets, 1 + 7 + 1);
  EXPECT_EQ(a.doors->counters().refused, 1u);
  EXPECT_NE(a.doors->secret(), secret);
  EXPECT_EQ(a.doors->secret().size(), 64u);
  for (const std::string& line : control.audit) {
    EXPECT_EQ(line.find(secret), std::string::npos) << "the log has no secrets";
  }
}

// Where a control plane begins that has never read it, and it is spoilt, another is made.
TEST_F(DoorsTest, ASpoiltSecretThatNobodyKnowsIsMadeAnew) {
  const auto evil = network.join("evil");
  ASSERT_TRUE(evil->ensure_bucket({.name = fleet_bucket}, 1));
  ASSERT_TRUE(evil->kv_put(fleet_bucket, session_secret_key, "{", 1));
  Door& a = door("a");
  run_ms(8000);
  EXPECT_EQ(control.secrets, 1);
  EXPECT_EQ(a.doors->secret().size(), 64u);
}

// --- The doors' own protocol, without HTTP ---

TEST_F(DoorsTest, OneTellsADoorThatStartsAllThatIsKnown) {
  for (const char* id : {"a", "b", "c"}) report_all(door(id));
  Door& a = doors.front();
  run_ms(6000);
  const gateway::ToldTurns::Place place{"s1", gateway::model_mark("m", hash_a)};
  constexpr std::uint64_t sessions = 20'000;
  for (std::uint64_t s = 1; s <= sessions; ++s) {
    a.router.hear({{place}, {{s, 0, 100, clock.now_ns() - static_cast<std::int64_t>(s)}}});
  }
  const auto choice = a.router.choose({"m", {}, {}, sessions + 1, 100, 1, {}}, clock.now_ns());
  ASSERT_TRUE(choice.at);
  run_ms(400);
  Door& late = door("d");
  report_all(late);
  run_ms(5000);
  EXPECT_EQ(late.router.counters().turns_nowhere, 0u);
  std::uint64_t answered = 0;
  for (Door& one : doors) answered += one.doors->counters().answered;
  EXPECT_EQ(a.doors->counters().answered, 1u);
  EXPECT_EQ(answered, 1u) << "those who know next to nothing are silent";
  for (std::uint64_t s = 1; s <= sessions; s += 997) {
    const auto there = late.router.choose({"m", {}, {}, s, 100, 1, {}}, clock.now_ns());
    EXPECT_EQ(there.at->name, "s1") << s;
    late.router.finished(there, {gateway::Fate::left}, clock.now_ns());
  }
  EXPECT_GE(late.router.sessions_known(), sessions + 1);
}

TEST_F(DoorsTest, HostileMessagesAreCountedAndHarmNothing) {
  Door& a = open_door("a");
  Door& b = open_door("b");
  run_ms(6000);
  report(a, 0, 40);
  EXPECT_EQ(a.ask("ann"), "s1");
  run_ms(400);
  constexpr std::uint64_t seed = 81;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  const auto evil = network.join("evil");
  const std::string asks = turns_bytes({.kind = TurnsKind::asks, .origin = 1});
  const std::uint64_t heard = b.doors->counters().heard;
  int sent = 0;
  for (int round = 0; round < 300; ++round, ++sent) {
    std::string body = prng.below(2) == 0 ? asks : std::string(prng.below(1 << 16), 'x');
    body += static_cast<char>(prng());
    ASSERT_TRUE(evil->publish("noroshi.turns.evil", body));
    network.deliver();
  }
  EXPECT_EQ(b.doors->counters().refused, static_cast<std::uint64_t>(sent));
  EXPECT_EQ(b.doors->counters().heard, heard);
  // Who asks over and over, under many names or with none, is one of so many.
  for (std::uint64_t origin = 1; origin <= 200; ++origin) {
    const std::string ask = turns_bytes({.kind = TurnsKind::asks, .origin = origin});
    ASSERT_TRUE(evil->publish("noroshi.turns.e" + std::to_string(origin), ask));
    ASSERT_TRUE(evil->publish("noroshi.turns.e.to.b", ask));
    network.deliver();
  }
  EXPECT_GE(b.doors->counters().refused, static_cast<std::uint64_t>(sent) + 200 + 100);
  EXPECT_NE(b.doors->counters().last_error.find("noroshi.turns.e"), std::string::npos);
  // Turns of sites that nobody knows.
  ASSERT_TRUE(evil->publish(
      "noroshi.turns.evil",
      turns_bytes({.origin = 2, .told = {{{"s9", 1}}, {{5, 0, 1, 0}, {6, 0, 1, 0}}}})));
  run_ms(1000);
  EXPECT_EQ(b.router.counters().turns_nowhere, 2u);
  EXPECT_EQ(b.ask("ann"), "s1");
}

}  // namespace
}  // namespace noroshi::fleet
