#include "site/lease/keeper.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>
#include <fstream>
#include <mutex>

#include "site/lease/stall.h"
#include "site/realtime.h"

namespace noroshi::site {
namespace {

constexpr std::int64_t look_around_ns = 100'000'000;

std::uint32_t* word_of(std::atomic<std::uint32_t>& futex) {
  static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
  return reinterpret_cast<std::uint32_t*>(&futex);
}

void wake(std::atomic<std::uint32_t>& futex) {
  syscall(SYS_futex, word_of(futex), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

// timeout_ns < 0: none.
void wait(std::atomic<std::uint32_t>& futex, std::uint32_t seen, std::int64_t timeout_ns = -1) {
  const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  syscall(SYS_futex, word_of(futex), FUTEX_WAIT_PRIVATE, seen, timeout_ns < 0 ? nullptr : &timeout,
          nullptr, 0);
}

}  // namespace

LeaseKeeper::LeaseKeeper(Config config, std::unique_ptr<Mechanism> mechanism,
                         std::function<std::vector<HeldProcess>()> engines, LeaseCounters& counters,
                         Clock& clock, std::function<void(const std::string&)> warn)
    : config_(std::move(config)),
      mechanism_(std::move(mechanism)),
      engines_(std::move(engines)),
      counters_(counters),
      clock_(clock),
      warn_(std::move(warn)),
      thread_([this] { run(); }),
      lookout_([this] { look_around(); }) {}

LeaseKeeper::~LeaseKeeper() {
  stopping_.store(true);
  for (auto* futex : {&stop_, &changes_}) {
    futex->fetch_add(1);
    wake(*futex);
  }
  lookout_.join();
  thread_.join();
}

void LeaseKeeper::decide(std::uint64_t taken) {
  constexpr auto relaxed = std::memory_order_relaxed;
  if (decided_.load(relaxed) == taken) return;
  decided_ns_.store(clock_.now_ns(), relaxed);
  decided_.store(taken, std::memory_order_release);
  counters_.taken.store(taken, relaxed);
  changes_.fetch_add(1, std::memory_order_release);
  wake(changes_);
}

void LeaseKeeper::run() {
  if (!config_.own_processors.empty()) warn_(pin_thread(config_.own_processors));
  warn_(set_fifo_priority(config_.fifo_priority));
  apply(0, clock_.now_ns());
  while (!stopping_.load(std::memory_order_acquire)) {
    const std::uint32_t seen = changes_.load(std::memory_order_acquire);
    const bool anew = place_anew_.exchange(false, std::memory_order_acq_rel);
    const std::uint64_t taken = decided_.load(std::memory_order_acquire);
    if (taken != applied_) {
      apply(taken, decided_ns_.load(std::memory_order_relaxed));
    } else if (anew) {
      apply(taken, clock_.now_ns());
    }
    if (!stopping_.load(std::memory_order_acquire)) wait(changes_, seen);
  }
  apply(0, clock_.now_ns());
}

void LeaseKeeper::apply(std::uint64_t taken, std::int64_t decided_ns) {
  const std::int64_t woke_ns = clock_.now_ns();
  std::vector<int> offline;
  {
    const std::lock_guard lock(offline_mutex_);
    offline = offline_;
  }
  std::vector<int> allowed;
  for (const int processor : config_.engine_processors) {
    bool keep = std::ranges::find(offline, processor) != offline.end();
    for (std::size_t w = 0; w < config_.radio_processors.size(); ++w)
      keep = keep || (config_.radio_processors[w] == processor && (taken >> w & 1) != 0);
    if (!keep) allowed.push_back(processor);
  }
  warn_once(mechanism_->confine(allowed));
  const std::uint64_t newly_taken = taken & ~applied_;
  const auto took =
      static_cast<std::uint64_t>(std::max<std::int64_t>(clock_.now_ns() - decided_ns, 0));
  const auto late_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(woke_ns - decided_ns, 0));
  if (newly_taken != 0) {
    counters_.freed_ns.add(took);
    counters_.own_freed_ns.add(
        took - (late_ns >= static_cast<std::uint64_t>(late_wake_min_ns) ? late_ns : 0));
    counters_.takes.fetch_add(1, std::memory_order_relaxed);
  } else if (applied_ != taken) {
    counters_.given_ns.add(took);
    counters_.gives.fetch_add(1, std::memory_order_relaxed);
  }
  applied_ = taken;
}

void LeaseKeeper::look_around() {
  if (!config_.own_processors.empty()) warn_(pin_thread(config_.own_processors));
  while (!stopping_.load(std::memory_order_acquire)) {
    const std::uint32_t seen = stop_.load(std::memory_order_acquire);
    look_at_processors();
    adopt();
    if (!stopping_.load(std::memory_order_acquire)) wait(stop_, seen, look_around_ns);
  }
}

void LeaseKeeper::look_at_processors() {
  if (config_.online_path.empty()) return;
  std::ifstream file(config_.online_path);
  std::string text;
  std::getline(file, text);
  const Result<std::vector<int>> online = parse_processor_list(text);
  if (!online || online->empty()) {
    warn_once(Error{config_.online_path + ": " +
                    (online ? "names no processor" : online.error().message)});
    return;
  }
  std::vector<int> offline;
  for (const int processor : config_.engine_processors) {
    if (std::ranges::find(*online, processor) == online->end()) offline.push_back(processor);
  }
  if (offline == offline_) return;  // nobody else writes it
  for (const int processor : offline) {
    if (std::ranges::find(offline_, processor) != offline_.end()) continue;
    counters_.offline.fetch_add(1, std::memory_order_relaxed);
    const bool is_radio =
        std::ranges::find(config_.radio_processors, processor) != config_.radio_processors.end();
    warn_("processor " + std::to_string(processor) + " was taken offline" +
          (is_radio ? "; the radio worker there goes on where the system puts it, and slots may be "
                      "late until it is back and the site started again"
                    : "; engines use the others"));
  }
  {
    const std::lock_guard lock(offline_mutex_);
    offline_ = std::move(offline);
  }
  place_anew_.store(true, std::memory_order_release);
  changes_.fetch_add(1, std::memory_order_release);
  wake(changes_);
}

void LeaseKeeper::adopt() {
  const Result<int> strays = mechanism_->adopt(engines_());
  if (!strays) {
    warn_once(strays.error());
  } else {
    counters_.strays.fetch_add(static_cast<std::uint64_t>(*strays), std::memory_order_relaxed);
  }
}

void LeaseKeeper::warn_once(const Result<void>& result) {
  if (result) return;
  counters_.failures.fetch_add(1, std::memory_order_relaxed);
  if (warned_.exchange(true)) return;
  warn_("the lease cannot hold the engines (" + mechanism_->name() +
        "): " + result.error().message + "; priorities alone keep them back");
}

}  // namespace noroshi::site
