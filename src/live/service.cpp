#include "live/service.h"

#include "gateway/url.h"

namespace noroshi::live {
namespace {

engine::EngineConfig engine_config(const site::AiSection::Engine& e) {
  engine::EngineConfig c;
  c.name = e.name;
  c.url = e.url;
  c.api_key = e.api_key;
  c.executable = e.executable;
  c.model_path = e.model_path;
  c.model_name = e.model_name;
  c.threads = e.threads;
  c.context_tokens = e.context_tokens;
  c.parallel = e.parallel;
  c.embeddings = e.embeddings;
  c.arguments = e.arguments;
  c.processors = e.processors;
  c.idle_class = e.idle_class;
  c.memory_bytes_max = static_cast<std::uint64_t>(e.memory_mib) << 20;
  c.start_timeout_s = e.start_timeout_s;
  c.health_interval_s = e.health_interval_s;
  c.health_timeout_s = e.health_timeout_s;
  c.backoff_first_s = e.backoff_first_s;
  c.backoff_max_s = e.backoff_max_s;
  return c;
}

gateway::GatewayConfig gateway_config(const site::AiSection::Gateway& g) {
  gateway::GatewayConfig config;
  config.address = g.address;
  config.port = g.port;
  config.threads = g.threads;
  config.api_keys = g.api_keys;
  config.body_bytes_max = static_cast<std::size_t>(g.body_bytes_max);
  config.requests_per_second = g.requests_per_second;
  config.burst = g.burst;
  config.requests_in_flight_max = g.requests_in_flight_max;
  config.queue_wait_max_s = g.queue_wait_max_s;
  config.upstream_timeout_s = g.upstream_timeout_s;
  config.header_timeout_s = g.header_timeout_s;
  return config;
}

// Where requests go now. An engine that is not ready has no address that helps anyone.
gateway::Upstream upstream_of(const engine::Engine& engine, const std::string& api_key) {
  const engine::EngineStatus status = engine.status();
  gateway::Upstream upstream;
  upstream.models = {status.model_name};
  upstream.api_key = api_key;
  const auto url = gateway::parse_http_url(status.url);
  if (!url) return upstream;
  upstream.host = url->host;
  upstream.tcp_port = url->tcp_port;
  upstream.ready = status.state == engine::EngineState::ready;
  return upstream;
}

}  // namespace

Result<std::unique_ptr<Service>> start_service(const site::AiSection& ai,
                                               std::function<std::string()> extra_metrics,
                                               std::function<double()> share) {
  auto service = std::make_unique<Service>();
  service->engine = std::make_unique<engine::Engine>(engine_config(ai.engine));
  if (const auto started = service->engine->start(); !started) return started.error();

  const engine::Engine* engine = service->engine.get();
  auto gateway = gateway::Gateway::start(
      gateway_config(ai.gateway),
      [engine, key = ai.engine.api_key, share = std::move(share),
       places = ai.engine.url.empty() ? ai.engine.parallel : 0] {
        gateway::Upstream upstream = upstream_of(*engine, key);
        upstream.places = places;  // somebody else's server knows its own
        upstream.share = share();
        return upstream;
      },
      std::move(extra_metrics));
  if (!gateway) return gateway.error();
  service->gateway = *std::move(gateway);
  const bool is_ipv6 = ai.gateway.address.find(':') != std::string::npos;
  const std::string host = is_ipv6 ? "[" + ai.gateway.address + "]" : ai.gateway.address;
  service->url = "http://" + host + ":" + std::to_string(service->gateway->tcp_port());
  service->model = engine->status().model_name;
  return service;
}

Result<void> start_load(Service& service, const site::AiSection& ai, std::uint64_t seed) {
  gateway::LoadConfig config;
  config.url = service.url;
  config.api_key = ai.gateway.api_keys.empty() ? "" : ai.gateway.api_keys.front();
  config.model = service.engine->status().model_name;
  config.concurrency = ai.load.concurrency;
  config.prompt_tokens = ai.load.prompt_tokens;
  config.max_tokens = ai.load.max_tokens;
  config.seed = seed;
  auto load = gateway::LoadGenerator::start(config);
  if (!load) return load.error();
  service.load = *std::move(load);
  return {};
}

}  // namespace noroshi::live
