#include "trial/clients.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/prng.h"
#include "gateway/sse.h"
#include "gateway/thread.h"
#include "trial/stub_text.h"

namespace noroshi::trial {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace json = boost::json;
using tcp = net::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr auto connect_timeout = std::chrono::seconds(10);
constexpr auto byte_timeout = std::chrono::seconds(60);
constexpr int rest_after_failure_ms = 100;

auto into(ErrorCode& error) { return net::redirect_error(net::use_awaitable, error); }

std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

std::string prompt_of(int tokens, Prng& prng) {
  std::string prompt;
  for (int i = 0; i < tokens; ++i) append_token(prompt, prng(), 0);
  return prompt;
}

// Reads a stream's events and checks its words.
struct Checker {
  std::uint64_t prompt_hash = 0;
  std::uint64_t tokens_expected = 0;
  std::uint64_t tokens = 0;
  bool done = false;
  std::string fault;  // the stream says that it failed
  std::string wrong;  // words that should not be there
  gateway::SseParser parser;

  // Returns whether text came.
  bool feed(std::string_view bytes) {
    bool text_came = false;
    parser.feed(bytes, [&](std::string_view data) { text_came = read(data) || text_came; });
    return text_came;
  }
  bool read(std::string_view data) {
    if (data == "[DONE]") {
      done = true;
      return false;
    }
    ErrorCode error;
    const json::value value = json::parse({data.data(), data.size()}, error);
    if (error || !value.is_object()) {
      wrong = "an event that is no JSON";
      return false;
    }
    const json::object& object = value.get_object();
    if (object.contains("error")) fault = json::serialize(object.at("error"));
    const json::value* choices = object.if_contains("choices");
    if (choices == nullptr || !choices->is_array() || choices->get_array().empty()) return false;
    const json::value* text =
        choices->get_array()[0].get_object().at("delta").get_object().if_contains("content");
    if (text == nullptr || !text->is_string()) return false;
    check({text->get_string().data(), text->get_string().size()});
    return !text->get_string().empty();
  }
  void check(std::string_view text) {
    std::string expected;
    while (expected.size() < text.size()) append_token(expected, prompt_hash, tokens++);
    if (expected != text && wrong.empty()) {
      wrong = "'" + std::string(text) + "' where '" + expected + "' follows, token " +
              std::to_string(tokens);
    }
  }
};

}  // namespace

const char* name_of(Fate fate) {
  switch (fate) {
    case Fate::whole:
      return "whole";
    case Fate::refused:
      return "refused";
    case Fate::failed:
      return "failed";
    case Fate::broken:
      return "broken";
    case Fate::wrong:
      return "wrong";
  }
  return "";
}

struct Clients::State {
  explicit State(ClientsConfig c) : config(std::move(c)) {}
  ~State() {
    io.stop();
    if (thread.joinable()) thread.join();
  }

  ClientsConfig config;
  tcp::endpoint place;
  net::io_context io{1};
  std::thread thread;
  std::atomic<bool> finishing{false};
  std::atomic<std::uint64_t> open{0};
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::vector<Asked> asked;  // under mutex
  int users = 0;             // under mutex

  net::awaitable<void> user(std::uint64_t number);
  net::awaitable<Asked> ask(std::string body, Checker& checker);
  net::awaitable<void> read_answer(beast::tcp_stream& stream, Checker& checker, Asked& asked_one);
};

net::awaitable<void> Clients::State::read_answer(beast::tcp_stream& stream, Checker& checker,
                                                 Asked& one) {
  ErrorCode error;
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  stream.expires_after(byte_timeout);
  co_await http::async_read_header(stream, buffer, parser, into(error));
  if (error) {
    one.why = "no answer: " + error.message();
    co_return;
  }
  const auto& header = parser.get();
  one.id = std::string(header["X-Request-Id"]);
  one.site = std::string(header["X-Noroshi-Site"]);
  const unsigned status = header.result_int();
  if (status != 200) {
    one.fate = status == 429 || status == 503 ? Fate::refused : Fate::failed;
    one.why = "status " + std::to_string(status);
    co_return;
  }
  std::array<char, 8192> bytes;
  std::int64_t last_ns = 0;
  while (!parser.is_done() && !error) {
    parser.get().body().data = bytes.data();
    parser.get().body().size = bytes.size();
    parser.get().body().more = true;
    stream.expires_after(byte_timeout);
    co_await http::async_read_some(stream, buffer, parser, into(error));
    if (error == http::error::need_buffer) error = {};
    const std::string_view got(bytes.data(), bytes.size() - parser.get().body().size);
    // The gateway says it in a comment between two events, in one piece.
    if (got.find(": noroshi resumed") != std::string_view::npos) one.resumed = true;
    if (!checker.feed(got)) continue;
    const std::int64_t at_ns = now_ns();
    if (one.first_ns == 0) {
      one.first_ns = at_ns;
      open.fetch_add(1);
    } else {
      one.gap_ns_max = std::max(one.gap_ns_max, at_ns - last_ns);
    }
    last_ns = at_ns;
  }
  if (one.first_ns != 0) open.fetch_sub(1);
  one.tokens = checker.tokens;
  if (!checker.wrong.empty()) {
    one.fate = Fate::wrong;
    one.why = checker.wrong;
  } else if (!error && checker.done && checker.fault.empty() &&
             checker.tokens == checker.tokens_expected) {
    one.fate = Fate::whole;
  } else {
    one.fate = one.first_ns != 0 ? Fate::broken : Fate::failed;
    one.why = !checker.fault.empty() ? checker.fault : error ? error.message() : "it ended early";
  }
}

net::awaitable<Asked> Clients::State::ask(std::string body, Checker& checker) {
  Asked one;
  one.asked_ns = now_ns();
  ErrorCode error;
  beast::tcp_stream stream(io);
  stream.expires_after(connect_timeout);
  co_await stream.async_connect(place, into(error));
  if (!error) {
    stream.socket().set_option(tcp::no_delay(true), error);
    http::request<http::string_body> request{http::verb::post, "/v1/chat/completions", 11};
    request.set(http::field::host, config.host);
    request.set(http::field::content_type, "application/json");
    request.set(http::field::connection, "close");
    if (!config.api_key.empty()) {
      request.set(http::field::authorization, "Bearer " + config.api_key);
    }
    request.body() = std::move(body);
    request.prepare_payload();
    co_await http::async_write(stream, request, into(error));
  }
  if (error) {
    one.why = "no connection: " + error.message();
  } else {
    co_await read_answer(stream, checker, one);
  }
  one.done_ns = now_ns();
  co_return one;
}

net::awaitable<void> Clients::State::user(std::uint64_t number) {
  Prng prng(config.seed, number);
  net::steady_timer rest(io);
  while (!finishing) {
    const std::string prompt = prompt_of(config.prompt_tokens, prng);
    // Of different lengths, so that users do not go in step.
    const auto half = static_cast<std::uint64_t>(std::max(1, config.max_tokens / 2));
    const std::uint64_t tokens = half + prng.below(2 * half);
    json::object body;
    body["model"] = config.model;
    body["max_tokens"] = tokens;
    body["stream"] = true;
    body["messages"] = json::array{json::object{{"role", "user"}, {"content", prompt}}};
    Checker checker;
    checker.prompt_hash = prompt_hash_add(prompt_hash_add(prompt_hash_start, "user"), prompt);
    checker.tokens_expected = tokens;
    Asked one = co_await ask(json::serialize(body), checker);
    int rest_ms = config.rest_ms;
    if (one.fate != Fate::whole) rest_ms = std::max(rest_ms, rest_after_failure_ms);
    {
      const std::lock_guard lock(mutex);
      asked.push_back(std::move(one));
    }
    if (rest_ms == 0 || finishing) continue;
    rest.expires_after(std::chrono::milliseconds(rest_ms));
    ErrorCode ignored;
    co_await rest.async_wait(into(ignored));
  }
  const std::lock_guard lock(mutex);
  --users;
  changed.notify_all();
}

Clients::Clients() = default;
Clients::Clients(Clients&&) noexcept = default;
Clients& Clients::operator=(Clients&&) noexcept = default;
Clients::~Clients() = default;

Result<Clients> Clients::start(ClientsConfig config) {
  ErrorCode error;
  const auto address = net::ip::make_address(config.host, error);
  if (error) return Error{"clients: host '" + config.host + "' is not an IP address"};
  Clients clients;
  clients.state_ = std::make_unique<State>(std::move(config));
  State& state = *clients.state_;
  state.place = tcp::endpoint(address, static_cast<std::uint16_t>(state.config.tcp_port));
  state.users = state.config.concurrency;
  for (int i = 0; i < state.config.concurrency; ++i) {
    net::co_spawn(state.io, state.user(static_cast<std::uint64_t>(i)), net::detached);
  }
  state.thread = gateway::ordinary_thread("clients", [&state] { state.io.run(); });
  return clients;
}

std::uint64_t Clients::open_streams() const { return state_->open.load(); }

std::vector<Asked> Clients::done() const {
  const std::lock_guard lock(state_->mutex);
  return state_->asked;
}

std::vector<Asked> Clients::finish(double timeout_s) {
  state_->finishing = true;
  {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait_for(lock, std::chrono::duration<double>(timeout_s),
                             [this] { return state_->users == 0; });
  }
  state_->io.stop();
  if (state_->thread.joinable()) state_->thread.join();
  return done();
}

}  // namespace noroshi::trial
