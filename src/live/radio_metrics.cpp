#include "live/radio_metrics.h"

#include <cstdio>

namespace noroshi::live {
namespace {

void line(std::string& out, const char* name, const char* labels, double value) {
  char text[200];
  std::snprintf(text, sizeof text, "%s%s %.12g\n", name, labels, value);
  out += text;
}

void head(std::string& out, const char* name, const char* type, const char* help) {
  out += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

}  // namespace

std::string radio_metrics(const Snapshot& s) {
  const Totals& t = s.total;
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  std::string out;
  head(out, "noroshi_slots_total", "counter", "Radio slots processed.");
  line(out, "noroshi_slots_total", "", number(t.slots));
  head(out, "noroshi_late_slots_total", "counter", "Slots that missed a deadline, by direction.");
  line(out, "noroshi_late_slots_total", "{direction=\"downlink\"}", number(t.late_downlink));
  line(out, "noroshi_late_slots_total", "{direction=\"uplink\"}", number(t.late_uplink));
  head(out, "noroshi_lost_slots_total", "counter",
       "Slots skipped because a worker was too far behind.");
  line(out, "noroshi_lost_slots_total", "", number(t.lost_slots));
  head(out, "noroshi_bits_total", "counter", "Transport block bits delivered.");
  line(out, "noroshi_bits_total", "{direction=\"downlink\"}", number(t.dl_bits));
  line(out, "noroshi_bits_total", "{direction=\"uplink\"}", number(t.ul_bits));
  head(out, "noroshi_transport_blocks_total", "counter", "New transport blocks sent.");
  line(out, "noroshi_transport_blocks_total", "{direction=\"downlink\"}", number(t.dl_tb));
  line(out, "noroshi_transport_blocks_total", "{direction=\"uplink\"}", number(t.ul_tb));
  head(out, "noroshi_transport_blocks_lost_total", "counter", "Transport blocks lost after HARQ.");
  line(out, "noroshi_transport_blocks_lost_total", "{direction=\"downlink\"}",
       number(t.dl_tb_lost));
  line(out, "noroshi_transport_blocks_lost_total", "{direction=\"uplink\"}", number(t.ul_tb_lost));
  head(out, "noroshi_slot_seconds", "summary", "Radio processor time of one slot.");
  line(out, "noroshi_slot_seconds", "{quantile=\"0.5\"}", s.slot_us_p50 / 1e6);
  line(out, "noroshi_slot_seconds", "{quantile=\"0.99\"}", s.slot_us_p99 / 1e6);
  line(out, "noroshi_slot_seconds", "{quantile=\"0.999\"}", s.slot_us_p999 / 1e6);
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
  head(out, "noroshi_cost_model_over_total", "counter",
       "Slots that took longer than the p99.99 that was predicted for them.");
  line(out, "noroshi_cost_model_over_total", "", number(s.lease.cost_over_p9999));
  return out;
}

}  // namespace noroshi::live
