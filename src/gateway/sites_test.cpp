// Catches: a request that fails though another site could have answered it, a stream that loses or
// repeats a token when its site dies, that goes on where it must not or ends without a word, an
// answer metered twice, wrongly or not at all, a tenant above its quota or in another's place.

#include <gtest/gtest.h>
#include <sched.h>

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

constexpr const char* question =
    R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]})";
constexpr const char* whole_question =
    R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";

struct Answer {
  std::string text;
  std::string error;
  std::string finish;
  std::optional<boost::json::object> usage;
  std::vector<std::string> comments;
  std::set<std::string> ids;
  int done = 0;
};

Answer read_answer(std::string_view body) {
  Answer answer;
  while (!body.empty()) {
    const std::size_t size = event_end(body);
    EXPECT_NE(size, std::string_view::npos) << "half an event: " << body;
    if (size == std::string_view::npos) break;
    const std::string_view event = body.substr(0, size);
    body.remove_prefix(size);
    std::string joined;
    const auto data = event_data(event, joined);
    if (!data) {
      answer.comments.emplace_back(event);
      continue;
    }
    if (*data == "[DONE]") {
      ++answer.done;
      continue;
    }
    const boost::json::value value = boost::json::parse(*data);
    const auto& fields = value.as_object();
    if (const auto* error = fields.if_contains("error")) {
      answer.error = error->at("message").as_string();
      continue;
    }
    answer.ids.emplace(fields.at("id").as_string());
    if (const auto* usage = fields.if_contains("usage"); usage != nullptr && usage->is_object()) {
      answer.usage = usage->as_object();
    }
    for (const auto& choice : fields.at("choices").as_array()) {
      if (const auto* delta = choice.as_object().if_contains("delta")) {
        const auto* content = delta->as_object().if_contains("content");
        if (content != nullptr && content->is_string()) answer.text += content->as_string();
      }
      if (const auto* text = choice.as_object().if_contains("text")) {
        answer.text += text->as_string();
      }
      const auto* finish = choice.as_object().if_contains("finish_reason");
      if (finish != nullptr && finish->is_string()) answer.finish = finish->as_string();
    }
  }
  return answer;
}

std::string text_of(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i) text += "t" + std::to_string(i) + " ";
  return text;
}

class SitesTest : public testing::Test {
 protected:
  void start(int sites, GatewayConfig config = {}) {
    ++instance_;  // trusted, whatever was before
    for (int i = 0; i < sites; ++i) {
      engines_.emplace_back().id = "id" + std::to_string(i);
      report(i);
    }
    config.port = 0;
    config.instance = "gw";
    GatewayCalls calls;
    calls.store_usage = [this](const UsageRecord& record, const std::function<void(bool)>& stored) {
      {
        const std::lock_guard lock(mutex_);
        if (stores_) records_.push_back(record);
        if (holds_) {
          held_.push_back(stored);
          return;
        }
      }
      stored(stores_);
    };
    auto started = Gateway::start(std::move(config), router_, std::move(calls));
    ASSERT_TRUE(started.ok()) << started.error().message;
    gateway_.emplace(std::move(*started));
  }
  FakeEngine& engine(int i) { return *std::next(engines_.begin(), i); }
  SiteState state(int i) {
    SiteState site;
    site.name = "s" + std::to_string(i);
    site.instance = instance_;
    site.ready = true;
    site.host = "127.0.0.1";
    site.tcp_port = engine(i).tcp_port();
    site.rtt_ms = 1 + 1000.0 * i;  // the first one is asked first
    site.models = {{.name = "m", .content_hash = "aa"}};
    return site;
  }
  void report(int i) { ASSERT_TRUE(router_.update(state(i)).ok()); }

  TestResponse ask(std::string_view body, std::string_view headers = "",
                   std::string_view target = "/v1/chat/completions") {
    TestClient client(gateway_->tcp_port());
    client.send(test_request("POST", target, body, headers));
    return client.read();
  }
  std::vector<UsageRecord> records() {
    const std::lock_guard lock(mutex_);
    return records_;
  }
  std::vector<UsageRecord> wait_for_records(std::size_t count) {
    for (;;) {
      if (auto now = records(); now.size() >= count) return now;
      sched_yield();
    }
  }

  std::mutex mutex_;
  std::vector<UsageRecord> records_;
  std::atomic<bool> stores_{true};
  std::atomic<bool> holds_{false};
  std::vector<std::function<void(bool)>> held_;
  std::uint64_t instance_ = 0;
  std::list<FakeEngine> engines_;
  Router router_;
  std::optional<Gateway> gateway_;
};

TEST_F(SitesTest, ASiteThatFailsBeforeItsFirstByteCostsNothing) {
  for (const Mode mode : {Mode::dies_at_once, Mode::garbage, Mode::not_json, Mode::status}) {
    for (const unsigned status : {500u, 503u, 429u}) {
      if (mode != Mode::status && status != 500) continue;
      SCOPED_TRACE(testing::Message() << static_cast<int>(mode) << " " << status);
      gateway_.reset();
      engines_.clear();
      records_.clear();
      start(2);
      engine(0).mode = mode;
      engine(0).status = status;
      const auto before = gateway_->counters().requests_retried;
      const TestResponse response = ask(mode == Mode::not_json ? whole_question : question);
      EXPECT_EQ(response.result_int(), 200u);
      EXPECT_EQ(response["X-Noroshi-Site"], "s1");
      EXPECT_EQ(gateway_->counters().requests_retried, before + 1);
      const auto all = wait_for_records(1);
      EXPECT_EQ(all[0].site, "s1");
      EXPECT_EQ(all[0].resumed, 0);
      router_.lost("s0");
      router_.lost("s1");
    }
  }
}

TEST_F(SitesTest, ADeadSiteIsNotAskedAgainAtOnce) {
  start(2);
  engine(0).mode = Mode::dies_at_once;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(whole_question).result_int(), 200u);
  EXPECT_TRUE(engine(0).wait([&] { return engine(0).asked == 1; }));
  EXPECT_EQ(gateway_->counters().requests_retried, 1u);
}

TEST_F(SitesTest, WhenAllFailTheAnswerSaysWhichAndWhy) {
  start(5);
  for (auto& one : engines_) one.mode = Mode::dies_at_once;
  const TestResponse response = ask(question);
  EXPECT_EQ(response.result_int(), 502u);
  EXPECT_NE(response.body().find("site 's2' at 127.0.0.1:"), std::string::npos) << response.body();
  EXPECT_NE(response.body().find("closed the connection"), std::string::npos);
  EXPECT_TRUE(records().empty());
  int asked = 0;
  for (auto& one : engines_) {
    one.wait([&] {
      asked += one.asked;
      return true;
    });
  }
  EXPECT_EQ(asked, 3) << "three sites, no more";
}

TEST_F(SitesTest, ABadQuestionIsAskedOnce) {
  start(2);
  engine(0).mode = Mode::status;
  engine(0).status = 400;
  EXPECT_EQ(ask(question).result_int(), 400u);
  EXPECT_EQ(gateway_->counters().requests_retried, 0u);
}

TEST_F(SitesTest, AStreamGoesOnWhereItsSiteBrokeOff) {
  for (const Mode mode : {Mode::dies, Mode::says_error}) {
    for (const bool with_usage : {false, true}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(mode) << with_usage);
      gateway_.reset();
      engines_.clear();
      records_.clear();
      start(2);
      engine(0).mode = mode;
      engine(0).dies_after = 3;
      engine(1).tokens = 10;
      std::string body =
          R"({"model":"m","stream":true,"max_tokens":8,"messages":[{"role":"user","content":"hi"}])";
      if (with_usage) body += R"(,"stream_options":{"include_usage":true})";
      const TestResponse response = ask(body + "}", "TE: trailers\r\n");
      ASSERT_EQ(response.result_int(), 200u);
      EXPECT_EQ(response["X-Noroshi-Site"], "s0");
      EXPECT_EQ(response["X-Noroshi-Resumable"], "yes");
      EXPECT_EQ(response["X-Noroshi-Resumed"], "1") << "the trailer";
      const Answer answer = read_answer(response.body());
      EXPECT_EQ(answer.text, text_of(0, 8));
      EXPECT_EQ(answer.finish, "stop");
      EXPECT_EQ(answer.done, 1);
      EXPECT_EQ(answer.error, "");
      EXPECT_EQ(answer.ids, std::set<std::string>{"id0"});
      ASSERT_EQ(answer.comments.size(), 1u);
      EXPECT_EQ(answer.comments[0], ": noroshi resumed site=s1 at_token=3\n\n");
      EXPECT_EQ(answer.usage.has_value(), with_usage);
      if (with_usage) {
        EXPECT_EQ(answer.usage->at("prompt_tokens").to_number<int>(), 7);
        EXPECT_EQ(answer.usage->at("completion_tokens").to_number<int>(), 8);
        EXPECT_EQ(answer.usage->at("total_tokens").to_number<int>(), 15);
      }
      const auto asked = boost::json::parse(engine(1).last_body);
      const auto& last = asked.at("messages").as_array().back();
      EXPECT_EQ(last.at("role").as_string(), "assistant");
      EXPECT_EQ(last.at("content").as_string(), "t0 t1 t2 ");
      EXPECT_EQ(asked.at("max_tokens").to_number<int>(), 5);
      EXPECT_TRUE(asked.at("continue_final_message").as_bool());
      EXPECT_FALSE(asked.at("add_generation_prompt").as_bool());
      const auto all = wait_for_records(1);
      ASSERT_EQ(all.size(), 1u);
      EXPECT_EQ(all[0].tokens_prompt, 7u);
      EXPECT_EQ(all[0].tokens_completion, 8u);
      EXPECT_EQ(all[0].site, "s1");
      EXPECT_EQ(all[0].resumed, 1);
      EXPECT_EQ(all[0].outcome, Outcome::answered);
      EXPECT_EQ(all[0].id, response["X-Request-Id"]);
      EXPECT_LE(all[0].received_ns, all[0].first_byte_ns);
      EXPECT_LE(all[0].first_byte_ns, all[0].done_ns);
      router_.lost("s0");
      router_.lost("s1");
    }
  }
}

TEST_F(SitesTest, ATextGoesOnToo) {
  start(3);
  engine(0).mode = Mode::dies;
  engine(1).mode = Mode::dies;
  engine(2).tokens = 9;
  const TestResponse response =
      ask(R"({"model":"m","stream":true,"prompt":"say "})", "", "/v1/completions");
  const Answer answer = read_answer(response.body());
  EXPECT_EQ(answer.text, text_of(0, 9));
  EXPECT_EQ(answer.comments.size(), 2u);
  EXPECT_EQ(boost::json::parse(engine(2).last_body).at("prompt").as_string(), "say t0 t1 t2 t3 ");
  EXPECT_EQ(wait_for_records(1)[0].resumed, 2);
}

TEST_F(SitesTest, WhatCannotGoOnHonestlySaysWhy) {
  start(2);
  struct Case {
    const char* more;
    const char* why;
  };
  for (const Case& c : {Case{R"("n":2)", "n is above 1"}, Case{R"("logprobs":true)", "logprobs"},
                        Case{R"("tools":[{"type":"function","function":{"name":"f"}}])", "tools"},
                        Case{R"("response_format":{"type":"json_object"})", "response_format"},
                        Case{R"("grammar":"root ::= x")", "grammar"}}) {
    SCOPED_TRACE(c.more);
    engine(0).mode = Mode::dies;
    SiteState fresh = state(0);
    fresh.instance = ++instance_;  // trusted again
    ASSERT_TRUE(router_.update(fresh).ok());
    const TestResponse response =
        ask(R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}],)" +
            std::string(c.more) + "}");
    EXPECT_TRUE(response["X-Noroshi-Resumable"].starts_with("no; "));
    EXPECT_NE(response["X-Noroshi-Resumable"].find(c.why), std::string::npos);
    const Answer answer = read_answer(response.body());
    EXPECT_EQ(answer.text, text_of(0, 2));
    EXPECT_NE(answer.error.find(c.why), std::string::npos) << answer.error;
    EXPECT_EQ(answer.done, 0);
    const auto all = records();
    EXPECT_EQ(all.back().outcome, Outcome::cut);
    EXPECT_EQ(all.back().tokens_completion, 2u) << "what was sent is to be paid";
  }
}

TEST_F(SitesTest, AnotherContentOfTheModelDoesNotGoOn) {
  start(2);
  SiteState other = state(1);
  other.models[0].content_hash = "bb";
  ASSERT_TRUE(router_.update(other).ok());
  router_.allow("m", {"aa", "bb"});
  engine(0).mode = Mode::dies;
  const Answer answer = read_answer(ask(question).body());
  EXPECT_EQ(answer.text, text_of(0, 2));
  EXPECT_NE(answer.error.find("No other site went on"), std::string::npos);
}

TEST_F(SitesTest, AnEndThatIsMissingIsMadeUp) {
  start(2);
  engine(0).mode = Mode::forgets_end;
  const Answer answer =
      read_answer(ask(R"({"model":"m","stream":true,"stream_options":{"include_usage":true},)"
                      R"("messages":[{"role":"user","content":"hi"}]})")
                      .body());
  EXPECT_EQ(answer.text, text_of(0, 5));
  EXPECT_EQ(answer.finish, "stop");
  EXPECT_EQ(answer.done, 1);
  EXPECT_EQ(answer.usage->at("completion_tokens").to_number<int>(), 5);
  EXPECT_EQ(engine(1).asked, 0);
  // All tokens that were allowed came, and then the site died.
  SiteState fresh = state(0);
  fresh.instance = ++instance_;
  ASSERT_TRUE(router_.update(fresh).ok());
  engine(0).mode = Mode::dies;
  const Answer full = read_answer(
      ask(R"({"model":"m","stream":true,"max_tokens":2,"messages":[{"role":"user","content":"x"}]})")
          .body());
  EXPECT_EQ(full.text, text_of(0, 2));
  EXPECT_EQ(full.finish, "length");
  EXPECT_EQ(full.done, 1);
  EXPECT_EQ(engine(1).asked, 0);
}

TEST_F(SitesTest, ALostSitesSilentStreamGoesOnElsewhere) {
  start(2);
  engine(0).mode = Mode::hangs;
  TestClient client(gateway_->tcp_port());
  client.send(test_request("POST", "/v1/chat/completions", question));
  std::string seen = client.read_until("t1 ");
  EXPECT_TRUE(router_.lost("s0"));
  seen += client.read_until("[DONE]");
  EXPECT_NE(seen.find("resumed site=s1 at_token=2"), std::string::npos);
  EXPECT_NE(seen.find("t4 "), std::string::npos);
}

TEST_F(SitesTest, FiftyStreamsSurviveTheLossOfTheirSite) {
  constexpr std::uint64_t seed = 61;
  SCOPED_TRACE(seed);
  Prng prng(seed);
  start(3);
  for (auto& one : engines_) one.tokens = 40;
  engine(0).mode = Mode::dies;
  engine(0).dies_after = 7;
  std::list<TestClient> clients;
  for (int i = 0; i < 50; ++i) {
    clients.emplace_back(gateway_->tcp_port())
        .send(test_request("POST", "/v1/chat/completions", question));
  }
  int resumed = 0;
  for (TestClient& client : clients) {
    const Answer answer = read_answer(client.read().body());
    EXPECT_EQ(answer.text, text_of(0, 40));
    EXPECT_EQ(answer.error, "");
    resumed += answer.comments.empty() ? 0 : 1;
  }
  EXPECT_GT(resumed, 0);
  const auto all = wait_for_records(50);
  EXPECT_EQ(all.size(), 50u);
  std::set<std::string> ids;
  for (const UsageRecord& record : all) {
    ids.insert(record.id);
    EXPECT_EQ(record.tokens_completion, 40u);
    EXPECT_EQ(record.tokens_prompt, 7u);
  }
  EXPECT_EQ(ids.size(), 50u);
}

TEST_F(SitesTest, NothingIsAnsweredUnmetered) {
  start(1);
  stores_ = false;
  const TestResponse whole = ask(whole_question);
  EXPECT_EQ(whole.result_int(), 503u);
  EXPECT_NE(whole.body().find("usage_not_recorded"), std::string::npos);
  EXPECT_EQ(whole.body().find("hello"), std::string::npos);
  const Answer stream = read_answer(ask(question).body());
  EXPECT_NE(stream.error.find("could not be recorded"), std::string::npos);
  EXPECT_EQ(stream.done, 0);
  EXPECT_EQ(gateway_->counters().usage_refused, 2u);
  stores_ = true;
  EXPECT_EQ(ask(whole_question).result_int(), 200u);
  EXPECT_EQ(records().size(), 1u);
}

TEST_F(SitesTest, AClientThatLeavesWhileItsRecordIsStoredHarmsNothing) {
  start(1);
  engine(0).keeps = true;
  holds_ = true;
  for (const char* body : {whole_question, question}) {
    TestClient client(gateway_->tcp_port());
    client.send(test_request("POST", "/v1/chat/completions", body));
    wait_for_records(body == question ? 2 : 1);
  }
  holds_ = false;
  for (const auto& stored : held_) stored(true);
  while (gateway_->counters().in_flight != 0) sched_yield();
  EXPECT_EQ(ask(whole_question).result_int(), 200u);
  EXPECT_EQ(records().size(), 3u);
  // Told by somebody who outlives the gateway.
  holds_ = true;
  TestClient client(gateway_->tcp_port());
  client.send(test_request("POST", "/v1/chat/completions", question));
  wait_for_records(4);
  gateway_.reset();
  held_.back()(true);
}

TEST_F(SitesTest, AClientThatLeavesPaysForWhatItGot) {
  start(1);
  engine(0).mode = Mode::endless;
  {
    TestClient client(gateway_->tcp_port());
    client.send(test_request("POST", "/v1/chat/completions", question));
    client.read_until("t9 ");
  }
  const auto all = wait_for_records(1);
  EXPECT_EQ(all[0].outcome, Outcome::client_left);
  EXPECT_GE(all[0].tokens_completion, 10u);
  EXPECT_TRUE(all[0].tokens_counted_here);
}

TEST_F(SitesTest, AGatewayThatStopsMetersWhatItSentAndLeavesTheRouterClean) {
  start(1);
  SiteState small = state(0);
  small.models[0].places = 8;
  ASSERT_TRUE(router_.update(small).ok());
  engine(0).mode = Mode::endless;
  TestClient client(gateway_->tcp_port());
  client.send(test_request("POST", "/v1/chat/completions", question));
  client.read_until("t9 ");
  gateway_.reset();
  ASSERT_EQ(records().size(), 1u);
  EXPECT_GE(records()[0].tokens_completion, 10u);
  // Nothing counts as being there any more: eight find a place at once.
  for (int i = 0; i < 8; ++i) {
    EXPECT_LT(router_.choose({.model = "m"}, 1).predicted_s, 0.1) << i;
  }
}

TEST_F(SitesTest, ConnectionsAreKeptWhereTheSiteLikesThat) {
  start(1);
  engine(0).keeps = true;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ask(whole_question).result_int(), 200u);
    EXPECT_EQ(read_answer(ask(question).body()).done, 1);
  }
  EXPECT_TRUE(engine(0).wait([&] { return engine(0).asked == 10; }));
  EXPECT_EQ(engine(0).connections, 1);
  SiteState shy = state(0);
  shy.keeps_connections = false;
  ASSERT_TRUE(router_.update(shy).ok());
  engine(0).keeps = false;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(whole_question).result_int(), 200u);
  EXPECT_GE(engine(0).connections, 3);
}

TEST_F(SitesTest, APromptOfAMegabyteIsFine) {
  start(2);
  const std::string body = R"({"model":"m","messages":[{"role":"user","content":")" +
                           std::string(1 << 20, 'x') + "\"}]}";
  EXPECT_EQ(ask(body).result_int(), 200u);
  EXPECT_TRUE(engine(0).wait([&] { return engine(0).last_body == body; }));
  EXPECT_EQ(ask(body).result_int(), 200u);
  EXPECT_GT(router_.counters().cached_tokens, 200'000u) << "its beginning is known";
}

TEST_F(SitesTest, TenantsHaveTheirOwnKeysModelsAndQuotas) {
  GatewayConfig config;
  Tenant small{.name = "small", .keys = {hash_of_key("small-key")}};
  small.quota = {.requests_per_second = 2, .tokens_per_minute = unlimited, .requests_at_once = 2};
  Tenant thirsty{.name = "thirsty", .keys = {hash_of_key("thirsty-key")}};
  thirsty.quota = {
      .requests_per_second = unlimited, .tokens_per_minute = 8, .requests_at_once = unlimited};
  Tenant other{.name = "other", .keys = {hash_of_key("other-key")}, .models = {"x"}};
  config.tenants = std::make_shared<Tenants>(std::vector{small, thirsty, other});
  start(1, config);
  const auto as = [&](const std::string& key) {
    return ask(whole_question, "Authorization: Bearer " + key + "\r\n");
  };
  EXPECT_EQ(ask(whole_question).result_int(), 401u);
  EXPECT_EQ(as("wrong-key").result_int(), 401u);
  EXPECT_EQ(as("small-key").result_int(), 200u);
  EXPECT_EQ(as("small-key").result_int(), 200u);
  const TestResponse often = as("small-key");
  EXPECT_EQ(often.result_int(), 429u);
  EXPECT_EQ(often[boost::beast::http::field::retry_after], "1");
  EXPECT_NE(often.body().find("quota requests_per_second of 2"), std::string::npos) << often.body();
  EXPECT_EQ(as("thirsty-key").result_int(), 200u);  // uses 10 tokens of 8
  const TestResponse dry = as("thirsty-key");
  EXPECT_EQ(dry.result_int(), 429u);
  EXPECT_NE(dry.body().find("quota tokens_per_minute of 8"), std::string::npos) << dry.body();
  EXPECT_NE(dry.body().find("\"type\":\"tokens\""), std::string::npos);
  const TestResponse forbidden = as("other-key");
  EXPECT_EQ(forbidden.result_int(), 403u);
  EXPECT_NE(forbidden.body().find("model_not_allowed"), std::string::npos);
  const auto all = records();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].tenant, "small");
  EXPECT_EQ(all[2].tenant, "thirsty");
}

TEST_F(SitesTest, AQuotaOfRequestsAtOnceIsGivenBack) {
  GatewayConfig config;
  config.tenants = std::make_shared<Tenants>(std::vector<Tenant>{
      {.name = "one", .keys = {hash_of_key("key")}, .quota = {.requests_at_once = 1}}});
  start(1, config);
  engine(0).mode = Mode::gated;
  const std::string key = "Authorization: Bearer key\r\n";
  TestClient first(gateway_->tcp_port());
  first.send(test_request("POST", "/v1/chat/completions", question, key));
  first.read_until("t0 ");
  const TestResponse second = ask(question, key);
  EXPECT_EQ(second.result_int(), 429u);
  EXPECT_NE(second.body().find("requests_at_once"), std::string::npos);
  engine(0).release();
  first.read_until("[DONE]");
  while (gateway_->counters().in_flight != 0) sched_yield();
  EXPECT_EQ(ask(question, key).result_int(), 200u);
}

}  // namespace
}  // namespace noroshi::gateway
