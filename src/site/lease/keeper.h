#pragma once

// Who carries out the lease's decisions. The slot path only stores a decision and, when it is
// another one, wakes a thread (one futex call that cannot block); the system calls that move an
// engine's threads are made there, below the radio's priority and off its processors. A second
// thread of ordinary priority looks around, which takes milliseconds: no decision waits for it.
//
// Detected by it and reported: engine threads where they may not be, a system that refuses, a
// processor that is taken offline. In none of these does the radio depend on the keeper: its
// priority keeps engines back.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/histogram.h"
#include "site/lease/mechanism.h"
#include "site/realtime.h"

namespace noroshi::site {

struct LeaseCounters {
  std::atomic<std::uint64_t> taken{0};     // the bits of the present decision
  std::atomic<std::uint64_t> takes{0};     // decisions that took a processor back
  std::atomic<std::uint64_t> gives{0};     // and that gave one
  std::atomic<std::uint64_t> strays{0};    // engine threads found where they may not be
  std::atomic<std::uint64_t> failures{0};  // the system refused
  std::atomic<std::uint64_t> offline{0};   // processors that were taken offline
  Histogram freed_ns;                      // decision to the engines off the processor
  Histogram own_freed_ns;  // the same where the keeper was awake in time (stall.h), else without
                           // its late waking
  Histogram given_ns;      // decision to the engines allowed on it
};

class LeaseKeeper {
 public:
  struct Config {
    std::vector<int> radio_processors;
    std::vector<int> engine_processors;  // all that engines may ever use
    std::vector<int> own_processors;     // of both threads; empty: any
    int fifo_priority = 0;               // of the one that decisions wake; 0: ordinary
    // Where the system lists the processors that are online, looked at every 100 ms: one that is
    // taken offline is said, and engines are kept on the others. Empty: nobody looks.
    std::string online_path = {};
  };
  // engines: the processes to hold, asked every 100 ms. Both threads warn.
  LeaseKeeper(Config config, std::unique_ptr<Mechanism> mechanism,
              std::function<std::vector<HeldProcess>()> engines, LeaseCounters& counters,
              Clock& clock, std::function<void(const std::string&)> warn);
  ~LeaseKeeper();  // gives everything back
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  // From the slot path of any cell. Bit p of taken: radio_processors[p] is the radio's alone. Of
  // two cells that decide at the same moment either may be last; the next tick decides again.
  void decide(std::uint64_t taken);

 private:
  void run();
  void apply(std::uint64_t taken, std::int64_t decided_ns);
  void look_around();
  void adopt();
  void look_at_processors();
  void warn_once(const Result<void>& result);

  Config config_;
  std::unique_ptr<Mechanism> mechanism_;
  std::function<std::vector<HeldProcess>()> engines_;
  LeaseCounters& counters_;
  Clock& clock_;
  std::function<void(const std::string&)> warn_;
  std::atomic<bool> warned_{false};

  std::atomic<std::uint64_t> decided_{0};
  std::atomic<std::int64_t> decided_ns_{0};
  std::atomic<std::uint32_t> changes_{0};  // the futex
  std::atomic<bool> place_anew_{false};    // the allowed processors are others
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint32_t> stop_{0};  // the futex of who looks around
  std::uint64_t applied_ = 0;           // of the thread that decisions wake
  InheritingMutex offline_mutex_;
  std::vector<int> offline_;  // of engine_processors
  std::thread thread_, lookout_;
};

}  // namespace noroshi::site
