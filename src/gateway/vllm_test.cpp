// Catches: a gateway that is right before llama-server only. The engine here answers as vLLM is
// documented to: it refuses continue_final_message beside add_generation_prompt and where the last
// message is not the assistant's, sends a role with an empty text first, "usage": null in each
// event, counts of cached tokens or null, continuous_usage_stats, and in one version says the text
// again that it goes on from.

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <functional>
#include <list>
#include <optional>

#include "gateway/fake_engine.h"
#include "gateway/gateway.h"
#include "gateway/stream.h"
#include "gateway/test_client.h"

namespace noroshi::gateway {
namespace {

namespace json = boost::json;
using Mode = FakeEngine::Mode;

struct VllmConfig {
  bool echoes = false;         // what it goes on from (older ones did)
  bool cached_details = true;  // --enable-prompt-tokens-details
  int breaks_after = -1;       // tokens; then it is gone
  int prompt_tokens = 100;
  int cached_tokens = 64;
};

std::string http(unsigned status, const char* type, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: " + type +
         "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

std::string refusal(const std::string& message) {
  return http(400, "application/json",
              json::serialize(json::object{{"error",
                                            {{"message", message},
                                             {"type", "BadRequestError"},
                                             {"param", nullptr},
                                             {"code", 400}}}}));
}

// The words of the answer, and which is next after a text.
std::string word(int i) { return "w" + std::to_string(i) + " "; }
int words_in(std::string_view text) { return static_cast<int>(std::ranges::count(text, ' ')); }

class Vllm {
 public:
  explicit Vllm(VllmConfig config) : config_(config) {}

  std::string answer(const std::string& body) const {
    const json::object question = json::parse(body).as_object();
    const auto flag = [&](const char* field, bool otherwise) {
      const json::value* value = question.if_contains(field);
      return value != nullptr && value->is_bool() ? value->get_bool() : otherwise;
    };
    const bool goes_on = flag("continue_final_message", false);
    const json::object& last = question.at("messages").as_array().back().as_object();
    if (goes_on && flag("add_generation_prompt", true)) {
      return refusal(
          "Cannot set both `continue_final_message` and `add_generation_prompt` to True.");
    }
    if (goes_on && last.at("role").as_string() != "assistant") {
      return refusal(
          "Cannot set `continue_final_message` to True when the last message is not from the "
          "assistant.");
    }
    const std::string before = goes_on ? std::string(last.at("content").as_string()) : "";
    const int most = static_cast<int>(question.at("max_tokens").to_number<int>());
    const json::value* options = question.if_contains("stream_options");
    const bool usage = options != nullptr && options->is_object() &&
                       options->get_object().contains("include_usage") &&
                       options->at("include_usage").as_bool();
    std::string out = event({{"role", "assistant"}, {"content", ""}}, nullptr, usage);
    if (config_.echoes && !before.empty()) out += event({{"content", before}}, nullptr, usage);
    const int first = words_in(before);
    for (int i = 0; i < most; ++i) {
      if (i == config_.breaks_after) {
        // The length that it promised never comes.
        const std::string whole = http(200, "text/event-stream; charset=utf-8", out + "more");
        return whole.substr(0, whole.size() - 4);
      }
      out += event({{"content", word(first + i)}}, nullptr, usage);
    }
    out += event(json::object{{"content", ""}}, "length", usage);
    if (usage) out += usage_event(most);
    return http(200, "text/event-stream; charset=utf-8", out + "data: [DONE]\n\n");
  }

 private:
  static json::object chunk() {
    return {{"id", "chatcmpl-7f3"},
            {"object", "chat.completion.chunk"},
            {"created", 1764000000},
            {"model", "m"}};
  }
  static std::string event(const json::object& delta, const char* finish, bool usage) {
    json::object fields = chunk();
    json::object choice{{"index", 0}, {"delta", delta}, {"logprobs", nullptr}};
    choice["finish_reason"] = finish == nullptr ? json::value(nullptr) : json::value(finish);
    if (finish != nullptr) choice["stop_reason"] = nullptr;
    fields["choices"] = json::array{choice};
    if (usage) fields["usage"] = nullptr;
    return "data: " + json::serialize(fields) + "\n\n";
  }
  std::string usage_event(int completion) const {
    json::object fields = chunk();
    fields["choices"] = json::array();
    json::object counts{{"prompt_tokens", config_.prompt_tokens},
                        {"total_tokens", config_.prompt_tokens + completion},
                        {"completion_tokens", completion}};
    counts["prompt_tokens_details"] = config_.cached_details
                                          ? json::value{{"cached_tokens", config_.cached_tokens}}
                                          : json::value(nullptr);
    fields["usage"] = counts;
    return "data: " + json::serialize(fields) + "\n\n";
  }
  VllmConfig config_;
};

struct Got {
  unsigned status = 0;
  std::string text;
  std::string finish;
  std::string error;
  int roles = 0;
  bool done = false;
  std::optional<json::object> usage;
};

class VllmTest : public testing::Test {
 protected:
  void add(VllmConfig config) {
    FakeEngine& engine = engines_.emplace_back();
    engine.mode = Mode::scripted;
    engine.script = [vllm = Vllm(config)](const std::string& body) { return vllm.answer(body); };
    SiteState site;
    site.name = "s" + std::to_string(engines_.size());
    site.instance = ++instances_;
    site.ready = true;
    site.host = "127.0.0.1";
    site.tcp_port = engine.tcp_port();
    site.rtt_ms = 1 + 1000.0 * static_cast<double>(engines_.size());
    site.models = {{.name = "m", .content_hash = "aa"}};
    ASSERT_TRUE(router_.update(site).ok());
  }
  Got ask(int max_tokens, const char* more = "") {
    GatewayCalls calls;
    calls.store_usage = [this](const UsageRecord& record, const std::function<void(bool)>& tell) {
      record_ = record;
      tell(true);
    };
    auto gateway = Gateway::start({.port = 0}, router_, calls);
    EXPECT_TRUE(gateway.ok());
    TestClient client(gateway->tcp_port());
    client.send(test_request("POST", "/v1/chat/completions",
                             R"({"model":"m","stream":true,"max_tokens":)" +
                                 std::to_string(max_tokens) + more +
                                 R"(,"messages":[{"role":"user","content":"hi"}]})"));
    return read(client.read());
  }
  static Got read(const TestResponse& response) {
    Got got;
    got.status = response.result_int();
    std::string_view body = response.body();
    while (!body.empty() && got.status == 200) {
      const std::size_t size = event_end(body);
      if (size == std::string_view::npos) break;
      std::string joined;
      const auto data = event_data(body.substr(0, size), joined);
      body.remove_prefix(size);
      if (!data) continue;
      if (*data == "[DONE]") {
        got.done = true;
        continue;
      }
      const json::object fields = json::parse(*data).as_object();
      if (const json::value* error = fields.if_contains("error")) {
        got.error = error->at("message").as_string();
        continue;
      }
      const json::value* usage = fields.if_contains("usage");
      if (usage != nullptr && usage->is_object()) got.usage = usage->get_object();
      for (const json::value& choice : fields.at("choices").as_array()) {
        const json::object& delta = choice.at("delta").as_object();
        if (const json::value* content = delta.if_contains("content")) {
          got.text += content->as_string();
        }
        got.roles += delta.contains("role") ? 1 : 0;
        if (choice.at("finish_reason").is_string()) {
          got.finish = choice.at("finish_reason").as_string();
        }
      }
    }
    return got;
  }
  static std::string words(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += word(i);
    return text;
  }

  std::uint64_t instances_ = 0;  // trusted, whatever was before
  std::list<FakeEngine> engines_;
  Router router_;
  UsageRecord record_;
};

TEST_F(VllmTest, AStreamGoesOnAtAnotherVllm) {
  for (const bool echoes : {false, true}) {
    for (const bool details : {false, true}) {
      for (const int breaks_after : {2, 5}) {
        SCOPED_TRACE(testing::Message() << echoes << details << breaks_after);
        engines_.clear();
        router_.lost("s1");
        router_.lost("s2");
        add({.breaks_after = breaks_after});
        add({.echoes = echoes, .cached_details = details});
        const Got got = ask(8, R"(,"stream_options":{"include_usage":true})");
        EXPECT_EQ(got.status, 200u);
        EXPECT_EQ(got.error, "");
        EXPECT_EQ(got.text, words(8));
        EXPECT_EQ(got.finish, "length");
        EXPECT_EQ(got.roles, 1);
        EXPECT_TRUE(got.done);
        ASSERT_TRUE(got.usage);
        EXPECT_EQ(got.usage->at("completion_tokens").to_number<int>(), 8);
        EXPECT_EQ(got.usage->at("prompt_tokens").to_number<int>(), 100 - breaks_after);
        EXPECT_EQ(record_.tokens_completion, 8u);
        EXPECT_EQ(record_.tokens_cached, details ? 64u : 0u);
        EXPECT_EQ(record_.resumed, 1);
      }
    }
  }
}

TEST_F(VllmTest, UsageIsMeteredAndTakenOutWhereNobodyAsked) {
  add({});
  const Got got = ask(3);
  EXPECT_EQ(got.text, words(3));
  EXPECT_FALSE(got.usage);
  EXPECT_EQ(record_.tokens_prompt, 100u);
  EXPECT_EQ(record_.tokens_completion, 3u);
  EXPECT_EQ(record_.tokens_cached, 64u);
  EXPECT_FALSE(record_.tokens_counted_here);
}

TEST_F(VllmTest, ItsRefusalsReachTheClientInItsWords) {
  add({});
  const Got both = ask(3, R"(,"continue_final_message":true,"add_generation_prompt":true)");
  EXPECT_EQ(both.status, 400u);
  const Got last = ask(3, R"(,"continue_final_message":true,"add_generation_prompt":false)");
  EXPECT_EQ(last.status, 400u);
}

// One token was sent, and the next site says the same one: is it an echo or the next token? The
// token is believed.
TEST_F(VllmTest, ASingleTokenIsNeverTakenForAnEcho) {
  Stream stream(false);
  const std::string token = R"(data: {"id":"a","choices":[{"index":0,"delta":{"content":"ha"}}]})"
                            "\n\n";
  EXPECT_EQ(stream.feed(token), token);
  stream.resume();
  EXPECT_NE(stream.feed(token), "");
  EXPECT_EQ(stream.text(), "haha");
}

}  // namespace
}  // namespace noroshi::gateway
