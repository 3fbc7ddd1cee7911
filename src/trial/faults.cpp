#include "trial/faults.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "base/clock.h"
#include "meter/store/store.h"
#include "trial/country.h"

namespace noroshi::trial {
namespace {

constexpr double warm_s = 2;
constexpr double after_s = 2;  // users go on when it is mended
constexpr double finish_s = 30;
constexpr double stored_s = 30;
// A place for each stream twice over, so that what is measured is the fault and not a queue.
const StubConfig stub = {
    .places = 60, .prompt_tokens_per_s = 20'000, .tokens_per_s = 40, .cache_tokens = 1 << 20};

struct Fault {
  const char* name;
  std::function<Result<std::string>(Country&)> strike;  // returns the note
  std::function<Result<void>(Country&)> mend;
  const char* struck = "";  // a site
  double lasts = 1;         // times as long as the others
};

struct TemporaryFolder {
  std::string path;
  TemporaryFolder() {
    path = (std::filesystem::temp_directory_path() / "noroshi-trial-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) path.clear();
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove_all(path, ignored);
  }
};

// The disk under the spool of the gateway in the east: a small one of its own.
struct SmallDisk {
  std::string path;
  Result<void> mount_at(const std::string& folder) {
    std::filesystem::create_directories(folder);
    // In a mount namespace of our own, so that it goes with us, however we end.
    if (unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return Error{"cannot make a mount namespace for a small disk"};
    }
    if (::mount("none", folder.c_str(), "tmpfs", 0, "size=1m") != 0) {
      return Error{"cannot mount a small tmpfs at " + folder};
    }
    path = folder;
    return {};
  }
  SmallDisk() = default;
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    empty();
    if (!path.empty()) ::umount2(path.c_str(), MNT_DETACH);
  }
  // Takes every byte that is free, and what comes free later, until empty().
  void fill() {
    stop_ = false;
    filler_ = std::thread([this] {
      const int fd = ::open((path + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      const std::string page(4096, 'x');
      MonotonicClock clock;
      while (!stop_) {
        if (::write(fd, page.data(), page.size()) > 0) continue;
        clock.sleep_until_ns(clock.now_ns() + look_ns);
      }
      ::close(fd);
      ::unlink((path + "/filler").c_str());
    });
  }
  void empty() {
    stop_ = true;
    if (filler_.joinable()) filler_.join();
  }

 private:
  static constexpr std::int64_t look_ns = 2'000'000;
  std::atomic<bool> stop_{false};
  std::thread filler_;
};

void sleep_s(double seconds) {
  MonotonicClock clock;
  clock.sleep_until_ns(clock.now_ns() + static_cast<std::int64_t>(seconds * 1e9));
}

std::vector<Fault> all_faults(SmallDisk& disk) {
  const auto nothing = [](Country&) { return Result<void>(); };
  std::vector<Fault> faults;
  faults.push_back({"none", [](Country&) { return Result<std::string>("no fault"); }, nothing});
  faults.push_back({"site",
                    [](Country& country) {
                      country.kill_now("e1");
                      return Result<std::string>("kill -9 of site e1");
                    },
                    [](Country& country) { return country.start("e1"); }, "e1"});
  const auto killed = std::make_shared<std::string>();
  faults.push_back({"leader",
                    [killed](Country& country) -> Result<std::string> {
                      const auto leader = country.usage_leader();
                      if (!leader) return leader.error();
                      *killed = "nats-" + std::to_string(*leader);
                      country.kill_now(*killed);
                      return "kill -9 of " + *killed + ", leader of the usage stream";
                    },
                    [killed](Country& country) { return country.start(*killed); }});
  faults.push_back({"region",
                    [](Country& country) {
                      country.wire().cut(west, true);
                      return Result<std::string>("the west cut off");
                    },
                    [](Country& country) {
                      country.wire().cut(west, false);
                      return Result<void>();
                    }});
  faults.push_back({"slow",
                    [](Country& country) -> Result<std::string> {
                      if (auto slow = country.set_slow("e1", 10); !slow) return slow.error();
                      return std::string("site e1 ten times slower");
                    },
                    [](Country& country) { return country.set_slow("e1", 1); }, "e1"});
  faults.push_back({"disk",
                    [&disk](Country&) {
                      disk.fill();
                      return Result<std::string>("the disk under the east gateway's spool full");
                    },
                    [&disk](Country&) {
                      disk.empty();
                      return Result<void>();
                    },
                    "", 2});
  return faults;
}

double ms(std::int64_t ns) { return static_cast<double>(ns) / 1e6; }

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto at = static_cast<std::size_t>(q * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

// What the store says of these requests.
Result<void> compare(Country& country, const std::vector<Asked>& asked,
                     std::set<std::string>& known, FaultOutcome& outcome) {
  std::map<std::string, const Asked*> mine;
  std::size_t whole = 0;
  for (const Asked& one : asked) {
    if (!one.id.empty()) mine[one.id] = &one;
    whole += one.fate == Fate::whole;
  }
  static_cast<void>(country.wait_stored(known.size() + whole, stored_s));
  auto store = meter::Store::open(country.store_path(), meter::Access::read);
  if (!store) return store.error();
  const auto rows = store->tokens();
  if (!rows) return rows.error();
  std::set<std::string> there;
  for (const auto& [id, tokens] : *rows) {
    there.insert(id);
    if (known.contains(id)) continue;
    ++outcome.records;
    const auto found = mine.find(id);
    if (found == mine.end()) {
      ++outcome.records_doubled;
    } else if (found->second->fate == Fate::whole && found->second->tokens != tokens) {
      ++outcome.tokens_wrong;
    }
  }
  for (const auto& [id, one] : mine) {
    outcome.records_lost += one->fate == Fate::whole && !there.contains(id);
  }
  known = std::move(there);
  return {};
}

Result<FaultOutcome> run_one(Country& country, const Fault& fault, const FaultOptions& options,
                             std::set<std::string>& known) {
  const auto users = [&](int region, int streams) {
    Result<Clients> clients = Error{""};
    country.wire().in(region, [&] {
      clients = Clients::start({.host = Wire::address(region),
                                .tcp_port = gateway_tcp_port,
                                .concurrency = streams,
                                .prompt_tokens = 100,
                                .max_tokens = 60,
                                .seed = static_cast<std::uint64_t>(region) + known.size()});
    });
    return clients;
  };
  auto in_east = users(east, options.streams_east);
  if (!in_east) return in_east.error();
  auto in_west = users(west, options.streams_west);
  if (!in_west) return in_west.error();
  MonotonicClock clock;
  sleep_s(warm_s);
  const std::int64_t fault_ns = clock.now_ns();
  const auto note = fault.strike(country);
  if (!note) return note.error();
  sleep_s(fault.lasts * options.fault_s);
  const std::int64_t mended_ns = clock.now_ns();
  if (auto mended = fault.mend(country); !mended) return mended.error();
  sleep_s(after_s);
  std::vector<Asked> asked = in_east->finish(finish_s);
  const std::vector<Asked> asked_west = in_west->finish(finish_s);
  asked.insert(asked.end(), asked_west.begin(), asked_west.end());
  FaultOutcome outcome = outcome_of(asked, {fault_ns, mended_ns}, fault.struck);
  outcome.name = fault.name;
  for (const Asked& one : asked_west) {
    if (one.asked_ns < fault_ns || one.asked_ns > mended_ns) continue;
    ++outcome.west_asked;
    outcome.west_whole += one.fate == Fate::whole;
  }
  outcome.note = *note;
  if (auto compared = compare(country, asked, known, outcome); !compared) return compared.error();
  outcome.stored_s = static_cast<double>(clock.now_ns() - mended_ns) / 1e9;
  return outcome;
}

bool chosen(const std::string& cases, const std::string& name) {
  return cases == "all" || ("," + cases + ",").find("," + name + ",") != std::string::npos;
}

}  // namespace

FaultOutcome outcome_of(const std::vector<Asked>& asked, FaultTimes times,
                        const std::string& struck) {
  constexpr std::int64_t second_ns = 1'000'000'000;
  FaultOutcome outcome;
  std::vector<double> first_token_ms;
  std::int64_t success_ns = 0;   // the first since the fault
  std::int64_t recovery_ns = 0;  // the first since it was mended
  const auto first_of = [](std::int64_t& earliest, std::int64_t at_ns) {
    if (earliest == 0 || at_ns < earliest) earliest = at_ns;
  };
  for (const Asked& one : asked) {
    ++outcome.requests;
    outcome.whole += one.fate == Fate::whole;
    outcome.refused += one.fate == Fate::refused;
    outcome.failed += one.fate == Fate::failed;
    outcome.broken += one.fate == Fate::broken;
    outcome.wrong += one.fate == Fate::wrong;
    const bool open =
        one.first_ns != 0 && one.first_ns <= times.fault_ns && one.done_ns > times.fault_ns;
    outcome.streams_open += open;
    if (open && (one.resumed || one.fate != Fate::whole)) {
      ++outcome.streams_hit;
      outcome.streams_resumed_1s += one.fate == Fate::whole && one.gap_ns_max < second_ns;
    }
    if (open && one.fate == Fate::whole) {
      outcome.silence_ms_max = std::max(outcome.silence_ms_max, ms(one.gap_ns_max));
    }
    if (one.first_ns == 0) continue;
    const bool there = !struck.empty() && one.site == struck;
    if (one.asked_ns < times.fault_ns) {
      ++outcome.asked_before;
      outcome.before_at_struck += there;
      continue;
    }
    first_of(success_ns, one.first_ns);
    if (one.asked_ns > times.mended_ns) {
      first_of(recovery_ns, one.first_ns);
    } else {
      first_token_ms.push_back(ms(one.first_ns - one.asked_ns));
      outcome.asked_at_struck += there;
    }
  }
  std::map<std::string, int> reasons;
  for (const Asked& one : asked) {
    if (one.fate != Fate::whole) ++reasons[one.why];
  }
  const auto most = std::ranges::max_element(reasons, {}, [](const auto& r) { return r.second; });
  if (most != reasons.end()) outcome.why = most->first;
  outcome.asked_during = first_token_ms.size();
  outcome.first_success_ms = success_ns == 0 ? -1 : ms(success_ns - times.fault_ns);
  outcome.recovered_ms = recovery_ns == 0 ? -1 : ms(recovery_ns - times.mended_ns);
  outcome.first_token_ms_p50 = quantile(first_token_ms, 0.5);
  outcome.first_token_ms_p99 = quantile(first_token_ms, 0.99);
  return outcome;
}

Result<std::vector<FaultOutcome>> run_faults(const FaultOptions& options) {
  const TemporaryFolder folder;
  SmallDisk disk;
  const std::vector<Fault> faults = all_faults(disk);
  std::string names;
  bool any = false;
  for (const Fault& fault : faults) {
    names += std::string(names.empty() ? "" : ", ") + fault.name;
    any = any || chosen(options.cases, fault.name);
  }
  if (!any) return Error{"no fault '" + options.cases + "': there are " + names + " and all"};
  if (folder.path.empty()) return Error{"cannot make a folder for temporary files"};
  if (geteuid() != 0) {
    return Error{"the faults need root: network namespaces, TUN devices and a small disk are made"};
  }
  if (auto mounted = disk.mount_at(folder.path + "/spool-gw-east"); !mounted)
    return mounted.error();
  auto country = Country::make({.folder = folder.path, .stub = stub});
  if (!country) return country.error();
  std::vector<FaultOutcome> outcomes;
  std::set<std::string> known;
  for (const Fault& fault : faults) {
    if (!chosen(options.cases, fault.name)) continue;
    std::fprintf(stderr, "fault: %s\n", fault.name);
    auto outcome = run_one(**country, fault, options, known);
    if (!outcome) return Error{std::string(fault.name) + ": " + outcome.error().message};
    outcomes.push_back(*std::move(outcome));
  }
  return outcomes;
}

}  // namespace noroshi::trial
