#include "trial/role.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>

#include "base/clock.h"
#include "fleet/agent.h"
#include "fleet/control.h"
#include "fleet/feed.h"
#include "fleet/nats_bus.h"
#include "gateway/gateway.h"
#include "meter/keep.h"
#include "meter/ship.h"
#include "meter/spool/spool.h"

namespace noroshi::trial {
namespace {

constexpr std::int64_t step_ns = 20'000'000;

int failed(const RoleCommand& command, const Error& error) {
  std::fprintf(stderr, "noroshi trial %s %s: %s\n", command.role.c_str(), command.name.c_str(),
               error.message.c_str());
  return 1;
}

std::uint64_t new_instance() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

template <class Step>
[[noreturn]] void step_forever(Clock& clock, Step step) {
  for (std::int64_t next_ns = clock.now_ns();; next_ns += step_ns) {
    clock.sleep_until_ns(next_ns);
    step();
  }
}

void describe_stub(const StubEngine& engine, const StubConfig& config, fleet::SiteReport& report) {
  const StubCounters now = engine.counters();
  const double slow = engine.slow();
  gateway::ModelAtSite model;
  model.name = config.model;
  model.content_hash = stub_content_hash();
  model.places = config.places;
  model.requests_queued = static_cast<int>(now.queued);
  model.requests_in_flight = static_cast<int>(now.in_flight - std::min(now.in_flight, now.queued));
  model.prompt_tokens_per_s = config.prompt_tokens_per_s / slow;
  model.tokens_per_s = config.tokens_per_s / slow;
  model.cache_tokens = static_cast<int>(std::min<std::uint64_t>(config.cache_tokens, 1 << 30));
  report.site.ready = true;
  report.site.models = {model};
}

int run_site(const RoleCommand& command, fleet::Bus& bus, Clock& clock) {
  auto tls = gateway::TlsServer::with_own_key();
  if (!tls) return failed(command, tls.error());
  StubConfig stub = command.stub;
  stub.tls = *tls;
  auto engine = StubEngine::start(stub);
  if (!engine) return failed(command, engine.error());
  fleet::AgentConfig config;
  config.facts.name = command.name;
  config.facts.region = command.region;
  config.facts.instance = new_instance();
  config.host = command.host;
  config.tcp_port = engine->tcp_port();
  config.pin = [&] { return (*tls)->pin(); };
  fleet::Agent agent(
      bus, clock, config,
      [&](fleet::SiteReport& report) { describe_stub(*engine, command.stub, report); },
      [](const fleet::DesiredSite&) {});
  if (auto started = agent.start(); !started) return failed(command, started.error());
  step_forever(clock, [&] { agent.step(); });
}

int run_gateway(const RoleCommand& command, fleet::Bus& bus, Clock& clock) {
  auto spool = meter::Spool::open({.directory = command.spool,
                                   .segment_bytes = command.spool_segment_bytes,
                                   .bytes_max = std::uint64_t{64} << 20,
                                   .reserve_bytes = command.spool_reserve_bytes});
  if (!spool) return failed(command, spool.error());
  auto shipper = meter::Shipper::start(*spool, bus, {.gateway = command.name});
  if (!shipper) return failed(command, shipper.error());
  gateway::Router router({.region = command.region});
  fleet::Feed feed(bus, clock, {.region = command.region, .id = command.name},
                   fleet::sink_of(router));
  if (auto started = feed.start(); !started) return failed(command, started.error());
  char instance[32];
  std::snprintf(instance, sizeof instance, "%s-%llx", command.name.c_str(),
                static_cast<unsigned long long>(new_instance()));
  gateway::GatewayConfig config;
  config.address = command.host;
  config.port = command.tcp_port;
  config.open = true;  // the wires of a trial are this machine's
  config.instance = instance;
  config.requests_in_flight_max = 512;
  config.probes_per_s = 5;  // it finds the distances by itself
  gateway::GatewayCalls calls;
  calls.store_usage = meter::keep_in(*spool);
  calls.may_begin = [&] { return spool->accepts(); };
  auto gateway = gateway::Gateway::start(config, router, calls);
  if (!gateway) return failed(command, gateway.error());
  std::string last_error;
  step_forever(clock, [&] {
    feed.step();
    const std::string error = shipper->counters().last_error;
    if (error == last_error) return;
    last_error = error;
    std::fprintf(stderr, "%s ships usage: %s\n", command.name.c_str(),
                 error.empty() ? "all is well" : error.c_str());
  });
}

int run_control(const RoleCommand& command, fleet::Bus& bus, Clock& clock) {
  fleet::Control control(bus, clock,
                         {.id = command.name, .instance = new_instance(), .replicas = 3});
  if (auto started = control.start(); !started) return failed(command, started.error());
  std::thread slow([&] { step_forever(clock, [&] { control.step_slow(); }); });
  std::thread plan([&] { step_forever(clock, [&] { control.step_plan(); }); });
  step_forever(clock, [&] { control.step(); });
}

}  // namespace

std::string stub_content_hash() { return std::string(64, '5'); }

int run_role(const RoleCommand& command) {
  MonotonicClock clock;
  auto bus = fleet::connect_nats({.urls = command.nats_urls, .name = "trial-" + command.name}, 0);
  if (!bus) return failed(command, bus.error());
  if (command.role == "site") return run_site(command, **bus, clock);
  if (command.role == "gateway") return run_gateway(command, **bus, clock);
  if (command.role == "control") return run_control(command, **bus, clock);
  return failed(command, Error{"there is no such role"});
}

std::vector<std::string> arguments_of(const RoleCommand& c) {
  std::vector<std::string> arguments = {"/proc/self/exe", "trial", c.role};
  const auto add = [&](const char* option, const std::string& value) {
    if (value.empty()) return;
    arguments.emplace_back(option);
    arguments.push_back(value);
  };
  add("--name", c.name);
  add("--region", c.region);
  add("--host", c.host);
  add("--port", std::to_string(c.tcp_port));
  for (const std::string& url : c.nats_urls) add("--nats", url);
  add("--spool", c.spool);
  add("--places", std::to_string(c.stub.places));
  add("--prompt-rate", std::to_string(c.stub.prompt_tokens_per_s));
  add("--token-rate", std::to_string(c.stub.tokens_per_s));
  return arguments;
}

}  // namespace noroshi::trial
