// Catches: a gateway that does not measure the connections it makes, that probes where nobody
// wanted it or what is not there, or does not tell what it found. Over the loopback: its distance
// is next to nothing, and not nothing.

#include <gtest/gtest.h>
#include <sched.h>

#include <optional>
#include <string>

#include "gateway/fake_engine.h"
#include "gateway/gateway.h"
#include "gateway/test_client.h"

namespace noroshi::gateway {
namespace {

class GatewayDistances : public testing::Test {
 protected:
  void start(double probes_per_s) {
    SiteState site;
    site.name = "s0";
    site.region = "east";
    site.ready = true;
    site.host = "127.0.0.1";
    site.tcp_port = engine.tcp_port();
    site.rtt_ms = 30'000;
    site.models = {{.name = "m", .content_hash = "aa"}};
    ASSERT_TRUE(router.update(site));
    auto started =
        Gateway::start({.port = 0, .instance = "gw", .probes_per_s = probes_per_s}, router);
    ASSERT_TRUE(started) << started.error().message;
    gateway.emplace(*std::move(started));
  }
  TestResponse ask(const char* method, const char* target, const char* body) {
    TestClient client(gateway->tcp_port());
    client.send(test_request(method, target, body, ""));
    return client.read();
  }
  double told_s() {
    const Choice choice = router.choose({.model = "m"}, 0);
    router.finished(choice, {Fate::left}, 0);
    return choice.predicted_s;
  }

  FakeEngine engine;
  Router router;
  std::optional<Gateway> gateway;
};

constexpr const char* question = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";

TEST_F(GatewayDistances, AProbeMeasuresASiteThatNobodyAsked) {
  start(1000);
  while (router.distances().empty()) sched_yield();
  EXPECT_LT(told_s(), 10) << "30 s were told";
  const RegionDistance east = router.distances().at(0);
  EXPECT_EQ(east.region, "east");
  EXPECT_EQ(east.sites_measured, 1u);
  const std::string metrics = ask("GET", "/metrics", "").body();
  const std::string shown = "noroshi_gateway_distance_seconds{region=\"east\"} ";
  const std::size_t at = metrics.find(shown);
  ASSERT_NE(at, std::string::npos) << metrics;
  EXPECT_NEAR(std::stod(metrics.substr(at + shown.size())), east.round_trip_s, 1e-9);
  EXPECT_NE(metrics.find("noroshi_gateway_probes_total 1\n"), std::string::npos)
      << "one in a minute";
  EXPECT_NE(metrics.find("noroshi_gateway_probes_failed_total 0\n"), std::string::npos);
  EXPECT_EQ(ask("POST", "/v1/chat/completions", question).result_int(), 200u);
}

// A thousandth of a probe a second: the request's own connection is what measures.
TEST_F(GatewayDistances, ARequestsConnectionMeasuresToo) {
  start(0.001);
  EXPECT_EQ(ask("POST", "/v1/chat/completions", question).result_int(), 200u);
  EXPECT_EQ(router.counters().measured, 1u);
  EXPECT_LT(told_s(), 10);
}

TEST_F(GatewayDistances, WhereNobodyWantsItNothingIsMeasured) {
  start(0);
  EXPECT_EQ(ask("POST", "/v1/chat/completions", question).result_int(), 200u);
  EXPECT_EQ(router.counters().measured, 0u);
  EXPECT_GE(told_s(), 30);
  EXPECT_EQ(ask("GET", "/metrics", "").body().find("distance"), std::string::npos);
}

TEST_F(GatewayDistances, ASiteThatTakesNoConnectionTeachesNothing) {
  start(1000);
  SiteState gone;
  gone.name = "gone";
  gone.region = "west";
  gone.ready = true;
  gone.host = "127.0.0.1";
  gone.tcp_port = 1;
  gone.rtt_ms = 1;
  gone.models = {{.name = "other"}};
  ASSERT_TRUE(router.update(gone));
  const auto failed = [&] {
    return ask("GET", "/metrics", "").body().find("noroshi_gateway_probes_failed_total 1\n") !=
           std::string::npos;
  };
  while (!failed()) sched_yield();
  for (const RegionDistance& one : router.distances()) EXPECT_NE(one.region, "west");
}

}  // namespace
}  // namespace noroshi::gateway
