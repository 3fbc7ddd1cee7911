// Catches: a session whose site is not told where its context is, or is told another tenant's name
// of it; a context that is fetched when computing is cheaper or that keeps a request waiting; a
// failure of it that the client feels; an answer that does not say what was done.

#include "gateway/context.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <list>
#include <optional>
#include <set>

#include "gateway/fake_engine.h"
#include "gateway/gateway.h"
#include "gateway/test_client.h"

namespace noroshi::gateway {
namespace {

using Mode = FakeEngine::Mode;

std::string question(std::string_view user, std::size_t size = 4000, bool stream = false,
                     std::string_view more = "") {
  return R"({"model":"m",)" + std::string(stream ? R"("stream":true,)" : "") + std::string(more) +
         R"("user":")" + std::string(user) + R"(","messages":[{"role":"user","content":")" +
         std::string(size, 'x') + R"("}]})";
}

// A gateway before `engines_`, in reach of a test.
class ContextTest : public testing::Test {
 protected:
  void start(int engines, const std::string& secret, bool keep_contexts,
             std::vector<Tenant> tenants = {}) {
    for (int i = 0; i < engines; ++i) {
      engines_.emplace_back();
      report(i, keep_contexts, false);
    }
    GatewayConfig config{.port = 0, .instance = "gw"};
    config.tenants = std::make_shared<Tenants>(std::move(tenants));
    GatewayCalls calls;
    if (!secret.empty()) calls.session_secret = [secret] { return secret; };
    calls.fetch_context = [this](ContextWanted wanted, std::function<void(ContextFetched)> tell) {
      {
        const std::lock_guard lock(mutex_);
        wanted_.push_back(wanted);
      }
      if (tells_) tell(fetched_);
      held_ = tell;
    };
    auto started = Gateway::start(std::move(config), router_, std::move(calls));
    ASSERT_TRUE(started.ok()) << started.error().message;
    gateway_.emplace(std::move(*started));
  }
  FakeEngine& engine(int i) { return *std::next(engines_.begin(), i); }
  void report(int i, bool keeps_contexts, bool draining, std::string hash = "aa") {
    SiteState site;
    site.name = "s" + std::to_string(i);
    site.instance = 1;
    site.region = "east";
    site.ready = true;
    site.draining = draining;
    site.host = "127.0.0.1";
    site.tcp_port = engine(i).tcp_port();
    site.rtt_ms = 1 + 1000.0 * i;  // the first one is asked first
    site.keeps_contexts = keeps_contexts;
    site.received_at_ns = ++reports_;
    site.models = {{.name = "m", .content_hash = std::move(hash)}};
    ASSERT_TRUE(router_.update(site).ok());
  }
  TestResponse ask(std::string_view body, std::string_view headers = "") {
    TestClient client(gateway_->tcp_port());
    client.send(test_request("POST", "/v1/chat/completions", body, headers));
    return client.read();
  }
  std::vector<ContextWanted> wanted() {
    const std::lock_guard lock(mutex_);
    return wanted_;
  }
  static constexpr const char* moves =
      "X-Noroshi-Session: name1\r\nX-Noroshi-Context-From: west/s9\r\n";
  // The engine says that it reads a prompt of 1000 tokens in so many seconds.
  void teach(double seconds) {
    engine(0).more_json = R"(,"usage":{"prompt_tokens":1000,"completion_tokens":3},"timings":)"
                          R"({"prompt_n":1000,"predicted_n":3,"prompt_ms":)" +
                          std::to_string(1000 * seconds) + "}";
    EXPECT_EQ(ask(question("teacher")).result_int(), 200u);
  }

  std::mutex mutex_;
  std::vector<ContextWanted> wanted_;
  ContextFetched fetched_;
  std::atomic<bool> tells_{true};
  std::function<void(ContextFetched)> held_;
  std::int64_t reports_ = 0;
  std::list<FakeEngine> engines_;
  Router router_;
  std::optional<Gateway> gateway_;
};

// --- At the fleet's gateway ---

TEST_F(ContextTest, ASiteIsToldWhenceASessionComes) {
  start(2, "secret", false);
  EXPECT_FALSE(ask(question("ann")).count("X-Noroshi-Context")) << "it has not moved";
  const std::string name = engine(0).last_session;
  EXPECT_EQ(name.size(), 32u);
  EXPECT_EQ(engine(0).last_context_from, "");
  ask(question("bob"));
  EXPECT_NE(engine(0).last_session, name);

  report(0, false, true);  // drains
  engine(1).more_header = "X-Noroshi-Context: moved; 1000 tokens from east/s0\r\n";
  for (const bool stream : {false, true}) {
    const TestResponse moved = ask(question(stream ? "bob" : "ann", 4000, stream));
    EXPECT_EQ(moved["X-Noroshi-Site"], "s1");
    EXPECT_EQ(moved["X-Noroshi-Context"], "moved; 1000 tokens from east/s0");
    EXPECT_EQ(engine(1).last_context_from, "east/s0");
  }
  EXPECT_EQ(gateway_->counters().contexts_moved, 2u);
  EXPECT_FALSE(ask(question("ann")).count("X-Noroshi-Context")) << "it stays now";
  EXPECT_EQ(engine(1).last_session, name) << "the same name at every site";
  EXPECT_EQ(engine(1).last_context_from, "");
  TestClient client(gateway_->tcp_port());
  client.send(test_request("GET", "/metrics"));
  EXPECT_NE(client.read().body().find("noroshi_gateway_contexts_total{outcome=\"moved\"} 2"),
            std::string::npos);
}

TEST_F(ContextTest, AnotherModelsContextIsNoneOfItsOwn) {
  start(2, "secret", false);
  report(1, false, false, "bb");
  router_.allow("m", {"aa", "bb"});
  ask(question("ann"));
  report(0, false, true);
  ask(question("ann"));
  EXPECT_EQ(engine(1).asked, 1);
  EXPECT_EQ(engine(1).last_context_from, "");
}

TEST_F(ContextTest, ALostSiteHasNoContextAndASecondSiteIsToldTheFirst) {
  start(3, "secret", false);
  ask(question("ann"));
  report(0, false, true);
  engine(1).mode = Mode::dies_at_once;
  EXPECT_EQ(ask(question("ann"))["X-Noroshi-Site"], "s2");
  EXPECT_EQ(engine(2).last_context_from, "east/s0") << "not the one that failed";
  ask(question("bob"));
  router_.lost("s2");
  engine(1).mode = Mode::normal;
  EXPECT_EQ(ask(question("bob"))["X-Noroshi-Site"], "s1");
  EXPECT_EQ(engine(1).last_context_from, "");
}

TEST(SessionName, IsTheTenantsAndTheFleetsAlone) {
  const SessionName one = name_session("secret", "a", 7);
  EXPECT_EQ(one.name, name_session("secret", "a", 7).name);
  EXPECT_EQ(one.key, name_session("secret", "a", 7).key);
  EXPECT_EQ(one.name.find(std::to_string(one.key)), std::string::npos);
  std::set<std::string> names{one.name};
  std::set<std::uint64_t> keys{one.key};
  for (const SessionName& other : {name_session("secret2", "a", 7), name_session("secret", "b", 7),
                                   name_session("secret", "a", 8), name_session("secret", "", 7),
                                   name_session("s", "a1", 1), name_session("s", "a", 11)}) {
    EXPECT_TRUE(names.insert(other.name).second);
    EXPECT_TRUE(keys.insert(other.key).second);
  }
}

// The same name under two keys: each tenant's session has a place and a history of its own, whether
// sites are told or not.
class TenantsSessions : public ContextTest, public testing::WithParamInterface<const char*> {};

TEST_P(TenantsSessions, HaveNothingInCommon) {
  const std::string secret = GetParam();
  const Tenant a{.name = "a", .keys = {hash_of_key("key-a")}};
  const Tenant b{.name = "b", .keys = {hash_of_key("key-b")}};
  start(2, secret, false, {a, b});
  const auto asks = [&](const std::string& tenant) {
    const std::string key = "Authorization: Bearer key-" + tenant + "\r\n";
    return std::string(ask(question("ann"), key)["X-Noroshi-Site"]);
  };
  EXPECT_EQ(asks("a"), "s0");
  const std::string name = engine(0).last_session;
  EXPECT_EQ(name.empty(), secret.empty());
  report(0, false, true);  // drains
  EXPECT_EQ(asks("b"), "s1");
  EXPECT_EQ(router_.counters().sessions_moved, 0u) << "b's session was nowhere";
  EXPECT_EQ(engine(1).last_context_from, "");
  EXPECT_TRUE(secret.empty() || engine(1).last_session != name);
  EXPECT_EQ(asks("a"), "s1");
  EXPECT_EQ(router_.counters().sessions_moved, 1u);
  EXPECT_EQ(engine(1).last_context_from, secret.empty() ? "" : "east/s0");
  EXPECT_EQ(engine(1).last_session, name);
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutASecret, TenantsSessions, testing::Values("secret", ""));

TEST_F(ContextTest, AClientDoesNotSayWhenceItComes) {
  start(1, "secret", false);
  ask(question("ann"), moves);
  EXPECT_EQ(engine(0).last_context_from, "");
  EXPECT_NE(engine(0).last_session, "name1");
}

// --- At a site's gateway ---

TEST_F(ContextTest, EachTurnHasASeedByWhichItIsFound) {
  start(1, "", true);
  ask(question("ann"), "X-Noroshi-Session: name1\r\n");
  const auto seed = boost::json::parse(engine(0).last_body).at("seed").to_number<std::uint32_t>();
  auto turn = gateway_->last_turn("name1");
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->seed, seed);
  EXPECT_EQ(turn->engine->tcp_port, engine(0).tcp_port());
  ask(question("ann"), "X-Noroshi-Session: name1\r\n");
  EXPECT_NE(gateway_->last_turn("name1")->seed, seed) << "each turn another";
  EXPECT_FALSE(gateway_->last_turn("name2"));
  ask(question("ann", 10, false, R"("seed":5,)"), "X-Noroshi-Session: name3\r\n");
  EXPECT_EQ(boost::json::parse(engine(0).last_body).at("seed").to_number<int>(), 5);
  EXPECT_FALSE(gateway_->last_turn("name3")) << "the client's own seed is its own";
  ask(question("ann", 10));
  EXPECT_FALSE(boost::json::parse(engine(0).last_body).as_object().contains("seed"));
}

TEST_F(ContextTest, AContextIsFetchedOnceTheEnginesSpeedIsKnown) {
  start(1, "", true);
  EXPECT_EQ(ask(question("ann"), moves)["X-Noroshi-Context"],
            "computed; the engine's speed is not known yet");
  EXPECT_TRUE(wanted().empty());
  teach(2);
  fetched_ = {.tokens = 900, .tried = true};
  for (const bool stream : {false, true}) {
    EXPECT_EQ(ask(question("ann", 4000, stream), moves)["X-Noroshi-Context"],
              "moved; 900 tokens from west/s9");
  }
  ASSERT_EQ(wanted().size(), 2u);
  const ContextWanted first = wanted().front();
  EXPECT_EQ(first.session, "name1");
  EXPECT_EQ(first.from, "west/s9");
  EXPECT_EQ(first.engine->tcp_port, engine(0).tcp_port());
  EXPECT_NEAR(first.tokens, 1000, 10) << "4 bytes each, as the engine said";
  EXPECT_NEAR(first.prompt_tokens_per_s, 500, 1);
  EXPECT_EQ(gateway_->counters().contexts_moved, 2u);
  EXPECT_EQ(ask(question("ann", 20), moves)["X-Noroshi-Context"], "computed; it takes no time");
  EXPECT_EQ(wanted().size(), 2u);
}

TEST_F(ContextTest, WhateverFailsTheEngineComputes) {
  start(1, "", true);
  teach(0.1);
  fetched_ = {.tried = true, .why = "west/s9: nobody\r\nlistens"};
  TestResponse answer = ask(question("ann"), moves);
  EXPECT_EQ(answer.result_int(), 200u);
  EXPECT_EQ(answer["X-Noroshi-Context"], "failed; west/s9: nobody??listens");
  fetched_ = {.why = "moving takes 2 s, computing 0.1 s"};
  EXPECT_EQ(ask(question("ann"), moves)["X-Noroshi-Context"],
            "computed; moving takes 2 s, computing 0.1 s");
  tells_ = false;
  answer = ask(question("ann"), moves);
  EXPECT_EQ(answer.result_int(), 200u);
  EXPECT_EQ(answer["X-Noroshi-Context"], "failed; it came too late");
  held_({.tokens = 5});  // to nobody
  gateway_.reset();
  held_({.tokens = 5});
}

TEST_F(ContextTest, AClientThatLeavesMeanwhileIsNotAskedFor) {
  start(1, "", true);
  teach(0.2);
  tells_ = false;
  {
    TestClient client(gateway_->tcp_port());
    client.send(test_request("POST", "/v1/chat/completions", question("ann"), moves));
    while (wanted().empty()) std::this_thread::yield();
  }
  while (gateway_->counters().in_flight > 0) std::this_thread::yield();
  EXPECT_EQ(engine(0).asked, 1) << "the teacher";
}

}  // namespace
}  // namespace noroshi::gateway
