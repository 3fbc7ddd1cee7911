// One question's meeting of client and sites: two coroutines on one thread, one that carries the
// answer and one that watches the client.

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include "gateway/call.h"
#include "gateway/route/prefix.h"

namespace noroshi::gateway {

namespace {
constexpr std::size_t answer_bytes_max = 64 << 20;  // an answer that is not a stream
constexpr std::size_t pipelined_bytes_max = 64 << 10;
constexpr double store_timeout_s = 30;  // for a usage record
constexpr int sites_tried_max = 3;      // before the first byte, and at each break in the middle
constexpr int completion_tokens_guess = 200;  // of a question without a limit
}  // namespace

struct Meeting {
  Session& client;
  const Asked& asked;
  const Question& question;
  std::string_view body;
  Time received;

  std::optional<Call> call = {};
  Choice choice = {};
  std::vector<std::uint32_t> tried = {};
  Stream stream{question.usage_asked};
  std::string content_hash = {};  // of the model that began the answer
  UsageRecord record = {};

  bool asking = false;   // the choice is to be given to finished() yet
  bool started = false;  // the client has the header of a stream
  bool done = false;     // nothing more to carry
  bool whole = false;    // the client has its answer, so that leaving now is its right
  bool stored = false;   // the usage record
  Answered result = {};

  Metrics& metrics() const { return client.shared.metrics; }
  CallLimits limits() const { return {.silence_max_s = client.shared.config.upstream_timeout_s}; }
};

namespace {

std::uint64_t ns_since(Time start) {
  return static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
}

std::int64_t monotonic_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

std::int64_t unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// What became of one site's part of the answer.
enum class Part : std::uint8_t {
  whole,    // the client has everything
  nothing,  // the client got nothing of it; another site may be asked
  refused,  // the same, because the site is busy or loads
  final,    // nothing, and another site would say the same: result.error
  broken,   // it broke off in the middle
  left,     // the client
  unpaid,   // the usage record is stored nowhere: the client was told
};

// --- To the client ---

template <class Buffers>
net::awaitable<bool> send(Meeting& m, Buffers buffers) {
  ErrorCode error;
  m.client.stream.expires_after(seconds_ns(client_write_timeout_s));
  co_await net::async_write(m.client.stream, buffers, into(error));
  if (error == beast::error::timeout) m.metrics().slow_clients.fetch_add(1);
  if (error) m.result.client_left = true;
  co_return !error;
}

net::awaitable<bool> send_stream_bytes(Meeting& m, std::string_view bytes) {
  if (bytes.empty()) co_return true;
  const net::const_buffer buffer(bytes.data(), bytes.size());
  if (m.asked.version == 10) co_return co_await send(m, buffer);
  co_return co_await send(m, http::make_chunk(buffer));
}

net::awaitable<bool> send_stream_header(Meeting& m) {
  http::response<http::empty_body> header{http::status::ok, m.asked.version};
  header.set(http::field::server, "noroshi");
  header.set("X-Request-Id", m.asked.id);
  header.set("X-Noroshi-Site", m.call->at->name);
  const std::string_view not_resumable = m.question.not_resumable;
  header.set("X-Noroshi-Resumable",
             not_resumable.empty() ? "yes" : "no; " + std::string(not_resumable));
  header.set(http::field::content_type, m.call->parser->get()[http::field::content_type]);
  header.set(http::field::cache_control, "no-cache");
  if (m.asked.version != 10) header.chunked(true);
  if (m.asked.takes_trailers) header.set(http::field::trailer, "X-Noroshi-Resumed");
  header.keep_alive(m.asked.keep_alive && m.asked.version != 10);
  http::response_serializer<http::empty_body> serializer{header};
  ErrorCode error;
  m.client.stream.expires_after(seconds_ns(client_write_timeout_s));
  co_await http::async_write_header(m.client.stream, serializer, into(error));
  if (error) m.result.client_left = true;
  m.started = !error;
  co_return !error;
}

net::awaitable<void> end_stream(Meeting& m, bool keep_alive) {
  if (m.asked.version != 10) {
    bool sent = false;
    if (m.asked.takes_trailers) {
      http::fields trailer;
      trailer.set("X-Noroshi-Resumed", std::to_string(m.stream.times_resumed()));
      sent = co_await send(m, http::make_chunk_last(trailer));
    } else {
      sent = co_await send(m, http::make_chunk_last());
    }
    if (!sent) co_return;
  }
  m.whole = true;
  m.result.keep_alive = keep_alive && m.asked.keep_alive && m.asked.version != 10;
}

// --- Usage ---

void fill_record(Meeting& m, const Usage& usage, bool counted_here, Outcome outcome) {
  m.stored = true;
  m.metrics().add_usage(usage);
  m.result.usage = usage;
  UsageRecord& r = m.record;
  r.id = m.asked.id;
  if (m.asked.tenant) r.tenant = m.client.shared.tenants.at(*m.asked.tenant).name;
  r.model = m.question.model;
  if (m.choice.at) r.site = m.choice.at->name;
  r.endpoint = endpoint_name(m.asked.endpoint);
  r.tokens_prompt = usage.prompt_tokens;
  r.tokens_completion = usage.completion_tokens;
  r.tokens_cached = usage.cached_tokens;
  r.tokens_counted_here = counted_here;
  r.done_ns = unix_ns();
  r.outcome = outcome;
  r.resumed = m.stream.times_resumed();
}

// Waits until the record is stored; false: it is not. Whoever stores may tell from any thread, and
// after the gateway is gone.
net::awaitable<bool> stored(Meeting& m) {
  struct Wait {
    net::steady_timer* timer = nullptr;  // while somebody waits
    bool told = false;
    bool stored = false;
  };
  const auto& store = m.client.shared.calls.store_usage;
  if (!store) co_return true;
  const net::any_io_executor executor = m.client.stream.get_executor();
  net::steady_timer timer(executor, seconds_ns(store_timeout_s));
  const auto wait = std::make_shared<Wait>(Wait{&timer});
  const struct Leave {
    Wait& wait;
    ~Leave() { wait.timer = nullptr; }
  } leave{*wait};
  store(m.record, [wait, executor, gate = m.client.shared.gate](bool is_stored) {
    const std::lock_guard lock(gate->mutex);
    if (!gate->open) return;
    net::post(executor, [wait, is_stored] {
      wait->told = true;
      wait->stored = is_stored;
      if (wait->timer != nullptr) wait->timer->cancel();
    });
  });
  ErrorCode ignored;
  if (!wait->told) co_await timer.async_wait(into(ignored));
  if (!wait->stored) m.metrics().usage_refused.fetch_add(1);
  co_return wait->stored;
}

net::awaitable<bool> store_usage(Meeting& m, const Usage& usage, bool counted_here,
                                 Outcome outcome) {
  if (m.stored) co_return true;
  fill_record(m, usage, counted_here, outcome);
  co_return co_await stored(m);
}

net::awaitable<bool> store_stream_usage(Meeting& m, Outcome outcome) {
  co_return co_await store_usage(m, m.stream.usage(), m.stream.counted_here(), outcome);
}

// --- One site's part ---

net::awaitable<Part> stream_unpaid(Meeting& m) {
  m.metrics().requests_failed.fetch_add(1);
  // Named: g++ 12 forgets a temporary of a condition that waits.
  const std::string event = error_event(api_error::not_metered());
  if (co_await send_stream_bytes(m, event)) co_await end_stream(m, false);
  co_return Part::unpaid;
}

// Whole events go on as they come.
net::awaitable<Part> pass_stream(Meeting& m) {
  ErrorCode error;
  const bool ends_with_connection = m.call->parser->need_eof();
  if (!m.started) {
    if (!co_await send_stream_header(m)) co_return Part::left;
  } else {
    m.stream.resume();
    m.metrics().streams_resumed.fetch_add(1);
    const std::string mark = ": noroshi resumed site=" + m.call->at->name +
                             " at_token=" + std::to_string(m.stream.tokens_sent()) + "\n\n";
    if (!co_await send_stream_bytes(m, mark)) co_return Part::left;
  }
  for (;;) {
    const std::string_view bytes = co_await next_bytes(*m.call, m.limits(), error);
    if (m.result.client_left) co_return Part::left;
    if (bytes.empty()) break;
    const bool had_content = m.stream.has_content();
    const std::string_view events = m.stream.feed(bytes);
    if (m.record.first_byte_ns == 0 && !events.empty()) m.record.first_byte_ns = unix_ns();
    if (m.stream.done() && !co_await store_stream_usage(m, Outcome::answered)) {
      co_return co_await stream_unpaid(m);
    }
    if (!co_await send_stream_bytes(m, events)) co_return Part::left;
    if (!had_content && m.stream.has_content()) {
      m.metrics().add_first_token_ns(ns_since(m.received));
    }
    if (!m.stream.failure().empty()) break;
  }
  if (!m.stream.failure().empty()) {
    m.call->failure = "broke off and said: " + m.stream.failure();
    co_return Part::broken;
  }
  if (error || (ends_with_connection && !m.stream.done())) {
    m.call->failure = error == beast::error::timeout ? "stopped speaking" : "went away";
    if (!m.stream.done()) co_return Part::broken;
  }
  give_back(*m.call, m.client.local.pool);
  if (!co_await store_stream_usage(m, Outcome::answered)) co_return co_await stream_unpaid(m);
  co_await end_stream(m, true);
  co_return m.whole ? Part::whole : Part::left;
}

// Anything that is not a stream is read whole, so that it can be checked and metered.
net::awaitable<Part> pass_body(Meeting& m) {
  const int status = m.call->parser->get().result_int();
  std::string answer;
  ErrorCode error;
  for (;;) {
    const std::string_view bytes = co_await next_bytes(*m.call, m.limits(), error);
    if (m.result.client_left) co_return Part::left;
    if (bytes.empty()) break;
    if (answer.size() + bytes.size() > answer_bytes_max) {
      m.call->failure = "sends an answer of more than 64 MiB";
      co_return Part::nothing;
    }
    answer.append(bytes);
  }
  if (error) {
    m.call->failure = "broke off in its answer (" + error.message() + ")";
    co_return Part::nothing;
  }
  give_back(*m.call, m.client.local.pool);
  if (status != 200) {
    m.result.error = from_engine(status, answer);
    const int told = m.result.error->status;
    if (told == 429 || told == 503) co_return Part::refused;
    if (told >= 500 && told != 501) {
      m.call->failure = "failed: " + m.result.error->message;
      co_return Part::nothing;
    }
    co_return Part::final;
  }
  if (m.started) {
    m.call->failure = "does not stream";
    co_return Part::nothing;
  }
  const EngineJson read = read_engine_json(answer);
  if (!read.json) {
    m.call->failure = "answered something that is not JSON";
    co_return Part::nothing;
  }
  m.record.first_byte_ns = unix_ns();
  const Usage usage = read.usage.value_or(Usage{});
  if (!co_await store_usage(m, usage, !read.usage, Outcome::answered)) {
    m.result.error = api_error::not_metered();
    co_return Part::unpaid;
  }
  Reply reply{200, std::move(answer)};
  reply.site = m.call->at->name;
  m.result.keep_alive = co_await respond(m.client, m.asked, std::move(reply));
  m.whole = true;
  co_return Part::whole;
}

net::awaitable<Part> one_part(Meeting& m, std::string_view body) {
  m.call.emplace(m.choice.at, m.choice.site, m.client.stream.get_executor());
  const bool answered =
      co_await ask(*m.call, m.client.local.pool, m.limits(), m.asked.endpoint, m.asked.id, body);
  if (m.result.client_left) co_return Part::left;
  if (!answered) {
    if (m.call->stopped) m.call->failure = "is lost";
    co_return Part::nothing;
  }
  if (m.call->is_stream()) co_return co_await pass_stream(m);
  co_return co_await pass_body(m);
}

// --- All parts ---

// False: no site has the model and was not tried.
bool choose(Meeting& m) {
  Shared& shared = m.client.shared;
  shared.refresh();
  Ask ask;
  ask.model = m.question.model;
  ask.content_hash = m.content_hash;
  ask.prefix_blocks = m.question.prefix_blocks;
  ask.session = m.asked.session != 0 ? m.asked.session : m.question.session;
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
  const Time from = std::chrono::steady_clock::now();
  const std::uint64_t tokens_before = m.stream.tokens_sent();
  m.result.error.reset();
  m.asking = true;
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
  Part part = Part::final;
  for (int tried = 0; tried < sites_tried_max; ++tried) {
    const std::optional<ApiError> before = m.result.error;
    if (!choose(m)) {
      if (!before) m.result.error = api_error::engine_not_ready();
      break;
    }
    if (tried > 0) m.metrics().requests_retried.fetch_add(1);
    m.content_hash = m.choice.content_hash;
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
    if (!error) {
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
