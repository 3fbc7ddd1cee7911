// Catches: a load model that the real llama-server refuses, or arguments that it does not take;
// chat, streaming, completions or embeddings that do not come from one server. Skipped where there
// is no llama-server.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <string>

#include "engine/engine.h"
#include "engine/http_get.h"
#include "engine/model_make.h"

namespace noroshi::engine {
namespace {

// The whole answer, head and body, to one POST of JSON.
std::string post(const std::string& url, const std::string& path, const std::string& body) {
  const auto endpoint = parse_url(url);
  if (!endpoint) return endpoint.error().message;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(endpoint->tcp_port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    const std::string request =
        "POST " + path + " HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\n" +
        "Connection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(request.size())) {
      char chunk[4096];
      for (ssize_t n = 0; (n = recv(fd, chunk, sizeof chunk, 0)) > 0;) {
        answer.append(chunk, static_cast<std::size_t>(n));
      }
    }
  }
  close(fd);
  return answer;
}

boost::json::value json_of(const std::string& answer) {
  const std::size_t body = answer.find("\r\n\r\n");
  boost::system::error_code error;
  return boost::json::parse(body == std::string::npos ? "" : answer.substr(body + 4), error);
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

TEST(Llama, ChatStreamCompletionsAndEmbeddingsFromOneServer) {
  const std::filesystem::path model = std::filesystem::temp_directory_path() /
                                      ("noroshi_llama_" + std::to_string(getpid()) + ".gguf");
  ASSERT_TRUE(model_make(*model_preset("tiny"), 1, model, nullptr).ok());
  EngineConfig config;
  config.model_path = model;
  config.model_name = "tiny";
  config.context_tokens = 2048;
  config.health_interval_s = 0.05;
  config.idle_class = false;  // the test machine may be busy
  config.start_timeout_s = 300;
  config.health_timeout_s = 300;
  Engine engine(config);
  const auto started = engine.start();
  if (!started.ok()) {
    std::filesystem::remove(model);
    ASSERT_NE(started.error().message.find("no llama-server"), std::string::npos)
        << started.error().message;
    GTEST_SKIP() << started.error().message;
  }
  const auto ready = engine.wait_ready(300);
  std::filesystem::remove(model);  // it is mapped
  ASSERT_TRUE(ready.ok()) << ready.error().message;
  const std::string url = engine.status().url;

  const auto endpoint = parse_url(url);
  EXPECT_NE(http_get(*endpoint, "/v1/models", "", 60, -1).body.find("\"tiny\""), std::string::npos);

  const std::string chat_body =
      R"("messages":[{"role":"user","content":"Hello, \u72fc\u7159"}],"max_tokens":12})";
  const auto chat = json_of(post(url, "/v1/chat/completions", "{" + chat_body));
  ASSERT_TRUE(chat.is_object());
  EXPECT_EQ(chat.at("usage").at("completion_tokens").as_int64(), 12);
  EXPECT_GT(chat.at("usage").at("prompt_tokens").as_int64(), 10);
  const boost::json::value& choice = chat.at("choices").at(0);
  EXPECT_EQ(choice.at("finish_reason").as_string(), "length");
  const auto content = choice.at("message").at("content").as_string();
  EXPECT_EQ(content.size(), 12u) << content;
  for (const char c : content) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << content;

  const std::string stream =
      post(url, "/v1/chat/completions",
           R"({"stream":true,"stream_options":{"include_usage":true},)" + chat_body);
  EXPECT_GE(count(stream, "\"delta\":{\"content\":"), 10) << stream;
  EXPECT_EQ(count(stream, "\"completion_tokens\":12"), 1) << stream;
  EXPECT_EQ(count(stream, "data: [DONE]"), 1) << stream;

  const auto completion = json_of(post(url, "/v1/completions", R"({"prompt":"a","max_tokens":3})"));
  EXPECT_EQ(completion.at("usage").at("completion_tokens").as_int64(), 3);

  const auto embeddings = json_of(post(url, "/v1/embeddings", R"({"input":["a","b c"]})"));
  ASSERT_EQ(embeddings.at("data").as_array().size(), 2u);
  EXPECT_EQ(embeddings.at("data").at(0).at("embedding").as_array().size(), 256u);
  EXPECT_NE(embeddings.at("data").at(0).at("embedding"),
            embeddings.at("data").at(1).at("embedding"));

  EXPECT_EQ(engine.status().restarts, 0) << engine.status().last_error;
  EXPECT_GT(engine.status().cpu_seconds, 0);
}

}  // namespace
}  // namespace noroshi::engine
