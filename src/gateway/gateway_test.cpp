// Catches: a gateway that answers wrongly, holds a stream back, lets an engine work for a client
// that left, or stops serving because of what one client or the engine did. Every case ends with a
// normal question that must still be answered.

#include "gateway/gateway_test.h"

#include <filesystem>
#include <fstream>

#include "gateway/load.h"

namespace noroshi::gateway {
namespace {

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
