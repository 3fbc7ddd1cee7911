#pragma once

// One cell of a site in time: its loop, the workers that follow the timetable, its recordings, and
// what it learned of its costs. The site (site.cpp) says when it starts and stops.

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/ring.h"
#include "site/realtime.h"
#include "site/site.h"
#include "site/slot_loop.h"

namespace noroshi::site {

// What the cells of a site have in common; outlives them.
struct CellSurroundings {
  const SiteConfig* config = nullptr;
  const SiteOptions* options = nullptr;
  Clock* clock = nullptr;      // of the timetable
  Clock* monotonic = nullptr;  // of the work
  LeaseBoard* board = nullptr;
  const LeaseCounters* lease = nullptr;
  std::vector<int> radio_processors = {};             // of the site
  std::vector<int> air_processors = {};               // of every cell
  std::function<void(const std::string&)> warn = {};  // once each; empty texts are no warning
};

class CellRun {
 public:
  // Errors: a recording that cannot be opened or made, a channel profile that does not exist.
  static Result<std::unique_ptr<CellRun>> make(const CellSurroundings& around, std::size_t index);
  CellRun(const CellSurroundings& around, std::size_t index);  // make() is the way in
  ~CellRun();                                                  // stop()
  CellRun(const CellRun&) = delete;
  CellRun& operator=(const CellRun&) = delete;

  const CellConfig& config() const { return config_; }
  const CellCounters& counters() const { return counters_; }
  std::int64_t slot_ns() const { return slot_duration_ns(config_.carrier.scs_khz); }

  // At real pace, in this order: prepare() makes the workers, which wait; go() lets them follow the
  // timetable from period_ns on, where a 20 ms period of the site starts, up to end_ns (-1: until
  // stop()). join() waits for that end, stop() brings it. One thread calls these.
  void prepare(LeaseKeeper* keeper);
  void go(std::int64_t period_ns, std::int64_t end_ns);
  void join();
  void stop();
  bool runs() const { return running_.load(std::memory_order_relaxed); }

  // At free pace, all workers in turn.
  void set_free_timetable(std::int64_t first_tick_ns) { loop_->start(first_tick_ns); }
  void free_tick(SlotCount now);
  void lose(std::uint64_t slots) { counters_.lost_slots.fetch_add(slots); }

  Result<void> finish();  // closes the recording; keeps the cost model, of a run at real pace

  bool take_late(LateSlot& late) { return loop_->take_late(late); }
  bool take_refused(RefusedPdu& refused) { return loop_->take_refused(refused); }
  bool take_trace(SlotTrace& trace);
  bool take_stall(HostStall& stall);

 private:
  // A thread that follows the timetable.
  struct Worker {
    std::vector<int> processors;
    int radio_processor = -1;  // of the site's, 0 the first; -1: this is the air's worker
    int fifo_priority = 0;
    std::atomic<std::uint64_t>* lost = nullptr;
    std::atomic<std::uint64_t>* cpu_ns = nullptr;
    std::function<void(SlotCount)> tick;
    std::function<void(SlotCount)> warm;  // before a tick for which it is up early
    std::int64_t early_ns = 0;            // that it was up before this tick
    std::int64_t stalled_ns = 0;          // by the host, since it last slept
    Ring<HostStall> stalls{4096};
  };

  void make_workers();
  void follow(Worker& worker);
  void sleep_to(Worker& worker, SlotCount n);
  void note_stall(Worker& worker, const HostStall& stall);
  template <class Work>
  Elapsed measured(Worker& worker, Work work);
  void radio_tick(Worker& worker, SlotCount now, bool with_uplink);
  void move_recordings();
  std::string path_of(const std::string& path) const;
  std::string cost_origin() const;
  void read_cost_model();
  void write_cost_model();

  const CellSurroundings& around_;
  const CellConfig& config_;
  std::vector<int> radio_;  // its workers' places among the site's radio processors
  CellCounters counters_;
  ThreadClock thread_clock_;
  Stopwatch stopwatch_;
  Ring<SlotTrace> traces_{8192};
  std::optional<Recorder> recorder_;
  std::optional<Replay> replay_;
  std::optional<SlotLoop> loop_;
  std::vector<std::unique_ptr<Worker>> workers_;  // radio's first
  std::atomic<std::uint64_t> uplink_behind_{0};   // uplink slots that are lost count themselves

  std::atomic<bool> running_{false}, stopping_{false};
  SlotCount first_slot_ = 0, end_slot_ = -1;
  std::unique_ptr<std::latch> ready_, go_;
  std::vector<std::thread> threads_;
};

}  // namespace noroshi::site
