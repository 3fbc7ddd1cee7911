// Catches: a key that is taken off the tenants' file and still lets somebody in, a file with a
// fault that lets nobody in, or everybody, a request that breaks off because the file was read
// again.

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "gateway/fake_engine.h"
#include "gateway/gateway.h"
#include "gateway/test_client.h"

namespace noroshi::gateway {
namespace {

constexpr const char* question = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";

class TenantsReload : public testing::Test {
 protected:
  std::string path = testing::TempDir() + "noroshi-tenants-" +
                     std::to_string(static_cast<long>(getpid())) + ".yaml";
  FakeEngine engine;
  Router router;
  std::optional<Gateway> gateway;

  ~TenantsReload() override { std::filesystem::remove(path); }
  void write(const std::string& text) { std::ofstream(path) << text; }
  static std::string tenant(const std::string& name, const std::string& key,
                            const std::string& tokens = "unlimited") {
    return "  - {name: " + name + ", keys: [\"" + key_hash_text(hash_of_key(key)) +
           "\"], quota: {requests_per_second: unlimited, tokens_per_minute: " + tokens +
           ", requests_at_once: unlimited}}\n";
  }
  void start() {
    SiteState site;
    site.name = "s0";
    site.ready = true;
    site.host = "127.0.0.1";
    site.tcp_port = engine.tcp_port();
    site.models = {{.name = "m"}};
    ASSERT_TRUE(router.update(site));
    GatewayConfig config{.port = 0, .instance = "gw"};
    if (std::filesystem::exists(path)) {
      config.tenants = std::make_shared<Tenants>(*load_tenants(path));
    }
    auto started = Gateway::start(std::move(config), router);
    ASSERT_TRUE(started) << started.error().message;
    gateway.emplace(*std::move(started));
  }
  unsigned as(const std::string& key, std::string_view body = question) {
    TestClient client(gateway->tcp_port());
    client.send(test_request("POST", "/v1/chat/completions", body,
                             "Authorization: Bearer " + key + "\r\n"));
    return client.read().result_int();
  }
  std::string metrics() {
    TestClient client(gateway->tcp_port());
    client.send(test_request("GET", "/metrics", "", ""));
    return client.read().body();
  }
};

TEST_F(TenantsReload, KeysThatAreTakenOffStopAndNewOnesWork) {
  write("tenants:\n" + tenant("a", "a-key") + tenant("b", "b-key", "8"));
  start();
  EXPECT_EQ(as("a-key"), 200u);
  EXPECT_EQ(as("b-key"), 200u);  // ten tokens of eight
  EXPECT_EQ(as("c-key"), 401u);
  write("tenants:\n" + tenant("b", "b-key", "8") + tenant("c", "c-key"));
  EXPECT_EQ(as("c-key"), 401u) << "not before it is read";
  ASSERT_TRUE(gateway->reload_tenants(path));
  EXPECT_EQ(as("a-key"), 401u);
  EXPECT_EQ(as("c-key"), 200u);
  EXPECT_EQ(as("b-key"), 429u) << "its quota is used up as before";
  EXPECT_NE(metrics().find("noroshi_gateway_tenants_read_total{outcome=\"taken\"} 1\n"),
            std::string::npos);
}

TEST_F(TenantsReload, AFileWithAFaultChangesNothing) {
  write("tenants:\n" + tenant("a", "a-key"));
  start();
  const auto refused = [&](const std::string& what, const char* says) {
    const auto read = gateway->reload_tenants(path);
    ASSERT_FALSE(read) << what;
    EXPECT_NE(read.error().message.find(says), std::string::npos) << read.error().message;
    EXPECT_NE(read.error().message.find(path), std::string::npos) << read.error().message;
    EXPECT_EQ(as("a-key"), 200u) << what;
    EXPECT_EQ(as("b-key"), 401u) << what;
  };
  write("tenants: []");
  refused("nobody", "names nobody");
  write("tenants:\n" + tenant("b", "b-key") + tenant("b", "other-key"));
  refused("twice", "'b'");
  write("tenants:\n" + tenant("b", "b-key") + "  - {name: ");
  refused("cut off", ":");
  std::filesystem::remove(path);
  refused("gone", "cannot be");
  EXPECT_NE(metrics().find("noroshi_gateway_tenants_read_total{outcome=\"refused\"} 4\n"),
            std::string::npos);
}

TEST_F(TenantsReload, AnOpenGatewayStaysOpen) {
  start();
  EXPECT_EQ(as("any-key"), 200u);
  write("tenants:\n" + tenant("a", "a-key"));
  const auto read = gateway->reload_tenants(path);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("started without tenants"), std::string::npos);
  EXPECT_EQ(as("any-key"), 200u);
}

TEST_F(TenantsReload, AStreamThatIsThereGoesOnToItsEnd) {
  write("tenants:\n" + tenant("a", "a-key") + tenant("b", "b-key"));
  start();
  engine.mode = FakeEngine::Mode::gated;
  TestClient first(gateway->tcp_port());
  first.send(
      test_request("POST", "/v1/chat/completions",
                   R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]})",
                   "Authorization: Bearer a-key\r\n"));
  first.read_until("t0 ");
  write("tenants:\n" + tenant("b", "b-key"));
  ASSERT_TRUE(gateway->reload_tenants(path));
  EXPECT_EQ(as("a-key"), 401u);
  engine.release();
  first.read_until("[DONE]");
  while (gateway->counters().in_flight != 0) sched_yield();
  EXPECT_EQ(gateway->counters().tokens_completion, 5u);
}

}  // namespace
}  // namespace noroshi::gateway
