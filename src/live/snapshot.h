#pragma once

// What the site, its engine and its gateway did between two looks at their counters: the data of
// the live view, of the JSON lines and of the final report.

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/gateway.h"
#include "live/engines.h"
#include "site/site.h"

namespace noroshi::live {

// Of a cell, or of all cells together.
struct RadioTotals {
  std::uint64_t slots = 0, late_slots = 0, late_downlink = 0, late_uplink = 0, lost_slots = 0;
  std::uint64_t dl_bits = 0, dl_tb = 0, dl_tb_failed = 0, dl_tb_lost = 0;
  std::uint64_t ul_bits = 0, ul_tb = 0, ul_tb_failed = 0, ul_tb_lost = 0;
  std::uint64_t payload_mismatches = 0;
  std::uint64_t stalls = 0;                        // of the host (site/lease/stall.h)
  std::uint64_t taken_slots = 0, early_slots = 0;  // site/lease/lease.h
  std::uint64_t cost_slots = 0, cost_stalled = 0, cost_over_p9999 = 0;
  double radio_cpu_s = 0, air_cpu_s = 0, early_s = 0, stalled_s = 0;
};

// Counters at one instant: of all cells, and of each. Differences of two give rates.
struct Totals : RadioTotals {
  std::vector<RadioTotals> cells = {};
  double time_s = 0;  // monotonic
  double ai_cpu_s = 0;
  double machine_idle_s = 0, machine_steal_s = 0;  // summed over processors, of /proc/stat
  std::uint64_t requests = 0, requests_failed = 0, in_flight = 0, tokens = 0;
};

// Anything but the site may be absent (nullptr).
Totals take_totals(const site::Site& site, const Engines* engines, const gateway::Gateway* gateway);

// Of the processors that engines may use at best, how many they have now: those of the radio count
// by the share that the known slots leave, and not at all while they are taken back.
double engine_share(const site::Site& site);

struct RadioRates {
  double dl_mbps = 0, ul_mbps = 0;
  double dl_bler = 0, ul_bler = 0;              // after HARQ: lost / transport blocks
  double dl_bler_first = 0, ul_bler_first = 0;  // of first transmissions
  double late_ratio = 0;
};

struct Rates : RadioRates {
  std::vector<RadioRates> cells = {};
  double seconds = 0;
  double tokens_per_s = 0;
  // early_cores: of radio_cores, what the workers were up before their ticks.
  double radio_cores = 0, early_cores = 0, air_cores = 0, ai_cores = 0, idle_cores = 0,
         other_cores = 0;
};

Rates rates(const Totals& from, const Totals& to, int processors);

// Everything that one look shows: totals since the start, rates since the last look, and the
// distributions since the start.
struct Snapshot {
  struct Cell {
    std::string name;
    bool runs = true;
    double dl_sinr_db = 0, ul_sinr_db = 0;
    double slot_us_p50 = 0, slot_us_p99 = 0, slot_us_p999 = 0, slot_us_max = 0;
  };
  std::string site;
  std::vector<Cell> cells;
  double elapsed_s = 0;
  Totals total;
  Rates rate;
  double ttft_ms_p50 = 0, ttft_ms_p99 = 0;
  bool has_engine = false;
  engine::EngineStatus engine;
  std::string url;  // of the gateway; empty without one
  int processors = 1;

  struct Fleet {
    bool member = false;  // its file has a section fleet
    std::string trouble;  // why it is not in the fleet now; empty: it is
  } fleet;

  struct Lease {
    std::string policy;
    std::uint64_t takes = 0, gives = 0, strays = 0, failures = 0;
    double freed_us_p50 = 0, freed_us_p99 = 0, freed_us_max = 0;
    double given_us_p50 = 0, given_us_p99 = 0;
    double left = 1;  // of the radio's processors, by the slots known now, of the busiest cell
    double cost_p50_error = 0;
  } lease;
};

}  // namespace noroshi::live
