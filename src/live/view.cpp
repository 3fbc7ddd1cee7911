#include "live/view.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <vector>

namespace noroshi::live {
namespace json = boost::json;
namespace {

__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

const char* state_name(engine::EngineState state) {
  switch (state) {
    case engine::EngineState::stopped:
      return "stopped";
    case engine::EngineState::starting:
      return "starting";
    case engine::EngineState::ready:
      return "ready";
    case engine::EngineState::backing_off:
      return "restarting";
    case engine::EngineState::failed:
      return "failed";
  }
  return "?";
}

struct Share {
  const char* name;
  double cores;
  char letter;
  const char* colour;
};

std::vector<Share> shares(const Rates& rate) {
  return {{"radio", rate.radio_cores, 'R', "\033[41m"},
          {"air", rate.air_cores, 'r', "\033[43m"},
          {"AI", rate.ai_cores, 'A', "\033[42m"},
          {"other", rate.other_cores, '+', "\033[45m"},
          {"idle", rate.idle_cores, '.', "\033[100m"}};
}

// All processors as one bar: as many cells a share as its cores, the remainder to the last share.
std::string processor_bar(const Rates& rate, int processors, int cells, bool colours) {
  std::string bar;
  const std::vector<Share> parts = shares(rate);
  double upto = 0;
  int drawn = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    upto += parts[i].cores;
    const int end =
        i + 1 == parts.size()
            ? cells
            : std::clamp(static_cast<int>(std::lround(upto / processors * cells)), drawn, cells);
    if (end > drawn && colours) bar += parts[i].colour;
    bar.append(static_cast<std::size_t>(end - drawn), parts[i].letter);
    if (end > drawn && colours) bar += "\033[0m";
    drawn = end;
  }
  return bar;
}

// Whole-number durations and rounded rates: a report is read by people too.
double rounded(double value, double steps) { return std::round(value * steps) / steps; }

json::object radio_object(const RadioTotals& total, const RadioRates& r, const Snapshot::Cell& c) {
  json::object radio;
  radio["slots"] = total.slots;
  radio["late_slots"] = total.late_slots;
  radio["late_ratio"] = r.late_ratio;
  radio["late_downlink"] = total.late_downlink;
  radio["late_uplink"] = total.late_uplink;
  radio["lost_slots"] = total.lost_slots;
  radio["host_stalls"] = total.stalls;
  radio["host_stalled_s"] = rounded(total.stalled_s, 1e6);
  radio["dl_mbps"] = rounded(r.dl_mbps, 1e3);
  radio["ul_mbps"] = rounded(r.ul_mbps, 1e3);
  radio["dl_bler"] = r.dl_bler;
  radio["ul_bler"] = r.ul_bler;
  radio["dl_bler_first"] = r.dl_bler_first;
  radio["ul_bler_first"] = r.ul_bler_first;
  radio["dl_sinr_db"] = rounded(c.dl_sinr_db, 100);
  radio["ul_sinr_db"] = rounded(c.ul_sinr_db, 100);
  radio["payload_mismatches"] = total.payload_mismatches;
  radio["slot_us"] = json::object{{"p50", rounded(c.slot_us_p50, 10)},
                                  {"p99", rounded(c.slot_us_p99, 10)},
                                  {"p999", rounded(c.slot_us_p999, 10)},
                                  {"max", rounded(c.slot_us_max, 10)}};
  return radio;
}

// What has no sum is of the cell that is worst off.
Snapshot::Cell worst(const std::vector<Snapshot::Cell>& cells) {
  Snapshot::Cell worst;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const Snapshot::Cell& c = cells[i];
    worst.dl_sinr_db = i == 0 ? c.dl_sinr_db : std::min(worst.dl_sinr_db, c.dl_sinr_db);
    worst.ul_sinr_db = i == 0 ? c.ul_sinr_db : std::min(worst.ul_sinr_db, c.ul_sinr_db);
    worst.slot_us_p50 = std::max(worst.slot_us_p50, c.slot_us_p50);
    worst.slot_us_p99 = std::max(worst.slot_us_p99, c.slot_us_p99);
    worst.slot_us_p999 = std::max(worst.slot_us_p999, c.slot_us_p999);
    worst.slot_us_max = std::max(worst.slot_us_max, c.slot_us_max);
  }
  return worst;
}

json::array cell_array(const Snapshot& s) {
  json::array cells;
  for (std::size_t i = 0; i < s.cells.size(); ++i) {
    const RadioTotals total = i < s.total.cells.size() ? s.total.cells[i] : RadioTotals();
    const RadioRates rate = i < s.rate.cells.size() ? s.rate.cells[i] : RadioRates();
    json::object cell{{"name", s.cells[i].name}, {"runs", s.cells[i].runs}};
    for (auto& [key, value] : radio_object(total, rate, s.cells[i])) cell[key] = value;
    cells.push_back(std::move(cell));
  }
  return cells;
}

json::object ai_object(const Snapshot& s) {
  json::object ai;
  ai["requests"] = s.total.requests;
  ai["requests_failed"] = s.total.requests_failed;
  ai["tokens"] = s.total.tokens;
  ai["tokens_per_s"] = rounded(s.rate.tokens_per_s, 100);
  ai["ttft_ms"] =
      json::object{{"p50", rounded(s.ttft_ms_p50, 100)}, {"p99", rounded(s.ttft_ms_p99, 100)}};
  if (s.has_engine) {
    ai["engine"] = state_name(s.engine.state);
    ai["engine_restarts"] = s.engine.restarts;
    ai["model"] = s.engine.model_name;
  }
  return ai;
}

json::object lease_object(const Snapshot& s) {
  const Snapshot::Lease& l = s.lease;
  json::object lease{{"policy", l.policy}, {"takes", l.takes}, {"gives", l.gives}};
  lease["taken_ratio"] = s.total.slots == 0 ? 0
                                            : static_cast<double>(s.total.taken_slots) /
                                                  static_cast<double>(s.total.slots);
  lease["early_ratio"] = s.total.slots == 0 ? 0
                                            : static_cast<double>(s.total.early_slots) /
                                                  static_cast<double>(s.total.slots);
  lease["freed_us"] = json::object{{"p50", rounded(l.freed_us_p50, 10)},
                                   {"p99", rounded(l.freed_us_p99, 10)},
                                   {"max", rounded(l.freed_us_max, 10)}};
  lease["given_us"] =
      json::object{{"p50", rounded(l.given_us_p50, 10)}, {"p99", rounded(l.given_us_p99, 10)}};
  lease["strays"] = l.strays;
  lease["failures"] = l.failures;
  lease["cost_model"] = json::object{{"slots", s.total.cost_slots},
                                     {"stalled", s.total.cost_stalled},
                                     {"over_p9999", s.total.cost_over_p9999},
                                     {"p50_error", rounded(l.cost_p50_error, 1e4)}};
  return lease;
}

json::object cpu_object(const Snapshot& s) {
  const Rates& r = s.rate;
  return {{"processors", s.processors},
          {"radio_cores", rounded(r.radio_cores, 1e4)},
          {"early_cores", rounded(r.early_cores, 1e4)},
          {"air_cores", rounded(r.air_cores, 1e4)},
          {"ai_cores", rounded(r.ai_cores, 1e4)},
          {"idle_cores", rounded(r.idle_cores, 1e4)},
          {"other_cores", rounded(r.other_cores, 1e4)}};
}

json::object fleet_object(const Snapshot& s) {
  return {{"connected", s.fleet.trouble.empty()}, {"error", s.fleet.trouble}};
}

std::string cell_lines(const Snapshot::Cell& cell, const RadioTotals& total, const RadioRates& r,
                       const char* bold, const char* plain) {
  if (!cell.runs) return format("%s%-10s%s stopped\n", bold, cell.name.c_str(), plain);
  std::string out =
      format("%s%-10s%s down %7.1f Mb/s   up %6.1f Mb/s   SNR %4.1f / %4.1f dB\n", bold,
             cell.name.c_str(), plain, r.dl_mbps, r.ul_mbps, cell.dl_sinr_db, cell.ul_sinr_db);
  out += format("           block errors %4.1f %% / %4.1f %% first, %.2g / %.2g after HARQ\n",
                100 * r.dl_bler_first, 100 * r.ul_bler_first, r.dl_bler, r.ul_bler);
  out +=
      format("           slot p50 %.0f us, p99.9 %.0f us   late %llu of %llu slots\n",
             cell.slot_us_p50, cell.slot_us_p999, static_cast<unsigned long long>(total.late_slots),
             static_cast<unsigned long long>(total.slots));
  return out;
}

}  // namespace

std::string render_view(const Snapshot& s, int columns, bool colours) {
  const Rates& r = s.rate;
  const char* bold = colours ? "\033[1m" : "";
  const char* plain = colours ? "\033[0m" : "";
  std::string out;
  out += format("%sNoroshi%s  %s  %02d:%02d:%02d\n", bold, plain, s.site.c_str(),
                static_cast<int>(s.elapsed_s) / 3600, static_cast<int>(s.elapsed_s) / 60 % 60,
                static_cast<int>(s.elapsed_s) % 60);
  for (std::size_t i = 0; i < s.cells.size(); ++i) {
    const RadioTotals total = i < s.total.cells.size() ? s.total.cells[i] : RadioTotals();
    const RadioRates rate = i < r.cells.size() ? r.cells[i] : RadioRates();
    out += cell_lines(s.cells[i], total, rate, bold, plain);
  }
  if (s.has_engine) {
    out += format("%sAI%s         %s, %s   %llu requests   %6.1f tokens/s   first token %.0f ms\n",
                  bold, plain, s.engine.model_name.c_str(), state_name(s.engine.state),
                  static_cast<unsigned long long>(s.total.requests), r.tokens_per_s, s.ttft_ms_p50);
    out += format("%slease%s      %s: radio leaves %.0f %%   taken back %llu times, p99 %.0f us\n",
                  bold, plain, s.lease.policy.c_str(), 100 * s.lease.left,
                  static_cast<unsigned long long>(s.lease.takes), s.lease.freed_us_p99);
  } else {
    out += format("%sAI%s         off\n", bold, plain);
  }
  if (s.fleet.member) {
    const std::string how = s.fleet.trouble.empty() ? "in" : "not in: " + s.fleet.trouble;
    out += format("%sfleet%s      ", bold, plain) +
           how.substr(0, static_cast<std::size_t>(std::max(columns - 11, 10))) + "\n";
  }
  out += format("%sprocessors%s [", bold, plain) +
         processor_bar(r, s.processors, std::clamp(columns - 14, 10, 100), colours) +
         "]\n           ";
  for (const Share& share : shares(r))
    out += format("%c %s %.2f  ", share.letter, share.name, share.cores);
  out += "\n";
  return out;
}

std::string status_line(const Snapshot& s) {
  json::object line{{"event", "status"}, {"site", s.site}, {"time_s", rounded(s.elapsed_s, 1e3)}};
  line["radio"] = radio_object(s.total, s.rate, worst(s.cells));
  if (s.cells.size() > 1) line["cells"] = cell_array(s);
  line["ai"] = ai_object(s);
  line["lease"] = lease_object(s);
  line["cpu"] = cpu_object(s);
  if (s.fleet.member) line["fleet"] = fleet_object(s);
  return json::serialize(line);
}

std::string report_json(const Snapshot& s) {
  json::object report{{"site", s.site}, {"duration_s", rounded(s.elapsed_s, 1e3)}};
  report["radio"] = radio_object(s.total, s.rate, worst(s.cells));
  report["cells"] = cell_array(s);
  report["ai"] = ai_object(s);
  report["lease"] = lease_object(s);
  report["cpu"] = cpu_object(s);
  if (s.fleet.member) report["fleet"] = fleet_object(s);
  return json::serialize(report);
}

}  // namespace noroshi::live
