#include "live/engines.h"

#include <algorithm>
#include <chrono>
#include <thread>

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

}  // namespace

std::vector<std::vector<int>> engine_homes(const std::vector<int>& usable,
                                           const std::vector<int>& radio, site::LeasePolicy policy,
                                           bool split) {
  std::vector<int> others;
  for (const int processor : usable) {
    if (std::ranges::find(radio, processor) == radio.end()) others.push_back(processor);
  }
  if (others.empty() || (!split && policy != site::LeasePolicy::fixed_split)) return {{}};
  std::vector<std::vector<int>> homes = {others};
  if (policy == site::LeasePolicy::fixed_split) return homes;
  for (const int processor : radio) homes.push_back({processor});
  return homes;
}

Engines::Engines(const site::AiSection::Engine& config, const std::vector<std::vector<int>>& homes)
    : api_key_(config.api_key), places_(config.url.empty() ? config.parallel : 0) {
  for (const std::vector<int>& home : homes) {
    engine::EngineConfig its = engine_config(config);
    if (!home.empty()) {
      its.processors = home;
      its.threads = static_cast<int>(home.size());
    }
    if (engines_.size() >= 1 && !its.log_path.empty())
      its.log_path += "." + std::to_string(engines_.size());
    One one;
    one.threads = its.threads > 0
                      ? its.threads
                      : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    one.home = home;
    one.engine = std::make_unique<engine::Engine>(std::move(its));
    engines_.push_back(std::move(one));
  }
}

Result<void> Engines::start() {
  for (One& one : engines_) {
    if (Result<void> started = one.engine->start(); !started) return started;
  }
  return {};
}

Result<void> Engines::wait_ready(double timeout_s) {
  for (One& one : engines_) {
    if (Result<void> ready = one.engine->wait_ready(timeout_s); !ready) return ready;
  }
  return {};
}

engine::EngineStatus Engines::status() const {
  engine::EngineStatus sum;
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    const engine::EngineStatus status = engines_[i].engine->status();
    if (i == 0) {
      sum = status;
      continue;
    }
    sum.restarts += status.restarts;
    sum.cpu_seconds += status.cpu_seconds;
    if (sum.last_error.empty()) sum.last_error = status.last_error;
    if (status.state == engine::EngineState::ready) sum.state = status.state;
  }
  return sum;
}

std::vector<site::HeldProcess> Engines::processes() const {
  std::vector<site::HeldProcess> held;
  for (const One& one : engines_) held.push_back({one.engine->status().pid, one.home});
  return held;
}

void Engines::report(gateway::Router& router, double share) const {
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    const engine::EngineStatus status = engines_[i].engine->status();
    gateway::SiteState site;
    site.name = "engine" + std::to_string(i);
    site.instance = static_cast<std::uint64_t>(status.restarts) + 1;
    // An engine that is not ready has no address that helps anyone.
    const auto url = gateway::parse_http_url(status.url);
    site.ready = status.state == engine::EngineState::ready && url;
    if (site.ready) {
      site.host = url->host;
      site.tcp_port = url->tcp_port;
    }
    site.api_key = api_key_;
    site.keeps_connections = false;  // each would hold one of llama-server's few threads
    site.lease_share = std::clamp(share, 0.0, 1.0);
    site.lease_share_forecast = site.lease_share;
    site.received_at_ns = std::chrono::steady_clock::now().time_since_epoch().count();
    gateway::ModelAtSite model;
    model.name = status.model_name;
    model.places = places_;
    // Only how they compare: the router learns what a request takes.
    model.prompt_tokens_per_s = 100.0 * engines_[i].threads;
    model.tokens_per_s = 10.0 * engines_[i].threads;
    if (!model.name.empty()) site.models = {model};
    // A server of somebody else may have a name for its model that nobody could ask for.
    if (!router.update(site)) router.lost(site.name);
  }
}

}  // namespace noroshi::live
