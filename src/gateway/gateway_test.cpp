// Catches: a gateway that answers wrongly, holds a stream back, lets an engine work for a client
// that left, or stops serving because of what one client or the engine did. Every case ends with a
// normal question that must still be answered.

#include "gateway/gateway.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/prng.h"
#include "gateway/fake_engine.h"
#include "gateway/load.h"
#include "gateway/test_client.h"

namespace noroshi::gateway {
namespace {

namespace net = boost::asio;
namespace http = boost::beast::http;
using tcp = net::ip::tcp;
using Mode = FakeEngine::Mode;
using Response = TestResponse;

constexpr const char* chat_body = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";
constexpr const char* stream_body =
    R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]})";

using Client = TestClient;
class GatewayTest : public testing::Test {
 protected:
  void start(GatewayConfig config = {}) {
    config.port = 0;
    GatewayCalls calls;
    calls.refresh = [this](Router& router) {
      SiteState site;
      site.name = "here";
      site.ready = ready_;
      site.host = "127.0.0.1";
      site.tcp_port = engine_port_ != 0 ? engine_port_.load() : engine_.tcp_port();
      site.api_key = "engine-key";
      site.models = {{.name = "m", .places = places_}};
      site.received_at_ns = std::chrono::steady_clock::now().time_since_epoch().count();
      const auto updated = router.update(site);
      EXPECT_TRUE(updated.ok()) << updated.error().message;
    };
    calls.store_usage = [this](const UsageRecord& record, const std::function<void(bool)>& stored) {
      {
        const std::lock_guard lock(records_mutex_);
        if (records_stored_) records_.push_back(record);
      }
      stored(records_stored_);
    };
    calls.may_begin = [this] { return may_begin_.load(); };
    calls.extra_metrics = [] { return std::string("extra_metric 1\n"); };
    auto started = Gateway::start(config, router_, std::move(calls));
    ASSERT_TRUE(started.ok()) << started.error().message;
    gateway_.emplace(std::move(*started));
  }
  int port() const { return gateway_->tcp_port(); }

  Response ask(const std::string& text, bool head = false) {
    Client client(port());
    client.send(text);
    return client.read(head);
  }
  Response chat(std::string_view body = chat_body, std::string_view headers = "") {
    return ask(test_request("POST", "/v1/chat/completions", body, headers));
  }
  static std::string code_of(const Response& response) {
    boost::system::error_code error;
    const auto body = boost::json::parse(response.body(), error);
    if (error) return "no JSON: " + response.body();
    const auto& code = body.at("error").at("code");
    return code.is_string() ? std::string(code.as_string()) : "";
  }
  void still_serves() {
    engine_.mode = Mode::normal;
    EXPECT_EQ(chat().result_int(), 200u);
  }

  std::atomic<bool> ready_{true};
  std::atomic<int> engine_port_{0};
  std::atomic<int> places_{0};
  std::atomic<bool> records_stored_{true};
  std::atomic<bool> may_begin_{true};
  std::mutex records_mutex_;
  std::vector<UsageRecord> records_;
  Router router_;
  FakeEngine engine_;
  std::optional<Gateway> gateway_;
};

TEST_F(GatewayTest, AQuestionWaitsForAPlaceAtTheEngine) {
  places_ = 1;
  engine_.mode = Mode::gated;
  start();
  Client first(port());
  first.send(test_request("POST", "/v1/chat/completions", stream_body));
  ASSERT_TRUE(engine_.wait([&] { return engine_.asked == 1; }));
  Client second(port());
  second.send(test_request("POST", "/v1/chat/completions", chat_body));
  while (gateway_->counters().waiting == 0) sched_yield();
  EXPECT_TRUE(engine_.wait([&] { return engine_.asked == 1; }));
  engine_.mode = Mode::normal;
  engine_.release();
  EXPECT_EQ(second.read().result_int(), 200u);
  EXPECT_EQ(gateway_->counters().waiting, 0u);
}

TEST_F(GatewayTest, AnExpectedWaitAboveTheLimitIsRefusedAtOnce) {
  places_ = 1;
  engine_.mode = Mode::gated;
  GatewayConfig config;
  config.queue_wait_max_s = 0.5;  // less than the second that a request is taken to last at first
  start(config);
  Client first(port());
  first.send(test_request("POST", "/v1/chat/completions", stream_body));
  ASSERT_TRUE(engine_.wait([&] { return engine_.asked == 1; }));
  const Response refused = chat();
  EXPECT_EQ(refused.result_int(), 429u);
  EXPECT_EQ(code_of(refused), "engine_busy");
  EXPECT_EQ(refused["Retry-After"], "1");
  engine_.release();
  first.read_until("[DONE]");
  while (gateway_->counters().in_flight != 0) sched_yield();
  still_serves();
}

TEST_F(GatewayTest, PassesAQuestionAndItsAnswer) {
  start();
  const Response response = chat();
  EXPECT_EQ(response.result_int(), 200u);
  EXPECT_NE(response.body().find("hello"), std::string::npos);
  EXPECT_FALSE(response["X-Request-Id"].empty());
  EXPECT_TRUE(engine_.wait([&] { return engine_.last_body == chat_body; }));
  EXPECT_EQ(engine_.last_authorization, "Bearer engine-key");
  EXPECT_EQ(gateway_->counters().tokens_prompt, 7u);
  EXPECT_EQ(gateway_->counters().tokens_completion, 3u);
  ask(test_request("POST", "/v1/completions", R"({"model":"m","prompt":"x"})"));
  EXPECT_TRUE(engine_.wait([&] { return engine_.last_target == "/v1/completions"; }));
  ask(test_request("POST", "/v1/embeddings", R"({"model":"m","input":"x"})"));
  EXPECT_TRUE(engine_.wait([&] { return engine_.last_target == "/v1/embeddings"; }));
}

TEST_F(GatewayTest, StreamsEachTokenAsItComes) {
  start();
  engine_.mode = Mode::gated;
  Client client(port());
  client.send(test_request("POST", "/v1/chat/completions", stream_body));
  // The engine holds the second token back until we have seen the first.
  const std::string first = client.read_until("t0 ");
  ASSERT_NE(first.find("t0 "), std::string::npos);
  EXPECT_EQ(first.find("t1 "), std::string::npos);
  EXPECT_NE(first.find("text/event-stream"), std::string::npos);
  engine_.release();
  const std::string rest = client.read_until("0\r\n\r\n");
  EXPECT_NE(rest.find("t4 "), std::string::npos);
  EXPECT_NE(rest.find("[DONE]"), std::string::npos);
  EXPECT_EQ(rest.find("usage"), std::string::npos) << "nobody asked for it";
  // The connection goes on.
  client.send(test_request("GET", "/health"));
  EXPECT_EQ(client.read().result_int(), 200u);
  EXPECT_EQ(gateway_->counters().tokens_completion, 5u);
  EXPECT_EQ(gateway_->time_to_first_token_ns().count(), 1u);
}

TEST_F(GatewayTest, StreamUsageIsPassedAndMetered) {
  start();
  engine_.tokens = 40;
  const Response response =
      chat(R"({"model":"m","stream":true,"stream_options":{"include_usage":true},)"
           R"("messages":[{"role":"user","content":"hi"}]})");
  EXPECT_NE(response.body().find("\"completion_tokens\":40"), std::string::npos);
  Client next(port());  // counted before the connection could carry another answer
  next.send(test_request("GET", "/health"));
  next.read();
  EXPECT_EQ(gateway_->counters().tokens_completion, 40u);
  EXPECT_EQ(gateway_->counters().tokens_prompt, 7u);
}

TEST_F(GatewayTest, MeasuresHowFastItsModelAnswers) {
  start();
  EXPECT_EQ(gateway_->model_now("m", 0, 1).speeds.tokens_per_s, 0);
  // The engine says what reading took: 1000 tokens, 800 of them computed in 400 ms.
  engine_.more_json = R"(,"usage":{"prompt_tokens":1000,"completion_tokens":3},)"
                      R"("timings":{"prompt_n":800,"prompt_ms":400,"predicted_n":3})";
  EXPECT_EQ(chat().result_int(), 200u);
  const Speeds first = gateway_->model_now("m", 0, 1).speeds;
  EXPECT_NEAR(first.prompt_tokens_per_s, 2000, 1e-6);
  EXPECT_EQ(first.tokens_per_s, 0) << "three tokens say nothing";
  EXPECT_GT(first.service_s_mean, 0);
  EXPECT_NEAR(gateway_->model_now("m", 0, 0.5).speeds.prompt_tokens_per_s, 1000, 1e-6);
  // Five tokens, the first of which was seen before the others could come.
  engine_.more_json.clear();
  engine_.mode = Mode::gated;
  Client client(port());
  client.send(test_request("POST", "/v1/chat/completions", stream_body));
  client.read_until("t0 ");
  const Gateway::ModelNow during = gateway_->model_now("m", 0, 1);
  EXPECT_EQ(during.requests_in_flight, 1);
  EXPECT_EQ(during.requests_queued, 0);
  engine_.release();
  client.read_until("[DONE]");
  while (gateway_->counters().in_flight != 0) sched_yield();
  EXPECT_GT(gateway_->model_now("m", 0, 1).speeds.tokens_per_s, 0);
  EXPECT_EQ(gateway_->model_now("m", 0, 1).requests_in_flight, 0);
  EXPECT_EQ(gateway_->model_now("no such", 0, 1).speeds.prompt_tokens_per_s, 0);
}

TEST_F(GatewayTest, AsksAModelThatNobodyAsks) {
  engine_.mode = Mode::gated;
  start({.measure_idle_s = 0.02});
  ASSERT_TRUE(engine_.wait([this] { return engine_.asked > 0; }));
  EXPECT_EQ(gateway_->model_now("m", 0, 1).speeds.tokens_per_s, 0);
  engine_.release();
  while (gateway_->model_now("m", 0, 1).speeds.tokens_per_s == 0) sched_yield();
  EXPECT_EQ(gateway_->counters().requests, 0u);
  EXPECT_EQ(gateway_->counters().tokens_completion, 0u) << "nobody's";
  {
    const std::lock_guard lock(records_mutex_);
    EXPECT_TRUE(records_.empty());
  }
  EXPECT_NE(engine_.last_body.find("\"max_tokens\":32"), std::string::npos);
  // What it says else is no speed, and harms nobody.
  const double known = gateway_->model_now("m", 0, 1).speeds.tokens_per_s;
  for (const Mode mode : {Mode::status, Mode::dies_at_once, Mode::garbage, Mode::dies,
                          Mode::not_json, Mode::says_error}) {
    engine_.mode = mode;
    int asked = 0;
    engine_.wait([&] { return (asked = engine_.asked) >= 0; });
    ASSERT_TRUE(engine_.wait([&] { return engine_.asked > asked + 1; }));
  }
  EXPECT_GT(known, 0);
  engine_.mode = Mode::normal;
  EXPECT_EQ(chat().result_int(), 200u);
}

TEST_F(GatewayTest, LetsNothingInWhoseUsageCouldNotBeKept) {
  start();
  may_begin_ = false;
  const Response refused = chat();
  EXPECT_EQ(refused.result_int(), 503u);
  EXPECT_EQ(code_of(refused), "usage_not_recorded");
  EXPECT_FALSE(refused[http::field::retry_after].empty());
  EXPECT_EQ(ask(test_request("GET", "/health")).result_int(), 200u);
  may_begin_ = true;
  still_serves();
}

TEST_F(GatewayTest, Http10GetsAStreamWithoutChunks) {
  start();
  Client client(port());
  client.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: " +
              std::to_string(std::string_view(stream_body).size()) + "\r\n\r\n" + stream_body);
  const std::string all = client.read_to_end();
  EXPECT_EQ(all.find("chunked"), std::string::npos);
  EXPECT_TRUE(all.ends_with("data: [DONE]\n\n")) << all;
}

TEST_F(GatewayTest, AClientThatLeavesStopsItsEngine) {
  start();
  int left = 0;
  for (const Mode mode : {Mode::silent, Mode::endless}) {
    engine_.mode = mode;
    {
      Client client(port());
      client.send(test_request("POST", "/v1/chat/completions", stream_body));
      if (mode == Mode::endless) {
        client.read_until("t9 ");
      } else {
        ASSERT_TRUE(engine_.wait([&] { return engine_.asked == 1; }));
      }
    }
    ++left;
    EXPECT_TRUE(engine_.wait([&] { return engine_.askers_left == left; }));
  }
  still_serves();
}

TEST_F(GatewayTest, EngineFailuresBecomeClearAnswers) {
  start();
  struct Case {
    Mode mode;
    unsigned status;
    unsigned expected;
  };
  for (const Case& c :
       {Case{Mode::dies_at_once, 0, 502}, Case{Mode::garbage, 0, 502}, Case{Mode::not_json, 0, 502},
        Case{Mode::status, 500, 502}, Case{Mode::status, 401, 502}, Case{Mode::status, 503, 503},
        Case{Mode::status, 400, 400}, Case{Mode::status, 501, 501}}) {
    SCOPED_TRACE(testing::Message() << static_cast<int>(c.mode) << " " << c.status);
    engine_.mode = c.mode;
    engine_.status = c.status;
    for (const char* body : {chat_body, stream_body}) {
      if (c.mode == Mode::not_json && body == stream_body) continue;
      const Response response = chat(body);
      EXPECT_EQ(response.result_int(), c.expected);
      EXPECT_EQ(code_of(response).starts_with("no JSON"), false) << response.body();
      EXPECT_EQ(response[http::field::retry_after].empty(), c.expected != 503);
    }
  }
  still_serves();
  engine_port_ = 1;  // nobody listens there
  EXPECT_EQ(chat().result_int(), 502u);
  engine_port_ = 0;
  ready_ = false;
  const Response waiting = chat();
  EXPECT_EQ(waiting.result_int(), 503u);
  EXPECT_FALSE(waiting[http::field::retry_after].empty());
  EXPECT_EQ(ask(test_request("GET", "/health")).result_int(), 503u);
  ready_ = true;
  still_serves();
}

TEST_F(GatewayTest, AStreamThatBreaksOffSaysSo) {
  start();
  engine_.mode = Mode::dies;
  Client client(port());
  client.send(test_request("POST", "/v1/chat/completions", stream_body));
  const std::string all = client.read_to_end();
  EXPECT_NE(all.find("t1 "), std::string::npos);
  EXPECT_NE(all.find("\r\ndata: {\"error\":{"), std::string::npos) << all;
  EXPECT_EQ(all.find("t1 "), all.rfind("t1 "));
  EXPECT_EQ(all.find("data: {\"id\"", all.find("t1 ")), std::string::npos) << "half an event";
  EXPECT_NE(all.find("engine_failed"), std::string::npos);
  EXPECT_TRUE(all.ends_with("0\r\n\r\n"));
  EXPECT_EQ(gateway_->counters().requests_failed, 1u);
  still_serves();
}

TEST_F(GatewayTest, ASilentEngineIsGivenUp) {
  GatewayConfig config;
  config.upstream_timeout_s = 0.2;
  start(config);
  engine_.mode = Mode::silent;
  EXPECT_EQ(chat().result_int(), 502u);
  EXPECT_TRUE(engine_.wait([&] { return engine_.askers_left == 1; }));
  engine_.mode = Mode::gated;
  const Response cut = chat(stream_body);
  EXPECT_NE(cut.body().find("t0 "), std::string::npos);
  EXPECT_NE(cut.body().find("engine_failed"), std::string::npos);
  engine_.release();
  still_serves();
}

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
  config.tenants = {{.name = "a"}};
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

TEST_F(GatewayTest, MetricsArePrometheusText) {
  start();
  chat();
  chat(stream_body);
  chat("nonsense");
  const Response response = ask(test_request("GET", "/metrics"));
  const std::string& text = response.body();
  for (const char* line : {"noroshi_gateway_requests_total{endpoint=\"chat\",status=\"200\"} 2\n",
                           "noroshi_gateway_requests_total{endpoint=\"chat\",status=\"400\"} 1\n",
                           "noroshi_gateway_tokens_total{kind=\"completion\"} 8\n",
                           "noroshi_gateway_time_to_first_token_seconds_count 1\n",
                           "noroshi_gateway_time_to_first_token_seconds_bucket{le=\"+Inf\"} 1\n",
                           "noroshi_gateway_requests_in_flight 0\n", "extra_metric 1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

TEST_F(GatewayTest, APortInUseIsNamed) {
  start();
  GatewayConfig config;
  config.port = port();
  const auto second = Gateway::start(config, router_);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("127.0.0.1:" + std::to_string(port())), std::string::npos);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos);
  config.address = "not an address";
  EXPECT_FALSE(Gateway::start(config, router_).ok());
}

TEST_F(GatewayTest, StopsInTheMiddleOfEverything) {
  GatewayConfig config;
  config.threads = 2;
  start(config);
  engine_.mode = Mode::endless;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Client>(port()));
    clients.back()->send(test_request("POST", "/v1/chat/completions", stream_body));
    clients.back()->read_until("t3 ");
  }
  clients.push_back(std::make_unique<Client>(port()));
  clients.back()->send("POST /v1/ch");
  gateway_.reset();
  EXPECT_TRUE(engine_.wait([&] { return engine_.askers_left == 4; }));
}

TEST_F(GatewayTest, ThreadsAreOrdinary) {
  start();
  chat();
  int seen = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream comm(task.path() / "comm");
    std::string name;
    std::getline(comm, name);
    if (name != "gateway0") continue;
    ++seen;
    EXPECT_EQ(sched_getscheduler(std::stoi(task.path().filename().string())), SCHED_OTHER);
  }
  EXPECT_EQ(seen, 1);
}

TEST_F(GatewayTest, LoadGeneratorCounts) {
  start();
  engine_.tokens = 6;
  auto load = LoadGenerator::start({.url = "http://127.0.0.1:" + std::to_string(port()),
                                    .api_key = "",
                                    .model = "m",
                                    .concurrency = 3});
  ASSERT_TRUE(load.ok()) << load.error().message;
  ASSERT_TRUE(engine_.wait([&] { return engine_.asked >= 20; }));
  load->stop();
  const LoadCounters counters = load->counters();
  EXPECT_GE(counters.requests, 17u);
  EXPECT_EQ(counters.requests_failed, 0u);
  EXPECT_GE(counters.tokens, counters.requests * 6);
  EXPECT_LE(counters.tokens, (counters.requests + 3) * 6);
  EXPECT_GE(load->time_to_first_token_ns().count(), counters.requests);
  EXPECT_FALSE(LoadGenerator::start({.url = "ftp://x", .api_key = "", .model = "m"}).ok());
  EXPECT_FALSE(LoadGenerator::start({.url = "http://x", .api_key = "", .model = ""}).ok());
}

}  // namespace
}  // namespace noroshi::gateway
