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

Engines::Engines(const site::AiSection::Engine& config, const std::vector<std::vector<int>>& homes,
                 std::string context_folder)
    : config_(config),
      homes_(homes),
      places_(config.url.empty() ? config.parallel : 0),
      context_folder_(config.url.empty() ? std::move(context_folder) : "") {
  groups_.push_back(make_group(config));
}

Engines::Group Engines::make_group(const site::AiSection::Engine& config) {
  Group group;
  group.model = {.name = config.model_name, .path = config.model_path};
  for (const std::vector<int>& home : homes_) {
    engine::EngineConfig its = engine_config(config);
    its.context_folder = context_folder_;
    if (!home.empty()) {
      its.processors = home;
      its.threads = static_cast<int>(home.size());
    }
    One one;
    one.threads = its.threads > 0
                      ? its.threads
                      : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    one.home = home;
    one.name = "engine" + std::to_string(names_++);
    one.engine = std::make_unique<engine::Engine>(std::move(its));
    group.engines.push_back(std::move(one));
  }
  return group;
}

Result<void> Engines::start() {
  const std::lock_guard lock(mutex_);
  for (Group& group : groups_) {
    for (One& one : group.engines) {
      if (Result<void> started = one.engine->start(); !started) return started;
      if (group.model.name.empty()) group.model.name = one.engine->status().model_name;
    }
  }
  return {};
}

// Before a fleet may change them.
Result<void> Engines::wait_ready(double timeout_s) {
  for (Group& group : groups_) {
    for (One& one : group.engines) {
      if (Result<void> ready = one.engine->wait_ready(timeout_s); !ready) return ready;
    }
  }
  return {};
}

engine::EngineStatus Engines::status_of(const Group& group) {
  engine::EngineStatus sum;
  for (std::size_t i = 0; i < group.engines.size(); ++i) {
    const engine::EngineStatus status = group.engines[i].engine->status();
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

engine::EngineStatus Engines::status() const {
  const std::lock_guard lock(mutex_);
  engine::EngineStatus sum;
  bool first = true;
  for (const Group& group : groups_) {
    const engine::EngineStatus status = status_of(group);
    if (first) {
      sum = status;
      first = false;
      continue;
    }
    sum.restarts += status.restarts;
    sum.cpu_seconds += status.cpu_seconds;
    const bool better = status.state == engine::EngineState::ready && group.retired_ns < 0;
    if (!better || sum.state == engine::EngineState::ready) continue;
    sum.state = status.state;
    sum.model_name = status.model_name;
    sum.url = status.url;
  }
  return sum;
}

std::vector<site::HeldProcess> Engines::processes() const {
  const std::lock_guard lock(mutex_);
  std::vector<site::HeldProcess> held;
  for (const Group& group : groups_) {
    for (const One& one : group.engines) held.push_back({one.engine->status().pid, one.home});
  }
  return held;
}

void Engines::report(gateway::Router& router, double share) const {
  const std::lock_guard lock(mutex_);
  for (const Group& group : groups_) {
    for (const One& one : group.engines) {
      const engine::EngineStatus status = one.engine->status();
      gateway::SiteState site;
      site.name = one.name;
      site.instance = static_cast<std::uint64_t>(status.restarts) + 1;
      // An engine that is not ready has no address that helps anyone.
      const auto url = gateway::parse_http_url(status.url);
      site.ready = status.state == engine::EngineState::ready && url;
      site.draining = group.retired_ns >= 0;
      if (site.ready) {
        site.host = url->host;
        site.tcp_port = url->tcp_port;
      }
      site.api_key = config_.api_key;
      site.keeps_contexts = !context_folder_.empty();
      site.keeps_connections = false;  // each would hold one of llama-server's few threads
      site.lease_share = std::clamp(share, 0.0, 1.0);
      site.lease_share_forecast = site.lease_share;
      site.received_at_ns = std::chrono::steady_clock::now().time_since_epoch().count();
      gateway::ModelAtSite model;
      model.name = status.model_name;
      model.places = places_;
      // Only how they compare: the router learns what a request takes.
      model.prompt_tokens_per_s = 100.0 * one.threads;
      model.tokens_per_s = 10.0 * one.threads;
      if (!model.name.empty()) site.models = {model};
      // A server of somebody else may have a name for its model that nobody could ask for.
      if (!router.update(site)) router.lost(site.name);
    }
  }
}

std::string Engines::run(const std::vector<ModelToRun>& models, std::int64_t now_ns) {
  const auto same = [](const ModelToRun& a, const ModelToRun& b) {
    return a.name == b.name && a.path == b.path;
  };
  std::vector<ModelToRun> fresh;
  {
    const std::lock_guard lock(mutex_);
    for (Group& group : groups_) {
      const bool wanted = std::ranges::any_of(
          models, [&](const ModelToRun& model) { return same(model, group.model); });
      if (!wanted && group.retired_ns < 0) group.retired_ns = now_ns;
      if (wanted) group.retired_ns = -1;  // wanted again before its time was over
    }
    for (const ModelToRun& model : models) {
      const bool there = std::ranges::any_of(
          groups_, [&](const Group& group) { return same(model, group.model); });
      if (!there) fresh.push_back(model);
    }
  }
  std::string faults;
  for (const ModelToRun& model : fresh) {
    site::AiSection::Engine config = config_;
    config.model_name = model.name;
    config.model_path = model.path;
    Group group = make_group(config);
    Result<void> started;
    for (One& one : group.engines) {
      if (started) started = one.engine->start();
    }
    if (!started) {
      faults += (faults.empty() ? "" : "; ") + model.name + ": " + started.error().message;
      continue;
    }
    const std::lock_guard lock(mutex_);
    groups_.push_back(std::move(group));
  }
  return faults;
}

void Engines::end_retired(gateway::Router& router, std::int64_t now_ns) {
  std::vector<Group> over;  // ended outside the lock: it may take seconds
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < groups_.size();) {
      Group& group = groups_[i];
      if (group.retired_ns < 0 || now_ns - group.retired_ns < retire_ns) {
        ++i;
        continue;
      }
      over.push_back(std::move(group));
      groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  for (const Group& group : over) {
    for (const One& one : group.engines) router.lost(one.name);
  }
}

std::vector<Engines::Running> Engines::running() const {
  const std::lock_guard lock(mutex_);
  std::vector<Running> out;
  for (const Group& group : groups_) {
    if (group.retired_ns >= 0) continue;
    Running& one = out.emplace_back();
    one.model = group.model;
    for (const One& engine : group.engines) {
      const engine::EngineStatus status = engine.engine->status();
      if (status.state == engine::EngineState::ready) {
        one.ready = true;
        one.places += places_;
        if (one.model.name.empty()) one.model.name = status.model_name;
      } else if (one.error.empty()) {
        one.error = status.last_error;
      }
    }
  }
  return out;
}

std::string Engines::model_path_at(int tcp_port) const {
  const std::lock_guard lock(mutex_);
  for (const Group& group : groups_) {
    for (const One& one : group.engines) {
      const auto url = gateway::parse_http_url(one.engine->status().url);
      if (url && url->tcp_port == tcp_port) return group.model.path;
    }
  }
  return {};
}

}  // namespace noroshi::live
