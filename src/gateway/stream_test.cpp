// Catches: an event that the network cut and the stream tore, one that a line end of another kind
// hides, a stream joined from two sites that differs from one, usage that leaks or is lost.

#include "gateway/stream.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/prng.h"
#include "gateway/sse.h"

namespace noroshi::gateway {
namespace {

namespace json = boost::json;

std::string token_event(const std::string& text, const std::string& id = "a") {
  return "data: {\"id\":\"" + id + "\",\"choices\":[{\"index\":0,\"delta\":{\"content\":" +
         json::serialize(json::string(text)) + "},\"finish_reason\":null}]}\n\n";
}
const std::string done_event = "data: [DONE]\n\n";

std::vector<std::string> data_of(std::string_view bytes) {
  std::vector<std::string> all;
  std::string joined;
  for (std::size_t size = event_end(bytes); size != std::string_view::npos;
       size = event_end(bytes)) {
    if (const auto data = event_data(bytes.substr(0, size), joined)) all.emplace_back(*data);
    bytes.remove_prefix(size);
  }
  return all;
}

TEST(Stream, EventsAreTheSameWhereverTheNetworkCutsAndHoweverLinesEnd) {
  constexpr std::uint64_t seed = 71;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (int round = 0; round < 2000; ++round) {
    // Any bytes that are likely to matter.
    constexpr std::string_view pieces[] = {
        "data: {\"a\":1}", "data:x",   "data", ": note", "\n", "\r", "\r\n", "\n\n",
        "\r\n\r\n",        "event: y", "d",    " "};
    std::string bytes;
    for (std::uint64_t i = prng.below(20); i > 0; --i) bytes += pieces[prng.below(12)];
    std::vector<std::string> expected;
    SseParser parser;
    parser.feed(bytes, [&](std::string_view data) { expected.emplace_back(data); });
    // A last return may have a newline behind it: the parser takes it at once, event_end() waits.
    if (bytes.ends_with('\r')) continue;
    EXPECT_EQ(data_of(bytes), expected) << json::serialize(json::string(bytes));

    Stream stream(true);
    std::string out;
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const std::size_t size = std::min<std::size_t>(1 + prng.below(9), rest.size());
      out += stream.feed(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    EXPECT_TRUE(bytes.starts_with(out));
    EXPECT_EQ(data_of(out + "x"), expected) << "x: a return at the end has no newline behind it";
    EXPECT_EQ(event_end(bytes.substr(out.size())), std::string_view::npos);
  }
}

TEST(Stream, TwoPartsReadAsOneWhereverTheFirstBreaksOff) {
  constexpr std::uint64_t seed = 72;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  const std::vector<std::string> words = {"Noroshi", " means", " \"fire\"", "\n\n", " 狼煙", "."};
  std::string whole;
  for (const std::string& word : words) whole += token_event(word);
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    Stream stream(false);
    std::string out;
    std::string_view first = std::string_view(whole).substr(0, cut);
    while (!first.empty()) {
      const std::size_t size = std::min<std::size_t>(1 + prng.below(80), first.size());
      out += stream.feed(first.substr(0, size));
      first.remove_prefix(size);
    }
    const std::size_t sent = stream.tokens_sent();
    std::string text;
    for (std::size_t i = 0; i < sent; ++i) text += words[i];
    ASSERT_EQ(stream.text(), text);
    stream.resume();
    std::string second =
        "data: {\"id\":\"b\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
        "\"assistant\",\"content\":null},\"finish_reason\":null}]}\n\n";
    for (std::size_t i = sent; i < words.size(); ++i) second += token_event(words[i], "b");
    second += "data: {\"id\":\"b\",\"choices\":[],\"usage\":{\"prompt_tokens\":" +
              std::to_string(10 + sent) +
              ",\"completion_tokens\":" + std::to_string(words.size() - sent) + "}}\n\n" +
              done_event;
    out += stream.feed(second);
    std::string joined;
    for (const std::string& data : data_of(out)) {
      if (data == "[DONE]") continue;
      const auto event = json::parse(data);
      EXPECT_EQ(event.at("id").as_string(), sent > 0 ? "a" : "b");
      EXPECT_FALSE(event.as_object().contains("usage"));
      joined += event.at("choices").at(0).at("delta").at("content").as_string();
    }
    EXPECT_EQ(joined, "Noroshi means \"fire\"\n\n 狼煙.") << cut;
    EXPECT_TRUE(stream.done());
    EXPECT_EQ(stream.usage().prompt_tokens, 10u);
    EXPECT_EQ(stream.usage().completion_tokens, words.size());
  }
}

TEST(Stream, OnlyTextCanGoOn) {
  for (const char* delta : {R"({"reasoning_content":"hm"})", R"({"tool_calls":[{"index":0}]})"}) {
    Stream stream(true);
    stream.feed("data: {\"choices\":[{\"delta\":" + std::string(delta) + "}]}\n\n");
    EXPECT_FALSE(stream.not_resumable().empty()) << delta;
  }
  Stream stream(true);
  stream.feed("data: {\"choices\":[{\"delta\":{\"content\":\"x\",\"tool_calls\":null}}]}\n\n");
  EXPECT_TRUE(stream.not_resumable().empty());
  stream.feed(token_event(std::string(Stream::text_bytes_max, 'x')));
  EXPECT_FALSE(stream.not_resumable().empty()) << "it would not be kept in memory";
}

TEST(Stream, AnEventWithoutEndIsAFailureAndAnErrorToo) {
  Stream stream(true);
  const std::string part(1 << 20, 'x');
  for (int i = 0; i < 20 && stream.failure().empty(); ++i) EXPECT_EQ(stream.feed(part), "");
  EXPECT_NE(stream.failure().find("16 MiB"), std::string::npos);
  Stream other(true);
  EXPECT_EQ(
      other.feed(token_event("x") + "data: {\"error\":{\"message\":\"fire\"}}\n\n" + done_event),
      token_event("x"));
  EXPECT_NE(other.failure().find("fire"), std::string::npos);
}

TEST(Continuation, AsksForTheRestAndForUsage) {
  const auto chat = continuation_body(
      Endpoint::chat,
      R"({"model":"m","max_tokens":9,"x":1,"messages":[{"role":"user","content":"q"}]})", "so far",
      4);
  ASSERT_TRUE(chat.ok());
  const auto body = json::parse(*chat);
  EXPECT_EQ(body.at("max_tokens").to_number<int>(), 5);
  EXPECT_EQ(body.at("x").to_number<int>(), 1);
  EXPECT_EQ(body.at("messages").at(1).at("content").as_string(), "so far");
  const auto begun = continuation_body(
      Endpoint::chat,
      R"({"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"I "}]})",
      "am", 1);
  ASSERT_TRUE(begun.ok());
  EXPECT_EQ(json::parse(*begun).at("messages").as_array().size(), 2u);
  EXPECT_EQ(json::parse(*begun).at("messages").at(1).at("content").as_string(), "I am");
  EXPECT_FALSE(
      continuation_body(Endpoint::completions, R"({"prompt":"q","max_tokens":3})", "x", 3).ok());

  for (const char* question :
       {R"({"stream":true})", R"( {"stream_options":null})", R"({"stream_options":{"x":1}})",
        R"({"stream_options":{"include_usage":false}})"}) {
    const std::string asking =
        body_with_usage(question, std::string_view(question).find("options") != std::string::npos);
    EXPECT_TRUE(json::parse(asking).at("stream_options").at("include_usage").as_bool()) << asking;
  }
}

}  // namespace
}  // namespace noroshi::gateway
