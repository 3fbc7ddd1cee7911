#include "gateway/metrics.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/prometheus.h"

namespace noroshi::gateway {
namespace {

std::string number(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%g", value);
  return digits;
}

std::string seconds(std::uint64_t ns) {
  char digits[48];
  std::snprintf(digits, sizeof digits, "%.9f", static_cast<double>(ns) / 1e9);
  return digits;
}

}  // namespace

void SecondsHistogram::add_ns(std::uint64_t ns) {
  const double s = static_cast<double>(ns) / 1e9;
  const auto bin = std::ranges::lower_bound(edges_s, s) - edges_s.begin();
  counts_[static_cast<std::size_t>(bin)].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(ns, std::memory_order_relaxed);
}

void SecondsHistogram::append(std::string& text, const char* name, const char* help) const {
  prometheus::head(text, name, "histogram", help);
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    count += counts_[i].load(std::memory_order_relaxed);
    const std::string edge = i < edges_s.size() ? number(edges_s[i]) : "+Inf";
    text.append(name).append("_bucket{le=\"").append(edge).append("\"} ");
    text.append(std::to_string(count)).append("\n");
  }
  text.append(name).append("_sum ").append(seconds(sum_ns_.load())).append("\n");
  text.append(name).append("_count ").append(std::to_string(count)).append("\n");
}

void Metrics::finished(Endpoint endpoint, int status) {
  auto known = std::ranges::find(statuses, status);
  if (known == statuses.end()) known = std::ranges::find(statuses, status < 500 ? 400 : 500);
  const auto column = static_cast<std::size_t>(known - statuses.begin());
  requests[static_cast<std::size_t>(endpoint)][column].fetch_add(1, std::memory_order_relaxed);
  if (status >= 400) requests_failed.fetch_add(1, std::memory_order_relaxed);
}

void Metrics::add_first_token_ns(std::uint64_t ns) {
  {
    const std::lock_guard lock(first_token_mutex);
    first_token_ns.add(ns);
  }
  first_token.add_ns(ns);
}

void Metrics::add_usage(const Usage& usage) {
  tokens_prompt.fetch_add(usage.prompt_tokens, std::memory_order_relaxed);
  tokens_completion.fetch_add(usage.completion_tokens, std::memory_order_relaxed);
}

std::string Metrics::text(int waiting, std::uint64_t shed) const {
  std::string text;
  const char* name = "noroshi_gateway_requests_total";
  prometheus::head(text, name, "counter", "Finished HTTP requests; 499: the client left before.");
  for (std::size_t e = 0; e < requests.size(); ++e) {
    for (std::size_t s = 0; s < statuses.size(); ++s) {
      const std::uint64_t count = requests[e][s].load(std::memory_order_relaxed);
      if (count == 0) continue;
      text.append(name).append("{endpoint=\"");
      text.append(endpoint_name(static_cast<Endpoint>(e))).append("\",status=\"");
      text.append(std::to_string(statuses[s])).append("\"} ");
      text.append(std::to_string(count)).append("\n");
    }
  }
  name = "noroshi_gateway_tokens_total";
  prometheus::head(text, name, "counter", "Tokens of answered requests.");
  text.append(name).append("{kind=\"prompt\"} ");
  text.append(std::to_string(tokens_prompt.load())).append("\n");
  text.append(name).append("{kind=\"completion\"} ");
  text.append(std::to_string(tokens_completion.load())).append("\n");
  prometheus::one(text, "noroshi_gateway_requests_in_flight", "gauge",
                  "AI requests being read or answered.", in_flight.load());
  prometheus::one(text, "noroshi_gateway_requests_waiting", "gauge",
                  "Requests that wait for the engine.", waiting);
  prometheus::one(text, "noroshi_gateway_requests_shed_total", "counter",
                  "Requests refused after they had waited.", shed);
  prometheus::one(text, "noroshi_gateway_connections", "gauge", "Open client connections.",
                  connections.load());
  prometheus::one(text, "noroshi_gateway_connections_refused_total", "counter",
                  "Connections closed at once because too many were open.",
                  connections_refused.load());
  prometheus::one(text, "noroshi_gateway_streams_cut_total", "counter",
                  "Streams that the engine broke off.", streams_cut.load());
  prometheus::one(text, "noroshi_gateway_requests_retried_total", "counter",
                  "Requests asked of another site before their first byte.",
                  requests_retried.load());
  prometheus::one(text, "noroshi_gateway_streams_resumed_total", "counter",
                  "Streams that went on at another site.", streams_resumed.load());
  prometheus::one(text, "noroshi_gateway_usage_refused_total", "counter",
                  "Usage records that nobody stored.", usage_refused.load());
  name = "noroshi_gateway_contexts_total";
  prometheus::head(text, name, "counter",
                   "Contexts of sessions that came from another site, by what was done.");
  for (const auto& [what, count] :
       {std::pair("moved", contexts_moved.load()), std::pair("computed", contexts_computed.load()),
        std::pair("failed", contexts_failed.load())}) {
    text.append(name).append("{outcome=\"").append(what).append("\"} ");
    text.append(std::to_string(count)).append("\n");
  }
  name = "noroshi_gateway_tenants_read_total";
  prometheus::head(text, name, "counter",
                   "Times that the tenants' file was read again; refused: the one before stayed.");
  for (const auto& [what, count] :
       {std::pair("taken", tenants_read.load()), std::pair("refused", tenants_refused.load())}) {
    text.append(name).append("{outcome=\"").append(what).append("\"} ");
    text.append(std::to_string(count)).append("\n");
  }
  prometheus::one(text, "noroshi_gateway_measured_total", "counter",
                  "Answers to the gateway's own questions, which measure idle models.",
                  measured.load());
  prometheus::one(text, "noroshi_gateway_clients_left_total", "counter",
                  "Clients that left before their answer was whole.", clients_left.load());
  prometheus::one(text, "noroshi_gateway_garbage_total", "counter",
                  "Connections that did not speak HTTP.", garbage.load());
  prometheus::one(text, "noroshi_gateway_tls_failed_total", "counter",
                  "Connections whose TLS handshake failed.", tls_failed.load());
  prometheus::one(text, "noroshi_gateway_slow_clients_total", "counter",
                  "Clients cut off because they sent or took bytes too slowly.",
                  slow_clients.load());
  first_token.append(text, "noroshi_gateway_time_to_first_token_seconds",
                     "From the whole request to the first content of its stream.");
  answer.append(text, "noroshi_gateway_answer_seconds",
                "From the whole request to the last byte of its answer.");
  return text;
}

}  // namespace noroshi::gateway
