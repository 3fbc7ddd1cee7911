// One question's meeting of client and sites: two coroutines on one thread, one that carries the
// answer and one that watches the client.

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include "gateway/context.h"
#include "gateway/meeting.h"
#include "gateway/route/prefix.h"

namespace noroshi::gateway {
namespace {

constexpr std::size_t pipelined_bytes_max = 64 << 10;
constexpr int sites_tried_max = 3;  // before the first byte, and at each break in the middle
constexpr int completion_tokens_guess = 200;  // of a question without a limit

// False: no site has the model and was not tried.
bool choose(Meeting& m) {
  Shared& shared = m.client.shared;
  shared.refresh();
  Ask ask;
  ask.model = m.question.model;
  ask.content_hash = m.content_hash;
  ask.prefix_blocks = m.question.prefix_blocks;
  ask.session = m.session;
  ask.prompt_tokens =
      static_cast<int>(m.question.prompt_bytes / bytes_per_token + m.stream.tokens_sent());
  ask.completion_tokens = m.question.completion_tokens_max.value_or(completion_tokens_guess);
  ask.tried = m.tried;
  Choice choice = shared.router.choose(ask, monotonic_ns());
  if (!choice.at) return false;
  m.choice = std::move(choice);
  return true;
}

Fate fate_of(Part part) {
  switch (part) {
    case Part::whole:
      return Fate::answered;
    case Part::refused:
      return Fate::refused;
    case Part::nothing:
    case Part::broken:
      return Fate::failed;
    case Part::final:
    case Part::unpaid:
    case Part::left:
      break;
  }
  return Fate::left;
}

// Asks the chosen site and tells the router how it fared.
net::awaitable<Part> ask_chosen(Meeting& m, std::string_view body) {
  const std::uint64_t tokens_before = m.stream.tokens_sent();
  m.result.error.reset();
  m.asking = true;
  if (!m.started) co_await fetch_context(m);
  if (m.result.client_left) {
    m.asking = false;
    m.client.shared.router.finished(m.choice, {Fate::left}, monotonic_ns());
    co_return Part::left;
  }
  const Time from = std::chrono::steady_clock::now();
  const Part part = co_await one_part(m, body);
  const std::uint64_t tokens = std::max(m.result.usage.completion_tokens, m.stream.tokens_sent());
  const Fared fared{fate_of(part), static_cast<double>(ns_since(from)) / 1e9,
                    static_cast<int>(tokens - std::min(tokens, tokens_before))};
  m.asking = false;
  m.client.shared.router.finished(m.choice, fared, monotonic_ns());
  if (part == Part::nothing || part == Part::refused || part == Part::broken) {
    m.tried.push_back(m.choice.site);
  }
  if (part == Part::nothing) {
    m.result.error =
        api_error::engine_failed("No answer: " + m.call->place() + " " + m.call->failure + ".");
  }
  co_return part;
}

// Sites are asked until one answers.
net::awaitable<Part> first_part(Meeting& m, std::string_view body) {
  Shared& shared = m.client.shared;
  Part part = Part::final;
  for (int tried = 0; tried < sites_tried_max; ++tried) {
    const std::optional<ApiError> before = m.result.error;
    if (!choose(m)) {
      if (!before) m.result.error = api_error::engine_not_ready(m.question.model);
      break;
    }
    if (tried > 0) m.metrics().requests_retried.fetch_add(1);
    m.content_hash = m.choice.content_hash;
    // A further site's session comes from where it was before the first was tried.
    if (tried == 0 && m.choice.previous_same_model) {
      const auto before_it = shared.router.address(m.choice.previous);
      if (before_it) m.context_from = before_it->region + "/" + before_it->name;
    }
    part = co_await ask_chosen(m, body);
    if (part != Part::nothing && part != Part::refused) break;
    m.content_hash.clear();  // nothing was said yet: any content will do
  }
  co_return part;
}

net::awaitable<Part> end_broken(Meeting& m, const std::string& why) {
  m.metrics().streams_cut.fetch_add(1);
  m.metrics().requests_failed.fetch_add(1);
  co_await store_stream_usage(m, Outcome::cut);
  const std::string event =
      error_event(api_error::engine_failed("The answer is not whole: " + why));
  if (co_await send_stream_bytes(m, event)) co_await end_stream(m, false);
  co_return m.whole ? Part::whole : Part::left;
}

// Only the end is missing, which needs no model.
net::awaitable<Part> close_whole(Meeting& m) {
  const std::string events = m.stream.closing_events();
  if (!co_await store_stream_usage(m, Outcome::answered)) co_return co_await stream_unpaid(m);
  if (co_await send_stream_bytes(m, events)) co_await end_stream(m, true);
  co_return m.whole ? Part::whole : Part::left;
}

// A stream broke off: it goes on elsewhere, from the text that the client has.
net::awaitable<Part> further_part(Meeting& m) {
  std::string why = m.call->place() + " " + m.call->failure + ".";
  if (m.stream.finished()) co_return co_await close_whole(m);
  std::string body(m.body);
  if (m.stream.has_content()) {
    std::string_view obstacle = m.question.not_resumable;
    if (obstacle.empty()) obstacle = m.stream.not_resumable();
    if (!obstacle.empty()) {
      why += " It cannot go on at another site: " + std::string(obstacle) + ".";
      co_return co_await end_broken(m, why);
    }
    auto continued =
        continuation_body(m.asked.endpoint, m.body, m.stream.text(), m.stream.tokens_sent());
    if (!continued) co_return co_await close_whole(m);
    body = *std::move(continued);
  }
  if (!m.question.usage_asked) body = body_with_usage(body, m.question.has_stream_options);
  for (int tried = 0; tried < sites_tried_max; ++tried) {
    if (!choose(m)) break;
    const Part part = co_await ask_chosen(m, body);
    if (part == Part::final) why += " " + m.call->place() + " refused to go on.";
    if (part != Part::nothing && part != Part::refused && part != Part::final) co_return part;
  }
  why += " No other site went on.";
  co_return co_await end_broken(m, why);
}

// From the question to the last byte of the answer.
net::awaitable<void> carry(Meeting& m) {
  std::string asking;
  if (m.question.stream && !m.question.usage_asked) {
    asking = body_with_usage(m.body, m.question.has_stream_options);
  }
  Part part = co_await first_part(m, asking.empty() ? m.body : std::string_view(asking));
  while (part == Part::broken) part = co_await further_part(m);

  m.result.client_left = m.result.client_left && !m.whole;
  if (m.result.client_left) {
    m.metrics().finished(m.asked.endpoint, 499);
    // What was made for it is to be paid.
    if (m.stream.has_content()) co_await store_stream_usage(m, Outcome::client_left);
  } else if (m.started) {
    m.result.error.reset();
    m.metrics().finished(m.asked.endpoint, 200);  // respond() counts the others
  }
  if (m.whole) m.metrics().answer.add_ns(ns_since(m.received));
  m.done = true;
  ErrorCode ignored;
  m.client.stream.socket().cancel(ignored);  // the watch
}

// Ends when the answer is carried, or stops the call when the client leaves. What a client sends
// meanwhile is its next request: it is kept, up to a limit.
net::awaitable<void> watch(Meeting& m) {
  tcp::socket& socket = m.client.stream.socket();
  while (!m.done && m.client.buffer.size() < pipelined_bytes_max) {
    ErrorCode error;
    co_await socket.async_wait(tcp::socket::wait_read, into(error));
    if (m.done) break;
    if (!error && m.client.stream.tls() != nullptr) {
      m.client.stream.expires_never();  // of this read alone
      m.client.buffer.commit(
          co_await m.client.stream.async_read_some(m.client.buffer.prepare(4096), into(error)));
      if (m.done) break;
    } else if (!error) {
      const std::size_t size = socket.read_some(m.client.buffer.prepare(4096), error);
      m.client.buffer.commit(size);
      if (error == net::error::would_block) error = {};
    }
    if (error) {
      m.result.client_left = true;
      if (m.call) m.call->stop();
      break;
    }
  }
}

}  // namespace

void close_lost_calls(Shared& shared, Local& local) {
  for (Meeting* m : local.meetings) {
    if (m->call && !m->done && !shared.router.address(m->call->site)) m->call->stop();
  }
}

net::awaitable<Answered> answer(Session& client, const Asked& asked, const Question& question,
                                std::string_view body, Time received) {
  using namespace net::experimental::awaitable_operators;
  Meeting meeting{client, asked, question, body, received};
  name_session(meeting);
  meeting.record.received_ns = unix_ns() - static_cast<std::int64_t>(ns_since(received));
  client.local.meetings.insert(&meeting);
  // Also when the gateway stops in the middle.
  const struct Leave {
    Meeting& m;
    ~Leave() {
      m.client.local.meetings.erase(&m);
      if (m.asking) m.client.shared.router.finished(m.choice, {Fate::left}, monotonic_ns());
      if (!m.stream.has_content() || m.stored) return;
      fill_record(m, m.stream.usage(), m.stream.counted_here(), Outcome::client_left);
      const auto& store = m.client.shared.calls.store_usage;
      if (store) store(m.record, [](bool) {});
    }
  } leave{meeting};
  co_await (carry(meeting) && watch(meeting));
  co_return meeting.result;
}

}  // namespace noroshi::gateway
