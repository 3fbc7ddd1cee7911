// One site's part of an answer: asked, passed on, metered.

#include <algorithm>
#include <boost/asio/write.hpp>

#include "gateway/context.h"
#include "gateway/distance.h"
#include "gateway/meeting.h"
#include "gateway/told.h"

namespace noroshi::gateway {
namespace {

constexpr std::size_t answer_bytes_max = 64 << 20;  // an answer that is not a stream
constexpr double store_timeout_s = 30;              // for a usage record

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

net::awaitable<bool> send_stream_header(Meeting& m) {
  http::response<http::empty_body> header{http::status::ok, m.asked.version};
  header.set(http::field::server, "noroshi");
  header.set("X-Request-Id", m.asked.id);
  header.set("X-Noroshi-Site", m.call->at->name);
  if (!m.context.empty()) header.set(context_field, m.context);
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

}  // namespace

net::awaitable<bool> send_stream_bytes(Meeting& m, std::string_view bytes) {
  if (bytes.empty()) co_return true;
  const net::const_buffer buffer(bytes.data(), bytes.size());
  if (m.asked.version == 10) co_return co_await send(m, buffer);
  co_return co_await send(m, http::make_chunk(buffer));
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
  if (m.asked.tenant) r.tenant = m.client.shared.tenants.at(*m.asked.tenant)->name;
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

namespace {

// Waits until the record is stored; false: it is not.
net::awaitable<bool> stored(Meeting& m) {
  const auto& store = m.client.shared.calls.store_usage;
  if (!store) co_return true;
  const std::function<void(std::function<void(bool)>)> start = [&](std::function<void(bool)> tell) {
    store(m.record, std::move(tell));
  };
  const std::optional<bool> told = co_await wait_told<bool>(m.client, store_timeout_s, start);
  const bool is_stored = told.value_or(false);
  if (!is_stored) m.metrics().usage_refused.fetch_add(1);
  co_return is_stored;
}

net::awaitable<bool> store_usage(Meeting& m, const Usage& usage, bool counted_here,
                                 Outcome outcome) {
  if (m.stored) co_return true;
  fill_record(m, usage, counted_here, outcome);
  co_return co_await stored(m);
}

}  // namespace

net::awaitable<bool> store_stream_usage(Meeting& m, Outcome outcome) {
  co_return co_await store_usage(m, m.stream.usage(), m.stream.counted_here(), outcome);
}

// --- Speeds ---

namespace {

// Requests at the model's sites beside this one.
double others_now(const Meeting& m) {
  const Admission* admission = m.client.shared.admissions.find(m.question.model);
  return admission == nullptr ? 0 : std::max(0, admission->at_engine() - 1);
}

// What the answer that is whole took (speeds.h).
void learn_speeds(Meeting& m, const Usage& usage, const std::optional<PromptTime>& prompt_time) {
  const Capacity capacity = m.client.shared.router.capacity(m.question.model);
  const double others = (m.others_before + others_now(m)) / 2;
  m.client.shared.speeds.learn(
      m.question.model, m.clock.times(usage, prompt_time),
      {.others = others, .places = static_cast<double>(capacity.places), .share = capacity.share});
}

}  // namespace

// --- One site's part ---

net::awaitable<Part> stream_unpaid(Meeting& m) {
  m.metrics().requests_failed.fetch_add(1);
  // Named: g++ 12 forgets a temporary of a condition that waits.
  const std::string event = error_event(api_error::not_metered());
  if (co_await send_stream_bytes(m, event)) co_await end_stream(m, false);
  co_return Part::unpaid;
}

namespace {

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
    const std::uint64_t tokens_before = m.stream.tokens_sent();
    const std::string_view events = m.stream.feed(bytes);
    if (m.stream.tokens_sent() > tokens_before) m.clock.content(m.stream.tokens_sent());
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
  if (!m.stream.done()) {
    m.call->failure = error == beast::error::timeout  ? "stopped speaking"
                      : error || ends_with_connection ? "went away"
                                                      : "ended its stream without [DONE]";
    co_return Part::broken;
  }
  give_back(*m.call, m.client.local.pool);
  learn_prompt_time(m, m.stream.prompt_time(), m.stream.prompt_tokens_there());
  // Of an answer that two sites gave nothing is known of either.
  if (m.stream.times_resumed() == 0) {
    learn_speeds(m, m.stream.usage(), m.stream.prompt_time());
  }
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
  learn_prompt_time(m, read.prompt_time, usage.prompt_tokens);
  if (m.asked.endpoint != Endpoint::embeddings) learn_speeds(m, usage, read.prompt_time);
  if (!co_await store_usage(m, usage, !read.usage, Outcome::answered)) {
    m.result.error = api_error::not_metered();
    co_return Part::unpaid;
  }
  Reply reply{200, std::move(answer)};
  reply.site = m.call->at->name;
  reply.context = m.context;
  m.result.keep_alive = co_await respond(m.client, m.asked, std::move(reply));
  m.whole = true;
  co_return Part::whole;
}

}  // namespace

net::awaitable<Part> one_part(Meeting& m, std::string_view body) {
  m.call.emplace(m.choice.at, m.choice.site, m.client.stream.get_executor());
  std::string seeded;
  if (is_kept(m)) seeded = body_with_seed(body, seed_of(m));
  CallQuestion question{.endpoint = m.asked.endpoint,
                        .id = m.asked.id,
                        .body = seeded.empty() ? body : std::string_view(seeded)};
  tell_session(m, question);
  m.clock = {.asked = std::chrono::steady_clock::now()};
  m.others_before = others_now(m);
  const bool answered = co_await ask(*m.call, m.client.local.pool, m.limits(), question);
  learn_distance(m.client.shared, *m.call);
  if (m.result.client_left) co_return Part::left;
  if (!answered) {
    if (m.call->stopped) m.call->failure = "is lost";
    co_return Part::nothing;
  }
  remember_turn(m);
  hear_context(m);
  if (m.call->is_stream()) co_return co_await pass_stream(m);
  co_return co_await pass_body(m);
}

}  // namespace noroshi::gateway
