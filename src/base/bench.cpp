#include "base/bench.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace noroshi {
namespace {

double elapsed_ns(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - since).count();
}

double quantile(const std::vector<double>& sorted, double q) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(q * last + 0.5)];
}

std::vector<BenchEntry> sorted_entries() {
  std::vector<BenchEntry> entries = bench_registry();
  std::ranges::sort(entries, {}, [](const BenchEntry& e) { return std::string_view(e.name); });
  return entries;
}

}  // namespace

std::vector<BenchEntry>& bench_registry() {
  static std::vector<BenchEntry> registry;
  return registry;
}

bool Bench::wants(std::string_view case_name) const {
  return case_name.find(options_.case_filter) != std::string_view::npos;
}

std::vector<double> Bench::measure_ns(const Work& work, std::uint64_t& hash) {
  if (options_.stop_after_one) {
    const auto run = std::chrono::steady_clock::now();
    hash = work();
    return {elapsed_ns(run)};
  }
  const auto warm_up = std::chrono::steady_clock::now();
  do {
    hash = work();
  } while (elapsed_ns(warm_up) < options_.seconds_per_case * 1e8);

  std::vector<double> times;
  const auto start = std::chrono::steady_clock::now();
  do {
    const auto run = std::chrono::steady_clock::now();
    hash = work();
    times.push_back(elapsed_ns(run));
  } while (elapsed_ns(start) < options_.seconds_per_case * 1e9 &&
           static_cast<int>(times.size()) < options_.runs_max);
  std::ranges::sort(times);
  return times;
}

void Bench::time_us(std::string_view case_name, const Work& work) {
  if (!wants(case_name)) return;
  BenchResult result{.bench = name_, .case_name = std::string(case_name), .unit = "us"};
  const std::vector<double> times = measure_ns(work, result.hash);
  result.median = quantile(times, 0.5) / 1e3;
  result.p99 = quantile(times, 0.99) / 1e3;
  result.runs = static_cast<int>(times.size());
  results_.push_back(std::move(result));
}

void Bench::rate_mbps(std::string_view case_name, double bits, const Work& work) {
  if (!wants(case_name)) return;
  BenchResult result{.bench = name_, .case_name = std::string(case_name), .unit = "mbps"};
  const std::vector<double> times = measure_ns(work, result.hash);
  result.median = bits / quantile(times, 0.5) * 1e3;
  result.p99 = bits / quantile(times, 0.99) * 1e3;
  result.runs = static_cast<int>(times.size());
  results_.push_back(std::move(result));
}

void Bench::added_us(std::string_view case_name, const Work& base, const Work& work) {
  if (!wants(case_name)) return;
  BenchResult result{.bench = name_, .case_name = std::string(case_name), .unit = "us"};
  std::vector<double> differences;
  const auto start = std::chrono::steady_clock::now();
  do {
    const auto first = std::chrono::steady_clock::now();
    base();
    const auto second = std::chrono::steady_clock::now();
    result.hash = work();
    differences.push_back(elapsed_ns(second) -
                          std::chrono::duration<double, std::nano>(second - first).count());
  } while (!options_.stop_after_one && elapsed_ns(start) < options_.seconds_per_case * 1.1e9 &&
           static_cast<int>(differences.size()) < options_.runs_max);
  // The first tenth is warm-up.
  differences.erase(differences.begin(),
                    differences.begin() + static_cast<std::ptrdiff_t>(differences.size() / 10));
  std::ranges::sort(differences);
  result.median = quantile(differences, 0.5) / 1e3;
  result.p99 = quantile(differences, 0.99) / 1e3;
  result.runs = static_cast<int>(differences.size());
  results_.push_back(std::move(result));
}

void Bench::failure_rate(std::string_view case_name, int failures, int trials_max,
                         const Trial& trial) {
  if (!wants(case_name)) return;
  BenchResult result{.bench = name_, .case_name = std::string(case_name), .unit = "bler"};
  int failed = 0;
  do {
    failed += trial(static_cast<std::uint64_t>(result.runs));
    ++result.runs;
  } while (!options_.stop_after_one && failed < failures && result.runs < trials_max);
  const Interval interval = confidence_95(failed, result.runs);
  result.median = static_cast<double>(failed) / result.runs;
  result.low = interval.low;
  result.high = interval.high;
  result.hash = static_cast<std::uint64_t>(failed);
  results_.push_back(std::move(result));
}

void Bench::values(std::string_view case_name, const char* unit, std::vector<double> measured,
                   std::uint64_t hash) {
  if (!wants(case_name)) return;
  assert(!measured.empty());
  std::ranges::sort(measured);
  results_.push_back({.bench = name_,
                      .case_name = std::string(case_name),
                      .unit = unit,
                      .median = quantile(measured, 0.5),
                      .p99 = quantile(measured, 0.99),
                      .runs = static_cast<int>(measured.size()),
                      .hash = hash});
}

void Bench::level_db(std::string_view case_name, const Search& work) {
  if (!wants(case_name)) return;
  const BenchFound found = work(options_.stop_after_one);
  BenchResult result{.bench = name_, .case_name = std::string(case_name), .unit = "db"};
  result.median = found.value;
  result.low = found.low;
  result.high = found.high;
  result.runs = found.trials;
  result.hash = hash_bytes(&found.value, sizeof found.value);
  results_.push_back(std::move(result));
}

Interval confidence_95(int events, int trials) {
  assert(0 <= events && events <= trials && 0 < trials);
  constexpr double z = 1.959964;
  const double n = trials;
  const double p = events / n;
  const double centre = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

namespace {

bool has_interval(const BenchResult& r) { return r.unit == "bler" || r.unit == "db"; }

void print_json(const BenchResult& r, bool first) {
  std::printf("%s\n  {\"bench\": \"%s\", \"case\": \"%s\", \"unit\": \"%s\", ", first ? "" : ",",
              r.bench.c_str(), r.case_name.c_str(), r.unit.c_str());
  if (has_interval(r)) {
    std::printf("\"value\": %.6g, \"low\": %.6g, \"high\": %.6g, ", r.median, r.low, r.high);
  } else {
    std::printf("\"median\": %.6g, \"p99\": %.6g, ", r.median, r.p99);
  }
  std::printf("\"runs\": %d, \"hash\": \"%016llx\"}", r.runs,
              static_cast<unsigned long long>(r.hash));
}

}  // namespace

void print_line(const BenchResult& r) {
  std::printf("%-16s %-36s %10.5g %-4s ", r.bench.c_str(), r.case_name.c_str(), r.median,
              r.unit.c_str());
  if (has_interval(r)) {
    std::printf("(%.3g to %.3g, %d runs)\n", r.low, r.high, r.runs);
  } else {
    std::printf("(p99 %.5g, %d runs) %016llx\n", r.p99, r.runs,
                static_cast<unsigned long long>(r.hash));
  }
}

std::vector<BenchResult> bench_results(std::string_view name, const BenchOptions& options) {
  for (const BenchEntry& entry : bench_registry()) {
    if (name != entry.name) continue;
    Bench bench(entry.name, options);
    entry.run(bench);
    return bench.results();
  }
  return {};
}

bool run_benches(std::string_view name, const BenchOptions& options, bool json) {
  const std::vector<BenchEntry> entries = sorted_entries();
  int printed = 0;
  if (json) std::printf("[");
  for (const BenchEntry& entry : entries) {
    if (!name.empty() && name != entry.name) continue;
    Bench bench(entry.name, options);
    entry.run(bench);
    for (const BenchResult& r : bench.results()) {
      if (json) {
        print_json(r, printed == 0);
      } else {
        print_line(r);
      }
      std::fflush(stdout);
      ++printed;
    }
  }
  if (json) std::printf("\n]\n");
  return printed > 0;
}

void print_bench_names() {
  for (const BenchEntry& entry : sorted_entries()) std::printf("%s\n", entry.name);
}

std::uint64_t hash_bytes(const void* data, std::size_t size, std::uint64_t seed) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < size; ++i) seed = (seed ^ bytes[i]) * 0x100000001b3u;
  return seed;
}

}  // namespace noroshi
