// Several gateways' tenants over the bus in memory. Would catch a tenant who gets his quota once a
// door, or more than the bound that the header says, one who is refused what is his, requests of a
// door that is gone that count for ever, and others' messages that lock somebody out.

#include "fleet/quotas.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <list>

#include "base/prng.h"
#include "fleet/memory_bus.h"
#include "fleet/tenant_use.h"

namespace noroshi::fleet {
namespace {

using gateway::Quota;
using gateway::Tenant;
using gateway::Tenants;
using gateway::unlimited;

constexpr std::int64_t ms = 1'000'000;
constexpr int step_ms = 25;
constexpr double telling_s = 0.2 + 2 * step_ms / 1000.0;  // T of the header, as simulated

struct Door {
  std::unique_ptr<Bus> bus;
  Tenants tenants;
  Quotas quotas;
  int let_in = 0;

  Door(MemoryNetwork& network, Clock& clock, const std::string& id, std::uint64_t origin,
       std::vector<Tenant> listed)
      : bus(network.join(id)),
        tenants(std::move(listed)),
        quotas(*bus, clock, {.id = id, .origin = origin}, tenants) {
    EXPECT_TRUE(quotas.start());
  }
};

class QuotasTest : public testing::Test {
 protected:
  MemoryNetwork network;
  ManualClock clock;
  std::list<Door> doors;
  std::uint64_t origins = 0;

  Door& open(const std::string& id, const Quota& quota, const std::string& tenant = "a") {
    return doors.emplace_back(network, clock, id, ++origins,
                              std::vector<Tenant>{{.name = tenant, .quota = quota}});
  }
  void open_many(int count, const Quota& quota) {
    for (int i = 0; i < count; ++i) open("d" + std::to_string(i), quota);
  }
  Door& door(int i) { return *std::next(doors.begin(), i); }

  template <typename Each>
  void run_ms(int duration, Each each) {
    for (int t = 0; t < duration; t += step_ms) {
      clock.advance_ns(step_ms * ms);
      for (Door& one : doors) one.quotas.step();
      network.deliver();
      for (Door& one : doors) each(one);
    }
  }
  void run_ms(int duration) {
    run_ms(duration, [](Door&) {});
  }
  bool enters(Door& at) { return !at.tenants.enter(0, clock.now_ns()); }
  void leaves(Door& at, std::uint64_t tokens = 0) { at.tenants.leave(0, tokens, clock.now_ns()); }
  // As many requests as it can get, that are answered at once.
  void ask_all(Door& at, std::uint64_t tokens = 0) {
    for (int i = 0; i < 100 && enters(at); ++i, ++at.let_in) leaves(at, tokens);
  }
  int let_in() const {
    int sum = 0;
    for (const Door& one : doors) sum += one.let_in;
    return sum;
  }
};

TEST_F(QuotasTest, RequestsOfAllDoorsAreWithinTheQuotaAndItsBound) {
  constexpr double rate = 20;
  for (const int count : {1, 2, 5}) {
    SCOPED_TRACE(count);
    doors.clear();
    network.deliver();
    open_many(count, {.requests_per_second = rate});
    run_ms(10'000, [&](Door& one) { ask_all(one); });
    const int first = let_in();
    std::printf("%d doors: %d requests in 10 s of %.0f/s\n", count, first, rate);
    EXPECT_LE(first, rate * 10 + count * rate + (count - 1) * rate * telling_s);
    EXPECT_GE(first, 0.97 * (rate * 10 + rate)) << "nobody is refused what is his";
    run_ms(100'000, [&](Door& one) { ask_all(one); });
    // The buckets stand where they stood, but for what is let in within one telling.
    EXPECT_NEAR(let_in() - first, rate * 100, count * rate * telling_s) << "no more over the time";
    EXPECT_EQ(doors.front().quotas.counters().doors, static_cast<std::uint64_t>(count - 1));
  }
}

TEST_F(QuotasTest, TokensOfAllDoorsAreWithinTheQuotaAndItsBound) {
  constexpr double per_minute = 6000;
  constexpr int tokens = 50;  // of a request
  open_many(3, {.tokens_per_minute = per_minute});
  run_ms(600'000, [&](Door& one) { ask_all(one, tokens); });
  const double used = let_in() * tokens;
  std::printf("3 doors: %.0f tokens in 10 min of %.0f/min\n", used, per_minute);
  EXPECT_LE(used, 10 * per_minute + 3 * (per_minute + tokens) + 2 * per_minute / 60 * telling_s);
  EXPECT_GE(used, 0.97 * 10 * per_minute);
}

TEST_F(QuotasTest, RequestsAtOnceAreCountedOverAllDoors) {
  open_many(2, {.requests_at_once = 4});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(enters(door(0)));
  run_ms(300);
  ASSERT_TRUE(enters(door(1)));
  const auto over = door(1).tenants.enter(0, clock.now_ns());
  ASSERT_TRUE(over);
  EXPECT_EQ(over->quota, "requests_at_once");
  run_ms(300);
  EXPECT_FALSE(enters(door(0)));
  // For as long as they are there, though nothing is new.
  run_ms(10'000);
  EXPECT_FALSE(enters(door(1)));
  leaves(door(0));
  leaves(door(0));
  run_ms(300);
  EXPECT_TRUE(enters(door(1)));
  EXPECT_TRUE(enters(door(1)));
  EXPECT_FALSE(enters(door(1)));
  for (int i = 0; i < 3; ++i) leaves(door(1));
  leaves(door(0));
  run_ms(300);
  for (Door& one : doors) {
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(enters(one));
    EXPECT_FALSE(enters(one));
  }
  // What both let in within a telling is the overshoot, and no more is let in.
  run_ms(300);
  leaves(door(0));
  EXPECT_FALSE(enters(door(0)));
}

TEST_F(QuotasTest, ADoorThatIsGoneHasNoRequestsAnyMore) {
  open_many(2, {.requests_at_once = 2});
  ASSERT_TRUE(enters(door(1)) && enters(door(1)));
  run_ms(300);
  ASSERT_FALSE(enters(door(0)));
  doors.pop_back();  // says so
  network.deliver();
  EXPECT_TRUE(enters(door(0)));
  leaves(door(0));

  Door& killed = open("d2", {.requests_at_once = 2});
  ASSERT_TRUE(enters(killed) && enters(killed));
  run_ms(300);
  ASSERT_FALSE(enters(door(0)));
  network.cut_off("d2", true);
  run_ms(1500);
  EXPECT_FALSE(enters(door(0))) << "it may have missed a word";
  run_ms(1000);
  EXPECT_TRUE(enters(door(0)));
  EXPECT_EQ(door(0).quotas.counters().doors, 0u);
  EXPECT_TRUE(enters(door(0)));
  network.cut_off("d2", false);
  run_ms(300);
  leaves(door(0));
  EXPECT_FALSE(enters(door(0))) << "it was there all the time";
}

TEST_F(QuotasTest, WithoutTheBusEachDoorGoesOnByItself) {
  constexpr double rate = 20;
  open_many(2, {.requests_per_second = rate});
  network.cut_off("d0", true);
  run_ms(10'000, [&](Door& one) { ask_all(one); });
  for (const Door& one : doors) EXPECT_NEAR(one.let_in, rate * 11, 1);
  EXPECT_GE(door(0).quotas.counters().lost, 40u);
  EXPECT_EQ(door(0).quotas.counters().last_error, "no connection of d0");
  EXPECT_EQ(door(1).quotas.counters().heard, 0u);
  network.cut_off("d0", false);
  const int before = let_in();
  run_ms(10'000, [&](Door& one) { ask_all(one); });
  EXPECT_NEAR(let_in() - before, rate * 10, 2 * rate * telling_s) << "one again";
}

TEST_F(QuotasTest, ATenantThatADoorDoesNotListIsPassedOver) {
  Door& a = open("a", {.requests_per_second = 5}, "a");
  Door& b = open("b", {.requests_per_second = 5}, "b");
  run_ms(300, [&](Door& one) { ask_all(one); });
  EXPECT_GE(a.let_in, 5);
  EXPECT_GE(b.let_in, 5);
  EXPECT_EQ(a.let_in, b.let_in);
  EXPECT_EQ(b.quotas.counters().refused, 0u);
  // Listed from now on, as it was before: what is told of it counts.
  b.tenants.replace({{.name = "b"}, {.name = "a", .quota = {.requests_per_second = 5}}});
  run_ms(10'000);
  run_ms(300, [&](Door& one) { ask_all(one); });
  EXPECT_EQ(b.tenants.enter(1, clock.now_ns())->quota, "requests_per_second");
}

TEST_F(QuotasTest, AQuietFleetSaysNothing) {
  open_many(2, {.requests_at_once = 2});
  run_ms(2000);
  EXPECT_EQ(door(0).quotas.counters().told, 0u);
  ASSERT_TRUE(enters(door(0)));
  leaves(door(0), 5);
  run_ms(2000);
  EXPECT_EQ(door(0).quotas.counters().told, 1u);
  ASSERT_TRUE(enters(door(0)));
  run_ms(2000);
  EXPECT_EQ(door(0).quotas.counters().told, 11u);
  leaves(door(0), 5);
  run_ms(2000);
  EXPECT_EQ(door(0).quotas.counters().told, 12u);
}

TEST_F(QuotasTest, HostileMessagesAreCountedAndHarmForNoLongerThanTheBound) {
  constexpr std::uint64_t seed = 83;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  Door& a = open("a", {.requests_per_second = 2, .tokens_per_minute = 60, .requests_at_once = 3});
  const auto evil = network.join("evil");
  const auto say = [&](const std::string& id, const UseMessage& message) {
    ASSERT_TRUE(evil->publish(quotas_subject(id), use_bytes(message)));
    network.deliver();
  };
  const std::uint64_t mark = gateway::tenant_mark("a");
  for (std::uint64_t i = 1; i <= 300; ++i) {
    std::string body = prng.below(2) == 0 ? use_bytes({.origin = 9, .number = i, .used = {{mark}}})
                                          : std::string(prng.below(1 << 16), 'x');
    body += static_cast<char>(prng());
    ASSERT_TRUE(evil->publish(quotas_subject("evil"), body));
    network.deliver();
    EXPECT_EQ(a.quotas.counters().refused, i);
  }
  EXPECT_NE(a.quotas.counters().last_error.find("noroshi.quotas.evil"), std::string::npos);
  EXPECT_EQ(a.quotas.counters().heard, 0u);
  ASSERT_TRUE(enters(a));
  leaves(a);
  // Whom nobody lists.
  say("evil", {.origin = 9, .number = 1, .used = {{0, 9, 9, 9}, {~mark, 9, 9, 9}}});
  ASSERT_TRUE(enters(a));
  leaves(a);
  run_ms(1000);
  // Once, and the same again and again, is once.
  const UseMessage some{.origin = 9, .number = 2, .used = {{mark, 1, 0, 0}}};
  for (int i = 0; i < 10; ++i) say("evil", some);
  EXPECT_EQ(a.quotas.counters().replayed, 9u);
  EXPECT_TRUE(enters(a));
  leaves(a);
  EXPECT_FALSE(enters(a)) << "one of two";
  // All that can be said: ten buckets are owed, and paid back.
  for (std::uint64_t i = 0; i < 100; ++i) {
    say("evil", {.origin = 9,
                 .number = 10 + i,
                 .used = {{mark, told_requests_max, told_tokens_max, told_at_once_max},
                          {mark, ~std::uint64_t{0}, ~std::uint64_t{0}, ~std::uint64_t{0}}}});
  }
  EXPECT_EQ(a.tenants.enter(0, clock.now_ns())->quota, "requests_at_once");
  run_ms(2500);
  EXPECT_EQ(a.tenants.enter(0, clock.now_ns())->quota, "tokens_per_minute");
  run_ms(590'000);
  EXPECT_FALSE(enters(a));
  run_ms(10'000);
  EXPECT_TRUE(enters(a)) << "ten minutes and a second";
  leaves(a);
  // Who speaks as many is refused, takes nobody's place, and others are heard.
  Door& b = open("b", {.requests_at_once = 3});
  for (std::uint64_t origin = 100; origin < 200; ++origin) {
    say("evil", {.origin = origin, .number = 1, .used = {{mark, 0, 0, 1}}});
  }
  EXPECT_EQ(a.quotas.counters().doors, Quotas::processes_max);
  EXPECT_EQ(a.quotas.counters().refused, 300u + 96);
  EXPECT_NE(a.quotas.counters().last_error.find("4 processes"), std::string::npos);
  run_ms(2500);
  ASSERT_TRUE(enters(b) && enters(b) && enters(b));
  run_ms(300);
  EXPECT_FALSE(enters(a));
  EXPECT_EQ(a.quotas.counters().doors, 1u);
  // Its places are free again for one that was restarted.
  say("evil", {.origin = 201, .number = 1});
  EXPECT_EQ(a.quotas.counters().refused, 300u + 96);
}

TEST_F(QuotasTest, AnIdThatIsNoWordIsRefused) {
  const auto bus = network.join("x");
  Tenants tenants({{.name = "a"}});
  Quotas quotas(*bus, clock, {.id = "a.b", .origin = 1}, tenants);
  const auto started = quotas.start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("'a.b'"), std::string::npos);
}

}  // namespace
}  // namespace noroshi::fleet
