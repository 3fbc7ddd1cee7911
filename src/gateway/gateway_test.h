#pragma once

// A gateway before one engine that does as it is told, and what came of it.

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <boost/json.hpp>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "gateway/fake_engine.h"
#include "gateway/gateway.h"
#include "gateway/test_client.h"

namespace noroshi::gateway {

namespace net = boost::asio;
namespace http = boost::beast::http;
using tcp = net::ip::tcp;
using Mode = FakeEngine::Mode;
using Response = TestResponse;

inline constexpr const char* chat_body =
    R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";
inline constexpr const char* stream_body =
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

}  // namespace noroshi::gateway
