#include "trial/bench_fleet.h"

#include <boost/json.hpp>
#include <cstdio>

#include "base/bench.h"

namespace noroshi::trial {
namespace json = boost::json;
namespace {

json::object json_of(const FaultOutcome& o) {
  return {{"case", o.name},
          {"note", o.note},
          {"why", o.why},
          {"requests", o.requests},
          {"whole", o.whole},
          {"refused", o.refused},
          {"failed", o.failed},
          {"broken", o.broken},
          {"wrong", o.wrong},
          {"streams_open", o.streams_open},
          {"streams_hit", o.streams_hit},
          {"streams_resumed_1s", o.streams_resumed_1s},
          {"silence_ms_max", o.silence_ms_max},
          {"asked_before", o.asked_before},
          {"before_at_struck", o.before_at_struck},
          {"asked_during", o.asked_during},
          {"asked_at_struck", o.asked_at_struck},
          {"first_success_ms", o.first_success_ms},
          {"recovered_ms", o.recovered_ms},
          {"west_asked", o.west_asked},
          {"west_whole", o.west_whole},
          {"stored_s", o.stored_s},
          {"first_token_ms_p50", o.first_token_ms_p50},
          {"first_token_ms_p99", o.first_token_ms_p99},
          {"records", o.records},
          {"records_lost", o.records_lost},
          {"records_doubled", o.records_doubled},
          {"tokens_wrong", o.tokens_wrong}};
}

json::object json_of(const ReplayOutcome& o) {
  json::array shares;
  for (const double share : o.share_of_site) shares.push_back(share);
  return {{"sites", o.sites},
          {"requests", o.requests},
          {"whole", o.whole},
          {"refused", o.refused},
          {"failed", o.failed},
          {"seconds", o.seconds},
          {"tokens_per_s", o.tokens_per_s},
          {"first_token_s_p50", o.first_token_s_p50},
          {"first_token_s_p99", o.first_token_s_p99},
          {"answer_s_p50", o.answer_s_p50},
          {"answer_s_p99", o.answer_s_p99},
          {"cached_share", o.cached_share},
          {"ideal_cached_share", o.ideal_cached_share},
          {"share_of_site", shares}};
}

void print(const std::vector<FaultOutcome>& outcomes) {
  std::printf("%-7s %8s %6s %7s %6s %6s %5s   %-22s %9s %9s %9s %17s %17s   %s\n", "fault",
              "requests", "whole", "refused", "failed", "broken", "wrong", "streams open/hit/<1s",
              "silence", "success", "recovery", "first token", "struck, before",
              "records lost/doubled/wrong");
  for (const FaultOutcome& o : outcomes) {
    char streams[40], first[40], struck[40];
    std::snprintf(streams, sizeof streams, "%llu / %llu / %llu",
                  static_cast<unsigned long long>(o.streams_open),
                  static_cast<unsigned long long>(o.streams_hit),
                  static_cast<unsigned long long>(o.streams_resumed_1s));
    std::snprintf(first, sizeof first, "%.0f / %.0f ms", o.first_token_ms_p50,
                  o.first_token_ms_p99);
    std::snprintf(struck, sizeof struck, "%llu/%llu > %llu/%llu",
                  static_cast<unsigned long long>(o.before_at_struck),
                  static_cast<unsigned long long>(o.asked_before),
                  static_cast<unsigned long long>(o.asked_at_struck),
                  static_cast<unsigned long long>(o.asked_during));
    std::printf(
        "%-7s %8llu %6llu %7llu %6llu %6llu %5llu   %-22s %6.0f ms %6.0f ms %6.0f ms %17s %17s   "
        "%llu of "
        "%llu / %llu / %llu   (%s)\n",
        o.name.c_str(), static_cast<unsigned long long>(o.requests),
        static_cast<unsigned long long>(o.whole), static_cast<unsigned long long>(o.refused),
        static_cast<unsigned long long>(o.failed), static_cast<unsigned long long>(o.broken),
        static_cast<unsigned long long>(o.wrong), streams, o.silence_ms_max, o.first_success_ms,
        o.recovered_ms, first, struck, static_cast<unsigned long long>(o.records_lost),
        static_cast<unsigned long long>(o.records),
        static_cast<unsigned long long>(o.records_doubled),
        static_cast<unsigned long long>(o.tokens_wrong), o.note.c_str());
    std::printf("        in the west %llu of %llu whole; all records stored %.1f s after the end\n",
                static_cast<unsigned long long>(o.west_whole),
                static_cast<unsigned long long>(o.west_asked), o.stored_s);
    if (!o.why.empty()) std::printf("        not whole: %s\n", o.why.c_str());
  }
}

void print(const std::vector<ReplayOutcome>& outcomes) {
  std::printf("%-6s %8s %6s %7s %6s %9s %10s %17s %17s %14s\n", "sites", "requests", "whole",
              "refused", "failed", "seconds", "tokens/s", "first token", "answer",
              "cached (ideal)");
  for (const ReplayOutcome& o : outcomes) {
    std::printf(
        "%-6d %8llu %6llu %7llu %6llu %9.0f %10.0f %7.2f / %5.2f s %7.2f / %5.1f s %5.1f (%4.1f) "
        "%%\n",
        o.sites, static_cast<unsigned long long>(o.requests),
        static_cast<unsigned long long>(o.whole), static_cast<unsigned long long>(o.refused),
        static_cast<unsigned long long>(o.failed), o.seconds, o.tokens_per_s, o.first_token_s_p50,
        o.first_token_s_p99, o.answer_s_p50, o.answer_s_p99, 100 * o.cached_share,
        100 * o.ideal_cached_share);
  }
}

json::object json_of(const BenchResult& r) {
  return {{"case", r.case_name},
          {"unit", r.unit},
          {"median", r.median},
          {"p99", r.p99},
          {"runs", r.runs}};
}

int failed(const Error& error) {
  std::fprintf(stderr, "noroshi bench fleet: %s\n", error.message.c_str());
  return 1;
}

}  // namespace

int run_bench_fleet(const BenchFleetOptions& options) {
  json::object report;
  if (!options.only_replay && !options.only_faults) {
    for (const char* name : {"route", "gateway"}) {
      json::array rows;
      for (const BenchResult& result : bench_results(name, {})) {
        rows.push_back(json_of(result));
        if (!options.json) print_line(result);
      }
      report[name] = rows;
    }
  }
  if (!options.only_replay) {
    const auto outcomes = run_faults(options.faults);
    if (!outcomes) return failed(outcomes.error());
    json::array rows;
    for (const FaultOutcome& outcome : *outcomes) rows.push_back(json_of(outcome));
    report["faults"] = rows;
    if (!options.json) print(*outcomes);
  }
  if (!options.only_faults) {
    const auto outcomes = run_replay(options.replay);
    if (!outcomes) return failed(outcomes.error());
    json::array rows;
    for (const ReplayOutcome& outcome : *outcomes) rows.push_back(json_of(outcome));
    report["trace"] = options.replay.trace_path.empty() ? "made up" : options.replay.trace_path;
    report["replay"] = rows;
    if (!options.json) print(*outcomes);
  }
  if (options.json) std::printf("%s\n", json::serialize(report).c_str());
  return 0;
}

}  // namespace noroshi::trial
