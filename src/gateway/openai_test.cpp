// Catches: a question that should be refused and is not, or names the wrong field or place; an
// error body that OpenAI's clients cannot read; a stream metered differently when the network cuts
// it elsewhere; a bucket that gives more than its rate.

#include "gateway/openai.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/prng.h"
#include "gateway/limits.h"
#include "gateway/sse.h"
#include "gateway/url.h"

namespace noroshi::gateway {
namespace {

ApiError refusal(Endpoint endpoint, std::string_view body) {
  const auto parsed = parse_question(endpoint, body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  return {0, "accepted", ""};
}

TEST(Question, GoodOnesPass) {
  const auto chat = parse_question(
      Endpoint::chat,
      R"({"model":"m","stream":true,"stream_options":{"include_usage":true},"temperature":0.5,)"
      R"("max_tokens":5,"n":1.0,"messages":[{"role":"system","content":"x"},)"
      R"({"role":"user","content":[{"type":"text","text":"hi"}]},)"
      R"({"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","content":""}]} )");
  ASSERT_TRUE(std::holds_alternative<Question>(chat));
  EXPECT_EQ(std::get<Question>(chat).model, "m");
  EXPECT_TRUE(std::get<Question>(chat).stream);
  EXPECT_TRUE(std::holds_alternative<Question>(
      parse_question(Endpoint::completions, R"({"model":"m","prompt":"x","stream":null})")));
  EXPECT_TRUE(std::holds_alternative<Question>(
      parse_question(Endpoint::embeddings, R"({"model":"m","input":["a","b"]})")));
  EXPECT_TRUE(std::holds_alternative<Question>(
      parse_question(Endpoint::embeddings, R"({"model":"m","input":[1,2,3]})")));
}

TEST(Question, BadOnesNameTheField) {
  struct Case {
    Endpoint endpoint;
    const char* body;
    const char* param;
  };
  const Case cases[] = {
      {Endpoint::chat, R"({"messages":[{"role":"user","content":"x"}]})", "model"},
      {Endpoint::chat, R"({"model":7,"messages":[{"role":"user","content":"x"}]})", "model"},
      {Endpoint::chat, R"({"model":"","messages":[{"role":"user","content":"x"}]})", "model"},
      {Endpoint::chat, R"({"model":"m"})", "messages"},
      {Endpoint::chat, R"({"model":"m","messages":[]})", "messages"},
      {Endpoint::chat, R"({"model":"m","messages":"hello"})", "messages"},
      {Endpoint::chat, R"({"model":"m","messages":["hello"]})", "messages[0]"},
      {Endpoint::chat, R"({"model":"m","messages":[{"content":"x"}]})", "messages[0].role"},
      {Endpoint::chat, R"({"model":"m","messages":[{"role":"king","content":"x"}]})",
       "messages[0].role"},
      {Endpoint::chat,
       R"({"model":"m","messages":[{"role":"user","content":"x"},{"role":"user"}]})",
       "messages[1].content"},
      {Endpoint::chat, R"({"model":"m","messages":[{"role":"user","content":3}]})",
       "messages[0].content"},
      {Endpoint::chat, R"({"model":"m","messages":[{"role":"user","content":[{"text":"x"}]}]})",
       "messages[0].content[0]"},
      {Endpoint::chat,
       R"({"model":"m","temperature":2.1,"messages":[{"role":"user","content":"x"}]})",
       "temperature"},
      {Endpoint::chat,
       R"({"model":"m","max_tokens":-1,"messages":[{"role":"user","content":"x"}]})", "max_tokens"},
      {Endpoint::chat,
       R"({"model":"m","max_tokens":1.5,"messages":[{"role":"user","content":"x"}]})",
       "max_tokens"},
      {Endpoint::chat,
       R"({"model":"m","max_tokens":"9","messages":[{"role":"user","content":"x"}]})",
       "max_tokens"},
      {Endpoint::chat, R"({"model":"m","n":0,"messages":[{"role":"user","content":"x"}]})", "n"},
      {Endpoint::chat, R"({"model":"m","stream":1,"messages":[{"role":"user","content":"x"}]})",
       "stream"},
      {Endpoint::chat,
       R"({"model":"m","stream_options":{},"messages":[{"role":"user","content":"x"}]})",
       "stream_options"},
      {Endpoint::completions, R"({"model":"m"})", "prompt"},
      {Endpoint::completions, R"({"model":"m","prompt":{}})", "prompt"},
      {Endpoint::embeddings, R"({"model":"m"})", "input"},
      {Endpoint::embeddings, R"({"model":"m","input":[]})", "input"},
      {Endpoint::embeddings, R"({"model":"m","input":"x","encoding_format":"hex"})",
       "encoding_format"},
      {Endpoint::embeddings, R"({"model":"m","input":"x","dimensions":0})", "dimensions"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.body);
    const ApiError error = refusal(c.endpoint, c.body);
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.param, c.param);
    EXPECT_EQ(error.type, "invalid_request_error");
  }
}

TEST(Question, BadValuesAreSaid) {
  const auto said = [](const std::string& field) {
    const std::string body =
        R"({"model":"m","messages":[{"role":"user","content":"x"}],)" + field + "}";
    return refusal(Endpoint::chat, body).message;
  };
  EXPECT_EQ(said(R"("temperature":2.5)"),
            "'temperature' must be a number from 0 to 2, and is 2.5.");
  EXPECT_EQ(said(R"("temperature":"hot")"),
            "'temperature' must be a number from 0 to 2, and is 'hot'.");
  EXPECT_EQ(said(R"("max_tokens":-3)"), "'max_tokens' must be an integer of 0 or more, and is -3.");
  EXPECT_EQ(said(R"("n":[1])"), "'n' must be an integer from 1 to 128, and is an array.");
  EXPECT_EQ(said(R"("service_tier":"zzz")"),
            "'service_tier' must be auto, default, flex, scale or priority, and is 'zzz'.");
  EXPECT_NE(said(R"("service_tier":7)").find("and is 7"), std::string::npos);
  for (const char* tier : {"auto", "default", "flex", "scale", "priority"}) {
    EXPECT_EQ(said(R"("service_tier":")" + std::string(tier) + "\""), "accepted");
  }
  // A long text is cut between characters.
  std::string kanji;
  for (int i = 0; i < 30; ++i) kanji += "\xe7\x8b\xbc";
  EXPECT_NE(said("\"top_p\":\"" + kanji + "\"").find("\xbc...'"), std::string::npos);
}

TEST(Question, MalformedJsonHasAPlace) {
  const ApiError middle = refusal(Endpoint::chat, "{\n  \"model\": nope\n}");
  EXPECT_EQ(middle.status, 400);
  EXPECT_EQ(middle.code, "invalid_json");
  EXPECT_NE(middle.message.find("line 2 column 1"), std::string::npos) << middle.message;
  EXPECT_EQ(refusal(Endpoint::chat, "").code, "invalid_json");
  EXPECT_EQ(refusal(Endpoint::chat, "{\"model\":").code, "invalid_json");
  EXPECT_EQ(refusal(Endpoint::chat, "[]").code, "invalid_json");
  EXPECT_EQ(refusal(Endpoint::chat, "{} {}").code, "invalid_json");
  EXPECT_EQ(refusal(Endpoint::chat, std::string(100'000, '[')).code, "invalid_json");
  EXPECT_EQ(refusal(Endpoint::chat, std::string("{\"model\":\"\xff\xfe\"}")).code, "invalid_json");
}

TEST(Errors, AreOpenAIs) {
  const auto body = boost::json::parse(error_body(api_error::unknown_model("x\"y", {"a"})));
  const auto& error = body.at("error").as_object();
  EXPECT_EQ(error.at("code"), "model_not_found");
  EXPECT_EQ(error.at("type"), "invalid_request_error");
  EXPECT_TRUE(error.at("message").is_string());
  EXPECT_TRUE(
      boost::json::parse(error_body(api_error::wrong_key())).at("error").at("param").is_null());

  EXPECT_EQ(from_engine(500, "boom").status, 502);
  EXPECT_EQ(from_engine(401, "{}").status, 502);
  EXPECT_EQ(from_engine(503, R"({"error":{"message":"Loading model"}})").retry_after_s, 2);
  const ApiError passed = from_engine(400, R"({"error":{"code":400,"message":"too long"}})");
  EXPECT_EQ(passed.status, 400);
  EXPECT_NE(passed.message.find("too long"), std::string::npos);
}

TEST(Errors, OfAnEngineAreSaidOnce) {
  const ApiError first = from_engine(400, R"({"error":{"message":"too long"}})");
  EXPECT_EQ(first.message, "The engine answered 400: too long");
  EXPECT_EQ(from_engine(400, error_body(first)).message, first.message) << "by a site's gateway";
  const std::string model = api_error::engine_not_ready("tiny").message;
  EXPECT_TRUE(model.starts_with("No site has model 'tiny' ready now")) << model;
  EXPECT_TRUE(api_error::engine_not_ready().message.starts_with("No engine is ready now"));
}

TEST(Routes, ReadPathsAndModels) {
  EXPECT_EQ(route_of("/v1/chat/completions?x=1").endpoint, Endpoint::chat);
  EXPECT_EQ(route_of("/v1/models").endpoint, Endpoint::models);
  EXPECT_EQ(route_of("/v1/models/a%2Fb%").model, "a/b%");
  EXPECT_EQ(route_of("/v1/models/").endpoint, Endpoint::unknown);
  EXPECT_EQ(route_of("").endpoint, Endpoint::unknown);
  const auto models = boost::json::parse(models_body({"a", "b"}));
  EXPECT_EQ(models.at("data").as_array().size(), 2u);
  EXPECT_EQ(models.at("data").at(1).at("id"), "b");
}

constexpr std::string_view sample_stream =
    ": a comment\r\n"
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n"
    "event: x\ndata: {\"choices\":\ndata: [{\"text\":\"b \\\"usage\\\" \"}]}\n\n"
    "data:{\"choices\":[{\"delta\":{\"reasoning_content\":\"c\"}}],\"usage\":null}\r\r"
    "data: garbage\n\n"
    "data: [DONE]\n\n";

TEST(Sse, EveryCutMetersTheSame) {
  for (std::size_t cut = 0; cut <= sample_stream.size(); ++cut) {
    StreamMeter meter;
    int firsts = 0;
    firsts += meter.feed(sample_stream.substr(0, cut)) ? 1 : 0;
    firsts += meter.feed(sample_stream.substr(cut)) ? 1 : 0;
    ASSERT_EQ(meter.usage().completion_tokens, 3u) << cut;
    ASSERT_EQ(firsts, 1) << cut;
    ASSERT_TRUE(meter.done()) << cut;
    ASSERT_TRUE(meter.between_events()) << cut;
  }
  StreamMeter bytewise;
  for (const char byte : sample_stream) bytewise.feed({&byte, 1});
  EXPECT_EQ(bytewise.usage().completion_tokens, 3u);
}

TEST(Sse, TheEnginesOwnCountWins) {
  StreamMeter meter;
  meter.feed("data: {\"choices\":[{\"delta\":{\"content\":\"two tokens\"}}]}\n\n");
  EXPECT_EQ(meter.usage().completion_tokens, 1u);
  meter.feed("data: {\"timings\":{\"prompt_n\":4,\"cache_n\":2,\"predicted_n\":9}}\n\n");
  EXPECT_EQ(meter.usage().completion_tokens, 9u);
  EXPECT_EQ(meter.usage().prompt_tokens, 6u);
  meter.feed("data: {\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":10}}\n\n");
  EXPECT_EQ(meter.usage().completion_tokens, 10u);
  EXPECT_EQ(meter.usage().prompt_tokens, 8u);
  EXPECT_FALSE(meter.done());
  meter.feed("data: half");
  EXPECT_FALSE(meter.between_events());
}

TEST(Sse, AnEndlessLineIsSkippedAndForgotten) {
  SseParser parser;
  int events = 0;
  std::string seen;
  const auto count = [&](std::string_view data) {
    ++events;
    seen = data;
  };
  parser.feed("data: ", count);
  const std::string piece(1 << 16, 'x');
  for (int i = 0; i < 20; ++i) parser.feed(piece, count);
  parser.feed("\n\n", count);
  EXPECT_EQ(events, 0);
  parser.feed("data: short\n\n", count);
  EXPECT_EQ(events, 1);
  EXPECT_EQ(seen, "short");
}

TEST(RateLimiter, GivesItsRateAndNoMore) {
  RateLimiter limiter(2, 3);
  constexpr std::int64_t s = 1'000'000'000;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.take("a", 100 * s), 0);
  EXPECT_EQ(limiter.take("a", 100 * s), 1);
  EXPECT_EQ(limiter.take("b", 100 * s), 0);
  EXPECT_EQ(limiter.take("a", 100 * s + s / 2), 0);
  EXPECT_EQ(limiter.take("a", 100 * s + s / 2), 1);
  EXPECT_EQ(limiter.take("a", 99 * s), 1) << "time that goes back gives nothing";

  constexpr std::uint64_t seed = 11;
  SCOPED_TRACE(seed);
  Prng prng(seed);
  RateLimiter random(5, 10);
  std::int64_t now = 0;
  int given = 0;
  for (int i = 0; i < 20'000; ++i) {
    now += static_cast<std::int64_t>(prng.exponential() * 0.01 * s);
    given += random.take("x", now) == 0 ? 1 : 0;
  }
  const double seconds = static_cast<double>(now) / s;
  EXPECT_LE(given, 10 + 5 * seconds + 1);
  EXPECT_GE(given, 5 * seconds - 2);

  RateLimiter slow(0.01, 1);
  EXPECT_EQ(slow.take("x", 0), 0);
  EXPECT_EQ(slow.take("x", 0), 100);
}

TEST(RateLimiter, RemembersABoundedNumberOfClients) {
  RateLimiter limiter(0.001, 1);
  for (std::size_t i = 0; i < RateLimiter::clients_max + 100; ++i) {
    limiter.take(std::to_string(i), 0);
  }
  EXPECT_LE(limiter.clients(), RateLimiter::clients_max);
}

TEST(Keys, OnlyWholeOnesOpen) {
  EXPECT_EQ(bearer_key("Bearer abc"), "abc");
  EXPECT_EQ(bearer_key("bearer  abc "), "abc");
  EXPECT_EQ(bearer_key("Basic abc"), "");
  EXPECT_EQ(bearer_key("Bearer "), "");
  const std::vector<std::string> keys = {"abc", "longer-key"};
  EXPECT_TRUE(key_known("abc", keys));
  EXPECT_TRUE(key_known("longer-key", keys));
  for (const char* wrong : {"", "a", "ab", "abcabc", "abd", "longer-kex", "longer-key2"}) {
    EXPECT_FALSE(key_known(wrong, keys)) << wrong;
  }
}

TEST(Url, HostAndPortOrAReason) {
  EXPECT_EQ(parse_http_url("http://127.0.0.1:8000/")->tcp_port, 8000);
  EXPECT_EQ(parse_http_url("http://host")->tcp_port, 80);
  EXPECT_EQ(parse_http_url("http://[::1]:81")->host, "::1");
  for (const char* wrong : {"https://x", "x:80", "http://", "http://x:0", "http://x:99999",
                            "http://x:80a", "http://x/v1", "http://[::1", "http://x:"}) {
    EXPECT_FALSE(parse_http_url(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace noroshi::gateway
