#include "trial/stub_engine.h"

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <deque>
#include <list>
#include <thread>
#include <unordered_map>
#include <vector>

#include "gateway/connection.h"
#include "gateway/thread.h"
#include "trial/stub_text.h"

namespace noroshi::trial {
namespace {

namespace net = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;
using tcp = net::ip::tcp;
using ErrorCode = boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::size_t block_bytes = 512;
constexpr std::size_t block_tokens = block_bytes / token_bytes;
constexpr std::uint64_t body_bytes_max = 64 << 20;
constexpr int tokens_max = 1 << 20;

auto into(ErrorCode& error) { return net::redirect_error(net::use_awaitable, error); }
Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

std::string_view text_of(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}
bool flag_of(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

struct Question {
  std::string model;
  bool stream = false;
  bool usage = false;
  std::uint64_t prompt_hash = prompt_hash_start;
  std::vector<std::uint64_t> blocks;  // chained hashes of the prompt's blocks
  std::uint64_t prompt_tokens = 0;
  std::uint64_t first = 0;    // index of the first token to say
  std::uint64_t tokens = 16;  // to say
};

// The hashes of a text's whole blocks, each covering all before it.
struct BlockHasher {
  std::uint64_t chain = prompt_hash_start;
  std::size_t pending = 0;
  std::size_t bytes = 0;
  std::vector<std::uint64_t> blocks;
  void add(std::string_view text) {
    bytes += text.size();
    for (const char c : text) {
      chain = (chain ^ static_cast<std::uint8_t>(c)) * 0x100000001b3u;
      if (++pending < block_bytes) continue;
      pending = 0;
      blocks.push_back(chain);
    }
  }
};

Result<Question> read_question(std::string_view body) {
  ErrorCode error;
  const json::value value = json::parse({body.data(), body.size()}, error);
  if (error || !value.is_object()) return Error{"the body is no JSON object"};
  const json::object& object = value.get_object();
  Question question;
  question.model = text_of(object, "model");
  question.stream = flag_of(object, "stream");
  const json::value* options = object.if_contains("stream_options");
  question.usage =
      options != nullptr && options->is_object() && flag_of(options->get_object(), "include_usage");
  const json::value* messages = object.if_contains("messages");
  if (messages == nullptr || !messages->is_array() || messages->get_array().empty()) {
    return Error{"messages is no list of messages"};
  }
  const json::array& list = messages->get_array();
  const bool goes_on = flag_of(object, "continue_final_message");
  BlockHasher hasher;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_object()) return Error{"a message is no object"};
    const std::string_view role = text_of(list[i].get_object(), "role");
    const std::string_view content = text_of(list[i].get_object(), "content");
    hasher.add(role);
    hasher.add(content);
    if (goes_on && i + 1 == list.size()) {
      if (role != "assistant") return Error{"the message to go on with is not the assistant's"};
      if (content.size() % token_bytes != 0) return Error{"the text to go on with ends in a token"};
      question.first = content.size() / token_bytes;
      continue;
    }
    question.prompt_hash = prompt_hash_add(question.prompt_hash, role);
    question.prompt_hash = prompt_hash_add(question.prompt_hash, content);
  }
  question.blocks = std::move(hasher.blocks);
  question.prompt_tokens = (hasher.bytes + token_bytes - 1) / token_bytes;
  for (const char* key : {"max_tokens", "max_completion_tokens"}) {
    const json::value* limit = object.if_contains(key);
    if (limit == nullptr || limit->is_null()) continue;
    const auto tokens = limit->is_number() ? limit->to_number<int>(error) : 0;
    if (error || tokens < 1 || tokens > tokens_max) return Error{std::string(key) + " is no count"};
    question.tokens = static_cast<std::uint64_t>(tokens);
  }
  return question;
}

// Which blocks are held: least recently used goes first.
class PrefixCache {
 public:
  explicit PrefixCache(std::uint64_t blocks_max) : blocks_max_(blocks_max) {}

  // Tokens of the prompt that are there.
  std::uint64_t find(const std::vector<std::uint64_t>& blocks) const {
    std::size_t held = 0;
    while (held < blocks.size() && where_.contains(blocks[held])) ++held;
    return held * block_tokens;
  }
  void insert(const std::vector<std::uint64_t>& blocks) {
    // From the end, so that of one prompt the beginning is the youngest.
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
      if (const auto found = where_.find(*block); found != where_.end())
        order_.erase(found->second);
      order_.push_front(*block);
      where_[*block] = order_.begin();
    }
    while (order_.size() > blocks_max_) {
      where_.erase(order_.back());
      order_.pop_back();
    }
  }

 private:
  std::uint64_t blocks_max_;
  std::list<std::uint64_t> order_;
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> where_;
};

std::string whole(unsigned status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string chunk(const std::string& data) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return size + data + "\r\n";
}

}  // namespace

struct StubEngine::State {
  explicit State(StubConfig c)
      : config(std::move(c)), slow(config.slow), cache(config.cache_tokens / block_tokens) {}
  ~State() {
    io.stop();
    if (thread.joinable()) thread.join();
  }

  const StubConfig config;
  std::atomic<double> slow;
  std::atomic<std::uint64_t> requests{0}, answered{0}, in_flight{0}, queued{0};
  std::atomic<std::uint64_t> tokens_prompt{0}, tokens_cached{0}, tokens_completion{0};
  net::io_context io{1};
  tcp::acceptor acceptor{io};
  PrefixCache cache;
  int busy = 0;  // places
  std::deque<std::shared_ptr<net::steady_timer>> waiting;
  Clock::time_point reads_until = {};  // prompts, one after the other
  std::thread thread;

  net::awaitable<void> accept();
  net::awaitable<void> serve(tcp::socket accepted);
  net::awaitable<void> answer(gateway::Connection& socket, const Question& question);
  net::awaitable<bool> say(gateway::Connection& socket, const Question& question,
                           std::uint64_t cached);
  net::awaitable<void> take_place();
  void give_place();
  std::string event(const Question& question, std::uint64_t from, std::uint64_t to) const;
  std::string usage_json(const Question& question, std::uint64_t cached) const;
};

net::awaitable<void> StubEngine::State::take_place() {
  if (busy < config.places) {
    ++busy;
    co_return;
  }
  const auto turn = std::make_shared<net::steady_timer>(io, Clock::time_point::max());
  waiting.push_back(turn);
  queued.fetch_add(1);
  ErrorCode ignored;
  co_await turn->async_wait(into(ignored));  // give_place() hands its place on
  queued.fetch_sub(1);
}

void StubEngine::State::give_place() {
  if (waiting.empty()) {
    --busy;
    return;
  }
  waiting.front()->cancel();
  waiting.pop_front();
}

std::string StubEngine::State::usage_json(const Question& q, std::uint64_t cached) const {
  return R"({"prompt_tokens":)" + std::to_string(q.prompt_tokens) + R"(,"completion_tokens":)" +
         std::to_string(q.tokens) + R"(,"total_tokens":)" +
         std::to_string(q.prompt_tokens + q.tokens) +
         R"(,"prompt_tokens_details":{"cached_tokens":)" + std::to_string(cached) + "}}";
}

std::string StubEngine::State::event(const Question& q, std::uint64_t from,
                                     std::uint64_t to) const {
  std::string text;
  for (std::uint64_t i = from; i < to; ++i) append_token(text, q.prompt_hash, q.first + i);
  const char* role = from == 0 ? R"("role":"assistant",)" : "";
  return R"(data: {"id":"stub","object":"chat.completion.chunk","created":1,"model":")" +
         config.model + R"(","choices":[{"index":0,"delta":{)" + role + R"("content":")" + text +
         "\"},\"finish_reason\":null}]}\n\n";
}

// Says the tokens when they are due; all that are due go in one write.
net::awaitable<bool> StubEngine::State::say(gateway::Connection& socket, const Question& q,
                                            std::uint64_t cached) {
  ErrorCode error;
  net::steady_timer timer(io);
  const auto an_event = static_cast<std::uint64_t>(config.tokens_an_event);
  Clock::time_point due = Clock::now();
  std::uint64_t said = 0;
  while (said < q.tokens) {
    std::string bytes;
    const Clock::time_point now = Clock::now();
    while (said < q.tokens && due <= now) {
      const std::uint64_t next = std::min(q.tokens, said + an_event);
      bytes += chunk(event(q, said, next));
      due += seconds(static_cast<double>(next - said) * slow.load() / config.tokens_per_s);
      tokens_completion.fetch_add(next - said);
      said = next;
    }
    co_await net::async_write(socket, net::buffer(bytes), into(error));
    if (error) co_return false;
    if (said == q.tokens) break;
    timer.expires_at(due);
    co_await timer.async_wait(into(error));
  }
  std::string end =
      chunk(R"(data: {"id":"stub","object":"chat.completion.chunk","created":1,"model":")" +
            config.model +
            "\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n");
  if (q.usage) {
    end += chunk(R"(data: {"id":"stub","object":"chat.completion.chunk","created":1,"model":")" +
                 config.model + "\",\"choices\":[],\"usage\":" + usage_json(q, cached) + "}\n\n");
  }
  end += chunk("data: [DONE]\n\n") + "0\r\n\r\n";
  co_await net::async_write(socket, net::buffer(end), into(error));
  co_return !error;
}

net::awaitable<void> StubEngine::State::answer(gateway::Connection& socket, const Question& q) {
  ErrorCode error;
  co_await take_place();
  const std::uint64_t cached = std::min(cache.find(q.blocks), q.prompt_tokens);
  cache.insert(q.blocks);
  tokens_prompt.fetch_add(q.prompt_tokens);
  tokens_cached.fetch_add(cached);
  const auto read_s = static_cast<double>(q.prompt_tokens - cached) / config.prompt_tokens_per_s;
  reads_until = std::max(reads_until, Clock::now()) + seconds(read_s * slow.load());
  net::steady_timer timer(io, reads_until);
  co_await timer.async_wait(into(error));
  bool done = false;
  if (q.stream) {
    const std::string header =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        "Connection: close\r\n\r\n";
    co_await net::async_write(socket, net::buffer(header), into(error));
    if (!error) done = co_await say(socket, q, cached);
  } else {
    timer.expires_after(seconds(static_cast<double>(q.tokens) * slow.load() / config.tokens_per_s));
    co_await timer.async_wait(into(error));
    std::string text;
    for (std::uint64_t i = 0; i < q.tokens; ++i) append_token(text, q.prompt_hash, q.first + i);
    tokens_completion.fetch_add(q.tokens);
    const std::string bytes = whole(
        200, R"({"id":"stub","object":"chat.completion","created":1,"model":")" + config.model +
                 R"(","choices":[{"index":0,"message":{"role":"assistant","content":")" + text +
                 R"("},"finish_reason":"length"}],"usage":)" + usage_json(q, cached) + "}");
    co_await net::async_write(socket, net::buffer(bytes), into(error));
    done = !error;
  }
  if (done) answered.fetch_add(1);
  give_place();
}

net::awaitable<void> StubEngine::State::serve(tcp::socket accepted) {
  ErrorCode error;
  accepted.set_option(tcp::no_delay(true), error);
  gateway::Connection socket(std::move(accepted));
  if (config.tls) {
    const std::shared_ptr<net::ssl::context> context = config.tls->context();
    co_await socket.accept_either(*context, error);
  }
  if (error) co_return;
  boost::beast::flat_buffer buffer;
  http::request_parser<http::string_body> parser;
  parser.body_limit(body_bytes_max);
  co_await http::async_read(socket, buffer, parser, into(error));
  if (error) co_return;
  const auto& request = parser.get();
  const std::string_view target(request.target().data(), request.target().size());
  std::string reply;
  if (target == "/v1/models") {
    reply = whole(200, R"({"object":"list","data":[{"id":")" + config.model +
                           R"(","object":"model","created":1,"owned_by":"stub"}]})");
  } else if (target == "/health") {
    reply = whole(200, R"({"status":"ok"})");
  } else if (target == "/stub/slow") {
    const double value = std::strtod(request.body().c_str(), nullptr);
    if (value > 0) slow = value;
    reply = whole(value > 0 ? 200 : 400, "{}");
  } else if (target != "/v1/chat/completions") {
    reply = whole(404, R"({"error":{"message":"no such path","code":404}})");
  }
  if (reply.empty()) {
    requests.fetch_add(1);
    const auto question = read_question(request.body());
    if (question) {
      in_flight.fetch_add(1);
      co_await answer(socket, *question);
      in_flight.fetch_sub(1);
      co_return;
    }
    reply = whole(400, json::serialize(json::object{
                           {"error", {{"message", question.error().message}, {"code", 400}}}}));
  }
  co_await net::async_write(socket, net::buffer(reply), into(error));
}

net::awaitable<void> StubEngine::State::accept() {
  for (;;) {
    ErrorCode error;
    tcp::socket socket(io);
    co_await acceptor.async_accept(socket, into(error));
    if (error == net::error::operation_aborted) co_return;
    if (error) continue;
    net::co_spawn(io, serve(std::move(socket)), net::detached);
  }
}

StubEngine::StubEngine() = default;
StubEngine::StubEngine(StubEngine&&) noexcept = default;
StubEngine& StubEngine::operator=(StubEngine&&) noexcept = default;
StubEngine::~StubEngine() = default;

Result<StubEngine> StubEngine::start(StubConfig config) {
  const bool speeds = config.prompt_tokens_per_s > 0 && config.tokens_per_s > 0 && config.slow > 0;
  if (!speeds || config.places < 1 || config.tokens_an_event < 1) {
    return Error{"stub engine: places, speeds and slow must be above 0"};
  }
  ErrorCode error;
  const auto address = net::ip::make_address(config.address, error);
  if (error) return Error{"stub engine: '" + config.address + "' is not an IP address"};
  const tcp::endpoint endpoint(address, static_cast<std::uint16_t>(config.tcp_port));
  StubEngine engine;
  engine.state_ = std::make_unique<State>(std::move(config));
  State& state = *engine.state_;
  state.acceptor.open(endpoint.protocol(), error);
  if (!error) state.acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) state.acceptor.bind(endpoint, error);
  if (!error) state.acceptor.listen(tcp::socket::max_listen_connections, error);
  if (error) {
    return Error{"stub engine: cannot listen on " + state.config.address + ":" +
                 std::to_string(state.config.tcp_port) + ": " + error.message()};
  }
  net::co_spawn(state.io, state.accept(), net::detached);
  state.thread = gateway::ordinary_thread("stub", [&state] { state.io.run(); });
  return engine;
}

int StubEngine::tcp_port() const { return state_->acceptor.local_endpoint().port(); }
double StubEngine::slow() const { return state_->slow.load(); }
void StubEngine::set_slow(double slow) { state_->slow = slow; }

StubCounters StubEngine::counters() const {
  return {.requests = state_->requests.load(),
          .answered = state_->answered.load(),
          .in_flight = state_->in_flight.load(),
          .queued = state_->queued.load(),
          .tokens_prompt = state_->tokens_prompt.load(),
          .tokens_cached = state_->tokens_cached.load(),
          .tokens_completion = state_->tokens_completion.load()};
}

}  // namespace noroshi::trial
