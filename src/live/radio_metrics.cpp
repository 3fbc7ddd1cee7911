#include "live/radio_metrics.h"

#include "base/prometheus.h"

namespace noroshi::live {
namespace {

using prometheus::escaped;
using prometheus::head;

void line(std::string& out, const char* name, const char* labels, double value) {
  prometheus::value(out, name, labels, value);
}

}  // namespace

std::string radio_metrics(const Snapshot& s) {
  const Totals& t = s.total;
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  std::string out;
  const auto each = [&](const char* name, const char* more, auto value) {
    for (std::size_t i = 0; i < s.cells.size() && i < t.cells.size(); ++i) {
      const std::string labels = "{cell=\"" + escaped(s.cells[i].name) + "\"" + more + "}";
      line(out, name, labels.c_str(), value(t.cells[i], s.cells[i]));
    }
  };
  const auto both = [&](const char* name, auto downlink, auto uplink) {
    each(name, ",direction=\"downlink\"",
         [&](const RadioTotals& c, const Snapshot::Cell&) { return number(c.*downlink); });
    each(name, ",direction=\"uplink\"",
         [&](const RadioTotals& c, const Snapshot::Cell&) { return number(c.*uplink); });
  };
  const auto count = [&](const char* name, const char* help, auto field) {
    head(out, name, "counter", help);
    each(name, "", [&](const RadioTotals& c, const Snapshot::Cell&) { return number(c.*field); });
  };
  head(out, "noroshi_cell_running", "gauge", "1 while the cell is on the air.");
  each("noroshi_cell_running", "",
       [](const RadioTotals&, const Snapshot::Cell& c) { return c.runs ? 1.0 : 0.0; });
  count("noroshi_slots_total", "Radio slots processed.", &RadioTotals::slots);
  head(out, "noroshi_late_slots_total", "counter", "Slots that missed a deadline, by direction.");
  both("noroshi_late_slots_total", &RadioTotals::late_downlink, &RadioTotals::late_uplink);
  count("noroshi_lost_slots_total", "Slots skipped because a worker was too far behind.",
        &RadioTotals::lost_slots);
  count("noroshi_host_stalls_total", "Times that the host kept a radio worker from running.",
        &RadioTotals::stalls);
  head(out, "noroshi_bits_total", "counter", "Transport block bits delivered.");
  both("noroshi_bits_total", &RadioTotals::dl_bits, &RadioTotals::ul_bits);
  head(out, "noroshi_transport_blocks_total", "counter", "New transport blocks sent.");
  both("noroshi_transport_blocks_total", &RadioTotals::dl_tb, &RadioTotals::ul_tb);
  head(out, "noroshi_transport_blocks_lost_total", "counter", "Transport blocks lost after HARQ.");
  both("noroshi_transport_blocks_lost_total", &RadioTotals::dl_tb_lost, &RadioTotals::ul_tb_lost);
  head(out, "noroshi_slot_seconds", "summary", "Radio processor time of one slot.");
  each("noroshi_slot_seconds", ",quantile=\"0.5\"",
       [](const RadioTotals&, const Snapshot::Cell& c) { return c.slot_us_p50 / 1e6; });
  each("noroshi_slot_seconds", ",quantile=\"0.99\"",
       [](const RadioTotals&, const Snapshot::Cell& c) { return c.slot_us_p99 / 1e6; });
  each("noroshi_slot_seconds", ",quantile=\"0.999\"",
       [](const RadioTotals&, const Snapshot::Cell& c) { return c.slot_us_p999 / 1e6; });
  head(out, "noroshi_cpu_seconds_total", "counter", "Processor time, by what it went to.");
  line(out, "noroshi_cpu_seconds_total", "{part=\"radio\"}", t.radio_cpu_s);
  line(out, "noroshi_cpu_seconds_total", "{part=\"air\"}", t.air_cpu_s);
  line(out, "noroshi_cpu_seconds_total", "{part=\"ai\"}", t.ai_cpu_s);
  if (s.has_engine) {
    head(out, "noroshi_engine_ready", "gauge", "1 while the engine answers.");
    line(out, "noroshi_engine_ready", "", s.engine.state == engine::EngineState::ready ? 1 : 0);
    head(out, "noroshi_engine_restarts_total", "counter", "Times the engine was started again.");
    line(out, "noroshi_engine_restarts_total", "", s.engine.restarts);
  }
  if (s.fleet.member) {
    head(out, "noroshi_fleet_connected", "gauge", "1 while the site is in its fleet.");
    line(out, "noroshi_fleet_connected", "", s.fleet.trouble.empty() ? 1 : 0);
  }
  head(out, "noroshi_lease_takes_total", "counter",
       "Times that the radio took a processor back from the engines.");
  line(out, "noroshi_lease_takes_total", "", number(s.lease.takes));
  head(out, "noroshi_lease_freed_seconds", "summary",
       "From that decision to the engines being off the processor.");
  line(out, "noroshi_lease_freed_seconds", "{quantile=\"0.5\"}", s.lease.freed_us_p50 / 1e6);
  line(out, "noroshi_lease_freed_seconds", "{quantile=\"0.99\"}", s.lease.freed_us_p99 / 1e6);
  head(out, "noroshi_lease_left_ratio", "gauge",
       "Share of the radio's processors that the slots known now leave.");
  line(out, "noroshi_lease_left_ratio", "", s.lease.left);
  head(out, "noroshi_lease_early_slots_total", "counter",
       "Slots for which a radio worker was up before the tick.");
  line(out, "noroshi_lease_early_slots_total", "", number(t.early_slots));
  head(out, "noroshi_cost_model_stalled_total", "counter",
       "Slots that the cost model left out because the host had stalled them.");
  line(out, "noroshi_cost_model_stalled_total", "", number(t.cost_stalled));
  head(out, "noroshi_cost_model_over_total", "counter",
       "Slots that took longer than the p99.99 that was predicted for them.");
  line(out, "noroshi_cost_model_over_total", "", number(t.cost_over_p9999));
  return out;
}

}  // namespace noroshi::live
