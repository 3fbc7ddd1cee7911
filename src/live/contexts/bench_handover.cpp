#include "live/contexts/bench_handover.h"

#include <stdlib.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/model_make.h"
#include "fleet/nats_bus.h"
#include "fleet/nats_server.h"
#include "gateway/openai.h"
#include "gateway/url.h"
#include "live/contexts/folder.h"
#include "live/contexts/mover.h"

namespace noroshi::live {
namespace {

namespace http = boost::beast::http;
namespace json = boost::json;
using tcp = boost::asio::ip::tcp;

constexpr double start_timeout_s = 60;
constexpr int slots = 3;  // of an engine: no measurement finds what another left

struct Row {
  int tokens = 0;
  double computing_s = 0;
  double moving_s = 0;  // until the engine has it
  double after_s = 0;   // the same prompt then
  int cached = 0;       // of it, as the engine says
  std::string taken;    // what the rule does with what it has learned
};

// Who holds a session's last turn, and its engine.
struct Site {
  ContextFolder folder;
  std::unique_ptr<engine::Engine> engine;
  std::shared_ptr<gateway::SiteAddress> address = std::make_shared<gateway::SiteAddress>();
  std::unique_ptr<fleet::Bus> bus;
  MonotonicClock clock;
  std::uint32_t seed = 0;  // of its last turn
  std::unique_ptr<ContextMover> mover;
};

Result<void> start_site(Site& site, const std::string& name, const std::string& model_path,
                        int context_tokens, const std::string& nats_url) {
  auto folder = ContextFolder::make("");
  if (!folder) return folder.error();
  site.folder = *std::move(folder);
  engine::EngineConfig config;
  config.model_path = model_path;
  config.model_name = "m";
  config.threads = 1;
  config.parallel = slots;
  config.context_tokens = slots * context_tokens;
  config.embeddings = false;
  // The load models say 4096, which binds nobody: their weights are random.
  config.arguments = {"--override-kv",
                      "llama.context_length=int:" + std::to_string(context_tokens)};
  config.idle_class = false;
  config.context_folder = site.folder.path();
  site.engine = std::make_unique<engine::Engine>(std::move(config));
  if (auto started = site.engine->start(); !started) return started;
  if (auto ready = site.engine->wait_ready(start_timeout_s); !ready) return ready;
  const auto url = gateway::parse_http_url(site.engine->status().url);
  if (!url) return url.error();
  site.address->host = url->host;
  site.address->tcp_port = url->tcp_port;
  auto bus = fleet::connect_nats({.urls = {nats_url}, .name = name}, start_timeout_s);
  if (!bus) return bus.error();
  site.bus = *std::move(bus);
  if (auto made = fleet::ensure_session_store(*site.bus, start_timeout_s); !made) return made;
  site.mover = std::make_unique<ContextMover>(
      *site.bus, site.clock,
      MoverConfig{
          .region = "bench", .site = name, .folder = site.folder.path(), .bytes_max = 1u << 30},
      MoverCalls{.last_turn =
                     [&site](std::string_view) {
                       return std::optional(gateway::TurnPlace{site.address, site.seed});
                     },
                 .content_of = [](int) { return std::string("one model"); }});
  return site.mover->start();
}

struct Answer {
  double seconds = 0;
  gateway::Usage usage = {};
};

// The prompt, and one token.
Result<Answer> ask(Site& site, const std::string& prompt, std::uint32_t seed) {
  boost::system::error_code error;
  boost::asio::io_context io;
  tcp::socket socket(io);
  const auto from = site.clock.now_ns();
  socket.connect(
      {boost::asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(site.address->tcp_port)},
      error);
  http::request<http::string_body> request{http::verb::post, "/v1/completions", 11};
  request.set(http::field::content_type, "application/json");
  request.body() = json::serialize(
      json::object{{"model", "m"}, {"prompt", prompt}, {"max_tokens", 1}, {"seed", seed}});
  request.prepare_payload();
  boost::beast::flat_buffer buffer;
  http::response<http::string_body> response;
  if (!error) http::write(socket, request, error);
  if (!error) http::read(socket, buffer, response, error);
  if (error) return Error{"the engine: " + error.message()};
  const gateway::EngineJson read = gateway::read_engine_json(response.body());
  if (response.result() != http::status::ok || !read.usage) {
    return Error{"the engine answered " + std::to_string(response.result_int()) + " " +
                 response.body().substr(0, 300)};
  }
  site.seed = seed;
  return Answer{static_cast<double>(site.clock.now_ns() - from) / 1e9, *read.usage};
}

gateway::ContextFetched fetch(Site& to, const std::string& from, int tokens, double tokens_per_s) {
  std::promise<gateway::ContextFetched> told;
  to.mover->fetch({.session = "bench",
                   .from = from,
                   .engine = to.address,
                   .tokens = tokens,
                   .prompt_tokens_per_s = tokens_per_s},
                  [&](gateway::ContextFetched fetched) { told.set_value(std::move(fetched)); });
  return told.get_future().get();
}

// Text of about so many tokens that begins as no other.
std::string text_of(int number, double bytes) {
  std::string text = std::to_string(number) + " times ";
  while (static_cast<double>(text.size()) < bytes) text += "a fire on the hill answers the first ";
  text.resize(static_cast<std::size_t>(bytes));
  return text;
}

struct Bench {
  Site a, b;
  int asked = 0;
  double bytes_per_token = 1;

  Result<Row> measure(int tokens) {
    const double bytes = tokens * bytes_per_token;
    const auto next = [this] { return static_cast<std::uint32_t>(++asked); };
    const auto computed = ask(b, text_of(asked, bytes), next());
    if (!computed) return computed.error();
    const std::string prompt = text_of(asked, bytes);
    const auto held = ask(a, prompt, next());
    if (!held) return held.error();
    Row row;
    row.tokens = static_cast<int>(held->usage.prompt_tokens);
    row.computing_s = computed->seconds;
    const std::int64_t from = b.clock.now_ns();
    // As if it were very slow, so that moving is tried whatever it costs.
    const auto moved = fetch(b, "bench/a", row.tokens, 0.1);
    if (moved.tokens == 0) return Error{"moving " + std::to_string(tokens) + ": " + moved.why};
    row.moving_s = static_cast<double>(b.clock.now_ns() - from) / 1e9;
    const auto after = ask(b, prompt, next());
    if (!after) return after.error();
    row.after_s = after->seconds;
    row.cached = static_cast<int>(after->usage.cached_tokens);
    const auto taken = fetch(b, "bench/a", row.tokens, row.tokens / row.computing_s);
    row.taken = taken.tokens > 0 ? "moved" : taken.tried ? "failed" : "computed";
    return row;
  }
};

Result<std::vector<Row>> run(const BenchHandoverOptions& options) {
  if (options.tokens.empty() || std::ranges::min(options.tokens) < 1 ||
      std::ranges::max(options.tokens) > 1'000'000) {
    return Error{"--tokens must be numbers from 1 to 1000000"};
  }
  auto folder = ContextFolder::make("");
  if (!folder) return folder.error();
  std::string model_path = options.model_path;
  if (model_path.empty()) {
    model_path = folder->path() + "/tiny.gguf";
    const auto shape = engine::model_preset("tiny");
    if (!shape) return shape.error();
    if (auto made = engine::model_make(*shape, 1, model_path, [](double) {}); !made) {
      return made.error();
    }
  }
  auto server = fleet::NatsServer::start(
      {.folder = folder->path() + "/nats", .memory_bytes_max = std::int64_t{2} << 30},
      start_timeout_s);
  if (!server) return server.error();
  Bench bench;
  const int context_tokens = std::ranges::max(options.tokens) + 512;
  for (const auto& [site, name] : {std::pair(&bench.a, "a"), std::pair(&bench.b, "b")}) {
    auto started = start_site(*site, name, model_path, context_tokens, server->status().url);
    if (!started) return started.error();
  }
  const auto first = ask(bench.a, text_of(0, 400), 999);
  if (!first) return first.error();
  bench.bytes_per_token =
      400.0 / static_cast<double>(std::max<std::uint64_t>(1, first->usage.prompt_tokens));
  bench.asked = 1000;
  std::vector<Row> rows;
  for (const int tokens : options.tokens) {
    auto row = bench.measure(tokens);
    if (!row) return row.error();
    rows.push_back(*std::move(row));
  }
  return rows;
}

}  // namespace

int run_bench_handover(const BenchHandoverOptions& options) {
  const auto rows = run(options);
  if (!rows) {
    std::fprintf(stderr, "noroshi bench handover: %s\n", rows.error().message.c_str());
    return 1;
  }
  json::array out;
  if (!options.json) {
    std::printf("%8s %12s %12s %12s %8s  %s\n", "tokens", "compute", "move", "then answer",
                "cached", "the rule");
  }
  for (const Row& row : *rows) {
    out.push_back(json::object{{"tokens", row.tokens},
                               {"compute_s", row.computing_s},
                               {"move_s", row.moving_s},
                               {"answer_after_move_s", row.after_s},
                               {"cached_tokens", row.cached},
                               {"rule", row.taken}});
    if (!options.json) {
      std::printf("%8d %9.1f ms %9.1f ms %9.1f ms %8d  %s\n", row.tokens, row.computing_s * 1e3,
                  row.moving_s * 1e3, row.after_s * 1e3, row.cached, row.taken.c_str());
    }
  }
  if (options.json) std::printf("%s\n", json::serialize(out).c_str());
  return 0;
}

}  // namespace noroshi::live
