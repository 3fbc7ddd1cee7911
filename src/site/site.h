#pragma once

// One site: a cell in real time over emulated air, and the report of what it did. The engine and
// the gateway stand beside it (src/live wires them); the site only knows how to stay on time.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/histogram.h"
#include "base/result.h"
#include "base/slot.h"
#include "mac/mac.h"
#include "nr/carrier.h"
#include "site/lease/keeper.h"
#include "site/lease/lease.h"

namespace noroshi::site {

struct HandsetChannel {
  std::uint16_t rnti = 0;
  std::string profile = "tdl-a";
  double delay_spread_ns = 30;
  double doppler_hz = 10;
  double snr_db = 25;           // a receive antenna, mean, both directions
  double timing_offset_ns = 0;  // by which its uplink comes late
  int receive_antennas = 1;     // of the handset
};

struct CellConfig {
  std::string name = "cell0";
  nr::Carrier carrier;
  nr::DuplexPattern pattern;
  int transmit_antennas = 1;
  int receive_antennas = 2;
  int ldpc_iterations_max = 8;
  mac::MacConfig mac;
  std::vector<HandsetChannel> channels;  // one a handset of the MAC
  // No fading and recurring noise, and handsets that take every downlink block unseen: for wide
  // cells on few processors, where the cell's own work is what is to be measured.
  bool light_air = false;
};

enum class Pace : std::uint8_t { real, free };

struct SiteConfig {
  std::string name = "site0";
  CellConfig cell;
  std::vector<int> radio_processors;  // pinned radio workers; empty: chosen
  std::vector<int> air_processors;    // pinned air emulation; empty: chosen
  int realtime_priority = 80;         // SCHED_FIFO; air has 20 less
  bool keep_awake = false;            // processors never sleep deeply, at real pace
  int downlink_deadline_us = 375;     // samples ready, from the slot's tick
  int uplink_deadline_slots = 4;      // CRC and payload, from the slot's tick
  std::string record_path;            // SigMF base path of uplink samples; empty: none
  std::string replay_path;            // .sigmf-meta to take uplink samples from; empty: air
  LeaseConfig lease{.policy =
                        LeasePolicy::os};  // docs/measurements/2026-11-24-colocate.md says why
  std::string lease_mechanism = "auto";    // "affinity", "cpuset"
  std::string cost_model_path;             // kept there between runs; empty: learned anew each time
};

struct SiteOptions {
  double duration_s = 0;  // 0: until stop()
  Pace pace = Pace::real;
  std::uint64_t seed = 1;
  // The clock of the ticks and deadlines; nullptr: the system's (real), one that only sleeps move
  // (free). Tests hand in clocks that stall.
  Clock* clock = nullptr;
  // The engines' processes that the lease is to hold, asked from a thread of its own. Empty: there
  // are no engines here. Not used at free pace.
  std::function<std::vector<HeldProcess>()> engines;
};

// What anyone may read while it runs: written with relaxed atomics by the slot path.
struct SiteCounters {
  std::atomic<std::uint64_t> slots{0};
  std::atomic<std::uint64_t> late_downlink{0};
  std::atomic<std::uint64_t> late_uplink{0};
  std::atomic<std::uint64_t> late_slots{0};  // a slot late in either way counts once
  // Of late_uplink: those that would have been on time had the emulated air given its samples when
  // a real radio does, at the end of their slot.
  std::atomic<std::uint64_t> late_uplink_by_air{0};
  std::atomic<std::uint64_t> lost_slots{0};       // skipped because a worker was slots behind
  std::atomic<std::uint64_t> lost_air_slots{0};   // the same of the emulated air
  std::atomic<std::uint64_t> refused_pdus{0};     // that the cell cannot carry out
  std::atomic<std::uint64_t> dropped_reports{0};  // a ring between two threads was full
  std::atomic<std::uint64_t> dl_bits{0}, ul_bits{0};
  std::atomic<std::uint64_t> dl_tb{0}, dl_tb_failed{0},
      dl_tb_lost{0};  // first tx; its failures; after HARQ
  std::atomic<std::uint64_t> ul_tb{0}, ul_tb_failed{0}, ul_tb_lost{0};
  std::atomic<std::uint64_t> payload_mismatches{0};  // CRC passed and the bytes differ: never
  std::atomic<std::uint64_t> radio_cpu_ns{0}, air_cpu_ns{0};
  std::atomic<double> ul_sinr_db{0}, dl_sinr_db{0};
  std::atomic<std::uint64_t> result_hash{0};  // over all indications, in order: replays compare
  std::atomic<std::uint64_t> recorded_slots{0}, unrecorded_slots{0};  // the disk was too slow
  LeaseCounters lease;
  std::atomic<double> left{1};  // of the radio's processors for the known slots (lease/lease.h)
  // How good the cost model is (lease/cost_model.h), downlink and uplink.
  std::atomic<std::uint64_t> cost_slots{0}, cost_over_p9999{0};
  std::atomic<double> cost_p50_error{0};
  // Radio work of one tick, start to end, on the downlink's worker (with one worker: all of it),
  // and its parts.
  Histogram slot_ns;
  Histogram downlink_ns;        // of one slot: PDSCH and OFDM, MAC besides
  Histogram uplink_ns;          // of one uplink slot: OFDM and PUSCH
  Histogram air_ns;             // emulated air of one tick
  Histogram downlink_ready_ns;  // tick to samples ready
  Histogram uplink_ready_ns;    // tick to CRC and payload
};

// A slot that missed a deadline, for whoever looks for the cause.
struct LateSlot {
  SlotCount slot = 0;
  bool uplink = false;
  std::int64_t from_ns = 0;  // when its work was due to begin
  std::int64_t deadline_ns = 0;
  std::int64_t ready_ns = 0;
};

// The radio's work of one tick.
struct SlotTrace {
  SlotCount slot = 0;
  std::int64_t begin_ns = 0, end_ns = 0;  // monotonic
  bool taken = false;                     // its processor was the radio's alone
};

class Site {
 public:
  // Errors: a recording that cannot be opened or made, processors that do not exist, a config that
  // contradicts itself.
  static Result<Site> make(SiteConfig config, SiteOptions options);
  Site(Site&&) noexcept;
  Site& operator=(Site&&) noexcept;
  ~Site();

  Result<void> run();  // returns after the duration or stop()
  void stop();         // any thread, signal-safe
  const SiteCounters& counters() const;
  const std::vector<int>& radio_processors() const;  // that it works on
  // Hands over the next late slot; false when there is none. One caller. What nobody takes is
  // dropped after some thousands.
  bool take_late(LateSlot& late);
  bool take_trace(SlotTrace& trace);  // as take_late, of every tick on the downlink's worker
  // Plain warnings of the start, once each ("no permission for SCHED_FIFO: ...").
  std::vector<std::string> warnings() const;
  // How the lease holds the engines, once it does: "policy os, held by affinity". Empty: not at
  // all.
  std::string lease_in_words() const;

 private:
  Site();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::site
