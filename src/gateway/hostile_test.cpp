// Catches: a client that takes the gateway, a place or a connection along wherever it hangs up, and
// an engine's bytes, whatever they are, that reach the client as an answer that is none, crash the
// gateway, hold a request for ever or spoil the next one.

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>

#include <boost/json.hpp>
#include <list>
#include <optional>

#include "base/prng.h"
#include "gateway/fake_engine.h"
#include "gateway/gateway.h"
#include "gateway/stream.h"
#include "gateway/test_client.h"

namespace noroshi::gateway {
namespace {

using Mode = FakeEngine::Mode;

constexpr const char* stream_body =
    R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]})";
constexpr const char* whole_body = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";

class HostileTest : public testing::Test {
 protected:
  void start(GatewayConfig config = {}) {
    report();
    config.port = 0;
    auto started = Gateway::start(std::move(config), router_);
    ASSERT_TRUE(started.ok()) << started.error().message;
    gateway_.emplace(std::move(*started));
  }
  // Also trusts the engine again, whatever it did.
  void report() {
    SiteState site;
    site.name = "here";
    site.instance = ++reports_;
    site.ready = true;
    site.host = "127.0.0.1";
    site.tcp_port = engine_.tcp_port();
    site.received_at_ns = static_cast<std::int64_t>(reports_);
    site.models = {{.name = "m", .places = places_}};
    ASSERT_TRUE(router_.update(site).ok());
  }
  TestResponse ask(std::string_view body, std::string_view headers = "") {
    TestClient client(gateway_->tcp_port());
    client.send(test_request("POST", "/v1/chat/completions", body, headers));
    return client.read();
  }
  // Nothing of what was is left, and the next question is answered.
  void expect_well() {
    while (gateway_->counters().in_flight > 0 || gateway_->counters().waiting > 0) sched_yield();
    engine_.mode = Mode::normal;
    report();
    EXPECT_EQ(ask(whole_body).result_int(), 200u);
  }
  static void reset(TestClient& client) {
    const linger at_once{1, 0};
    setsockopt(client.socket.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    client.socket.close();
  }

  FakeEngine engine_;
  int places_ = 0;
  std::uint64_t reports_ = 0;
  Router router_;
  std::optional<Gateway> gateway_;
};

TEST_F(HostileTest, AClientMayHangUpAtAnyByteOfItsRequest) {
  start();
  const std::string request = test_request("POST", "/v1/chat/completions", stream_body);
  for (std::size_t size = 0; size < request.size(); size += 3) {
    TestClient client(gateway_->tcp_port());
    client.send(std::string_view(request).substr(0, size));
    if (size % 2 == 0) reset(client);
  }
  EXPECT_EQ(engine_.asked, 0) << "half a question is none";
  expect_well();
}

TEST_F(HostileTest, AClientMayHangUpAtAnyStageOfItsAnswer) {
  places_ = 1;
  start();
  const std::string request = test_request("POST", "/v1/chat/completions", stream_body);
  for (const bool resets : {false, true}) {
    SCOPED_TRACE(resets);
    const auto leave = [&](TestClient& client) {
      if (resets) {
        reset(client);
      } else {
        client.socket.close();
      }
    };
    const auto left = [&] {
      int count = 0;
      engine_.wait([&] {
        count = engine_.askers_left;
        return true;
      });
      return count;
    };
    const auto wait_left = [&](int count) {
      return engine_.wait([&] { return engine_.askers_left >= count; });
    };
    // Before the engine says anything, with another that waits for its place meanwhile.
    int before = left();
    engine_.mode = Mode::silent;
    {
      TestClient first(gateway_->tcp_port());
      first.send(request);
      while (gateway_->counters().in_flight < 1) sched_yield();
      TestClient second(gateway_->tcp_port());
      second.send(request);
      while (gateway_->counters().waiting < 1) sched_yield();
      leave(second);
      while (gateway_->counters().in_flight > 1) {
        // The one that waits is seen to have left when its turn comes.
        leave(first);
        break;
      }
      if (first.socket.is_open()) leave(first);
    }
    EXPECT_TRUE(wait_left(before + 1));
    expect_well();
    // In the middle of the stream.
    before = left();
    engine_.mode = Mode::endless;
    {
      TestClient client(gateway_->tcp_port());
      client.send(request);
      client.read_until("t3 ");
      leave(client);
    }
    EXPECT_TRUE(wait_left(before + 1));
    expect_well();
  }
}

// Each is sent as the whole answer of the engine, which then closes.
TEST_F(HostileTest, NoAnswerOfAnEngineIsPassedOnUnlessItIsOne) {
  start();
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: ";
  const std::string chunked = "text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  const struct {
    const char* what;
    std::string bytes;
  } cases[] = {
      {"nothing", ""},
      {"half a status line", "HTTP/1.1 2"},
      {"another protocol", "SSH-2.0-OpenSSH_9.2\r\n"},
      {"a status that is none", "HTTP/1.1 999999 X\r\n\r\n"},
      {"an endless header", "HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x')},
      {"two lengths",
       head + "application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"},
      {"a length of minus one", head + "application/json\r\nContent-Length: -1\r\n\r\n{}"},
      {"a length that never comes", head + "application/json\r\nContent-Length: 999999\r\n\r\n{}"},
      {"a page", head + "text/html\r\nContent-Length: 6\r\n\r\n<html>"},
      {"JSON that is no object", head + "application/json\r\nContent-Length: 4\r\n\r\nnull"},
      {"JSON that nests without end",
       head + "application/json\r\nContent-Length: 20000\r\n\r\n" + std::string(20'000, '[')},
      {"a chunk without end", head + chunked + "ffffffffffffffff\r\nx"},
      {"a chunk size that is none", head + chunked + "zz\r\nx"},
      {"zeros", std::string(1000, '\0')},
      {"a redirect", "HTTP/1.1 302 X\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n"},
  };
  for (const auto& one : cases) {
    for (const char* body : {whole_body, stream_body}) {
      SCOPED_TRACE(testing::Message() << one.what << (body == stream_body ? " streamed" : ""));
      engine_.mode = Mode::scripted;
      engine_.script = [&](const std::string&) { return one.bytes; };
      const TestResponse response = ask(body);
      if (response.result_int() == 200) {
        EXPECT_NE(response.body().find("\"error\""), std::string::npos) << response.body();
      } else {
        EXPECT_TRUE(response.result_int() == 502 || response.result_int() == 503)
            << response.result_int();
        boost::system::error_code failure;
        const auto value = boost::json::parse(response.body(), failure);
        ASSERT_FALSE(failure) << response.body();
        EXPECT_TRUE(value.at("error").at("message").is_string());
      }
      EXPECT_EQ(response.count("Location"), 0u);
      expect_well();
    }
  }
}

TEST_F(HostileTest, ADamagedStreamEndsAsAStreamAndSaysSo) {
  constexpr std::uint64_t seed = 11;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  start();
  std::string events;
  for (int i = 0; i < 6; ++i) {
    events += R"(data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":)"
              R"({"content":"t)" +
              std::to_string(i) + R"( "},"finish_reason":null}]})" + "\n\n";
  }
  events += R"(data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":6}})"
            "\n\ndata: [DONE]\n\n";
  const std::string good =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
      "Content-Length: " +
      std::to_string(events.size()) + "\r\n\r\n" + events;
  int streams = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bytes = good;
    for (std::uint64_t change = prng.below(4); change < 4; ++change) {
      const std::size_t at = prng.below(bytes.size());
      switch (prng.below(4)) {
        case 0:
          bytes[at] = static_cast<char>(prng());
          break;
        case 1:
          bytes.erase(at, prng.below(30));
          break;
        case 2:
          bytes.insert(at, bytes.substr(prng.below(bytes.size()), prng.below(40)));
          break;
        default:
          bytes.resize(std::max<std::size_t>(at, 1));
      }
    }
    engine_.mode = Mode::scripted;
    engine_.script = [&](const std::string&) { return bytes; };
    report();
    const TestResponse response = ask(stream_body);
    SCOPED_TRACE(testing::Message() << "round " << round << "\n" << bytes);
    if (response.result_int() != 200) {
      EXPECT_GE(response.result_int(), 400u);
      continue;
    }
    ++streams;
    std::string_view body = response.body();
    bool ended = false;
    while (response["Content-Type"].starts_with("text/event-stream") && !body.empty()) {
      const std::size_t size = event_end(body);
      ASSERT_NE(size, std::string_view::npos) << "half an event: " << body;
      const std::string_view event = body.substr(0, size);
      ended = ended || event.find("[DONE]") != std::string_view::npos ||
              event.find("\"error\"") != std::string_view::npos;
      body.remove_prefix(size);
    }
    EXPECT_TRUE(ended || !response["Content-Type"].starts_with("text/event-stream"));
  }
  EXPECT_GT(streams, 100);
  expect_well();
}

// In the file a quota must be said (tenants_test.cpp); one that says "unlimited" is taken at its
// word.
TEST_F(HostileTest, ATenantWithoutLimitsIsNeverRefused) {
  GatewayConfig config;
  config.tenants = std::make_shared<Tenants>(
      std::vector<Tenant>{{.name = "free", .keys = {hash_of_key("free-key")}}});
  start(config);
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(ask(whole_body, "Authorization: Bearer free-key\r\n").result_int(), 200u);
  }
}

TEST_F(HostileTest, AMegabyteOfAnythingIsAnsweredOrRefusedWithItsPlace) {
  start();
  const std::string mega(1 << 20, '[');
  for (const std::string& body :
       {mega, "{" + mega, R"({"model":")" + std::string(1 << 20, 'm') + R"(","messages":[]})",
        R"({"model":"m","messages":)" + mega, std::string(1 << 20, '\0'),
        R"({"model":"m","messages":[{"role":"user","content":")" + std::string(1 << 20, '\x01')}) {
    const TestResponse response = ask(body);
    EXPECT_EQ(response.result_int(), 400u) << body.substr(0, 40);
    EXPECT_LT(response.body().size(), 4096u) << "an error is not an echo";
  }
  std::string many = R"({"model":"m","messages":[)";
  for (int i = 0; i < 20'000; ++i) many += R"({"role":"user","content":"hi"},)";
  many.back() = ']';
  EXPECT_EQ(ask(many + "}").result_int(), 200u);
  EXPECT_EQ(engine_.asked, 1);
  expect_well();
}

}  // namespace
}  // namespace noroshi::gateway
