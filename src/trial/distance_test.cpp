// Catches: a gateway that does not find out by itself how far its sites are, or goes on asking the
// far one. Two regions, 10 and 30 ms away (wire.h), and the gateway is told that it is the other
// way round. A round trip is never shorter than its way, however slow the machine; that the nearer
// one is measured below the farther one's way is waited for.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <string>
#include <thread>

#include "gateway/gateway.h"
#include "trial/stub_engine.h"
#include "trial/wire.h"

namespace noroshi::trial {
namespace {

constexpr int tcp_port = 9001;

// The site that answered; empty: none did. On the calling thread, whose region it is.
std::string asked(int gateway_tcp_port) {
  const std::string body =
      R"({"model":"stub","max_tokens":1,"messages":[{"role":"user","content":"hi"}]})";
  const std::string request =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
      "Content-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(gateway_tcp_port));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 &&
      send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
    char bytes[4096];
    for (ssize_t size = 0; (size = recv(fd, bytes, sizeof bytes, 0)) > 0;) {
      answer.append(bytes, static_cast<std::size_t>(size));
    }
  }
  close(fd);
  const std::string field = "X-Noroshi-Site: ";
  const std::size_t found = answer.find(field);
  if (found == std::string::npos) return {};
  return answer.substr(found + field.size(), answer.find('\r', found) - found - field.size());
}

TEST(GatewayBehindAWire, FindsTheNearerSiteByItself) {
  auto wire = Wire::make({{0, 5, 15}, {5, 0, 15}, {15, 15, 0}});
  if (!wire) GTEST_SKIP() << wire.error().message;
  std::optional<StubEngine> engines[2];
  gateway::Router router({.region = "here", .measure_again_s = 0.01});
  for (const int region : {1, 2}) {
    wire->in(region, [&] {
      auto engine = StubEngine::start({.address = Wire::address(region),
                                       .tcp_port = tcp_port,
                                       .prompt_tokens_per_s = 1e6,
                                       .tokens_per_s = 1e5});
      ASSERT_TRUE(engine) << engine.error().message;
      engines[region - 1].emplace(*std::move(engine));
    });
    gateway::SiteState site;
    site.name = region == 1 ? "near" : "far";
    site.region = site.name;
    site.ready = true;
    site.host = Wire::address(region);
    site.tcp_port = tcp_port;
    site.rtt_ms = region == 1 ? 30 : 10;
    site.models = {{.name = "stub",
                    .content_hash = "aa",
                    .places = 8,
                    .prompt_tokens_per_s = 1e6,
                    .tokens_per_s = 1e5,
                    .service_s_mean = 1e-4}};
    ASSERT_TRUE(router.update(site));
  }
  std::optional<gateway::Gateway> gate;
  wire->in(0, [&] {
    auto started =
        gateway::Gateway::start({.port = 0, .instance = "gw", .probes_per_s = 200}, router);
    ASSERT_TRUE(started) << started.error().message;
    gate.emplace(*std::move(started));
  });
  std::map<std::string, double> round_trip_s;
  while (round_trip_s.size() < 2 || round_trip_s["near"] >= 0.020) {
    std::this_thread::yield();
    for (const auto& one : router.distances()) round_trip_s[one.region] = one.round_trip_s;
  }
  EXPECT_GE(round_trip_s["near"], 0.010);
  EXPECT_GE(round_trip_s["far"], 0.030);
  std::printf("near %.2f ms, far %.2f ms\n", 1e3 * round_trip_s["near"], 1e3 * round_trip_s["far"]);
  for (int i = 0; i < 10; ++i) {
    std::string site;
    wire->in(0, [&] { site = asked(gate->tcp_port()); });
    EXPECT_EQ(site, "near") << i;
  }
  gate.reset();
  for (auto& engine : engines) engine.reset();
}

}  // namespace
}  // namespace noroshi::trial
