// One question's meeting of client and engine: two coroutines on one thread, one that carries the
// answer and one that watches the client.

#include <algorithm>
#include <array>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/write.hpp>

#include "gateway/session.h"
#include "gateway/sse.h"

namespace noroshi::gateway {
namespace {

constexpr double connect_timeout_s = 5;
constexpr std::size_t answer_bytes_max = 64 << 20;  // an answer that is not a stream
constexpr std::size_t pipelined_bytes_max = 64 << 10;

struct Meeting {
  Session& client;
  const Asked& asked;
  const Upstream& engine;
  std::string_view body;
  Time received;

  beast::tcp_stream stream;  // to the engine
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  std::array<char, 16 << 10> bytes;

  bool done = false;   // nothing more to carry
  bool whole = false;  // the client has its answer, so that leaving now is its right
  Relayed result;

  Meeting(Session& session, const Asked& about, const Upstream& upstream, std::string_view question,
          Time since)
      : client(session),
        asked(about),
        engine(upstream),
        body(question),
        received(since),
        stream(session.stream.get_executor()) {}

  std::string authority() const {
    const bool v6 = engine.host.find(':') != std::string::npos;
    return (v6 ? "[" + engine.host + "]" : engine.host) + ":" + std::to_string(engine.tcp_port);
  }
  std::string engine_place() const { return "the engine at " + authority(); }
  void engine_failed(const std::string& how) {
    result.error = api_error::engine_failed("No answer: " + engine_place() + " " + how + ".");
  }
};

std::uint64_t ns_since(Time start) {
  return static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
}

net::awaitable<bool> connect(Meeting& m) {
  ErrorCode error;
  tcp::endpoint numeric;
  numeric.port(static_cast<std::uint16_t>(m.engine.tcp_port));
  const net::ip::address address = net::ip::make_address(m.engine.host, error);
  m.stream.expires_after(seconds_ns(connect_timeout_s));
  if (!error) {
    numeric.address(address);
    co_await m.stream.async_connect(numeric, into(error));
  } else {
    error = {};
    tcp::resolver resolver(m.stream.get_executor());
    const auto found = co_await resolver.async_resolve(
        m.engine.host, std::to_string(m.engine.tcp_port), into(error));
    if (m.result.client_left) co_return false;
    if (!error) co_await m.stream.async_connect(found, into(error));
  }
  if (m.result.client_left) co_return false;
  if (error) {
    m.engine_failed("takes no connection (" + error.message() + ")");
    co_return false;
  }
  m.stream.socket().set_option(tcp::no_delay(true), error);
  co_return true;
}

// Sends the question and reads the header of the answer.
net::awaitable<bool> ask(Meeting& m) {
  http::request<http::span_body<const char>> request{http::verb::post, "/v1/chat/completions", 11};
  if (m.asked.endpoint == Endpoint::completions) request.target("/v1/completions");
  if (m.asked.endpoint == Endpoint::embeddings) request.target("/v1/embeddings");
  request.set(http::field::host, m.authority());
  request.set(http::field::content_type, "application/json");
  request.set(http::field::connection, "close");
  request.set("X-Request-Id", m.asked.id);
  if (!m.engine.api_key.empty()) {
    request.set(http::field::authorization, "Bearer " + m.engine.api_key);
  }
  request.body() = beast::span<const char>(m.body.data(), m.body.size());
  request.prepare_payload();

  const auto timeout = seconds_ns(m.client.shared.config.upstream_timeout_s);
  ErrorCode error;
  m.stream.expires_after(timeout);
  co_await http::async_write(m.stream, request, into(error));
  // An engine may refuse before it has read all; what it then said counts, not the broken write.
  m.parser.body_limit(boost::none);
  if (error != beast::error::timeout) {
    m.stream.expires_after(timeout);
    co_await http::async_read_header(m.stream, m.buffer, m.parser, into(error));
  }
  if (m.result.client_left) co_return false;
  if (error == beast::error::timeout) {
    m.engine_failed("said nothing for " +
                    std::to_string(static_cast<int>(m.client.shared.config.upstream_timeout_s)) +
                    " s");
  } else if (error == http::error::end_of_stream || error == http::error::partial_message ||
             error == net::error::connection_reset) {
    m.engine_failed("closed the connection before it answered");
  } else if (error) {
    m.engine_failed("does not speak HTTP (" + error.message() + ")");
  }
  co_return !error;
}

// The next bytes of the engine's body; empty at its end and on error.
net::awaitable<std::string_view> next_bytes(Meeting& m, ErrorCode& error) {
  while (!m.parser.is_done()) {
    m.parser.get().body().data = m.bytes.data();
    m.parser.get().body().size = m.bytes.size();
    m.parser.get().body().more = true;
    m.stream.expires_after(seconds_ns(m.client.shared.config.upstream_timeout_s));
    co_await http::async_read_some(m.stream, m.buffer, m.parser, into(error));
    if (error == http::error::need_buffer) error = {};
    const std::size_t size = m.bytes.size() - m.parser.get().body().size;
    if (size > 0) {
      error = {};  // if it stays it comes again
      co_return std::string_view(m.bytes.data(), size);
    }
    if (error) break;
  }
  co_return std::string_view();
}

template <class Buffers>
net::awaitable<bool> send(Meeting& m, Buffers buffers) {
  ErrorCode error;
  m.client.stream.expires_after(seconds_ns(client_write_timeout_s));
  co_await net::async_write(m.client.stream, buffers, into(error));
  if (error == beast::error::timeout) m.client.shared.metrics.slow_clients.fetch_add(1);
  if (error) m.result.client_left = true;
  co_return !error;
}

net::awaitable<bool> send_stream_bytes(Meeting& m, std::string_view bytes) {
  const net::const_buffer buffer(bytes.data(), bytes.size());
  if (m.asked.version == 10) co_return co_await send(m, buffer);
  co_return co_await send(m, http::make_chunk(buffer));
}

net::awaitable<bool> send_stream_header(Meeting& m) {
  http::response<http::empty_body> header{http::status::ok, m.asked.version};
  header.set(http::field::server, "noroshi");
  header.set("X-Request-Id", m.asked.id);
  header.set(http::field::content_type, m.parser.get()[http::field::content_type]);
  header.set(http::field::cache_control, "no-cache");
  if (m.asked.version != 10) header.chunked(true);
  header.keep_alive(m.asked.keep_alive && m.asked.version != 10);
  http::response_serializer<http::empty_body> serializer{header};
  ErrorCode error;
  m.client.stream.expires_after(seconds_ns(client_write_timeout_s));
  co_await http::async_write_header(m.client.stream, serializer, into(error));
  if (error) m.result.client_left = true;
  co_return !error;
}

// Server-sent events: every piece goes on as it comes; the meter only reads along.
net::awaitable<void> pass_stream(Meeting& m) {
  Metrics& metrics = m.client.shared.metrics;
  StreamMeter meter;
  ErrorCode error;
  const bool ends_with_connection = m.parser.need_eof();
  if (!co_await send_stream_header(m)) co_return;
  for (;;) {
    const std::string_view bytes = co_await next_bytes(m, error);
    if (bytes.empty() || m.result.client_left) break;
    const bool first_content = meter.feed(bytes);
    if (!co_await send_stream_bytes(m, bytes)) break;
    if (first_content) metrics.add_first_token_ns(ns_since(m.received));
  }
  metrics.add_usage(meter.usage());
  if (m.result.client_left) co_return;

  const bool cut = error || (ends_with_connection && !meter.done());
  if (cut) {
    metrics.streams_cut.fetch_add(1);
    metrics.requests_failed.fetch_add(1);
    const std::string why = error == beast::error::timeout ? " stopped speaking" : " went away";
    std::string event = meter.between_events() ? "" : "\n\n";
    event += error_event(
        api_error::engine_failed("The answer is not whole: " + m.engine_place() + why + "."));
    if (!co_await send_stream_bytes(m, event)) co_return;
  }
  if (m.asked.version != 10) {
    if (!co_await send(m, http::make_chunk_last())) co_return;
  }
  m.whole = true;
  m.result.keep_alive = m.asked.keep_alive && m.asked.version != 10 && !cut;
}

// Anything that is not a stream is read whole, so that it can be checked and metered.
net::awaitable<void> pass_body(Meeting& m) {
  const int status = m.parser.get().result_int();
  std::string answer;
  ErrorCode error;
  for (;;) {
    const std::string_view bytes = co_await next_bytes(m, error);
    if (m.result.client_left) co_return;
    if (bytes.empty()) break;
    if (answer.size() + bytes.size() > answer_bytes_max) {
      m.engine_failed("sends an answer of more than 64 MiB");
      co_return;
    }
    answer.append(bytes);
  }
  if (error) {
    m.engine_failed("broke off in its answer (" + error.message() + ")");
    co_return;
  }
  if (status != 200) {
    m.result.error = from_engine(status, answer);
    co_return;
  }
  const EngineJson read = read_engine_json(answer);
  if (!read.json) {
    m.engine_failed("answered something that is not JSON");
    co_return;
  }
  if (read.usage) m.client.shared.metrics.add_usage(*read.usage);
  Reply reply{200, std::move(answer)};
  m.result.keep_alive = co_await respond(m.client, m.asked, std::move(reply));
  m.whole = true;
}

// From the question to the last byte of the answer.
net::awaitable<void> carry(Meeting& m) {
  bool is_stream = false;
  bool answered = co_await connect(m);
  if (answered) answered = co_await ask(m);
  if (answered) {
    is_stream = m.parser.get().result() == http::status::ok &&
                m.parser.get()[http::field::content_type].starts_with("text/event-stream");
    if (is_stream) {
      co_await pass_stream(m);
    } else {
      co_await pass_body(m);
    }
  }
  Metrics& metrics = m.client.shared.metrics;
  m.result.client_left = m.result.client_left && !m.whole;
  if (m.result.client_left) {
    metrics.finished(m.asked.endpoint, 499);
  } else if (is_stream) {
    metrics.finished(m.asked.endpoint, 200);  // respond() counts the others
  }
  if (m.whole) metrics.answer.add_ns(ns_since(m.received));
  m.done = true;
  m.stream.close();
  ErrorCode ignored;
  m.client.stream.socket().cancel(ignored);  // the watch
}

// Ends when the answer is carried, or closes the engine's connection when the client leaves. What a
// client sends meanwhile is its next request: it is kept, up to a limit.
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
      m.stream.close();
      break;
    }
  }
}

}  // namespace

net::awaitable<Relayed> relay(Session& client, const Asked& asked, const Upstream& engine,
                              std::string_view body, Time received) {
  using namespace net::experimental::awaitable_operators;
  Meeting meeting(client, asked, engine, body, received);
  co_await (carry(meeting) && watch(meeting));
  co_return meeting.result;
}

}  // namespace noroshi::gateway
