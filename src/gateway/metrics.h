#pragma once

// What the gateway counted, and Prometheus' text of it. Every field is written with relaxed atomics
// by the gateway's threads and read by anyone.

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "base/histogram.h"
#include "gateway/openai.h"

namespace noroshi::gateway {

// Prometheus' cumulative buckets, so that many sites can be added up.
class SecondsHistogram {
 public:
  static constexpr std::array<double, 14> edges_s = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,  0.5,    1,     2.5,  5,     10,   30};
  void add_ns(std::uint64_t ns);
  void append(std::string& text, const char* name, const char* help) const;

 private:
  std::array<std::atomic<std::uint64_t>, edges_s.size() + 1> counts_{};
  std::atomic<std::uint64_t> sum_ns_{0};
};

struct Metrics {
  // Statuses that this gateway gives; an engine's other 4xx are counted as 400.
  static constexpr std::array<int, 19> statuses = {200, 204, 400, 401, 403, 404, 405, 408, 409, 413,
                                                   415, 422, 429, 431, 499, 500, 501, 502, 503};
  std::array<std::array<std::atomic<std::uint64_t>, statuses.size()>, endpoints> requests{};
  std::atomic<std::uint64_t> requests_started{0};
  std::atomic<std::uint64_t> requests_failed{0};
  std::atomic<std::int64_t> in_flight{0};
  std::atomic<std::uint64_t> tokens_prompt{0};
  std::atomic<std::uint64_t> tokens_completion{0};
  std::atomic<std::uint64_t> streams_cut{0};       // the engine stopped in the middle
  std::atomic<std::uint64_t> requests_retried{0};  // at another site, before the first byte
  std::atomic<std::uint64_t> streams_resumed{0};   // at another site, in the middle
  std::atomic<std::uint64_t> usage_refused{0};     // records that nobody stored
  // Of sessions that came from another site (context.h).
  std::atomic<std::uint64_t> contexts_moved{0};
  std::atomic<std::uint64_t> contexts_computed{0};  // because that is cheaper
  std::atomic<std::uint64_t> contexts_failed{0};    // to move, so they were computed
  std::atomic<std::uint64_t> measured{0};           // answers to the gateway's own questions
  std::atomic<std::uint64_t> probes{0};             // of distances (distance.h)
  std::atomic<std::uint64_t> probes_failed{0};
  std::atomic<std::uint64_t> tenants_read{0};  // their file, again
  std::atomic<std::uint64_t> tenants_refused{0};
  std::atomic<std::uint64_t> clients_left{0};  // before their answer was whole
  std::atomic<std::uint64_t> garbage{0};       // connections that did not speak HTTP
  std::atomic<std::uint64_t> tls_failed{0};    // connections whose handshake did
  std::atomic<std::uint64_t> slow_clients{0};  // cut off by a timeout
  std::atomic<std::int64_t> connections{0};
  std::atomic<std::uint64_t> connections_refused{0};
  Histogram first_token_ns;  // one writer at a time: first_token_mutex
  std::mutex first_token_mutex;
  SecondsHistogram first_token;
  SecondsHistogram answer;  // whole answers of AI endpoints

  // One finished request. status 499: the client left before an answer.
  void finished(Endpoint endpoint, int status);
  void add_first_token_ns(std::uint64_t ns);
  void add_usage(const Usage& usage);
  std::string text(int waiting, std::uint64_t shed) const;
};

}  // namespace noroshi::gateway
