// Catches: a plan that stops the control plane (commands, heartbeats, its lead) while it is made,
// that is written though what it was made from has changed, that never comes to an end because
// something always changes, or that depends on how it was gathered.

#include "fleet/plan.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/prng.h"
#include "fleet/control.h"
#include "fleet/memory_bus.h"

namespace noroshi::fleet {
namespace {

constexpr std::int64_t ms = 1'000'000;
const std::string hash_a(64, 'a');

SiteFacts facts_of(const std::string& name, const std::string& region = "east") {
  return {.name = name,
          .region = region,
          .instance = 1,
          .memory_bytes = 1000,
          .processors = 4,
          .files = {{"m", hash_a, 400}, {"n", hash_a, 400}}};
}

// A control plane alone with sites that only beat, whose placement stops where the test says.
class PlanTest : public testing::Test {
 protected:
  void SetUp() override {
    ControlConfig config{.id = "c", .instance = 1};
    config.planner.place = [this](const auto& models, const auto& sites, const auto& requests) {
      std::unique_lock lock(mutex);
      ++placements;
      changed.notify_all();
      changed.wait(lock, [this] { return !held; });
      return place(models, sites, requests);
    };
    control = std::make_unique<Control>(*bus, clock, config);
    ASSERT_TRUE(control->start());
    ASSERT_TRUE(bus->ensure_bucket({.name = region_bucket("east")}, 1));
    for (const char* name : {"a", "b", "c"}) {
      ASSERT_TRUE(bus->kv_put(region_bucket("east"), std::string("facts.") + name,
                              facts_text(facts_of(name)), 1));
    }
    run_ms(2000);
    ASSERT_TRUE(control->leads());
  }
  void TearDown() override { let_go(); }

  void beat() {
    for (const char* name : {"a", "b", "c"}) {
      SiteReport report;
      report.site = {.name = name, .instance = 1, .region = "east", .host = "h", .tcp_port = 1};
      report.sequence = ++sequence;
      network.send({beat_subject("east", name), "", report_text(report)});
    }
  }
  // All but planning.
  void run_ms(int duration, bool plans = true) {
    for (int t = 0; t < duration; t += 50) {
      clock.advance_ns(50 * ms);
      beat();
      control->step();
      control->step_slow();
      if (plans) control->step_plan();
      network.deliver();
    }
  }
  std::optional<CommandAnswer> ask(const Command& command) {
    std::optional<CommandAnswer> answer;
    const auto inbox = bus->subscribe("_INBOX.x", "", [&](const Message& m) {
      const auto parsed = parse_answer(m.data);
      if (parsed) answer = *parsed;
    });
    network.send({command_subject, "_INBOX.x", command_text(command)});
    run_ms(200, false);
    return answer;
  }
  static Command placing(const std::string& model, int copies) {
    Command command{.kind = CommandKind::place, .by = "test"};
    command.model = {.name = model, .content_hash = hash_a, .copies_min = copies};
    return command;
  }
  void hold() {
    const std::lock_guard lock(mutex);
    held = true;
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    held = false;
    changed.notify_all();
  }
  void wait_for_placements(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return placements >= count; });
  }
  int copies_of(const std::string& model) {
    int count = 0;
    for (const char* name : {"a", "b", "c"}) {
      const auto entry = bus->kv_get(region_bucket("east"), std::string("desired.") + name, 1);
      if (!entry || !*entry) continue;
      const auto desired = parse_desired((*entry)->value);
      for (const ModelFile& file : desired->models) count += file.name == model ? 1 : 0;
    }
    return count;
  }

  MemoryNetwork network;
  ManualClock clock;
  std::unique_ptr<Bus> bus = network.join("c");
  std::unique_ptr<Control> control;
  std::uint64_t sequence = 0;
  std::mutex mutex;
  std::condition_variable changed;
  bool held = false;
  int placements = 0;
};

TEST_F(PlanTest, CommandsHeartbeatsAndTheLeadGoOnWhileAPlanIsMade) {
  ASSERT_TRUE(ask(placing("m", 2))->ok);
  run_ms(2000);
  ASSERT_EQ(copies_of("m"), 2);
  hold();
  const int before = placements;
  clock.advance_ns(1000 * ms);
  std::thread planning([this] { control->step_plan(); });
  wait_for_placements(before + 1);
  // It computes and will not end before it is let go.
  const std::uint64_t beats = control->counters().beats;
  const auto drained = ask({.kind = CommandKind::drain, .by = "test", .site = "a"});
  ASSERT_TRUE(drained) << "answered";
  EXPECT_TRUE(drained->ok) << drained->message;
  const auto placed = ask(placing("n", 3));
  ASSERT_TRUE(placed);
  EXPECT_TRUE(placed->ok) << placed->message;
  run_ms(5000, false);
  EXPECT_TRUE(control->leads()) << "longer than a lead lasts unrenewed";
  EXPECT_GE(control->counters().beats, beats + 300);
  EXPECT_NE(control->status_text().find("\"sites_alive\":3"), std::string::npos);
  EXPECT_EQ(copies_of("n"), 0);
  let_go();
  planning.join();
  EXPECT_EQ(control->counters().plans_dropped, 1u) << "models were placed meanwhile";
  EXPECT_EQ(copies_of("n"), 0) << "what was planned from older wishes is not written";
  run_ms(2000);
  EXPECT_EQ(copies_of("n"), 2) << "a drains";
}

TEST_F(PlanTest, ItComesToAnEndThoughSomethingAlwaysChanges) {
  ASSERT_TRUE(ask(placing("m", 3))->ok);
  int copies = 1;
  const std::uint64_t plans = control->counters().plans;
  for (int round = 0; round < 6; ++round) {
    hold();
    const int before = placements;
    clock.advance_ns(600 * ms);
    run_ms(100, false);
    std::thread planning([this] { control->step_plan(); });
    wait_for_placements(before + 1);
    EXPECT_TRUE(ask(placing("n", copies = 3 - copies))->ok);
    let_go();
    planning.join();
  }
  EXPECT_EQ(control->counters().plans - plans, 6u);
  EXPECT_EQ(control->counters().plans_dropped, 4u) << "each third stands";
  EXPECT_EQ(copies_of("m"), 3);
}

// --- gathering and deciding alone ---

struct Known {
  Planner planner;
  void learn(const std::string& bucket, const std::string& key, const std::string& value) {
    ASSERT_TRUE(planner.learn(bucket, {.key = key, .value = value, .revision = ++revision}));
  }
  void beat(const std::string& name, int requests = 0) {
    SiteReport report;
    report.site = {.name = name, .instance = 1, .region = "east", .host = "h", .tcp_port = 1};
    report.site.models = {{.name = "m", .requests_in_flight = requests}};
    report.sequence = ++sequence;
    planner.membership().hear(report, 1);
  }
  PlanInput gather(std::size_t sites_max) const {
    PlanInput input;
    for (int i = 0; i < 100'000; ++i) {
      if (planner.gather(input, sites_max)) return input;
    }
    ADD_FAILURE() << "gathering does not end";
    return input;
  }
  std::uint64_t revision = 0;
  std::uint64_t sequence = 0;
};

TEST(Plan, IsTheSameHoweverItWasGathered) {
  constexpr std::uint64_t seed = 71;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  Known known;
  for (int i = 0; i < 300; ++i) {
    const std::string name = "s" + std::to_string(i);
    // Some have no facts yet, some beat no more, some are desired something already, or drain.
    if (prng.below(8) != 0) {
      known.learn(region_bucket("east"), "facts." + name, facts_text(facts_of(name)));
    }
    if (prng.below(8) != 0) known.beat(name, static_cast<int>(prng.below(5)));
    if (prng.below(4) == 0) {
      known.learn(region_bucket("east"), "desired." + name,
                  desired_text({.term = 1, .models = {{"m", hash_a, 400}}}));
    }
    if (prng.below(8) == 0) known.learn(fleet_bucket, "drain." + name, drain_text(true));
  }
  known.learn(
      fleet_bucket, "model.m",
      model_text({.name = "m", .content_hash = hash_a, .memory_bytes = 400, .copies_min = 80}));
  const PlanInput whole = known.gather(1'000'000);
  const Plan plan = decide(whole, whole.requests, place);
  EXPECT_GT(plan.changes.size(), 10u);
  EXPECT_GT(whole.requests.at("m"), 100);
  for (const std::size_t some : {1u, 2u, 7u, 299u, 300u, 301u}) {
    const PlanInput input = known.gather(some);
    EXPECT_EQ(input.requests, whole.requests) << some;
    ASSERT_EQ(input.sites.size(), whole.sites.size()) << some;
    const Plan same = decide(input, input.requests, place);
    ASSERT_EQ(same.changes.size(), plan.changes.size()) << some;
    for (std::size_t i = 0; i < plan.changes.size(); ++i) {
      EXPECT_EQ(desired_text(same.changes[i].next), desired_text(plan.changes[i].next));
      EXPECT_EQ(same.changes[i].seen.desired.revision, plan.changes[i].seen.desired.revision);
    }
  }
  EXPECT_TRUE(known.gather(1).begun);
  EXPECT_TRUE(Known().gather(1).sites.empty());
}

TEST(Plan, AWriteStandsOnlyWhileItsSiteIsAsItWasSeen) {
  const auto planned = [](Known& known) {
    for (const char* name : {"a", "b"}) {
      known.learn(region_bucket("east"), std::string("facts.") + name, facts_text(facts_of(name)));
      known.beat(name);
    }
    known.learn(
        fleet_bucket, "model.m",
        model_text({.name = "m", .content_hash = hash_a, .memory_bytes = 400, .copies_min = 2}));
    const PlanInput input = known.gather(100);
    EXPECT_TRUE(known.planner.is_of(input));
    Plan plan = decide(input, {}, place);
    EXPECT_EQ(plan.changes.size(), 2u);
    const auto write = known.planner.stands(plan.changes[0], 7);
    EXPECT_TRUE(write);
    EXPECT_EQ(write->key, "desired.a");
    EXPECT_EQ(write->revision, 0u);
    EXPECT_EQ(parse_desired(write->value)->term, 7u);
    return plan;
  };
  const auto fresh = [] {
    SiteFacts facts = facts_of("a");
    facts.memory_bytes = 5;
    return facts_text(facts);
  };
  struct Case {
    const char* what;
    std::function<void(Known&)> change;
  };
  const Case cases[] = {
      {"its facts", [&](Known& k) { k.learn(region_bucket("east"), "facts.a", fresh()); }},
      {"its desired state",
       [](Known& k) { k.learn(region_bucket("east"), "desired.a", desired_text({.term = 1})); }},
      {"it drains", [](Known& k) { k.learn(fleet_bucket, "drain.a", drain_text(true)); }},
      {"it is lost", [](Known& k) {
         BusPulse pulse;
         for (std::int64_t t = 0; t < 2000 * ms; t += 50 * ms) pulse.came_back(t);
         k.planner.membership().expire(pulse);
       }}};
  for (const Case& one : cases) {
    Known known;
    const Plan plan = planned(known);
    one.change(known);
    EXPECT_FALSE(known.planner.stands(plan.changes[0], 7)) << one.what;
    const bool other = known.planner.stands(plan.changes[1], 7).has_value();
    EXPECT_EQ(other, std::string(one.what) != "it is lost") << one.what;
  }
  Known known;
  planned(known);
  const PlanInput input = known.gather(100);
  known.learn(fleet_bucket, "model.n", model_text({.name = "n", .content_hash = hash_a}));
  EXPECT_FALSE(known.planner.is_of(input));
}

}  // namespace
}  // namespace noroshi::fleet
