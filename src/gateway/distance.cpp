#include "gateway/distance.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>

#include "base/prometheus.h"

namespace noroshi::gateway {
namespace {

constexpr double probe_timeout_s = 2;

net::awaitable<void> probe(Shared& shared, ToMeasure target) {
  beast::tcp_stream stream(co_await net::this_coro::executor);
  ErrorCode error;
  tcp::resolver resolver(stream.get_executor());
  const auto found = co_await resolver.async_resolve(
      target.at->host, std::to_string(target.at->tcp_port), into(error));
  stream.expires_after(seconds_ns(probe_timeout_s));
  if (!error) co_await stream.async_connect(found, into(error));
  const auto took_s = error ? std::nullopt : round_trip_s(stream.socket());
  shared.metrics.probes.fetch_add(1);
  if (!took_s) {
    shared.metrics.probes_failed.fetch_add(1);
    co_return;
  }
  shared.router.measured(target.site, *target.at, *took_s, monotonic_ns());
}

}  // namespace

std::optional<double> round_trip_s(tcp::socket& socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  const bool told = getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
                    size >= offsetof(tcp_info, tcpi_rtt) + sizeof info.tcpi_rtt &&
                    info.tcpi_rtt > 0;
  if (!told) return {};
  return info.tcpi_rtt * 1e-6;
}

void learn_distance(Shared& shared, const Call& call) {
  if (shared.config.probes_per_s <= 0 || !call.connect_s) return;
  shared.router.measured(call.site, *call.at, *call.connect_s, monotonic_ns());
}

net::awaitable<void> measure_distances(Shared& shared) {
  const net::any_io_executor executor = co_await net::this_coro::executor;
  net::steady_timer timer(executor);
  for (;;) {
    timer.expires_after(seconds_ns(1 / shared.config.probes_per_s));
    ErrorCode error;
    co_await timer.async_wait(into(error));
    // Apart: one that does not answer must not hold up the others.
    if (auto target = shared.router.to_measure(monotonic_ns())) {
      net::co_spawn(executor, probe(shared, *std::move(target)), net::detached);
    }
  }
}

std::string distances_text(const Shared& shared) {
  if (shared.config.probes_per_s <= 0) return {};
  const auto regions = shared.router.distances();
  std::string text;
  const auto each = [&](const char* name, const char* help, auto number_of) {
    prometheus::head(text, name, "gauge", help);
    for (const RegionDistance& one : regions) {
      prometheus::value(text, name, "{region=\"" + prometheus::escaped(one.region) + "\"}",
                        number_of(one));
    }
  };
  each("noroshi_gateway_distance_seconds",
       "Round trip to a region: the median of its sites measured last.",
       [](const RegionDistance& one) { return one.round_trip_s; });
  each("noroshi_gateway_distance_sites", "Sites of it that were measured.",
       [](const RegionDistance& one) { return one.sites_measured; });
  prometheus::one(text, "noroshi_gateway_round_trips_total",
                  "Round trips that connections to sites took, with and without a request.",
                  shared.router.counters().measured);
  prometheus::one(text, "noroshi_gateway_probes_total",
                  "Connections made to sites only to measure how far they are.",
                  shared.metrics.probes.load());
  prometheus::one(text, "noroshi_gateway_probes_failed_total", "Of them, in vain.",
                  shared.metrics.probes_failed.load());
  return text;
}

}  // namespace noroshi::gateway
