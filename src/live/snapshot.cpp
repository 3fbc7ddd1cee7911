#include "live/snapshot.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>

#include "site/realtime.h"

namespace noroshi::live {
namespace {

struct MachineTimes {
  double idle_s = 0;
  double steal_s = 0;
};

// First line of /proc/stat: cpu user nice system idle iowait irq softirq steal ... in clock ticks.
// Where it cannot be read both stay 0, and the view shows no idle time.
MachineTimes machine_times() {
  std::ifstream file("/proc/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line);
  std::string label;
  double ticks[8] = {};
  fields >> label;
  for (double& tick : ticks) fields >> tick;
  const auto per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  return {(ticks[3] + ticks[4]) / per_second, ticks[7] / per_second};
}

double ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

Totals take_totals(const site::SiteCounters& radio, const Engines* engines,
                   const gateway::Gateway* gateway) {
  const auto get = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  Totals t;
  t.time_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  t.slots = get(radio.slots);
  t.late_slots = get(radio.late_slots);
  t.late_downlink = get(radio.late_downlink);
  t.late_uplink = get(radio.late_uplink);
  t.lost_slots = get(radio.lost_slots);
  t.dl_bits = get(radio.dl_bits);
  t.dl_tb = get(radio.dl_tb);
  t.dl_tb_failed = get(radio.dl_tb_failed);
  t.dl_tb_lost = get(radio.dl_tb_lost);
  t.ul_bits = get(radio.ul_bits);
  t.ul_tb = get(radio.ul_tb);
  t.ul_tb_failed = get(radio.ul_tb_failed);
  t.ul_tb_lost = get(radio.ul_tb_lost);
  t.payload_mismatches = get(radio.payload_mismatches);
  t.radio_cpu_s = static_cast<double>(get(radio.radio_cpu_ns)) / 1e9;
  t.air_cpu_s = static_cast<double>(get(radio.air_cpu_ns)) / 1e9;
  if (engines != nullptr) t.ai_cpu_s = engines->status().cpu_seconds;
  if (gateway != nullptr) {
    const gateway::GatewayCounters counters = gateway->counters();
    t.requests = counters.requests;
    t.requests_failed = counters.requests_failed;
    t.in_flight = counters.in_flight;
    t.tokens = counters.tokens_completion;
  }
  const MachineTimes machine = machine_times();
  t.machine_idle_s = machine.idle_s;
  t.machine_steal_s = machine.steal_s;
  return t;
}

double engine_share(const site::SiteCounters& radio, std::size_t radio_processors) {
  const auto all = static_cast<double>(site::usable_processors().size());
  const std::uint64_t taken = radio.lease.taken.load(std::memory_order_relaxed);
  const double left = radio.left.load(std::memory_order_relaxed);
  double have = all - static_cast<double>(radio_processors);
  for (std::size_t worker = 0; worker < radio_processors; ++worker)
    have += (taken >> worker & 1) != 0 ? 0 : std::clamp(left, 0.0, 1.0);
  return std::clamp(have / all, 0.0, 1.0);
}

Rates rates(const Totals& from, const Totals& to, int processors) {
  Rates r;
  r.seconds = to.time_s - from.time_s;
  const double seconds = std::max(r.seconds, 1e-9);
  r.dl_mbps = static_cast<double>(to.dl_bits - from.dl_bits) / seconds / 1e6;
  r.ul_mbps = static_cast<double>(to.ul_bits - from.ul_bits) / seconds / 1e6;
  r.dl_bler = ratio(to.dl_tb_lost - from.dl_tb_lost, to.dl_tb - from.dl_tb);
  r.ul_bler = ratio(to.ul_tb_lost - from.ul_tb_lost, to.ul_tb - from.ul_tb);
  r.dl_bler_first = ratio(to.dl_tb_failed - from.dl_tb_failed, to.dl_tb - from.dl_tb);
  r.ul_bler_first = ratio(to.ul_tb_failed - from.ul_tb_failed, to.ul_tb - from.ul_tb);
  r.late_ratio = ratio(to.late_slots - from.late_slots, to.slots - from.slots);
  r.tokens_per_s = static_cast<double>(to.tokens - from.tokens) / seconds;
  r.radio_cores = (to.radio_cpu_s - from.radio_cpu_s) / seconds;
  r.air_cores = (to.air_cpu_s - from.air_cpu_s) / seconds;
  // An engine that was restarted may have lost the last moments of its predecessor's account.
  r.ai_cores = std::max(0.0, (to.ai_cpu_s - from.ai_cpu_s) / seconds);
  r.idle_cores = (to.machine_idle_s - from.machine_idle_s) / seconds;
  r.other_cores =
      std::max(0.0, processors - r.radio_cores - r.air_cores - r.ai_cores - r.idle_cores);
  return r;
}

}  // namespace noroshi::live
