#pragma once

// One client connection, and what all of them share. Inside the gateway room only.

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "gateway/admission.h"
#include "gateway/gateway.h"
#include "gateway/limits.h"
#include "gateway/metrics.h"
#include "gateway/openai.h"

namespace noroshi::gateway {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = net::ip::tcp;
using ErrorCode = boost::system::error_code;
using Time = std::chrono::steady_clock::time_point;

// Asynchronous calls report by error code; the session's loop is the only place that catches.
inline auto into(ErrorCode& error) { return net::redirect_error(net::use_awaitable, error); }

inline std::chrono::nanoseconds seconds_ns(double s) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(s * 1e9));
}

struct Shared {
  Shared(GatewayConfig gateway_config, std::function<Upstream()> choose,
         std::function<std::string()> more_metrics)
      : config(std::move(gateway_config)),
        upstream(std::move(choose)),
        extra_metrics(std::move(more_metrics)),
        rate(config.requests_per_second, config.burst),
        admission(config.queue_wait_max_s, config.requests_in_flight_max) {}

  const GatewayConfig config;
  const std::function<Upstream()> upstream;
  const std::function<std::string()> extra_metrics;
  Metrics metrics;
  RateLimiter rate;
  Admission admission;
  std::atomic<std::uint64_t> requests_seen{0};
};

struct Session {
  Shared& shared;
  beast::tcp_stream stream;
  std::string address;        // the client's, without its port
  beast::flat_buffer buffer;  // bytes that came and are not part of a request yet
};

using RequestParser = http::request_parser<http::string_body>;

// What an answer must know of its request.
struct Asked {
  Endpoint endpoint = Endpoint::unknown;
  unsigned version = 11;  // as Beast counts: 10 or 11
  bool head = false;
  bool keep_alive = false;
  std::string id;
};

struct Reply {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  std::string allow = {};
  int retry_after_s = 0;
};
Reply reply_of(const ApiError& error);

constexpr double client_write_timeout_s = 30;  // a client that takes its answer slowly

// Reads the rest of the request and answers it. Returns whether the connection can go on.
net::awaitable<bool> serve(Session& client, RequestParser& parser);

// Writes a whole answer and counts it. Returns whether the connection can go on.
net::awaitable<bool> respond(Session& client, const Asked& asked, Reply reply);

// How a question fared at the engine.
struct Relayed {
  std::optional<ApiError> error;  // nothing was sent to the client yet: it is to be told
  bool client_left = false;
  bool keep_alive = false;  // the answer was sent whole
};

// Asks the engine and passes its answer on, a stream in the pieces in which it comes. Watches the
// client meanwhile: when it leaves, the connection to the engine is closed, which is how an engine
// learns that it may stop. Each question has its own connection to the engine: a kept one would
// hold one of the few threads of llama-server's HTTP server while idle, to save some 50 us.
net::awaitable<Relayed> relay(Session& client, const Asked& asked, const Upstream& engine,
                              std::string_view body, Time received);

}  // namespace noroshi::gateway
