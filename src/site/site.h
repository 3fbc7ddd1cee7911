#pragma once

// One site: cells in real time over emulated air, and the report of what they did. The engines and
// the gateway stand beside it (src/live wires them); the site only knows how to stay on time.
//
// All cells of a site keep one timetable: frames start together, and a cell that starts later
// starts at such a start. Each has its own workers and its own air; cells that share a processor
// take it in turn. The lease (lease/lease.h) decides by what all of them need.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/histogram.h"
#include "base/result.h"
#include "base/slot.h"
#include "mac/mac.h"
#include "nr/carrier.h"
#include "phy/equalize/equalize.h"
#include "site/lease/keeper.h"
#include "site/lease/lease.h"
#include "site/lease/stall.h"
#include "site/pdu.h"

namespace noroshi::site {

struct HandsetChannel {
  std::uint16_t rnti = 0;
  std::string profile = "tdl-a";
  double delay_spread_ns = 30;
  double doppler_hz = 10;
  double snr_db = 25;           // a receive antenna, mean, both directions
  double timing_offset_ns = 0;  // by which its uplink comes late
  int receive_antennas = 1;     // of the handset
  int transmit_antennas = 1;    // 1, 2, 4
};

struct CellConfig {
  std::string name = "cell0";
  bool starts = true;           // with the site; else by start_cell()
  std::vector<int> processors;  // its radio workers; empty: of the site's, in turn
  nr::Carrier carrier;
  nr::DuplexPattern pattern;
  int transmit_antennas = 1;
  int receive_antennas = 2;
  int downlink_layers_max = 1;  // of one handset, 1 to 8
  int uplink_layers_max = 1;    // of one handset, 1 to 4
  int uplink_group_layers = 1;  // of handsets on the same blocks; above 1 the MAC pairs them
  int precoding_group_rbs = 0;  // blocks of a precoding matrix; 0: one for all
  bool uci_on_pusch = false;    // HARQ-ACK and CSI over the air, on PUSCH
  int ldpc_iterations_max = 8;
  phy::Equalizer equalizer = phy::Equalizer::mmse;
  mac::MacConfig mac;
  std::vector<HandsetChannel> channels;  // one a handset of the MAC
  // No fading and recurring noise, and handsets that take every downlink block unseen: for wide
  // cells on few processors, where the cell's own work is what is to be measured.
  bool light_air = false;
};

// The MAC's configuration with what the cell says of carrier, antennas and layers.
mac::MacConfig mac_config_of(const CellConfig& cell);

enum class Pace : std::uint8_t { real, free };

struct SiteConfig {
  std::string name = "site0";
  std::vector<CellConfig> cells{1};   // 1 to LeaseBoard::cells_max, names differ
  std::vector<int> radio_processors;  // of the radio's workers; empty: chosen
  std::vector<int> air_processors;    // pinned air emulation; empty: chosen
  int realtime_priority = 80;         // SCHED_FIFO; air has 20 less
  bool keep_awake = false;            // processors never sleep deeply, at real pace
  int downlink_deadline_us = 375;     // samples ready, from the slot's tick
  int uplink_deadline_slots = 4;      // CRC and payload, from the slot's tick
  // SigMF base path of uplink samples, and .sigmf-meta to take them from instead of the air; empty:
  // none. Of several cells each records to PATH-NAME; only a single cell replays.
  std::string record_path;
  std::string replay_path;
  LeaseConfig lease{.policy =
                        LeasePolicy::os};  // docs/measurements/2026-11-24-colocate.md says why
  std::string lease_mechanism = "auto";    // "affinity", "cpuset"
  ResctrlConfig resctrl;                   // where the system has it
  // Of what slots cost, kept between runs; empty: learned anew each time. Of several cells each has
  // PATH-NAME.
  std::string cost_model_path;
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

// Of one cell: what anyone may read while it runs. Written with relaxed atomics by the slot path.
struct CellCounters {
  std::atomic<std::uint64_t> slots{0};
  std::atomic<std::uint64_t> late_downlink{0};
  std::atomic<std::uint64_t> late_uplink{0};
  std::atomic<std::uint64_t> late_slots{0};  // a slot late in either way counts once
  // Of late_uplink: those that would have been on time had the emulated air given its samples when
  // a real radio does, at the end of their slot.
  std::atomic<std::uint64_t> late_uplink_by_air{0};
  std::atomic<std::uint64_t> lost_slots{0};  // skipped because a worker was slots behind
  // Of these: where it would not have been so far behind without the host's stalls.
  std::atomic<std::uint64_t> lost_by_host{0};
  std::atomic<std::uint64_t> lost_air_slots{0};   // the same of the emulated air
  std::atomic<std::uint64_t> refused_pdus{0};     // that the cell cannot carry out
  std::atomic<std::uint64_t> dropped_reports{0};  // a ring between two threads was full
  std::atomic<std::uint64_t> dl_bits{0}, ul_bits{0};
  std::atomic<std::uint64_t> dl_tb{0}, dl_tb_failed{0},
      dl_tb_lost{0};  // first tx; its failures; after HARQ
  std::atomic<std::uint64_t> ul_tb{0}, ul_tb_failed{0}, ul_tb_lost{0};
  // Layers of all transmissions, and of the uplink's those on blocks that another handset had too.
  std::atomic<std::uint64_t> dl_layers{0}, ul_layers{0}, ul_paired{0};
  // PUSCH that carry UCI, and whose HARQ-ACK was not detected.
  std::atomic<std::uint64_t> ul_uci{0}, ul_uci_lost{0};
  std::atomic<std::uint64_t> payload_mismatches{0};  // CRC passed and the bytes differ: never
  std::atomic<std::uint64_t> radio_cpu_ns{0}, air_cpu_ns{0};
  std::atomic<double> ul_sinr_db{0}, dl_sinr_db{0};
  std::atomic<std::uint64_t> result_hash{0};  // over all indications, in order: replays compare
  std::atomic<std::uint64_t> recorded_slots{0}, unrecorded_slots{0};  // the disk was too slow
  // The lease (lease/lease.h): of the radio's processors for the known slots; slots with a
  // processor taken; slots for which the worker was up early, and the time that it spent so.
  std::atomic<double> left{1};
  std::atomic<std::uint64_t> taken_slots{0}, early_slots{0}, early_ns{0};
  // How good the cost model is (lease/cost_model.h), downlink and uplink.
  std::atomic<std::uint64_t> cost_slots{0}, cost_stalled{0}, cost_over_p9999{0};
  std::atomic<double> cost_p50_error{0};
  // What the host took (lease/stall.h): stretches, and their time.
  std::atomic<std::uint64_t> stalls{0}, stalled_ns{0};
  // Radio work of one tick, start to end, on the downlink's worker (with one worker: all of it),
  // and its parts.
  Histogram slot_ns;
  Histogram own_slot_ns;        // the same without the host's stalls
  Histogram wake_ns;            // by how much a worker that slept woke late
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
  // Its tick, or since when its worker had not slept before it.
  std::int64_t from_ns = 0;
  std::int64_t deadline_ns = 0;
  std::int64_t ready_ns = 0;
  bool by_air = false;  // uplink: the emulated air gave the samples too late
  bool lost = false;    // uplink: so late that its samples were not worth looking at
};

// The radio's work of one tick.
struct SlotTrace {
  SlotCount slot = 0;
  std::int64_t begin_ns = 0, end_ns = 0;  // monotonic
  std::int64_t early_ns = 0;              // by which the worker was up before the tick
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

  // While it runs at real pace, from any thread. A cell that stops finishes its tick; what is on
  // its way is lost, and a cell that starts again goes on with its handsets where it was. Errors:
  // no such cell, one that is already so, a site that does not run or runs at free pace.
  Result<void> start_cell(std::string_view name);
  Result<void> stop_cell(std::string_view name);

  std::size_t cells() const;
  bool runs(std::size_t cell) const;
  const CellCounters& counters(std::size_t cell) const;
  const LeaseCounters& lease_counters() const;
  const std::vector<int>& radio_processors() const;  // that it works on
  // Hands over the next late slot of a cell; false when there is none. One caller. What nobody
  // takes is dropped after some thousands.
  bool take_late(std::size_t cell, LateSlot& late);
  // As take_late: PDUs that the cell refused.
  bool take_refused(std::size_t cell, RefusedPdu& refused);
  // As take_late: of every tick on the downlink's worker, and what the host took.
  bool take_trace(std::size_t cell, SlotTrace& trace);
  bool take_stall(std::size_t cell, HostStall& stall);
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
