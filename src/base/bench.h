#pragma once

// Benchmarks register themselves by name and run inside the product's binary, so that
// `noroshi bench NAME` measures what is shipped.
//
//   NOROSHI_BENCH(crc) {
//     bench.rate_mbps("crc24a 8448", 8448, [&] { return crc(...); });   // returns a hash
//   }

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace noroshi {

struct BenchResult {
  std::string bench;
  std::string case_name;
  std::string unit;   // "us", "mbps", "bler" or what values() was told
  double median = 0;  // over runs; "bler": failed runs / runs
  double p99 = 0;     // the slow side: the 99th percentile of time, as a rate for "mbps"
  double low = 0;     // "bler": the 95 % confidence interval
  double high = 0;
  int runs = 0;
  std::uint64_t hash = 0;  // of the result: the work was done, and it was the same work
};

struct Interval {
  double low = 0;
  double high = 1;
};
// The 95 % confidence interval (Wilson's) of a probability of which `events` in `trials` were seen.
// Precondition: 0 <= events <= trials, 0 < trials.
Interval confidence_95(int events, int trials);

// What a search or an average over trials found, with its 95 % confidence interval.
struct BenchFound {
  double value = 0;
  double low = 0;
  double high = 0;
  int trials = 0;
};

struct BenchOptions {
  std::string case_filter;      // run only the cases whose name contains it
  double seconds_per_case = 1;  // measured time a case, after a tenth of it as warm-up
  bool stop_after_one = false;  // a smoke run: one run a case
  int runs_max = 100'000;
};

class Bench {
 public:
  using Work = std::function<std::uint64_t()>;  // one run; returns a hash of its result

  Bench(std::string name, BenchOptions options)
      : name_(std::move(name)), options_(std::move(options)) {}

  // Whether the case will run: ask before an expensive preparation.
  bool wants(std::string_view case_name) const;

  // Reports microseconds per run.
  void time_us(std::string_view case_name, const Work& work);
  // Reports bits / time in Mb/s, for one run that handles this many bits.
  void rate_mbps(std::string_view case_name, double bits, const Work& work);

  // Reports by how many microseconds a run of work is longer than one of base: the two take turns,
  // and each pair's difference is one run.
  void added_us(std::string_view case_name, const Work& base, const Work& work);

  // Reports how often a trial fails: trials 0, 1, ... until `failures` of them failed, at most
  // `trials_max`. The same seeds and bounds give the same result, however fast the machine is.
  using Trial = std::function<bool(std::uint64_t trial)>;  // whether it failed
  void failure_rate(std::string_view case_name, int failures, int trials_max, const Trial& trial);

  // Reports values that the caller measured: their median and the 99th percentile.
  void values(std::string_view case_name, const char* unit, std::vector<double> measured,
              std::uint64_t hash = 0);
  // A smoke run: the caller does as little as shows that its case works.
  bool smoke() const { return options_.stop_after_one; }
  double seconds() const { return options_.seconds_per_case; }

  // Reports a level in dB that work finds; `once` asks for the least work that runs all its code.
  using Search = std::function<BenchFound(bool once)>;
  void level_db(std::string_view case_name, const Search& work);

  const std::vector<BenchResult>& results() const { return results_; }

 private:
  std::vector<double> measure_ns(const Work& work, std::uint64_t& hash);

  std::string name_;
  BenchOptions options_;
  std::vector<BenchResult> results_;
};

struct BenchEntry {
  const char* name;
  void (*run)(Bench&);
};

// All registered benchmarks, by name.
std::vector<BenchEntry>& bench_registry();

struct BenchRegistration {
  BenchRegistration(const char* name, void (*run)(Bench&)) {
    bench_registry().push_back({name, run});
  }
};

// Runs the named benchmark (all when empty) and prints a table, or one JSON array of {"bench",
// "case", "unit", "median", "p99" ("bler", "db": "value", "low", "high"), "runs", "hash"}. False
// when no benchmark or case has such a name.
bool run_benches(std::string_view name, const BenchOptions& options, bool json);

// One name a line, sorted.
void print_bench_names();

// The named benchmark for a report that holds more than it; and a line of the table. Empty: there
// is none of that name in this program.
std::vector<BenchResult> bench_results(std::string_view name, const BenchOptions& options);
void print_line(const BenchResult& result);

// FNV-1a over bytes, for the hash that a run returns.
std::uint64_t hash_bytes(const void* data, std::size_t size,
                         std::uint64_t seed = 0xcbf29ce484222325u);

}  // namespace noroshi

#define NOROSHI_BENCH(name)                                                    \
  static void noroshi_bench_##name(::noroshi::Bench& bench);                   \
  static const ::noroshi::BenchRegistration noroshi_bench_registration_##name( \
      #name, noroshi_bench_##name);                                            \
  static void noroshi_bench_##name([[maybe_unused]] ::noroshi::Bench& bench)
