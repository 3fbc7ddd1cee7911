#include "trial/replay.h"

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <memory>

#include "base/clock.h"
#include "gateway/gateway.h"

namespace noroshi::trial {
namespace {

namespace net = boost::asio;
using tcp = net::ip::tcp;
using ErrorCode = boost::system::error_code;
using Clock = std::chrono::steady_clock;

auto into(ErrorCode& error) { return net::redirect_error(net::use_awaitable, error); }

struct Answer {
  int status = 0;
  bool whole = false;
  double first_token_s = 0;  // of our time
  double answer_s = 0;
  Clock::time_point done = {};
};

// The sites' engines and what the router is told of them.
struct Sites {
  std::vector<StubEngine> engines;
  std::vector<gateway::SiteState> states;
  StubConfig config;

  static Result<Sites> start(int sites, StubConfig config, double speed) {
    Sites all;
    all.config = config;
    config.prompt_tokens_per_s *= speed;
    config.tokens_per_s *= speed;
    for (int i = 0; i < sites; ++i) {
      auto engine = StubEngine::start(config);
      if (!engine) return engine.error();
      gateway::SiteState state;
      state.name = "site" + std::to_string(i + 1);
      state.instance = 1;
      state.region = "here";
      state.host = "127.0.0.1";
      state.tcp_port = engine->tcp_port();
      state.ready = true;
      state.rtt_ms = 0.1;
      gateway::ModelAtSite model;
      model.name = config.model;
      model.places = config.places;
      model.prompt_tokens_per_s = config.prompt_tokens_per_s;
      model.tokens_per_s = config.tokens_per_s;
      model.cache_tokens = static_cast<int>(std::min<std::uint64_t>(config.cache_tokens, 1 << 30));
      state.models = {model};
      all.engines.push_back(*std::move(engine));
      all.states.push_back(std::move(state));
    }
    return all;
  }
  // What heartbeats would say.
  Result<void> report(gateway::Router& router) {
    MonotonicClock clock;
    for (std::size_t i = 0; i < engines.size(); ++i) {
      const StubCounters now = engines[i].counters();
      gateway::ModelAtSite& model = states[i].models.front();
      model.requests_queued = static_cast<int>(now.queued);
      model.requests_in_flight =
          static_cast<int>(now.in_flight - std::min(now.in_flight, now.queued));
      states[i].received_at_ns = clock.now_ns();
      if (auto updated = router.update(states[i]); !updated) return updated;
    }
    return {};
  }
};

std::string request_of(const TraceRequest& request, const std::string& model) {
  const std::string body =
      R"({"model":")" + model + R"(","max_tokens":)" + std::to_string(request.completion_tokens) +
      R"(,"stream":true,"messages":[{"role":"user","content":")" + trace_prompt(request) + "\"}]}";
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
         "Connection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

net::awaitable<void> ask(tcp::endpoint place, const TraceRequest& request, std::string model,
                         Clock::time_point due, Answer& answer) {
  const auto executor = co_await net::this_coro::executor;
  ErrorCode error;
  net::steady_timer timer(executor, due);
  co_await timer.async_wait(into(error));
  const std::string bytes = request_of(request, model);
  const Clock::time_point asked = Clock::now();
  tcp::socket socket(executor);
  co_await socket.async_connect(place, into(error));
  if (error) co_return;
  co_await net::async_write(socket, net::buffer(bytes), into(error));
  // The engine's words are checked elsewhere (clients.h); here only their time counts.
  std::array<char, 16384> buffer;
  std::string tail;  // what may hold the beginning of a mark
  while (!error) {
    const std::size_t size = co_await socket.async_read_some(net::buffer(buffer), into(error));
    tail.append(buffer.data(), size);
    if (answer.status == 0 && tail.size() > 12) answer.status = std::atoi(tail.c_str() + 9);
    if (answer.first_token_s == 0 && tail.find("\"content\"") != std::string::npos) {
      answer.first_token_s = std::chrono::duration<double>(Clock::now() - asked).count();
    }
    if (tail.find("data: [DONE]") != std::string::npos) {
      answer.whole = true;
      break;
    }
    if (tail.size() > 64 && answer.first_token_s > 0) tail.erase(0, tail.size() - 64);
  }
  answer.done = Clock::now();
  answer.answer_s = std::chrono::duration<double>(answer.done - asked).count();
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto at = static_cast<std::size_t>(q * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

void summarise(const std::vector<TraceRequest>& trace, const std::vector<Answer>& answers,
               Clock::time_point from, double speed, ReplayOutcome& outcome) {
  std::vector<double> first, last;
  Clock::time_point end = from;
  double tokens = 0;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    const Answer& answer = answers[i];
    ++outcome.requests;
    end = std::max(end, answer.done);
    if (answer.whole && answer.status == 200) {
      ++outcome.whole;
      first.push_back(answer.first_token_s * speed);
      last.push_back(answer.answer_s * speed);
      tokens += trace[i].completion_tokens;
    } else if (answer.status == 429 || answer.status == 503) {
      ++outcome.refused;
    } else {
      ++outcome.failed;
    }
  }
  outcome.seconds = std::chrono::duration<double>(end - from).count() * speed;
  outcome.tokens_per_s = tokens / outcome.seconds;
  outcome.first_token_s_p50 = quantile(first, 0.5);
  outcome.first_token_s_p99 = quantile(first, 0.99);
  outcome.answer_s_p50 = quantile(last, 0.5);
  outcome.answer_s_p99 = quantile(last, 0.99);
  outcome.ideal_cached_share = ideal_cached_share(trace);
}

Result<ReplayOutcome> replay(const std::vector<TraceRequest>& trace, int sites,
                             const StubConfig& config, double speed) {
  auto all = Sites::start(sites, config, speed);
  if (!all) return all.error();
  gateway::Router router;
  if (auto told = all->report(router); !told) return told.error();
  gateway::GatewayConfig gateway_config;
  gateway_config.port = 0;
  gateway_config.requests_in_flight_max = 4096;
  gateway_config.connections_max = 8192;
  gateway_config.queue_wait_max_s = 600;
  gateway::GatewayCalls calls;
  calls.refresh = [&](gateway::Router& r) { static_cast<void>(all->report(r)); };
  auto gateway = gateway::Gateway::start(gateway_config, router, calls);
  if (!gateway) return gateway.error();

  net::io_context io{1};
  const tcp::endpoint place(net::ip::address_v4::loopback(),
                            static_cast<std::uint16_t>(gateway->tcp_port()));
  std::vector<Answer> answers(trace.size());
  const Clock::time_point from = Clock::now() + std::chrono::milliseconds(50);
  for (std::size_t i = 0; i < trace.size(); ++i) {
    const auto due = from + std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(trace[i].at_s / speed));
    net::co_spawn(io, ask(place, trace[i], config.model, due, answers[i]), net::detached);
  }
  io.run();

  ReplayOutcome outcome;
  outcome.sites = sites;
  summarise(trace, answers, from, speed, outcome);
  double prompt = 0, cached = 0, requests = 0;
  for (const StubEngine& engine : all->engines) {
    const StubCounters now = engine.counters();
    prompt += static_cast<double>(now.tokens_prompt);
    cached += static_cast<double>(now.tokens_cached);
    requests += static_cast<double>(now.requests);
  }
  outcome.cached_share = prompt > 0 ? cached / prompt : 0;
  for (const StubEngine& engine : all->engines) {
    outcome.share_of_site.push_back(static_cast<double>(engine.counters().requests) / requests);
  }
  return outcome;
}

}  // namespace

Result<std::vector<ReplayOutcome>> run_replay(const ReplayOptions& options) {
  if (options.requests < 1 || !(options.speed > 0)) {
    return Error{"replay: requests and speed must be above 0"};
  }
  std::vector<TraceRequest> trace;
  if (options.trace_path.empty()) {
    trace = make_trace({.requests = options.requests});
  } else {
    auto read = read_trace(options.trace_path, options.requests);
    if (!read) return read.error();
    trace = *std::move(read);
  }
  StubConfig one = options.site;
  one.places *= 4;
  one.prompt_tokens_per_s *= 4;
  one.cache_tokens *= 4;
  std::vector<ReplayOutcome> outcomes;
  for (const auto& [sites, config] : {std::pair(4, options.site), std::pair(1, one)}) {
    auto outcome = replay(trace, sites, config, options.speed);
    if (!outcome) return outcome.error();
    outcomes.push_back(*std::move(outcome));
  }
  return outcomes;
}

}  // namespace noroshi::trial
