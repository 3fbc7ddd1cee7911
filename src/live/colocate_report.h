#pragma once

// What one run of `noroshi bench colocate` found, as JSON and as a line of a table.

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "live/snapshot.h"
#include "site/site.h"

namespace noroshi::live {

struct Quantiles {  // us
  double p50 = 0, p99 = 0, p999 = 0, p9999 = 0, max = 0;
  static Quantiles of(const Histogram& histogram_ns);
};

// Late slots of one direction. The host's: those that would have been in time without the stalls in
// and before them. The air's: those whose samples the emulated air gave too late.
struct LateCount {
  std::uint64_t all = 0, by_host = 0, by_air = 0;
  std::uint64_t ours() const { return all - by_host - by_air; }
};

struct Outcome {
  std::string load, policy;
  Totals total;  // since the start of the run
  Rates rate;
  // own_slot: without the host's stalls. wake: from when a worker wanted its processor to having
  // it.
  Quantiles slot_us, own_slot_us, wake_us, downlink_ready_us, uplink_ready_us;
  double downlink_deadline_us = 0, uplink_deadline_us = 0;
  LateCount late_downlink, late_uplink;
  std::uint64_t lost_by_host = 0, lost_by_air = 0;  // of total.lost_slots
  double tokens_per_s = 0, ttft_ms_p50 = 0, ttft_ms_p99 = 0;
  std::uint64_t takes = 0;
  // By the keeper, from decision to done; own: without its late waking (site/lease/keeper.h).
  Quantiles freed_us, own_freed_us, given_us;
  int engine_kills = 0, engine_restarts = 0;

  double ours_late_ratio() const;
  std::uint64_t lost_by_us() const { return total.lost_slots - lost_by_host - lost_by_air; }
  // Share of the processor time that the radio (and the air that stands in for the world) leaves.
  // What a worker was up before its tick counts as left, and as not reclaimed.
  double reclaimed() const;
};

// late, stalls: of one cell, stalls ascending. What is already in the outcome stays.
void count_late(const std::vector<site::LateSlot>& late, const std::vector<site::HostStall>& stalls,
                Outcome& outcome);
// How much of [from, to) the stalls took, at most.
std::int64_t stalled_ns(const std::vector<site::HostStall>& stalls, std::int64_t from_ns,
                        std::int64_t to_ns);

boost::json::object outcome_json(const Outcome& outcome, double alone_tokens_per_s);
// Each number the median of that of the reports, which are alike in shape and at least one.
boost::json::object median_json(const std::vector<boost::json::object>& reports);
void print_head(double alone_tokens_per_s);
void print_line(const Outcome& outcome, double alone_tokens_per_s);
void print_median(const boost::json::object& median);

}  // namespace noroshi::live
