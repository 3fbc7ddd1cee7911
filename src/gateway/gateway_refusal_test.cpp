// Catches: a gateway that lets in what it should refuse, refuses unclearly, or stops serving
// because of a client that asks too much, too slowly or nonsense.

#include <filesystem>

#include "base/prng.h"
#include "gateway/gateway_test.h"

namespace noroshi::gateway {
namespace {

TEST(Exposure, BeyondTheLoopbackNeedsKeysOrAWord) {
  Router router({}, 1);
  GatewayConfig config{.address = "0.0.0.0", .port = 0};
  const auto open = Gateway::start(config, router);
  ASSERT_FALSE(open.ok());
  for (const char* said : {"0.0.0.0", "--tenants", "--open", "ai.gateway.open: true"}) {
    EXPECT_NE(open.error().message.find(said), std::string::npos) << open.error().message;
  }
  config.open = true;
  EXPECT_TRUE(Gateway::start(config, router).ok());
  EXPECT_NE(exposure_of(config).find("without a key"), std::string::npos) << exposure_of(config);
  config.open = false;
  config.api_keys = {"k"};
  EXPECT_TRUE(Gateway::start(config, router).ok());
  EXPECT_NE(exposure_of(config).find("API keys"), std::string::npos) << exposure_of(config);
  config.api_keys = {};
  config.tenants = std::make_shared<Tenants>(std::vector<Tenant>{{.name = "a"}});
  EXPECT_TRUE(Gateway::start(config, router).ok());
  EXPECT_NE(exposure_of(config).find("plain HTTP"), std::string::npos) << exposure_of(config);
  EXPECT_EQ(exposure_of({.address = "127.0.0.2"}), "");
  EXPECT_TRUE(Gateway::start({.address = "localhost", .port = 0}, router).ok());
}

TEST_F(GatewayTest, RefusesWhatIsWrong) {
  GatewayConfig config;
  config.api_keys = {"secret", "other"};
  config.body_bytes_max = 1000;
  start(config);
  const std::string key = "Authorization: Bearer secret\r\n";
  EXPECT_EQ(code_of(chat()), "invalid_api_key");
  EXPECT_EQ(chat(chat_body, "Authorization: Bearer wrong\r\n").result_int(), 401u);
  EXPECT_EQ(ask(test_request("GET", "/v1/models")).result_int(), 401u);
  EXPECT_EQ(ask(test_request("GET", "/health")).result_int(), 200u);
  EXPECT_EQ(chat(chat_body, key).result_int(), 200u);
  const Response unknown =
      chat(R"({"model":"gpt","messages":[{"role":"user","content":"x"}]})", key);
  EXPECT_EQ(unknown.result_int(), 404u);
  EXPECT_EQ(code_of(unknown), "model_not_found");
  EXPECT_EQ(chat("{\"model\"", key).result_int(), 400u);
  EXPECT_EQ(ask(test_request("POST", "/v2/chat", "{}", key)).result_int(), 404u);
  const Response method = ask(test_request("GET", "/v1/chat/completions", "", key));
  EXPECT_EQ(method.result_int(), 405u);
  EXPECT_EQ(method[http::field::allow], "POST, OPTIONS");
  EXPECT_EQ(ask(test_request("GET", "/v1/models/m", "", key)).result_int(), 200u);
  EXPECT_EQ(ask(test_request("GET", "/v1/models/n", "", key)).result_int(), 404u);

  const std::string large(5'000'000, ' ');
  EXPECT_EQ(code_of(chat(large, key)), "request_too_large");
  std::string chunked = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + key +
                        "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(ask(chunked + "7d0\r\n" + std::string(2000, ' ') + "\r\n0\r\n\r\n").result_int(), 413u);
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", std::string_view(chat_body).size());
  EXPECT_EQ(ask(chunked + size + chat_body + "\r\n0\r\n\r\n").result_int(), 200u);
  EXPECT_EQ(chat(chat_body, key).result_int(), 200u);
}

TEST_F(GatewayTest, HeadOptionsAndExpect) {
  start();
  const Response head = ask(test_request("HEAD", "/v1/models"), true);
  EXPECT_EQ(head.result_int(), 200u);
  EXPECT_NE(head[http::field::content_length], "0");
  const Response options = ask(test_request("OPTIONS", "/v1/chat/completions"), true);
  EXPECT_EQ(options.result_int(), 204u);
  EXPECT_EQ(options[http::field::allow], "POST, OPTIONS");
  Client client(port());
  client.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
      "Content-Length: " +
      std::to_string(std::string_view(chat_body).size()) + "\r\n\r\n");
  EXPECT_NE(client.read_until("\r\n\r\n").find("100 Continue"), std::string::npos);
  client.send(chat_body);
  EXPECT_EQ(client.read().result_int(), 200u);
}

TEST_F(GatewayTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  Client client(port());
  const std::string one = test_request("POST", "/v1/chat/completions", chat_body);
  client.send(one + test_request("GET", "/v1/models") +
              test_request("POST", "/v1/chat/completions", stream_body) + one);
  EXPECT_NE(client.read().body().find("hello"), std::string::npos);
  EXPECT_NE(client.read().body().find("\"list\""), std::string::npos);
  EXPECT_NE(client.read().body().find("[DONE]"), std::string::npos);
  EXPECT_NE(client.read().body().find("hello"), std::string::npos);
}

TEST_F(GatewayTest, RateLimitsAClient) {
  GatewayConfig config;
  config.api_keys = {"a", "b"};
  config.requests_per_second = 0.001;
  config.burst = 2;
  start(config);
  const std::string a = "Authorization: Bearer a\r\n";
  EXPECT_EQ(chat(chat_body, a).result_int(), 200u);
  EXPECT_EQ(chat(chat_body, a).result_int(), 200u);
  const Response limited = chat(chat_body, a);
  EXPECT_EQ(limited.result_int(), 429u);
  EXPECT_EQ(limited[http::field::retry_after], "1000");
  EXPECT_EQ(code_of(limited), "rate_limit_exceeded");
  EXPECT_EQ(chat(chat_body, "Authorization: Bearer b\r\n").result_int(), 200u);
}

TEST_F(GatewayTest, LimitsRequestsInFlight) {
  GatewayConfig config;
  config.requests_in_flight_max = 1;
  start(config);
  engine_.mode = Mode::gated;
  Client first(port());
  first.send(test_request("POST", "/v1/chat/completions", stream_body));
  first.read_until("t0 ");
  EXPECT_EQ(gateway_->counters().in_flight, 1u);
  const Response second = chat();
  EXPECT_EQ(second.result_int(), 429u);
  EXPECT_EQ(second[http::field::retry_after], "1");
  engine_.release();
  first.read_until("[DONE]");
  first.send(test_request("GET", "/health"));
  first.read_until("ok");
  still_serves();
}

TEST_F(GatewayTest, SlowAndSilentClientsAreCutOff) {
  GatewayConfig config;
  config.header_timeout_s = 0.2;
  config.body_bytes_max = 1 << 10;
  start(config);
  Client slow(port());
  slow.send("POST /v1/chat/compl");
  EXPECT_EQ(slow.read_to_end(), "");
  Client stalled(port());
  stalled.send("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{");
  stalled.read_to_end();
  still_serves();
}

TEST_F(GatewayTest, GarbageGetsA400OrAClosedConnection) {
  start();
  Client tls(port());
  tls.send("\x16\x03\x01\x02\x01\x01\r\n\r\n");
  EXPECT_NE(tls.read_to_end().find("400 Bad Request"), std::string::npos);
  Client huge(port());
  huge.send("GET / HTTP/1.1\r\nX: " + std::string(100'000, 'a'));
  EXPECT_NE(huge.read_to_end().find("431 "), std::string::npos);
  Client both(port());
  both.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  EXPECT_NE(both.read_to_end().find("400 "), std::string::npos);

  constexpr std::uint64_t seed = 3;
  SCOPED_TRACE(seed);
  Prng prng(seed);
  const std::string good = test_request("POST", "/v1/chat/completions", chat_body);
  for (int round = 0; round < 100; ++round) {
    std::string bytes = good;
    for (std::uint64_t i = 0; i <= prng.below(6); ++i) {
      bytes[prng.below(bytes.size())] = static_cast<char>(prng.below(256));
    }
    Client client(port());
    client.send(bytes);
    boost::system::error_code ignored;
    client.socket.shutdown(tcp::socket::shutdown_send, ignored);
    client.read_to_end();
  }
  still_serves();
}

}  // namespace
}  // namespace noroshi::gateway
