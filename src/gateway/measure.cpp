#include "gateway/measure.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/json.hpp>

#include "base/prng.h"
#include "gateway/answer_clock.h"
#include "gateway/call.h"

namespace noroshi::gateway {
namespace {

constexpr int words = 96;  // of the question: one or two tokens each
constexpr int tokens = 32;
constexpr double look_interval_s_max = 1;
constexpr double silence_s_max = 30;
constexpr int prompt_tokens = 128;  // about

bool is_busy(const Shared& shared, const std::string& model) {
  const Admission* admission = shared.admissions.find(model);
  return admission != nullptr && admission->at_engine() + admission->waiting() > 0;
}

// No engine has its beginning in its cache.
std::string question(const std::string& model, Prng& prng) {
  static constexpr const char* some[] = {"hill", "smoke", "signal", "tower",
                                         "fire", "night", "road",   "sea"};
  std::string text = std::to_string(prng());
  for (int i = 0; i < words; ++i) text.append(" ").append(some[prng.below(std::size(some))]);
  return boost::json::serialize(boost::json::object{
      {"model", model},
      {"max_tokens", tokens},
      {"ignore_eos", true},  // llama-server and vLLM: the answer has all its tokens
      {"stream", true},
      {"stream_options", {{"include_usage", true}}},
      {"messages", boost::json::array{{{"role", "user"}, {"content", text}}}}});
}

// False: it gave no whole answer.
net::awaitable<bool> read_answer(Call& call, const CallLimits& limits, Stream& stream,
                                 AnswerClock& clock) {
  ErrorCode error;
  while (!stream.done() && stream.failure().empty()) {
    const std::string_view bytes = co_await next_bytes(call, limits, error);
    if (bytes.empty()) break;
    const std::uint64_t before = stream.tokens_sent();
    stream.feed(bytes);
    if (stream.tokens_sent() > before) clock.content(stream.tokens_sent());
  }
  co_return stream.done();
}

// An engine that does not answer says nothing of its speed; that it is ill is others' to find out.
net::awaitable<void> measure(Shared& shared, Local& local, const std::string& model, Prng& prng) {
  const Choice choice = shared.router.choose(
      {.model = model, .prompt_tokens = prompt_tokens, .completion_tokens = tokens},
      monotonic_ns());
  if (!choice.at) co_return;
  const CallLimits limits{.silence_max_s =
                              std::min(silence_s_max, shared.config.upstream_timeout_s)};
  Call call(choice.at, choice.site, co_await net::this_coro::executor);
  Stream stream(true);
  AnswerClock clock{.asked = std::chrono::steady_clock::now()};
  const std::string body = question(model, prng);
  const bool answered =
      co_await ask(call, local.pool, limits, {.endpoint = Endpoint::chat, .body = body}) &&
      call.is_stream() && co_await read_answer(call, limits, stream, clock);
  shared.router.finished(choice, {Fate::left}, monotonic_ns());
  if (!answered) co_return;
  const Capacity capacity = shared.router.capacity(model);
  const EngineLoad load{.others = is_busy(shared, model) ? 1.0 : 0.0,
                        .places = static_cast<double>(capacity.places),
                        .share = capacity.share};
  shared.speeds.measured(model, clock.times(stream.usage(), stream.prompt_time()), load);
  shared.metrics.measured.fetch_add(1);
}

}  // namespace

net::awaitable<void> measure_idle_models(Shared& shared, Local& local) {
  const double idle_s = shared.config.measure_idle_s;
  IdleWatch watch(idle_s);
  Prng prng(
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()));
  net::steady_timer timer(co_await net::this_coro::executor);
  for (;;) {
    timer.expires_after(seconds_ns(std::min(look_interval_s_max, idle_s / 4)));
    ErrorCode error;
    co_await timer.async_wait(into(error));
    shared.refresh();
    for (const std::string& model : shared.router.models()) {
      const bool due = watch.due(model, shared.speeds.answers(model), is_busy(shared, model),
                                 std::chrono::steady_clock::now());
      if (due) co_await measure(shared, local, model, prng);
    }
  }
}

}  // namespace noroshi::gateway
