#pragma once

// The OpenAI-compatible face of a site, or of many: HTTP/1.1 in, HTTP of the chosen site out, a
// stream passed on in whole events as they come. Which site is the router's choice
// (route/route.h); with one site, or one engine, it has one to choose from.
//
//   POST /v1/chat/completions, /v1/completions, /v1/embeddings     to the engine
//   GET  /v1/models, /v1/models/{model}                            what the engine offers
//   GET  /health (200 or 503), /metrics (Prometheus)               without a key
//
// A refusal is decided as early as it can be, in this order: 404 path, 405, 401, 429, 413, 400,
// 403 model, 404 model, 503; then 502 when all sites that were tried failed. The body goes to the
// site byte for byte, but that the gateway asks for a stream's usage where the client did not, and
// takes it out again (stream.h).
//
// A site that fails before its first byte costs nothing but time: the next one is asked, three in
// all. A stream that breaks off later goes on at another site that has the same model file, which
// is asked again with the text so far as the beginning of the answer. The answer's headers say
// whether that could be done (X-Noroshi-Resumable), since they are sent before anything breaks;
// that it was done says a comment in the stream, which every client of server-sent events skips:
//
//   : noroshi resumed site=B at_token=N
//
// and, for a client that says "TE: trailers", the trailer X-Noroshi-Resumed. A stream that cannot
// go on ends with an error event, never silently.
//
// A session (user, prompt_cache_key or X-Noroshi-Session) that came from another site may have had
// its context brought along; X-Noroshi-Context says so (context.h).
//
// One usage record is handed out for each answer of which the client got something, before its last
// byte is sent (usage.h).
//
// A client that closes its sending side while it waits counts as gone, and the engine is told to
// stop. No CORS header is sent: a web page of another origin must not use the AI of whoever looks
// at it.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/result.h"
#include "gateway/route/route.h"
#include "gateway/speeds.h"
#include "gateway/tenants.h"
#include "gateway/tls.h"
#include "gateway/usage.h"

namespace noroshi::gateway {

struct GatewayConfig {
  std::string address = "127.0.0.1";
  int port = 8080;                      // 0: a free one
  std::shared_ptr<TlsServer> tls = {};  // null: plain HTTP
  int threads = 1;
  std::string instance = {};  // begins every request's id; unique, when usage is metered
  bool open = false;          // beyond the loopback without keys: it is meant so
  std::vector<std::string> api_keys = {};  // of nobody in particular
  std::shared_ptr<Tenants> tenants = {};   // neither tenants nor api_keys: no key needed
  std::size_t body_bytes_max = 4 << 20;
  double requests_per_second = 0;  // a key (or the address without keys); 0: no limit
  int burst = 20;
  int requests_in_flight_max = 256;  // above: 429 with retry-after
  double queue_wait_max_s = 10;      // an expected wait for the engine above it: 429
  int connections_max = 1024;        // above: closed at once
  double upstream_timeout_s = 120;   // no byte for so long: 502
  double header_timeout_s = 10;      // a client that sends its request slowly
  // A model that nobody has asked for so long is asked by the gateway, to know its speed
  // (speeds.h); 0: never.
  double measure_idle_s = 0;
  // Connections a second, at most, made only to measure how far sites are (distance.h), beside
  // those of requests. 0: distances are what news of the sites says.
  double probes_per_s = 0;
};

// A session's context that is at another site, and what it is worth.
struct ContextWanted {
  std::string session = {};                        // its name
  std::string from = {};                           // REGION/SITE of its last turn
  std::shared_ptr<const SiteAddress> engine = {};  // that is to have it
  int tokens = 0;                                  // of the prompt, about
  double prompt_tokens_per_s = 0;                  // at which the engine would compute them
};
struct ContextFetched {
  int tokens = 0;        // that the engine has now
  bool tried = false;    // 0 tokens: whether moving was tried
  std::string why = {};  // and why not, or what failed
};

// Where a turn of a session went.
struct TurnPlace {
  std::shared_ptr<const SiteAddress> engine = {};
  std::uint32_t seed = 0;  // by which the engine's slot is found (handover/handover.h)
};

// What a person must know before strangers do: an address beyond the loopback speaks plain HTTP, or
// is open. Empty: of this machine alone, or as safe as it can be.
std::string exposure_of(const GatewayConfig& config);

// What the gateway asks of others. Each may be empty.
struct GatewayCalls {
  // Called before each choice of a site, from a gateway thread: a router whose sites are engines of
  // this process learns what they do now.
  std::function<void(Router& router)> refresh = {};
  StoreUsage store_usage = {};
  // Sites are told a session's name, made with this secret, and where its last turn was
  // (context.h); without it, or while it is empty, they are not. Asked with each question: under
  // another secret all sessions begin anew.
  std::function<std::string()> session_secret = {};
  // Brings a session's context to an engine if that is faster than computing it. Tells once, from
  // any thread; told later than computing would take, it is not waited for.
  std::function<void(ContextWanted wanted, std::function<void(ContextFetched)> tell)>
      fetch_context = {};
  // Whether a new request may be let in whose usage record comes later; false: 503.
  std::function<bool()> may_begin = {};
  std::function<std::string()> extra_metrics = {};  // Prometheus text that /metrics appends
};

struct GatewayCounters {
  std::uint64_t requests = 0;
  std::uint64_t requests_failed = 0;  // answered with 4xx or 5xx, or cut off
  std::uint64_t in_flight = 0;
  std::uint64_t waiting = 0;  // for the engine (admission.h)
  std::uint64_t shed = 0;     // refused after they had waited
  std::uint64_t tokens_prompt = 0;
  std::uint64_t tokens_completion = 0;
  std::uint64_t requests_retried = 0;  // asked of another site before the first byte
  std::uint64_t streams_resumed = 0;   // gone on at another site in the middle
  std::uint64_t usage_refused = 0;     // records that nobody stored
  std::uint64_t contexts_moved = 0;    // with their sessions, from another site
};

class Gateway {
 public:
  // The router outlives the gateway. Errors: the address is in use or not ours, with the address;
  // it is beyond the loopback, no key is asked for, and the configuration does not say open.
  static Result<Gateway> start(GatewayConfig config, Router& router, GatewayCalls calls = {});
  Gateway(Gateway&&) noexcept;
  Gateway& operator=(Gateway&&) noexcept;
  ~Gateway();  // finishes or cuts off what is in flight, then closes

  // Reads the tenants' file again: from now on it is who it says that may ask (tenants.h). Errors:
  // as load_tenants(), or the gateway was started without tenants; all stays as it was then.
  Result<void> reload_tenants(const std::string& path);

  int tcp_port() const;
  std::string url() const;  // "https://10.0.0.1:8080"
  GatewayCounters counters() const;
  const Histogram& time_to_first_token_ns() const;
  // What a request for the model would find here, and how fast such answers were of late. places,
  // share: of its engines, that the radio leaves now.
  struct ModelNow {
    int requests_in_flight = 0;  // at the engines
    int requests_queued = 0;
    Speeds speeds = {};
  };
  ModelNow model_now(const std::string& model, double places, double share) const;
  // Of the session of that name; nothing: it had none here, or too long ago.
  std::optional<TurnPlace> last_turn(std::string_view session) const;

 private:
  Gateway();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::gateway
