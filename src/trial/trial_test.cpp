// Catches: a measuring instrument that measures itself: a stub engine that is not as fast or as
// slow as it was told, that says words its checker does not expect or lets wrong ones pass, caches
// what it should not; a wire whose distances are not there; a fault's outcome that counts wrongly.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "trial/clients.h"
#include "trial/faults.h"
#include "trial/stub_engine.h"
#include "trial/wire.h"

namespace noroshi::trial {
namespace {

TEST(StubEngine, AnswersWithTheWordsThatItsCheckerExpects) {
  auto engine = StubEngine::start({.prompt_tokens_per_s = 1e6, .tokens_per_s = 1e4});
  ASSERT_TRUE(engine) << engine.error().message;
  auto clients =
      Clients::start({.tcp_port = engine->tcp_port(), .concurrency = 4, .max_tokens = 50});
  ASSERT_TRUE(clients) << clients.error().message;
  while (clients->done().size() < 40) std::this_thread::yield();
  const auto all = clients->finish(20);
  for (const Asked& one : all) {
    ASSERT_EQ(one.fate, Fate::whole) << one.why;
    EXPECT_GE(one.tokens, 25u);
    EXPECT_LT(one.tokens, 75u);
    EXPECT_GT(one.first_ns, one.asked_ns);
  }
  // The last one's end is counted after it was sent.
  while (engine->counters().in_flight > 0) std::this_thread::yield();
  EXPECT_EQ(engine->counters().answered, all.size());
}

TEST(StubEngine, AStreamThatBreaksOffIsSeen) {
  auto engine = StubEngine::start({.tokens_per_s = 5});
  ASSERT_TRUE(engine);
  auto clients =
      Clients::start({.tcp_port = engine->tcp_port(), .concurrency = 1, .max_tokens = 500});
  ASSERT_TRUE(clients);
  while (clients->open_streams() == 0) std::this_thread::yield();
  engine = StubEngine::start({});
  const auto cut = clients->finish(20);
  ASSERT_FALSE(cut.empty());
  EXPECT_EQ(cut.front().fate, Fate::broken) << cut.front().why;
}

TEST(StubEngine, RefusesSpeedsThatAreNone) {
  EXPECT_FALSE(StubEngine::start({.tokens_per_s = 0}));
  EXPECT_FALSE(StubEngine::start({.address = "nowhere"}));
}

// Times in ms.
Asked asked_at(std::int64_t asked, std::int64_t first, std::int64_t done, std::int64_t gap,
               const char* site, Fate fate = Fate::whole, bool resumed = false) {
  constexpr std::int64_t ms = 1'000'000;
  return {.fate = fate,
          .site = site,
          .why = fate == Fate::whole ? "" : name_of(fate),
          .asked_ns = asked * ms,
          .first_ns = first * ms,
          .done_ns = done * ms,
          .gap_ns_max = gap * ms,
          .resumed = resumed};
}

TEST(Faults, WhatBecameOfRequestsIsCounted) {
  const std::vector<Asked> asked = {
      asked_at(10, 20, 90, 500, "e1"),                        // over before it
      asked_at(10, 20, 200, 30, "e2"),                        // open, not hit
      asked_at(10, 20, 300, 80, "e1", Fate::whole, true),     // hit, gone on soon
      asked_at(10, 20, 4000, 1500, "e1", Fate::whole, true),  // hit, gone on late
      asked_at(10, 20, 300, 10, "e1", Fate::broken),          // hit, lost
      asked_at(110, 0, 120, 0, "", Fate::refused),            //
      asked_at(120, 150, 400, 10, "e1"),
      asked_at(130, 230, 400, 10, "e2"),  // during it
      asked_at(1010, 1030, 1400, 9, "e1"),
      asked_at(1020, 1025, 1400, 9, "e2"),  // after it
  };
  const FaultOutcome o = outcome_of(asked, {100'000'000, 1'000'000'000}, "e1");
  EXPECT_EQ(o.requests, 10u);
  EXPECT_EQ(o.whole, 8u);
  EXPECT_EQ(o.refused, 1u);
  EXPECT_EQ(o.broken, 1u);
  EXPECT_EQ(o.failed + o.wrong, 0u);
  EXPECT_EQ(o.streams_open, 4u);
  EXPECT_EQ(o.streams_hit, 3u);
  EXPECT_EQ(o.streams_resumed_1s, 1u);
  EXPECT_DOUBLE_EQ(o.silence_ms_max, 1500);
  EXPECT_EQ(o.asked_before, 5u);
  EXPECT_EQ(o.before_at_struck, 4u);
  EXPECT_EQ(o.asked_during, 2u);
  EXPECT_EQ(o.asked_at_struck, 1u);
  EXPECT_DOUBLE_EQ(o.first_success_ms, 50);
  EXPECT_DOUBLE_EQ(o.recovered_ms, 25);
  EXPECT_DOUBLE_EQ(o.first_token_ms_p50, 100);
  const FaultOutcome none = outcome_of({}, {1, 2}, "");
  EXPECT_EQ(none.first_success_ms, -1);
  EXPECT_EQ(none.recovered_ms, -1);
}

TEST(Wire, PacketsTakeAsLongAsTheWayIsAndNoneCrossesACut) {
  auto wire = Wire::make({{0, 20}, {20, 0}});
  if (!wire) GTEST_SKIP() << wire.error().message;
  int server = -1;
  int client = -1;
  const auto bound = [](int region, int tcp_port) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(tcp_port));
    at.sin_addr.s_addr = htonl(0x0a4d0001u + static_cast<std::uint32_t>(region));
    return at;
  };
  wire->in(1, [&] {
    server = socket(AF_INET, SOCK_DGRAM, 0);
    const sockaddr_in at = bound(1, 4000);
    ASSERT_EQ(bind(server, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  });
  wire->in(0, [&] { client = socket(AF_INET, SOCK_DGRAM, 0); });
  const timeval limit{10, 0};
  setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const sockaddr_in to = bound(1, 4000);
  const auto send_one = [&](const char* text) {
    return sendto(client, text, 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  };
  char byte = 0;
  const auto from = std::chrono::steady_clock::now();
  ASSERT_EQ(send_one("a"), 1);
  ASSERT_EQ(recv(server, &byte, 1, 0), 1);
  EXPECT_GE(std::chrono::steady_clock::now() - from, std::chrono::milliseconds(20));
  // What is sent into a cut is gone; what comes after it arrives.
  wire->cut(1, true);
  ASSERT_EQ(send_one("b"), 1);
  while (wire->counters().dropped == 0) std::this_thread::yield();
  wire->cut(1, false);
  ASSERT_EQ(send_one("c"), 1);
  ASSERT_EQ(recv(server, &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'c');
  close(client);
  close(server);
}

}  // namespace
}  // namespace noroshi::trial
