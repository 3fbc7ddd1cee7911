#include "gateway/call.h"

#include <boost/asio/ssl/error.hpp>

#include "gateway/distance.h"
#include "gateway/tls.h"

namespace noroshi::gateway {

std::string Call::authority() const {
  const bool v6 = at->host.find(':') != std::string::npos;
  return (v6 ? "[" + at->host + "]" : at->host) + ":" + std::to_string(at->tcp_port);
}

std::string Call::place() const { return "site '" + at->name + "' at " + authority(); }

bool Call::is_stream() const {
  return parser->get().result() == http::status::ok &&
         parser->get()[http::field::content_type].starts_with("text/event-stream");
}

namespace {

// TLS with the site that has the key that the fleet knows; nothing is said to another.
net::awaitable<bool> secure(Call& call, TlsSessions& sessions) {
  ErrorCode error;
  Connection::Tls& tls = call.stream->begin_tls(tls_to_sites());
  sessions.begin(tls.native_handle(), call.at->pin);
  co_await tls.async_handshake(net::ssl::stream_base::client, into(error));
  if (call.stopped) co_return false;
  if (error) {
    call.failure = "takes no TLS connection (" + error.message() + ")";
  } else if (call.stream->peer_pin() != call.at->pin) {
    call.failure = "shows another key than it told the fleet: it has restarted, or is not it";
  }
  co_return call.failure.empty();
}

net::awaitable<bool> connect(Call& call, TlsSessions& sessions, const CallLimits& limits) {
  ErrorCode error;
  tcp::endpoint numeric;
  numeric.port(static_cast<std::uint16_t>(call.at->tcp_port));
  const net::ip::address address = net::ip::make_address(call.at->host, error);
  call.stream->expires_after(seconds_ns(limits.connect_timeout_s));
  if (!error) {
    numeric.address(address);
    co_await call.stream->tcp().async_connect(numeric, into(error));
  } else {
    error = {};
    tcp::resolver resolver(call.stream->get_executor());
    const auto found = co_await resolver.async_resolve(
        call.at->host, std::to_string(call.at->tcp_port), into(error));
    if (!error && !call.stopped) co_await call.stream->tcp().async_connect(found, into(error));
  }
  if (call.stopped) co_return false;
  if (error) {
    call.failure = "takes no connection (" + error.message() + ")";
    co_return false;
  }
  call.stream->socket().set_option(tcp::no_delay(true), error);
  call.connect_s = round_trip_s(call.stream->socket());
  if (call.at->pin.is_none()) co_return true;
  co_return co_await secure(call, sessions);
}

// Returns whether the header of an answer came; sets closed when not a byte of it did.
net::awaitable<bool> exchange(Call& call, const CallLimits& limits, const CallQuestion& question,
                              bool& closed) {
  const std::string_view body = question.body;
  http::request<http::span_body<const char>> request{http::verb::post, "/v1/chat/completions", 11};
  if (question.endpoint == Endpoint::completions) request.target("/v1/completions");
  if (question.endpoint == Endpoint::embeddings) request.target("/v1/embeddings");
  request.set(http::field::host, call.authority());
  request.set(http::field::content_type, "application/json");
  request.keep_alive(call.at->keeps_connections);
  const auto set = [&request](const char* field, std::string_view value) {
    if (!value.empty()) request.set(field, beast::string_view(value.data(), value.size()));
  };
  set("X-Request-Id", question.id);
  set(session_field, question.session);
  set(context_from_field, question.context_from);
  if (!call.at->api_key.empty()) {
    request.set(http::field::authorization, "Bearer " + call.at->api_key);
  }
  request.body() = beast::span<const char>(body.data(), body.size());
  request.prepare_payload();

  ErrorCode error;
  call.stream->expires_after(seconds_ns(limits.silence_max_s));
  co_await http::async_write(*call.stream, request, into(error));
  // An engine may refuse before it has read all; what it then said counts, not the broken write.
  call.parser.emplace();
  call.parser->body_limit(boost::none);
  call.buffer.clear();
  if (error != beast::error::timeout) {
    call.stream->expires_after(seconds_ns(limits.silence_max_s));
    co_await http::async_read_header(*call.stream, call.buffer, *call.parser, into(error));
  }
  closed = error && error != beast::error::timeout && !call.parser->got_some();
  if (error == beast::error::timeout) {
    call.failure =
        "said nothing for " + std::to_string(static_cast<int>(limits.silence_max_s)) + " s";
  } else if (error == http::error::end_of_stream || error == http::error::partial_message ||
             error == net::error::connection_reset || error == net::error::broken_pipe ||
             error == net::ssl::error::stream_truncated) {
    call.failure = "closed the connection before it answered";
  } else if (error) {
    call.failure = "does not speak HTTP (" + error.message() + ")";
  }
  co_return !error;
}

}  // namespace

net::awaitable<bool> ask(Call& call, Pool& pool, const CallLimits& limits,
                         const CallQuestion& question) {
  bool closed = false;
  const Time now = std::chrono::steady_clock::now();
  if (auto kept = pool.take(*call.at, now)) {
    call.stream = std::move(kept);
    call.reused = true;
    if (co_await exchange(call, limits, question, closed)) co_return true;
    if (!closed || call.stopped) co_return false;
    call.reused = false;
    call.failure.clear();
    call.stream = std::make_unique<Connection>(call.stream->get_executor());
  }
  if (!co_await connect(call, pool.tls_sessions(), limits)) co_return false;
  co_return co_await exchange(call, limits, question, closed);
}

net::awaitable<std::string_view> next_bytes(Call& call, const CallLimits& limits,
                                            ErrorCode& error) {
  auto& parser = *call.parser;
  while (!parser.is_done()) {
    parser.get().body().data = call.bytes.data();
    parser.get().body().size = call.bytes.size();
    parser.get().body().more = true;
    call.stream->expires_after(seconds_ns(limits.silence_max_s));
    co_await http::async_read_some(*call.stream, call.buffer, parser, into(error));
    if (error == http::error::need_buffer) error = {};
    const std::size_t size = call.bytes.size() - parser.get().body().size;
    if (size > 0) {
      error = {};  // if it stays it comes again
      co_return std::string_view(call.bytes.data(), size);
    }
    if (error) break;
  }
  co_return std::string_view();
}

void give_back(Call& call, Pool& pool) {
  if (!call.at->keeps_connections || !call.parser || !call.parser->is_done() ||
      !call.parser->keep_alive() || call.buffer.size() > 0 || !call.stream->socket().is_open()) {
    return;
  }
  call.stream->expires_never();
  pool.put(*call.at, std::move(call.stream), std::chrono::steady_clock::now());
}

}  // namespace noroshi::gateway
