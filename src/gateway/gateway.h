#pragma once

// The OpenAI-compatible face of a site: HTTP/1.1 in, the engine's HTTP out, bytes of a stream
// passed through unbuffered.
//
//   POST /v1/chat/completions, /v1/completions, /v1/embeddings     to the engine
//   GET  /v1/models, /v1/models/{model}                            what the engine offers
//   GET  /health (200 or 503), /metrics (Prometheus)               without a key
//
// A refusal is decided as early as it can be, in this order: 404 path, 405, 401, 429, 413, 400,
// 503, 404 model; then 502 when the engine fails. The body goes to the engine byte for byte and the
// stream comes back so; the meter only reads along. It takes the engine's own count (usage when the
// client asked for it, else llama-server's timings), or counts the pieces of content.
//
// A client that closes its sending side while it waits counts as gone, and the engine is told to
// stop. No CORS header is sent: a web page of another origin must not use the AI of whoever looks
// at it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/result.h"

namespace noroshi::gateway {

struct GatewayConfig {
  std::string address = "127.0.0.1";
  int port = 8080;  // 0: a free one
  int threads = 1;
  std::vector<std::string> api_keys = {};  // empty: no key needed
  std::size_t body_bytes_max = 4 << 20;
  double requests_per_second = 0;  // a key (or the address without keys); 0: no limit
  int burst = 20;
  int requests_in_flight_max = 256;  // above: 429 with retry-after
  double queue_wait_max_s = 10;      // an expected wait for the engine above it: 429
  int connections_max = 1024;        // above: closed at once
  double upstream_timeout_s = 120;   // no byte for so long: 502
  double header_timeout_s = 10;      // a client that sends its request slowly
};

// Where requests go now. ready = false: 503 with retry-after.
struct Upstream {
  bool ready = false;
  std::string host = {};
  int tcp_port = 0;
  std::string api_key = {};
  std::vector<std::string> models = {};
  int places = 0;    // requests at once that it works on; 0: no limit known
  double share = 1;  // of them, that the lease leaves it now
  // Lives as long as the request that goes there: whoever chooses may count.
  std::shared_ptr<void> hold = {};
};

struct GatewayCounters {
  std::uint64_t requests = 0;
  std::uint64_t requests_failed = 0;  // answered with 4xx or 5xx, or cut off
  std::uint64_t in_flight = 0;
  std::uint64_t waiting = 0;  // for the engine (admission.h)
  std::uint64_t shed = 0;     // refused after they had waited
  std::uint64_t tokens_prompt = 0;
  std::uint64_t tokens_completion = 0;
};

class Gateway {
 public:
  // upstream: asked for each request, from a gateway thread. extra_metrics: Prometheus text that
  // /metrics appends. Errors: the address is in use or not ours, with the address.
  static Result<Gateway> start(GatewayConfig config, std::function<Upstream()> upstream,
                               std::function<std::string()> extra_metrics);
  Gateway(Gateway&&) noexcept;
  Gateway& operator=(Gateway&&) noexcept;
  ~Gateway();  // finishes or cuts off what is in flight, then closes

  int tcp_port() const;
  GatewayCounters counters() const;
  const Histogram& time_to_first_token_ns() const;

 private:
  Gateway();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::gateway
