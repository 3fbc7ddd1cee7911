#pragma once

// The site's time: three things happen at each tick, n * T after the start. Nothing wakes anything;
// each worker sleeps to its next tick and works on what the rings hold by then.
//
//   downlink_tick(n)   PDSCH and OFDM of slot n (planned two ticks before), ready 375 us after the
//                      tick; then what came back goes to the MAC, and the MAC plans slot n + 2
//   uplink_tick(n)     every uplink slot that has arrived, at most up to slot n - 1: CRC and
//                      payload, ready 4 slots after that slot's tick
//   air_tick(n)        samples of uplink slot n, then what the handsets make of downlink slot n - 1
//
// A worker whose next tick will be heavy may be up a little earlier: early_ns(n) says by how much,
// and warm_uplink(n) fetches into the caches what that tick will read.
//
// Each may run on a thread of its own; one thread may run several, in this order. Late work is done
// and counted. A slot's work is lost, and counted, only when its worker is slots behind.

#include <array>
#include <atomic>
#include <limits>
#include <memory>

#include "base/clock.h"
#include "base/ring.h"
#include "site/cell.h"
#include "site/emulation.h"
#include "site/lease/board.h"
#include "site/lease/cost_model.h"
#include "site/lease/keeper.h"
#include "site/lease/lease.h"
#include "site/pdu.h"
#include "site/recording.h"
#include "site/site.h"
#include "site/slot_data.h"

namespace noroshi::site {

// A worker that is further behind goes on at the present slot.
inline constexpr SlotCount behind_slots_max = 8;

class SlotLoop {
 public:
  // What a loop shares with whoever runs it; all must outlive the loop.
  struct Surroundings {
    CellCounters& counters;
    LeaseBoard& board;
    int cell = 0;         // on the board
    Clock& clock;         // of ticks and deadlines
    Stopwatch stopwatch;  // how long the work takes
    Recorder* recorder = nullptr;
    Replay* replay = nullptr;
  };
  // downlink_processor, uplink_processor: which of the site's radio processors does the work, 0 the
  // first of radio_processors.
  SlotLoop(const SiteConfig& site, const CellConfig& cell, const mac::MacConfig& mac,
           Emulation emulation, const Surroundings& surroundings, int radio_processors,
           int downlink_processor, int uplink_processor);

  // When tick 0 is, or would have been. Not while ticks run, as lend_through() and forget().
  void start(std::int64_t first_tick_ns) { first_tick_ns_ = first_tick_ns; }
  std::int64_t tick_ns(SlotCount slot) const { return first_tick_ns_ + slot * slot_ns_; }

  // Who carries out the lease's decisions from now on; nullptr: nobody.
  void lend_through(LeaseKeeper* keeper) { keeper_ = keeper; }
  // What is on its way between the workers is lost: the cell stops. HARQ mends it afterwards.
  void forget();
  CellCostModel& cost_model() { return cost_model_; }
  bool take_late(LateSlot& late);          // any thread, one at a time
  bool take_refused(RefusedPdu& refused);  // the same

  void downlink_tick(SlotCount now);
  void uplink_tick(SlotCount now);
  void air_tick(SlotCount now);

  // Before a tick: since when the worker on this radio processor has not slept.
  void set_busy_since(int processor, std::int64_t time_ns);
  // By how much the worker on this radio processor is to be up before tick `now`; 0: by nothing.
  std::int64_t early_ns(int processor, SlotCount now) const;
  void warm_uplink(SlotCount now);  // of the uplink's worker

 private:
  static constexpr SlotCount plan_ahead = 2;
  static constexpr std::size_t sample_slots = 16;
  static constexpr std::size_t messages = 64;
  static constexpr int catch_up = 2;  // slots of work in one tick, when behind
  static constexpr std::size_t late_window = 64;

  void transmit(SlotCount now);
  void take_feedback();
  void plan(SlotCount slot);
  void lend(SlotCount now);
  void publish();
  bool receive(const UplinkSlot& slot);  // false: the MAC had no plan for it
  LateSlot late_uplink(const UplinkSlot& slot) const;
  void finish_uplink(const UplinkSlot& slot, const UplinkReport& report);
  void note_refused(const RefusedPdus& refused, Ring<RefusedPdu>& ring);
  void mark_late(Ring<LateSlot>& ring, LateSlot late, std::int64_t busy_since_ns);

  // Read only.
  nr::Carrier carrier_;
  nr::DuplexPattern pattern_;
  CellLimits limits_;
  std::int64_t slot_ns_, downlink_deadline_ns_, uplink_deadline_ns_;
  std::int64_t first_tick_ns_ = 0;
  Clock& clock_;
  Stopwatch stopwatch_;
  CellCounters& counters_;
  int downlink_processor_, uplink_processor_;
  std::int64_t lease_early_ns_;
  bool uci_on_pusch_;

  // Of the downlink's worker.
  mac::Mac mac_;
  CellDownlink downlink_;
  std::array<std::unique_ptr<mac::SlotPlan>, 4> plans_;  // of slot n at n % 4
  DownlinkSlot spare_downlink_;                          // where samples go that nobody can take
  std::uint64_t hash_ = 0xcbf29ce484222325u;
  struct PlannedCost {
    SlotCount slot = -1;
    SlotWork downlink_work, uplink_work;
    CostPrediction downlink, uplink;
  };
  std::array<PlannedCost, 16> planned_costs_;  // of slot n at n % 16
  PlannedCost& planned_cost(SlotCount slot) {
    return planned_costs_[static_cast<std::size_t>(slot) % planned_costs_.size()];
  }
  CellCostModel cost_model_;
  Lease lease_;
  LeaseBoard& board_;
  int cell_;
  LeaseKeeper* keeper_ = nullptr;
  double downlink_sinr_db_ = 0, uplink_sinr_db_ = 0;
  std::int64_t downlink_busy_since_ns_ = std::numeric_limits<std::int64_t>::max();

  // Of the uplink's worker.
  CellUplink uplink_;
  std::int64_t uplink_busy_since_ns_ = std::numeric_limits<std::int64_t>::max();
  UplinkReport spare_report_;
  Recorder* recorder_;

  // Of the air's worker.
  Emulation emulation_;
  Replay* replay_;

  // Between them.
  // Decided for tick n, at n % 2: for which radio processors its worker is to be up early.
  struct Early {
    std::atomic<SlotCount> slot{-1};
    std::atomic<std::uint64_t> processors{0};
  };
  std::array<Early, 2> early_;
  Ring<Grants> grants_{messages};
  Ring<UplinkPlan> uplink_plans_{messages};
  Ring<UplinkReport> reports_{sample_slots};
  Ring<fapi::UciIndication> ucis_{messages};
  Ring<DownlinkSlot> downlink_slots_{sample_slots};
  Ring<UplinkSlot> uplink_slots_{sample_slots};
  std::array<std::atomic<SlotCount>, late_window> late_marks_;
  Ring<LateSlot> late_downlink_{4096}, late_uplink_{4096};
  Ring<RefusedPdu> refused_downlink_{256}, refused_uplink_{256};
};

}  // namespace noroshi::site
