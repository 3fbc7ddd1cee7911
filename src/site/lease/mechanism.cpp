#include "site/lease/mechanism.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>

#include "site/lease/mechanism_parts.h"
#include "site/realtime.h"

namespace noroshi::site {
namespace {

namespace fs = std::filesystem;

void add_threads(pid_t process, std::vector<pid_t>& threads) {
  const std::size_t first = threads.size();
  std::error_code error;
  const fs::path tasks = fs::path("/proc") / std::to_string(process) / "task";
  for (fs::directory_iterator it(tasks, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename();
    pid_t thread = 0;
    std::from_chars(name.data(), name.data() + name.size(), thread);
    if (thread > 0) threads.push_back(thread);
  }
  const std::size_t last = threads.size();
  for (std::size_t i = first; i < last; ++i) {
    std::ifstream children(tasks / std::to_string(threads[i]) / "children");
    for (pid_t child = 0; children >> child;) add_threads(child, threads);
  }
}

class Affinity final : public Mechanism {
 public:
  ~Affinity() override { standstill_.set(false); }
  std::string name() const override { return "affinity"; }

  Result<int> adopt(const std::vector<HeldProcess>& processes) override {
    std::vector<Thread> threads;
    for (const HeldProcess& held : processes) {
      if (held.process <= 0) continue;
      std::vector<pid_t> found;
      add_threads(held.process, found);
      for (const pid_t id : found) threads.push_back({.id = id, .home = held.home});
    }
    std::ranges::sort(threads, {}, &Thread::id);
    const std::lock_guard lock(mutex_);
    standstill_.adopt(processes);
    int strays = 0;
    for (Thread& thread : threads) {
      const auto known = std::ranges::lower_bound(threads_, thread.id, {}, &Thread::id);
      const bool is_known = known != threads_.end() && known->id == thread.id;
      if (is_known) thread.place = known->place;
      cpu_set_t is;
      if (allowed_.empty() || sched_getaffinity(thread.id, sizeof is, &is) != 0) continue;
      thread.place = place_of(thread.home, allowed_);
      const cpu_set_t place = set_of(thread.place);
      if (CPU_EQUAL(&is, &place)) continue;
      strays += is_known ? 1 : 0;
      if (sched_setaffinity(thread.id, sizeof place, &place) != 0 && errno != ESRCH)
        return refusal();
    }
    threads_ = std::move(threads);
    return strays;
  }

  Result<void> confine(const std::vector<int>& processors) override {
    const std::lock_guard lock(mutex_);
    if (processors.empty()) {
      standstill_.set(true);
      return {};
    }
    allowed_ = processors;
    std::optional<Error> refused;
    for (Thread& thread : threads_) {
      std::vector<int> place = place_of(thread.home, allowed_);
      if (place == thread.place) continue;
      const cpu_set_t set = set_of(place);
      if (sched_setaffinity(thread.id, sizeof set, &set) == 0 || errno == ESRCH) {
        thread.place = std::move(place);
      } else {
        refused = refusal();
      }
    }
    standstill_.set(false);
    if (refused) return *refused;
    return {};
  }

 private:
  struct Thread {
    pid_t id;
    std::vector<int> home;
    std::vector<int> place = {};  // where it was put; empty: nowhere yet
  };
  static Error refusal() {
    return Error{std::string("cannot move an engine's thread: sched_setaffinity: ") +
                 std::strerror(errno)};
  }
  InheritingMutex mutex_;  // of all that follows
  Standstill standstill_;
  std::vector<Thread> threads_;  // ascending
  std::vector<int> allowed_;     // empty: not confined yet
};

}  // namespace

std::vector<pid_t> threads_of(pid_t process) {
  std::vector<pid_t> threads;
  add_threads(process, threads);
  return threads;
}

std::unique_ptr<Mechanism> make_affinity_mechanism() { return std::make_unique<Affinity>(); }

Result<std::unique_ptr<Mechanism>> make_mechanism(const std::string& name,
                                                  const std::string& groups) {
  if (name == "affinity") return make_affinity_mechanism();
  if (name != "cpuset" && name != "auto")
    return Error{"no lease mechanism '" + name + "': auto, affinity or cpuset"};
  Result<std::unique_ptr<Mechanism>> cpuset = make_cpuset_mechanism(groups);
  if (cpuset || name == "cpuset") return cpuset;
  return make_affinity_mechanism();
}

}  // namespace noroshi::site
