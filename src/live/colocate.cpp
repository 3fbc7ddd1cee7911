#include "live/colocate.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "engine/model_make.h"
#include "live/colocate_loads.h"
#include "live/colocate_plot.h"
#include "live/colocate_report.h"
#include "live/service.h"
#include "live/snapshot.h"
#include "site/realtime.h"

namespace noroshi::live {
namespace json = boost::json;
namespace {

constexpr int prompt_tokens = 16;  // few: tokens flow evenly
constexpr std::int64_t look_ns = 50'000'000;
constexpr double ready_timeout_s = 120;

site::AiSection ai_section(const ColocateOptions& options) {
  site::AiSection ai;
  ai.engine.model_path = options.model_path;
  ai.gateway.port = 0;
  ai.load.concurrency = options.streams;
  ai.load.prompt_tokens = prompt_tokens;
  return ai;
}

// An engine that answers, with its load.
Result<std::unique_ptr<Service>> start_saturated(const ColocateOptions& options,
                                                 site::LeasePolicy policy) {
  site::AiSection ai = ai_section(options);
  const std::vector<int> usable = site::usable_processors();
  const auto homes = engine_homes(usable, {usable.back()}, policy, options.split);
  ai.gateway.measure_idle_s = 0;
  ai.engine.parallel = std::max(1, options.streams / static_cast<int>(homes.size()));
  auto service = start_service(
      ai, homes, [] { return std::string(); }, [] { return 1.0; });
  if (!service) return service;
  if (const auto ready = (*service)->engines->wait_ready(ready_timeout_s); !ready)
    return ready.error();
  if (const auto load = start_load(**service, ai, options.seed); !load) return load.error();
  // Measured from the first whole answer on.
  MonotonicClock clock;
  while ((*service)->load->counters().requests == 0) clock.sleep_until_ns(clock.now_ns() + look_ns);
  return service;
}

double tokens_of(const Service& service) {
  return static_cast<double>(service.load->counters().tokens);
}

// Tokens flow evenly without a radio: a minute of it is enough.
constexpr double alone_seconds_max = 60;

Result<double> engine_alone(const ColocateOptions& options) {
  auto service = start_saturated(options, site::LeasePolicy::os);
  if (!service) return service.error();
  MonotonicClock clock;
  const double before = tokens_of(**service);
  const std::int64_t from = clock.now_ns();
  const double wanted_s = std::min(options.seconds, alone_seconds_max);
  clock.sleep_until_ns(from + static_cast<std::int64_t>(wanted_s * 1e9));
  const double seconds = static_cast<double>(clock.now_ns() - from) / 1e9;
  return (tokens_of(**service) - before) / seconds;
}

void take_figures(const site::Site& site, const site::SiteConfig& config, Outcome& outcome) {
  constexpr auto relaxed = std::memory_order_relaxed;
  const site::CellCounters& counters = site.counters(0);
  outcome.slot_us = Quantiles::of(counters.slot_ns);
  outcome.own_slot_us = Quantiles::of(counters.own_slot_ns);
  outcome.wake_us = Quantiles::of(counters.wake_ns);
  outcome.downlink_ready_us = Quantiles::of(counters.downlink_ready_ns);
  outcome.uplink_ready_us = Quantiles::of(counters.uplink_ready_ns);
  outcome.downlink_deadline_us = config.downlink_deadline_us;
  outcome.uplink_deadline_us =
      static_cast<double>(slot_duration_ns(config.cells[0].carrier.scs_khz)) / 1e3 *
      config.uplink_deadline_slots;
  outcome.lost_by_host += counters.lost_by_host.load(relaxed);
  const site::LeaseCounters& lease = site.lease_counters();
  outcome.takes = lease.takes.load(relaxed);
  outcome.freed_us = Quantiles::of(lease.freed_ns);
  outcome.own_freed_us = Quantiles::of(lease.own_freed_ns);
  outcome.given_us = Quantiles::of(lease.given_ns);
}

// Kills all engines at even distances within a run; who watches them starts them again.
class Killer {
 public:
  Killer(const Engines* engines, int kills, double seconds)
      : engines_(engines), kills_(kills), every_ns_(static_cast<std::int64_t>(seconds * 1e9)) {
    every_ns_ /= kills + 1;
    next_ns_ = clock_.now_ns() + every_ns_;
  }
  int done() const { return done_; }

  void look() {
    if (engines_ == nullptr || done_ == kills_ || clock_.now_ns() < next_ns_) return;
    for (const site::HeldProcess& engine : engines_->processes()) {
      if (engine.process > 1) kill(-engine.process, SIGKILL);
    }
    ++done_;
    next_ns_ += every_ns_;
  }

 private:
  const Engines* engines_;
  int kills_ = 0, done_ = 0;
  std::int64_t every_ns_ = 0, next_ns_ = 0;
  MonotonicClock clock_;
};

// Runs the site to its end, looking at it meanwhile.
Result<void> run_watched(site::Site& site, Killer& killer, Outcome& outcome) {
  std::vector<site::LateSlot> late;
  std::vector<site::HostStall> stalls;
  std::atomic<bool> done{false};
  Result<void> ran;
  std::thread radio([&] {
    ran = site.run();
    done.store(true);
  });
  MonotonicClock clock;
  const auto drain = [&] {
    for (site::LateSlot slot; site.take_late(0, slot);) late.push_back(slot);
    for (site::HostStall stall; site.take_stall(0, stall);) stalls.push_back(stall);
  };
  while (!done.load()) {
    clock.sleep_until_ns(clock.now_ns() + look_ns);
    drain();
    killer.look();
  }
  radio.join();
  drain();
  count_late(late, stalls, outcome);
  return ran;
}

Result<Outcome> run_one(const ColocateOptions& options, const std::string& load,
                        site::LeasePolicy policy, const std::string& cost_model_path) {
  Result<site::SiteConfig> config = colocate_site(load, options.seconds);
  if (!config) return config.error();
  config->lease.policy = policy;
  config->cost_model_path = cost_model_path;
  std::unique_ptr<Service> service;
  if (policy != site::LeasePolicy::off) {
    auto started = start_saturated(options, policy);
    if (!started) return started.error();
    service = *std::move(started);
  }
  site::SiteOptions site_options;
  site_options.duration_s = options.seconds;
  site_options.seed = options.seed;
  if (service) site_options.engines = [&service] { return service->engines->processes(); };
  auto site = site::Site::make(*config, site_options);
  if (!site) return site.error();

  Outcome outcome;
  outcome.load = load;
  outcome.policy = site::name_of(policy);
  const Engines* engines = service ? service->engines.get() : nullptr;
  const gateway::Gateway* gateway = service ? service->gateway_or_null() : nullptr;
  const Totals from = take_totals(*site, engines, gateway);
  const double tokens_before = service ? tokens_of(*service) : 0;
  Killer killer(engines, options.engine_kills, options.seconds);
  const Result<void> ran = run_watched(*site, killer, outcome);
  const double tokens_after = service ? tokens_of(*service) : 0;
  outcome.total = take_totals(*site, engines, gateway);
  if (!ran) return ran.error();
  for (const std::string& warning : site->warnings())
    std::fprintf(stderr, "noroshi bench colocate: warning: %s\n", warning.c_str());

  outcome.rate = rates(from, outcome.total, static_cast<int>(site::usable_processors().size()));
  outcome.tokens_per_s = (tokens_after - tokens_before) / outcome.rate.seconds;
  take_figures(*site, *config, outcome);
  if (service) {
    const Histogram& first_token = service->load->time_to_first_token_ns();
    outcome.ttft_ms_p50 = static_cast<double>(first_token.quantile(0.5)) / 1e6;
    outcome.ttft_ms_p99 = static_cast<double>(first_token.quantile(0.99)) / 1e6;
    outcome.engine_kills = killer.done();
    outcome.engine_restarts = engines->status().restarts;
  }
  return outcome;
}

// A run of its own: looking costs a little.
Result<void> write_plot(const ColocateOptions& options) {
  constexpr const char* load = "bursty";
  constexpr double plot_s = 2.5;
  auto config = colocate_site(load, plot_s);
  if (!config) return config.error();
  config->lease.policy = site::LeasePolicy::lease;
  auto service = start_saturated(options, config->lease.policy);
  if (!service) return service.error();
  const Engines* engines = (*service)->engines.get();
  site::SiteOptions site_options;
  site_options.duration_s = plot_s;
  site_options.engines = [engines] { return engines->processes(); };
  auto site = site::Site::make(*config, site_options);
  if (!site) return site.error();
  const std::vector<int> usable = site::usable_processors();
  PlotInput input;
  input.title = "40 MHz cell, bursty load, policy lease";
  input.processors = usable.back() + 1;
  input.radio_processor = usable.back();
  input.air_processor = usable[usable.size() >= 2 ? usable.size() - 2 : 0];
  EngineSampler sampler(engines->processes(), input.processors, site->counters(0));
  const Result<void> ran = site->run();
  sampler.stop();
  if (!ran) return ran;
  for (site::SlotTrace trace; site->take_trace(0, trace);) input.slots.push_back(trace);
  input.looks = sampler.looks();
  const auto svg = plot_second(input);
  if (!svg) return svg.error();
  std::ofstream file(options.plot_path);
  file << *svg;
  file.close();
  if (!file) return Error{options.plot_path + " could not be written"};
  return {};
}

std::vector<std::string> words(const std::string& list, const std::vector<std::string>& all) {
  if (list == "all") return all;
  std::vector<std::string> out;
  for (std::size_t from = 0; from <= list.size();) {
    const std::size_t to = std::min(list.find(',', from), list.size());
    out.push_back(list.substr(from, to - from));
    from = to + 1;
  }
  return out;
}

int failure(const std::string& message) {
  std::fprintf(stderr, "noroshi bench colocate: %s\n", message.c_str());
  return 1;
}

void print_progress(const std::string& load, site::LeasePolicy policy, int round, int rounds) {
  std::fprintf(stderr, "%s, %s", load.c_str(), std::string(name_of(policy)).c_str());
  if (rounds > 1) std::fprintf(stderr, ", round %d of %d", round + 1, rounds);
  std::fprintf(stderr, "\n");
}

// What the runs share and nobody keeps: a load model where none was given, and what slots cost, so
// that only the first run has to learn it.
class Temporary {
 public:
  Temporary()
      : stem_(std::filesystem::temp_directory_path() /
              ("noroshi-colocate-" + std::to_string(getpid()))) {}
  ~Temporary() {
    std::error_code ignored;
    std::filesystem::remove(model_path(), ignored);
    std::filesystem::remove(cost_model_path(), ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  Result<void> make_model() const {
    const auto shape = engine::model_preset("tiny");
    if (!shape) return shape.error();
    return engine::model_make(*shape, 1, model_path(), [](double) {});
  }
  std::string model_path() const { return stem_.string() + ".gguf"; }
  std::string cost_model_path() const { return stem_.string() + ".cost"; }

 private:
  std::filesystem::path stem_;
};

}  // namespace

int run_colocate(const ColocateOptions& asked) {
  ColocateOptions options = asked;
  if (!(options.seconds > 0)) return failure("--seconds must be above 0");
  if (options.rounds < 1) return failure("--rounds must be at least 1");
  if (options.streams < 1) return failure("--streams must be at least 1");
  if (options.engine_kills < 0) return failure("--kill-engine must not be negative");
  const auto loads = words(options.loads, {"low", "diurnal", "bursty", "full"});
  std::vector<site::LeasePolicy> policies;
  for (const std::string& name : words(options.policies, {"off", "static", "os", "lease"})) {
    const auto policy = site::lease_policy(name);
    if (!policy) return failure(policy.error().message);
    policies.push_back(*policy);
  }
  for (const std::string& load : loads) {
    if (const auto site = colocate_site(load, 1); !site) return failure(site.error().message);
  }
  const Temporary temporary;
  if (options.model_path.empty()) {
    if (const auto made = temporary.make_model(); !made) return failure(made.error().message);
    options.model_path = temporary.model_path();
  }
  const auto alone = engine_alone(options);
  if (!alone) return failure(alone.error().message);
  json::array results, medians;
  if (!options.json) print_head(*alone);
  for (const std::string& load : loads) {
    std::vector<std::vector<json::object>> of_policy(policies.size());
    for (int round = 0; round < options.rounds; ++round) {
      for (std::size_t p = 0; p < policies.size(); ++p) {
        if (options.json) print_progress(load, policies[p], round, options.rounds);
        const auto outcome = run_one(options, load, policies[p], temporary.cost_model_path());
        if (!outcome) return failure(outcome.error().message);
        if (!options.json) print_line(*outcome, *alone);
        of_policy[p].push_back(outcome_json(*outcome, *alone));
        results.push_back(of_policy[p].back());
      }
    }
    if (options.rounds == 1) continue;
    for (const auto& rounds : of_policy) {
      medians.push_back(median_json(rounds));
      if (!options.json) print_median(medians.back().as_object());
    }
  }
  if (!options.plot_path.empty()) {
    if (const auto plotted = write_plot(options); !plotted)
      return failure("plot: " + plotted.error().message);
  }
  if (options.json) {
    json::object report{{"seconds", options.seconds},
                        {"ai_alone_tokens_per_s", *alone},
                        {"runs", std::move(results)}};
    if (options.rounds > 1) report["medians"] = std::move(medians);
    std::printf("%s\n", json::serialize(report).c_str());
  }
  return 0;
}

}  // namespace noroshi::live
