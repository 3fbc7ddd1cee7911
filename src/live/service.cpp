#include "live/service.h"

#include <cstdio>
#include <random>

#include "gateway/url.h"

namespace noroshi::live {
namespace {

gateway::GatewayConfig gateway_config(const site::AiSection::Gateway& g) {
  gateway::GatewayConfig config;
  // Requests of two runs must not share a name.
  std::random_device chance;
  char instance[24];
  std::snprintf(instance, sizeof instance, "req-%08x%08x", chance(), chance());
  config.instance = instance;
  config.address = g.address;
  config.port = g.port;
  config.threads = g.threads;
  config.open = g.open;
  config.api_keys = g.api_keys;
  config.body_bytes_max = static_cast<std::size_t>(g.body_bytes_max);
  config.requests_per_second = g.requests_per_second;
  config.burst = g.burst;
  config.requests_in_flight_max = g.requests_in_flight_max;
  config.queue_wait_max_s = g.queue_wait_max_s;
  config.upstream_timeout_s = g.upstream_timeout_s;
  config.header_timeout_s = g.header_timeout_s;
  config.measure_idle_s = g.measure_idle_s;
  return config;
}

}  // namespace

Result<std::unique_ptr<Service>> start_service(const site::AiSection& ai,
                                               const std::vector<std::vector<int>>& homes,
                                               std::function<std::string()> extra_metrics,
                                               std::function<double()> share,
                                               const std::string& context_folder) {
  auto service = std::make_unique<Service>();
  service->engines = std::make_unique<Engines>(ai.engine, homes, context_folder);
  if (const auto started = service->engines->start(); !started) return started.error();

  gateway::GatewayConfig config = gateway_config(ai.gateway);
  if (!ai.gateway.tenants.empty()) {
    auto tenants = gateway::load_tenants(ai.gateway.tenants);
    if (!tenants) return tenants.error();
    config.tenants = std::make_shared<gateway::Tenants>(*std::move(tenants));
  }
  if (ai.gateway.tls) {
    auto tls = ai.gateway.tls_certificate.empty()
                   ? gateway::TlsServer::with_own_key()
                   : gateway::TlsServer::from_files(ai.gateway.tls_certificate, ai.gateway.tls_key);
    if (!tls) return tls.error();
    config.tls = service->tls = *std::move(tls);
  }
  gateway::GatewayCalls calls;
  const Engines* engines = service->engines.get();
  calls.refresh = [engines, share = std::move(share)](gateway::Router& router) {
    engines->report(router, share());
  };
  calls.extra_metrics = std::move(extra_metrics);
  calls.fetch_context = [contexts = service->contexts](auto wanted, auto tell) {
    const std::lock_guard lock(contexts->mutex);
    if (contexts->fetch) return contexts->fetch(std::move(wanted), std::move(tell));
    tell({.why = "the site is in no fleet"});
  };
  calls.refresh(service->router);
  service->exposure = gateway::exposure_of(config);
  auto gateway = gateway::Gateway::start(std::move(config), service->router, std::move(calls));
  if (!gateway) return gateway.error();
  service->gateway = *std::move(gateway);
  service->url = service->gateway->url();
  service->model = engines->status().model_name;
  return service;
}

Result<void> start_load(Service& service, const site::AiSection& ai, std::uint64_t seed) {
  gateway::LoadConfig config;
  config.url = "http" + service.url.substr(service.url.find("://"));
  if (service.tls) config.pin = service.tls->pin();
  config.api_key = ai.gateway.api_keys.empty() ? "" : ai.gateway.api_keys.front();
  config.model = service.engines->status().model_name;
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
