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

namespace {

RadioTotals radio_totals(const site::CellCounters& cell) {
  const auto get = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  const auto seconds = [&](const std::atomic<std::uint64_t>& counter) {
    return static_cast<double>(get(counter)) / 1e9;
  };
  RadioTotals t;
  t.slots = get(cell.slots);
  t.late_slots = get(cell.late_slots);
  t.late_downlink = get(cell.late_downlink);
  t.late_uplink = get(cell.late_uplink);
  t.lost_slots = get(cell.lost_slots);
  t.dl_bits = get(cell.dl_bits);
  t.dl_tb = get(cell.dl_tb);
  t.dl_tb_failed = get(cell.dl_tb_failed);
  t.dl_tb_lost = get(cell.dl_tb_lost);
  t.ul_bits = get(cell.ul_bits);
  t.ul_tb = get(cell.ul_tb);
  t.ul_tb_failed = get(cell.ul_tb_failed);
  t.ul_tb_lost = get(cell.ul_tb_lost);
  t.payload_mismatches = get(cell.payload_mismatches);
  t.stalls = get(cell.stalls);
  t.taken_slots = get(cell.taken_slots);
  t.early_slots = get(cell.early_slots);
  t.cost_slots = get(cell.cost_slots);
  t.cost_stalled = get(cell.cost_stalled);
  t.cost_over_p9999 = get(cell.cost_over_p9999);
  t.radio_cpu_s = seconds(cell.radio_cpu_ns);
  t.air_cpu_s = seconds(cell.air_cpu_ns);
  t.early_s = seconds(cell.early_ns);
  t.stalled_s = seconds(cell.stalled_ns);
  return t;
}

void add(const RadioTotals& cell, RadioTotals& sum) {
  for (const auto field : {&RadioTotals::slots,         &RadioTotals::late_slots,
                           &RadioTotals::late_downlink, &RadioTotals::late_uplink,
                           &RadioTotals::lost_slots,    &RadioTotals::dl_bits,
                           &RadioTotals::dl_tb,         &RadioTotals::dl_tb_failed,
                           &RadioTotals::dl_tb_lost,    &RadioTotals::ul_bits,
                           &RadioTotals::ul_tb,         &RadioTotals::ul_tb_failed,
                           &RadioTotals::ul_tb_lost,    &RadioTotals::payload_mismatches,
                           &RadioTotals::stalls,        &RadioTotals::taken_slots,
                           &RadioTotals::early_slots,   &RadioTotals::cost_slots,
                           &RadioTotals::cost_stalled,  &RadioTotals::cost_over_p9999})
    sum.*field += cell.*field;
  for (const auto field : {&RadioTotals::radio_cpu_s, &RadioTotals::air_cpu_s,
                           &RadioTotals::early_s, &RadioTotals::stalled_s})
    sum.*field += cell.*field;
}

RadioRates radio_rates(const RadioTotals& from, const RadioTotals& to, double seconds) {
  RadioRates r;
  r.dl_mbps = static_cast<double>(to.dl_bits - from.dl_bits) / seconds / 1e6;
  r.ul_mbps = static_cast<double>(to.ul_bits - from.ul_bits) / seconds / 1e6;
  r.dl_bler = ratio(to.dl_tb_lost - from.dl_tb_lost, to.dl_tb - from.dl_tb);
  r.ul_bler = ratio(to.ul_tb_lost - from.ul_tb_lost, to.ul_tb - from.ul_tb);
  r.dl_bler_first = ratio(to.dl_tb_failed - from.dl_tb_failed, to.dl_tb - from.dl_tb);
  r.ul_bler_first = ratio(to.ul_tb_failed - from.ul_tb_failed, to.ul_tb - from.ul_tb);
  r.late_ratio = ratio(to.late_slots - from.late_slots, to.slots - from.slots);
  return r;
}

}  // namespace

Totals take_totals(const site::Site& site, const Engines* engines,
                   const gateway::Gateway* gateway) {
  Totals t;
  t.time_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  for (std::size_t i = 0; i < site.cells(); ++i) {
    t.cells.push_back(radio_totals(site.counters(i)));
    add(t.cells.back(), t);
  }
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

double engine_share(const site::Site& site) {
  const auto all = static_cast<double>(site::usable_processors().size());
  const std::size_t radio_processors = site.radio_processors().size();
  const std::uint64_t taken = site.lease_counters().taken.load(std::memory_order_relaxed);
  double left = 1;
  for (std::size_t i = 0; i < site.cells(); ++i)
    left = std::min(left, site.counters(i).left.load(std::memory_order_relaxed));
  double have = all - static_cast<double>(radio_processors);
  for (std::size_t p = 0; p < radio_processors; ++p)
    have += (taken >> p & 1) != 0 ? 0 : std::clamp(left, 0.0, 1.0);
  return std::clamp(have / all, 0.0, 1.0);
}

Rates rates(const Totals& from, const Totals& to, int processors) {
  Rates r;
  r.seconds = to.time_s - from.time_s;
  const double seconds = std::max(r.seconds, 1e-9);
  static_cast<RadioRates&>(r) = radio_rates(from, to, seconds);
  for (std::size_t i = 0; i < to.cells.size(); ++i)
    r.cells.push_back(
        radio_rates(i < from.cells.size() ? from.cells[i] : RadioTotals(), to.cells[i], seconds));
  r.tokens_per_s = static_cast<double>(to.tokens - from.tokens) / seconds;
  r.radio_cores = (to.radio_cpu_s - from.radio_cpu_s) / seconds;
  r.early_cores = (to.early_s - from.early_s) / seconds;
  r.air_cores = (to.air_cpu_s - from.air_cpu_s) / seconds;
  // An engine that was restarted may have lost the last moments of its predecessor's account.
  r.ai_cores = std::max(0.0, (to.ai_cpu_s - from.ai_cpu_s) / seconds);
  r.idle_cores = (to.machine_idle_s - from.machine_idle_s) / seconds;
  r.other_cores =
      std::max(0.0, processors - r.radio_cores - r.air_cores - r.ai_cores - r.idle_cores);
  return r;
}

}  // namespace noroshi::live
