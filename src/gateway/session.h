#pragma once

// One client connection, and what all of them share. Inside the gateway room only.
//
//   request.cpp   the way of one request
//   answer.cpp    its answer, from whichever sites it takes
//   part.cpp      one site's part of it
//   context.cpp   its session's context, from another site
//   call.cpp      one site asked once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "gateway/admission.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/handover/turns.h"
#include "gateway/limits.h"
#include "gateway/metrics.h"
#include "gateway/openai.h"
#include "gateway/pool.h"
#include "gateway/stream.h"

namespace noroshi::gateway {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = net::ip::tcp;
using ErrorCode = boost::system::error_code;
using Time = std::chrono::steady_clock::time_point;

// Asynchronous calls report by error code; the session's loop is the only place that catches.
inline auto into(ErrorCode& error) { return net::redirect_error(net::use_awaitable, error); }

inline std::int64_t monotonic_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

inline std::chrono::nanoseconds seconds_ns(double s) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(s * 1e9));
}

// A queue for each model, before all sites that have it.
class Admissions {
 public:
  Admissions(double wait_max_s, int waiting_max)
      : wait_max_s_(wait_max_s), waiting_max_(waiting_max) {}
  Admission& of(const std::string& model);  // one that some site has: there are only so many
  const Admission* find(const std::string& model) const;  // null: nobody has asked for it
  void close();
  int waiting() const;
  std::uint64_t shed() const;

 private:
  const double wait_max_s_;
  const int waiting_max_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Admission>> by_model_;
};

// Whether the gateway's contexts still take messages from other threads.
struct Gate {
  std::mutex mutex;
  bool open = true;
};

struct Shared {
  Shared(GatewayConfig gateway_config, Router& sites, GatewayCalls gateway_calls)
      : config(std::move(gateway_config)),
        router(sites),
        calls(std::move(gateway_calls)),
        listed(config.tenants ? config.tenants : std::make_shared<Tenants>(std::vector<Tenant>())),
        tenants(*listed),
        rate(config.requests_per_second, config.burst),
        admissions(config.queue_wait_max_s, config.requests_in_flight_max) {}

  const GatewayConfig config;
  Router& router;
  const GatewayCalls calls;
  Metrics metrics;
  const std::shared_ptr<Tenants> listed;
  Tenants& tenants;
  RateLimiter rate;
  Admissions admissions;
  Turns turns;
  SpeedMeter speeds;
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::atomic<std::uint64_t> requests_seen{0};

  void refresh() {
    if (calls.refresh) calls.refresh(router);
  }
};

struct Meeting;

// What belongs to one of the gateway's threads.
struct Local {
  Pool pool;
  std::set<Meeting*> meetings;
};

struct Session {
  Shared& shared;
  Local& local;
  Connection stream;
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
  bool takes_trailers = false;
  std::string id;
  std::optional<std::size_t> tenant = {};
  std::uint64_t session = 0;      // as its header says; 0: it does not
  std::string session_name = {};  // the header
  std::string context_from = {};  // X-Noroshi-Context-From (context.h)
};

struct Reply {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  std::string allow = {};
  int retry_after_s = 0;
  std::string site = {};
  std::string context = {};
};
Reply reply_of(const ApiError& error);

inline constexpr const char* session_field = "X-Noroshi-Session";
inline constexpr const char* context_from_field = "X-Noroshi-Context-From";
inline constexpr const char* context_field = "X-Noroshi-Context";

constexpr double client_write_timeout_s = 30;  // a client that takes its answer slowly

// Reads the rest of the request and answers it. Returns whether the connection can go on.
net::awaitable<bool> serve(Session& client, RequestParser& parser);

// Writes a whole answer and counts it. Returns whether the connection can go on.
net::awaitable<bool> respond(Session& client, const Asked& asked, Reply reply);

// How a question fared.
struct Answered {
  std::optional<ApiError> error;  // nothing was sent to the client yet: it is to be told
  bool client_left = false;
  bool keep_alive = false;  // the answer was sent whole
  Usage usage = {};
};

// Asks a site, others when it fails, and passes the answer on. Watches the client meanwhile: when
// it leaves, the connection to the site is closed, which is how an engine learns that it may stop.
net::awaitable<Answered> answer(Session& client, const Asked& asked, const Question& question,
                                std::string_view body, Time received);

// Closes calls to sites that the router has lost since: a site that was cut off says nothing more.
void close_lost_calls(Shared& shared, Local& local);

}  // namespace noroshi::gateway
