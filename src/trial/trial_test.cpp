// Catches: a measuring instrument that measures itself: a stub engine that is not as fast or as
// slow as it was told, that says words its checker does not expect or lets wrong ones pass, caches
// what it should not; a wire whose distances are not there.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "trial/clients.h"
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
