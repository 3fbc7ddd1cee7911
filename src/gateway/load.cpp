#include "gateway/load.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>

#include "base/prng.h"
#include "gateway/session.h"
#include "gateway/sse.h"
#include "gateway/thread.h"
#include "gateway/tls.h"
#include "gateway/url.h"

namespace noroshi::gateway {
namespace {

constexpr double byte_timeout_s = 120;
constexpr auto rest_after_failure = std::chrono::milliseconds(200);

enum class AskedOnce : std::uint8_t { whole, refused, failed };

// Words of letters: every prompt differs, so no engine answers from its cache.
std::string prompt_of(int tokens, Prng& prng) {
  std::string prompt;
  while (prompt.size() < static_cast<std::size_t>(tokens) * 4) {
    const std::uint64_t letters = 2 + prng.below(8);
    for (std::uint64_t i = 0; i < letters; ++i) {
      prompt += static_cast<char>('a' + static_cast<char>(prng.below(26)));
    }
    prompt += ' ';
  }
  return prompt;
}

}  // namespace

struct LoadGenerator::State {
  LoadConfig config;
  HttpUrl url;
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> requests_failed{0};
  std::atomic<std::uint64_t> requests_refused{0};
  std::atomic<std::uint64_t> tokens{0};
  Histogram first_token_ns;
  net::io_context io{1};
  std::thread thread;

  ~State() { stop(); }
  void stop() {
    io.stop();
    if (thread.joinable()) thread.join();
  }

  net::awaitable<void> chat_forever(std::uint64_t stream);
  net::awaitable<AskedOnce> chat(std::string body);
  net::awaitable<AskedOnce> read_answer(Connection& stream, Time asked);
};

net::awaitable<void> LoadGenerator::State::chat_forever(std::uint64_t stream) {
  Prng prng(config.seed, stream);
  net::steady_timer rest(io);
  for (;;) {
    boost::json::object body;
    body["model"] = config.model;
    body["max_tokens"] = config.max_tokens;
    body["stream"] = true;
    body["ignore_eos"] = true;  // llama-server and vLLM: every answer has its max_tokens
    body["stream_options"] = boost::json::object{{"include_usage", true}};
    boost::json::object message;
    message["role"] = "user";
    message["content"] = prompt_of(config.prompt_tokens, prng);
    body["messages"] = boost::json::array{std::move(message)};
    std::string text = boost::json::serialize(body);
    const AskedOnce outcome = co_await chat(std::move(text));
    if (outcome == AskedOnce::whole) {
      requests.fetch_add(1);
      continue;
    }
    requests_failed.fetch_add(1);
    if (outcome == AskedOnce::refused) requests_refused.fetch_add(1);
    rest.expires_after(rest_after_failure);
    ErrorCode ignored;
    co_await rest.async_wait(into(ignored));
  }
}

net::awaitable<AskedOnce> LoadGenerator::State::chat(std::string body) {
  ErrorCode error;
  tcp::resolver resolver(io);
  const auto places =
      co_await resolver.async_resolve(url.host, std::to_string(url.tcp_port), into(error));
  if (error) co_return AskedOnce::failed;
  Connection stream(io.get_executor());
  stream.expires_after(seconds_ns(byte_timeout_s));
  co_await stream.tcp().async_connect(places, into(error));
  if (error) co_return AskedOnce::failed;
  stream.socket().set_option(tcp::no_delay(true), error);
  if (!config.pin.is_none()) {
    co_await stream.begin_tls(tls_to_sites())
        .async_handshake(net::ssl::stream_base::client, into(error));
    if (error || stream.peer_pin() != config.pin) co_return AskedOnce::failed;
  }

  http::request<http::string_body> request{http::verb::post, "/v1/chat/completions", 11};
  request.set(http::field::host, url.host);
  request.set(http::field::content_type, "application/json");
  request.set(http::field::connection, "close");
  if (!config.api_key.empty()) {
    request.set(http::field::authorization, "Bearer " + config.api_key);
  }
  request.body() = std::move(body);
  request.prepare_payload();
  const Time asked = std::chrono::steady_clock::now();
  co_await http::async_write(stream, request, into(error));
  if (error) co_return AskedOnce::failed;
  const AskedOnce outcome = co_await read_answer(stream, asked);
  co_return outcome;
}

net::awaitable<AskedOnce> LoadGenerator::State::read_answer(Connection& stream, Time asked) {
  ErrorCode error;
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  co_await http::async_read_header(stream, buffer, parser, into(error));
  if (error) co_return AskedOnce::failed;
  const unsigned status = parser.get().result_int();
  if (status == 429 || status == 503) co_return AskedOnce::refused;
  if (status != 200) co_return AskedOnce::failed;
  StreamMeter meter;
  std::array<char, 4096> bytes;
  std::uint64_t counted = 0;
  while (!parser.is_done()) {
    parser.get().body().data = bytes.data();
    parser.get().body().size = bytes.size();
    parser.get().body().more = true;
    stream.expires_after(seconds_ns(byte_timeout_s));
    co_await http::async_read_some(stream, buffer, parser, into(error));
    if (error == http::error::need_buffer) error = {};
    const std::size_t size = bytes.size() - parser.get().body().size;
    if (meter.feed({bytes.data(), size})) {
      const auto waited = std::chrono::steady_clock::now() - asked;
      first_token_ns.add(static_cast<std::uint64_t>(std::chrono::nanoseconds(waited).count()));
    }
    // Tokens count as they flow, so that a live rate does not move in jumps of whole answers.
    const std::uint64_t now = meter.usage().completion_tokens;
    if (now > counted) tokens.fetch_add(now - counted);
    counted = std::max(counted, now);
    if (error) co_return AskedOnce::failed;
  }
  co_return meter.done() ? AskedOnce::whole : AskedOnce::failed;
}

LoadGenerator::LoadGenerator() = default;
LoadGenerator::LoadGenerator(LoadGenerator&&) noexcept = default;
LoadGenerator& LoadGenerator::operator=(LoadGenerator&&) noexcept = default;
LoadGenerator::~LoadGenerator() = default;

Result<LoadGenerator> LoadGenerator::start(LoadConfig config) {
  Result<HttpUrl> url = parse_http_url(config.url);
  if (!url) return Error{"load: " + url.error().message};
  if (config.model.empty()) return Error{"load: name a model; the server's /v1/models lists them"};
  if (config.concurrency < 1 || config.concurrency > 1024) {
    return Error{"load: concurrency " + std::to_string(config.concurrency) + " is not in 1..1024"};
  }
  if (config.prompt_tokens < 1 || config.max_tokens < 1) {
    return Error{"load: prompt_tokens and max_tokens must be at least 1"};
  }
  LoadGenerator load;
  load.state_ = std::make_unique<State>();
  State& state = *load.state_;
  state.config = std::move(config);
  state.url = std::move(*url);
  for (int i = 0; i < state.config.concurrency; ++i) {
    net::co_spawn(state.io, state.chat_forever(static_cast<std::uint64_t>(i)), net::detached);
  }
  state.thread = ordinary_thread("ai-load", [&state] { state.io.run(); });
  return load;
}

void LoadGenerator::stop() { state_->stop(); }

LoadCounters LoadGenerator::counters() const {
  return {.requests = state_->requests.load(),
          .requests_failed = state_->requests_failed.load(),
          .requests_refused = state_->requests_refused.load(),
          .tokens = state_->tokens.load()};
}

const Histogram& LoadGenerator::time_to_first_token_ns() const { return state_->first_token_ns; }

}  // namespace noroshi::gateway
