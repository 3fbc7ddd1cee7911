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
#include "live/canary.h"
#include "live/colocate_loads.h"
#include "live/colocate_plot.h"
#include "live/service.h"
#include "live/snapshot.h"
#include "site/realtime.h"

namespace noroshi::live {
namespace json = boost::json;
namespace {

constexpr int streams = 16;        // so many that batches are large on few and on many engines
constexpr int prompt_tokens = 16;  // few: tokens flow evenly
constexpr std::int64_t look_ns = 50'000'000;
constexpr double ready_timeout_s = 120;
// A stall before a slot may have left work that pushes the slot back.
constexpr std::int64_t before_slot_ns = 1'000'000;

double us(std::uint64_t ns) { return static_cast<double>(ns) / 1e3; }

struct Quantiles {
  double p50 = 0, p99 = 0, p999 = 0, p9999 = 0, max = 0;
  static Quantiles of(const Histogram& histogram) {
    return {us(histogram.quantile(0.5)), us(histogram.quantile(0.99)),
            us(histogram.quantile(0.999)), us(histogram.quantile(0.9999)), us(histogram.max())};
  }
};

struct Outcome {
  std::string load, policy;
  Totals total;  // since the start of the run
  Rates rate;
  Quantiles slot_us, downlink_ready_us, uplink_ready_us, canary_us;
  double downlink_deadline_us = 0, uplink_deadline_us = 0;
  std::uint64_t late = 0, late_host = 0;  // of them: on time but for the canary's stalls
  std::size_t stalls = 0;
  double tokens_per_s = 0, ttft_ms_p50 = 0, ttft_ms_p99 = 0;
  std::uint64_t takes = 0;
  Quantiles freed_us, given_us;
  double taken_ratio = 0;
  std::uint64_t cost_over = 0, cost_slots = 0;
};

site::AiSection ai_section(const ColocateOptions& options) {
  site::AiSection ai;
  ai.engine.model_path = options.model_path;
  ai.gateway.port = 0;
  ai.load.concurrency = streams;
  ai.load.prompt_tokens = prompt_tokens;
  return ai;
}

// An engine that answers, with its load.
Result<std::unique_ptr<Service>> start_saturated(const ColocateOptions& options,
                                                 site::LeasePolicy policy) {
  site::AiSection ai = ai_section(options);
  const std::vector<int> usable = site::usable_processors();
  const auto homes = engine_homes(usable, {usable.back()}, policy, options.split);
  ai.engine.parallel = streams / static_cast<int>(homes.size());
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

Result<double> engine_alone(const ColocateOptions& options) {
  auto service = start_saturated(options, site::LeasePolicy::os);
  if (!service) return service.error();
  MonotonicClock clock;
  const double before = tokens_of(**service);
  const std::int64_t from = clock.now_ns();
  clock.sleep_until_ns(from + static_cast<std::int64_t>(options.seconds * 1e9));
  const double seconds = static_cast<double>(clock.now_ns() - from) / 1e9;
  return (tokens_of(**service) - before) / seconds;
}

void count_late(const std::vector<site::LateSlot>& late, const std::vector<Stall>& stalls,
                Outcome& outcome) {
  outcome.late = late.size();
  outcome.stalls = stalls.size();
  for (const site::LateSlot& slot : late) {
    const std::int64_t stalled = stalled_ns(stalls, slot.from_ns - before_slot_ns, slot.ready_ns);
    outcome.late_host += stalled >= slot.ready_ns - slot.deadline_ns;
  }
}

void take_figures(const site::SiteCounters& counters, const site::SiteConfig& config,
                  Outcome& outcome) {
  constexpr auto relaxed = std::memory_order_relaxed;
  outcome.slot_us = Quantiles::of(counters.slot_ns);
  outcome.downlink_ready_us = Quantiles::of(counters.downlink_ready_ns);
  outcome.uplink_ready_us = Quantiles::of(counters.uplink_ready_ns);
  outcome.downlink_deadline_us = config.downlink_deadline_us;
  outcome.uplink_deadline_us =
      us(static_cast<std::uint64_t>(slot_duration_ns(config.cell.carrier.scs_khz))) *
      config.uplink_deadline_slots;
  outcome.takes = counters.lease.takes.load(relaxed);
  outcome.freed_us = Quantiles::of(counters.lease.freed_ns);
  outcome.given_us = Quantiles::of(counters.lease.given_ns);
  const auto slots = std::max<std::uint64_t>(1, counters.slots.load(relaxed));
  outcome.taken_ratio =
      static_cast<double>(counters.lease.taken_slots.load(relaxed)) / static_cast<double>(slots);
  outcome.cost_over = counters.cost_over_p9999.load(relaxed);
  outcome.cost_slots = counters.cost_slots.load(relaxed);
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
  const int radio_processor = site::usable_processors().back();
  auto site = site::Site::make(*config, site_options);
  if (!site) return site.error();

  Outcome outcome;
  outcome.load = load;
  outcome.policy = site::name_of(policy);
  Canary canary(radio_processor, config->realtime_priority + 1);
  const Engines* engines = service ? service->engines.get() : nullptr;
  const gateway::Gateway* gateway = service ? service->gateway_or_null() : nullptr;
  const Totals from = take_totals(site->counters(), engines, gateway);
  const double tokens_before = service ? tokens_of(*service) : 0;
  std::vector<site::LateSlot> late;
  std::atomic<bool> done{false};
  Result<void> ran;
  std::thread radio([&] {
    ran = site->run();
    done.store(true);
  });
  MonotonicClock clock;
  const auto drain = [&] {
    for (site::LateSlot slot; site->take_late(slot);) late.push_back(slot);
  };
  while (!done.load()) {
    clock.sleep_until_ns(clock.now_ns() + look_ns);
    drain();
  }
  radio.join();
  drain();
  const double tokens_after = service ? tokens_of(*service) : 0;
  const Totals to = take_totals(site->counters(), engines, gateway);
  canary.stop();
  if (!ran) return ran.error();
  for (const std::string& warning : site->warnings())
    std::fprintf(stderr, "noroshi bench colocate: warning: %s\n", warning.c_str());
  if (!canary.warning().empty())
    std::fprintf(stderr, "noroshi bench colocate: canary: %s\n", canary.warning().c_str());

  outcome.total = to;
  outcome.rate = rates(from, to, static_cast<int>(site::usable_processors().size()));
  outcome.tokens_per_s = (tokens_after - tokens_before) / outcome.rate.seconds;
  outcome.canary_us = Quantiles::of(canary.late_ns());
  count_late(late, canary.stalls(), outcome);
  take_figures(site->counters(), *config, outcome);
  if (service) {
    outcome.ttft_ms_p50 = us(service->load->time_to_first_token_ns().quantile(0.5)) / 1e3;
    outcome.ttft_ms_p99 = us(service->load->time_to_first_token_ns().quantile(0.99)) / 1e3;
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
  EngineSampler sampler(engines->processes(), input.processors, site->counters());
  const Result<void> ran = site->run();
  sampler.stop();
  if (!ran) return ran;
  for (site::SlotTrace trace; site->take_trace(trace);) input.slots.push_back(trace);
  input.looks = sampler.looks();
  const auto svg = plot_second(input);
  if (!svg) return svg.error();
  std::ofstream file(options.plot_path);
  file << *svg;
  file.close();
  if (!file) return Error{options.plot_path + " could not be written"};
  return {};
}

// Of the processor time that the radio (and the air that stands in for the world) leaves.
double reclaimed(const Outcome& o) {
  const double left = o.rate.ai_cores + o.rate.idle_cores + o.rate.other_cores;
  return left <= 0 ? 0 : o.rate.ai_cores / left;
}

json::object quantiles_json(const Quantiles& q) {
  return {{"p50", q.p50}, {"p99", q.p99}, {"p999", q.p999}, {"p9999", q.p9999}, {"max", q.max}};
}

json::object margin_json(const Quantiles& ready, double deadline_us) {
  return {{"p50", deadline_us - ready.p50},
          {"p99", deadline_us - ready.p99},
          {"p999", deadline_us - ready.p999},
          {"p9999", deadline_us - ready.p9999},
          {"min", deadline_us - ready.max}};
}

json::object outcome_json(const Outcome& o, double alone_tokens_per_s) {
  json::object out{{"bench", "colocate"}, {"load", o.load}, {"policy", o.policy}};
  out["slots"] = o.total.slots;
  out["slot_us"] = quantiles_json(o.slot_us);
  out["downlink_margin_us"] = margin_json(o.downlink_ready_us, o.downlink_deadline_us);
  out["uplink_margin_us"] = margin_json(o.uplink_ready_us, o.uplink_deadline_us);
  out["late"] = json::object{{"slots", o.total.late_slots},   {"downlink", o.total.late_downlink},
                             {"uplink", o.total.late_uplink}, {"ratio", o.rate.late_ratio},
                             {"by_host", o.late_host},        {"lost_slots", o.total.lost_slots}};
  out["canary_us"] = quantiles_json(o.canary_us);
  out["canary_stalls"] = o.stalls;
  out["radio_cores"] = o.rate.radio_cores;
  out["air_cores"] = o.rate.air_cores;
  out["dl_mbps"] = o.rate.dl_mbps;
  out["ul_mbps"] = o.rate.ul_mbps;
  out["cost_model"] = json::object{{"slots", o.cost_slots}, {"over_p9999", o.cost_over}};
  if (o.policy == "off") return out;
  out["tokens_per_s"] = o.tokens_per_s;
  out["share_of_ai_alone"] = o.tokens_per_s / alone_tokens_per_s;
  out["ai_cores"] = o.rate.ai_cores;
  out["reclaimed"] = reclaimed(o);
  out["ttft_ms"] = json::object{{"p50", o.ttft_ms_p50}, {"p99", o.ttft_ms_p99}};
  out["takes"] = o.takes;
  out["taken_ratio"] = o.taken_ratio;
  out["freed_us"] = quantiles_json(o.freed_us);
  out["given_us"] = quantiles_json(o.given_us);
  return out;
}

void print_head(double alone_tokens_per_s) {
  std::printf("AI alone: %.1f tokens/s\n", alone_tokens_per_s);
  std::printf("%-8s %-7s %26s %21s %9s %18s %9s %18s %15s\n", "load", "policy",
              "slot us p50/p99/p99.9/max", "late ours+host (lost)", "radio", "tokens/s (share)",
              "reclaimed", "freed us p50/p99", "TTFT ms p50/p99");
}

void print_line(const Outcome& o, double alone_tokens_per_s) {
  std::printf("%-8s %-7s %5.0f %6.0f %6.0f %6.0f %8llu +%5llu (%4llu) %9.2f", o.load.c_str(),
              o.policy.c_str(), o.slot_us.p50, o.slot_us.p99, o.slot_us.p999, o.slot_us.max,
              static_cast<unsigned long long>(o.late - o.late_host),
              static_cast<unsigned long long>(o.late_host),
              static_cast<unsigned long long>(o.total.lost_slots), o.rate.radio_cores);
  if (o.policy != "off") {
    std::printf(" %9.1f (%4.0f %%) %7.0f %% %9.0f %8.0f %7.0f %7.0f", o.tokens_per_s,
                100 * o.tokens_per_s / alone_tokens_per_s, 100 * reclaimed(o), o.freed_us.p50,
                o.freed_us.p99, o.ttft_ms_p50, o.ttft_ms_p99);
  }
  std::printf("\n");
  std::fflush(stdout);
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
  json::array results;
  if (!options.json) print_head(*alone);
  for (const std::string& load : loads) {
    for (const site::LeasePolicy policy : policies) {
      if (options.json)
        std::fprintf(stderr, "%s, %s\n", load.c_str(), std::string(name_of(policy)).c_str());
      const auto outcome = run_one(options, load, policy, temporary.cost_model_path());
      if (!outcome) return failure(outcome.error().message);
      if (options.json) {
        results.push_back(outcome_json(*outcome, *alone));
      } else {
        print_line(*outcome, *alone);
      }
    }
  }
  if (!options.plot_path.empty()) {
    if (const auto plotted = write_plot(options); !plotted)
      return failure("plot: " + plotted.error().message);
  }
  if (options.json) {
    const json::object report{{"seconds", options.seconds},
                              {"ai_alone_tokens_per_s", *alone},
                              {"runs", std::move(results)}};
    std::printf("%s\n", json::serialize(report).c_str());
  }
  return 0;
}

}  // namespace noroshi::live
