#include "site/site.h"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "site/cell_run.h"
#include "site/realtime.h"

namespace noroshi::site {
namespace {

constexpr int keeper_below_radio = 10;  // in SCHED_FIFO priority
constexpr const char* control_groups = "/sys/fs/cgroup";
constexpr const char* online_processors = "/sys/devices/system/cpu/online";
constexpr std::int64_t start_delay_ns = 10'000'000;  // from all workers ready to the first tick
constexpr std::int64_t period_ns = 20'000'000;       // at whose start a cell may start
constexpr std::int64_t look_ns = 10'000'000;         // of the thread that waits for the end

struct Processors {
  std::vector<int> radio, air;
};

// Radio where the file says, else on the last processor; air on the one before it.
Result<Processors> choose_processors(const SiteConfig& config) {
  const std::vector<int> usable = usable_processors();
  Processors chosen{config.radio_processors, config.air_processors};
  for (const CellConfig& cell : config.cells) {
    for (const int processor : cell.processors) {
      if (std::ranges::find(chosen.radio, processor) == chosen.radio.end())
        chosen.radio.push_back(processor);
    }
  }
  for (const auto* list : {&chosen.radio, &chosen.air}) {
    for (const int processor : *list) {
      if (std::ranges::find(usable, processor) != usable.end()) continue;
      std::string names;
      for (const int one : usable) names += (names.empty() ? "" : ", ") + std::to_string(one);
      return Error{"processor " + std::to_string(processor) +
                   " does not exist or is not ours; this process may use " + names};
    }
  }
  if (chosen.radio.empty()) chosen.radio = {usable.back()};
  if (chosen.air.empty()) chosen.air = {usable[usable.size() >= 2 ? usable.size() - 2 : 0]};
  return chosen;
}

Result<void> check_antennas(const CellConfig& cell) {
  const auto wrong = [&](const char* field, int value, const std::string& allowed) {
    return Error{"cell " + cell.name + ": " + field + " is " + std::to_string(value) +
                 ", allowed: " + allowed};
  };
  const auto up_to = [](int most) { return "1.." + std::to_string(most); };
  const auto outside = [](int value, int most) { return value < 1 || value > most; };
  const int rx = cell.receive_antennas, tx = cell.transmit_antennas;
  if (outside(rx, nr::receive_antennas_max))
    return wrong("receive_antennas", rx, up_to(nr::receive_antennas_max));
  if (outside(tx, fapi::ports_max)) return wrong("transmit_antennas", tx, up_to(fapi::ports_max));
  if (outside(cell.downlink_layers_max, tx))
    return wrong("downlink_layers_max", cell.downlink_layers_max,
                 up_to(tx) + ", as transmit_antennas");
  const int up_most = std::min(rx, nr::codeword_layers_max);
  if (outside(cell.uplink_layers_max, up_most))
    return wrong("uplink_layers_max", cell.uplink_layers_max,
                 up_to(up_most) + ", as receive_antennas");
  // DM-RS of one symbol has 4 ports.
  if (outside(cell.uplink_group_layers, up_most))
    return wrong("uplink_group_layers", cell.uplink_group_layers,
                 up_to(up_most) + ", as receive_antennas");
  if (cell.precoding_group_rbs < 0 || cell.precoding_group_rbs > nr::rb_max)
    return wrong("precoding_group_rbs", cell.precoding_group_rbs, "0..275");
  for (const HandsetChannel& handset : cell.channels) {
    const int ports = handset.transmit_antennas;
    if (ports != 1 && ports != 2 && ports != 4)
      return wrong("handsets: transmit_antennas", ports, "1, 2, 4");
    if (outside(handset.receive_antennas, nr::receive_antennas_max))
      return wrong("handsets: receive_antennas", handset.receive_antennas,
                   up_to(nr::receive_antennas_max));
  }
  return {};
}

Result<void> check_cell(const CellConfig& cell) {
  if (cell.processors.size() > 2)
    return Error{"cell " + cell.name + ": processors: " + std::to_string(cell.processors.size()) +
                 " of them; one worker, or two (downlink, uplink)"};
  if (cell.channels.empty()) return Error{"cell " + cell.name + ": no handsets"};
  if (cell.channels.size() != cell.mac.handsets.size())
    return Error{"cell " + cell.name + ": handsets of the MAC and radio channels differ"};
  for (std::size_t i = 0; i < cell.channels.size(); ++i) {
    if (cell.channels[i].rnti != cell.mac.handsets[i].rnti)
      return Error{"cell " + cell.name + ": handset " + std::to_string(i) +
                   " has different rntis in the MAC and the air"};
    for (std::size_t k = 0; k < i; ++k) {
      if (cell.channels[i].rnti == cell.channels[k].rnti)
        return Error{"cell " + cell.name + ": two handsets have rnti " +
                     std::to_string(cell.channels[i].rnti)};
    }
  }
  if (const Refusal no = mac::refuse_combination(mac_config_of(cell)))
    return Error{"cell " + cell.name + ": " + words_of(no)};
  return check_antennas(cell);
}

Result<void> check_config(const SiteConfig& config) {
  const std::vector<CellConfig>& cells = config.cells;
  if (cells.empty() || cells.size() > LeaseBoard::cells_max)
    return Error{"a site has 1 to " + std::to_string(LeaseBoard::cells_max) + " cells, not " +
                 std::to_string(cells.size())};
  if (cells.size() > 1 && !config.replay_path.empty())
    return Error{"radio.replay: " + config.replay_path + " for " + std::to_string(cells.size()) +
                 " cells; only a single cell replays"};
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (const Result<void> checked = check_cell(cells[i]); !checked) return checked;
    for (std::size_t k = 0; k < i; ++k) {
      if (cells[i].name == cells[k].name) return Error{"two cells have the name " + cells[i].name};
    }
  }
  return {};
}

}  // namespace

struct Site::State {
  SiteConfig config;
  SiteOptions options;
  MonotonicClock monotonic;
  ManualClock manual;
  LeaseCounters lease;
  LeaseBoard board;
  CellSurroundings around;
  std::vector<std::unique_ptr<CellRun>> cells;
  std::atomic<bool> stopping{false};
  static_assert(std::atomic<bool>::is_always_lock_free);  // stop() in a signal handler

  // Who starts and stops cells, one at a time.
  std::mutex control_mutex;
  std::unique_ptr<LeaseKeeper> keeper;
  bool up = false;                         // under control_mutex: cells may start and stop
  std::int64_t first_ns = 0, end_ns = -1;  // under control_mutex, once it is up

  mutable std::mutex warnings_mutex;
  std::vector<std::string> warnings;
  std::string lease_in_words;  // under warnings_mutex

  Clock& clock() {
    if (options.clock != nullptr) return *options.clock;
    if (options.pace == Pace::real) return monotonic;
    return manual;
  }
  std::int64_t duration_ns() const {  // -1: until stop()
    return options.duration_s <= 0 ? -1 : static_cast<std::int64_t>(options.duration_s * 1e9 + 0.5);
  }

  void warn(const std::string& text);
  std::unique_ptr<LeaseKeeper> make_keeper();
  Result<CellRun*> find(std::string_view name);
  void run_free();
  void run_real();
};

void Site::State::warn(const std::string& text) {
  if (text.empty()) return;
  const std::lock_guard lock(warnings_mutex);
  if (std::ranges::find(warnings, text) == warnings.end()) warnings.push_back(text);
}

// Null when there is nothing to hold.
std::unique_ptr<LeaseKeeper> Site::State::make_keeper() {
  if (!options.engines || config.lease.policy == LeasePolicy::off) return nullptr;
  Result<std::unique_ptr<Mechanism>> mechanism =
      make_mechanism(config.lease_mechanism, control_groups);
  if (!mechanism) {
    warn("lease: " + mechanism.error().message + "; affinity instead");
    mechanism = make_affinity_mechanism();
  }
  std::string undivided;
  if (const Result<void> added = add_resctrl(*mechanism, config.resctrl); !added)
    undivided = "; cache and memory bandwidth are not divided: " + added.error().message;
  {
    const std::lock_guard lock(warnings_mutex);
    lease_in_words = "policy " + std::string(name_of(config.lease.policy)) + ", engines held by " +
                     (*mechanism)->name() + undivided;
  }
  const std::vector<int> usable = usable_processors();
  LeaseKeeper::Config holding;
  holding.radio_processors = around.radio_processors;
  holding.engine_processors = usable;
  holding.online_path = online_processors;
  for (const int processor : usable) {
    if (std::ranges::find(around.radio_processors, processor) == around.radio_processors.end())
      holding.own_processors.push_back(processor);
  }
  holding.fifo_priority = config.realtime_priority == 0
                              ? 0
                              : std::max(1, config.realtime_priority - keeper_below_radio);
  return std::make_unique<LeaseKeeper>(std::move(holding), *std::move(mechanism), options.engines,
                                       lease, monotonic,
                                       [this](const std::string& text) { warn(text); });
}

// All cells on one thread, by the slots of the shortest.
void Site::State::run_free() {
  std::vector<CellRun*> running;
  for (const auto& cell : cells) {
    if (cell->config().starts) running.push_back(cell.get());
  }
  std::int64_t slot_ns = period_ns;
  for (const CellRun* cell : running) slot_ns = std::min(slot_ns, cell->slot_ns());
  const std::int64_t start_ns = clock().now_ns();
  for (CellRun* cell : running) cell->set_free_timetable(start_ns);
  const SlotCount end =
      duration_ns() < 0 ? -1 : std::max<SlotCount>(1, (duration_ns() + slot_ns / 2) / slot_ns);
  for (SlotCount n = 0; (end < 0 || n < end) && !stopping.load(std::memory_order_relaxed); ++n) {
    clock().sleep_until_ns(start_ns + n * slot_ns);
    const SlotCount present = (clock().now_ns() - start_ns) / slot_ns;
    if (present - n > behind_slots_max) {
      const SlotCount next = end < 0 ? present : std::min(present, end);
      for (CellRun* cell : running) {
        const SlotCount each = cell->slot_ns() / slot_ns;
        const SlotCount lost = (next + each - 1) / each - (n + each - 1) / each;
        cell->lose(static_cast<std::uint64_t>(lost));
      }
      n = next;
      if (n == end) break;
    }
    for (CellRun* cell : running) {
      if (const SlotCount each = cell->slot_ns() / slot_ns; n % each == 0)
        cell->free_tick(n / each);
    }
  }
}

void Site::State::run_real() {
  warn(lock_memory());
  AwakeHold awake;
  if (config.keep_awake) warn(awake.take());
  {
    const std::lock_guard lock(control_mutex);
    keeper = make_keeper();
    std::vector<CellRun*> first;
    for (const auto& cell : cells) {
      if (!cell->config().starts) continue;
      cell->prepare(keeper.get());
      first.push_back(cell.get());
    }
    first_ns = clock().now_ns() + start_delay_ns;
    if (duration_ns() >= 0) end_ns = first_ns + duration_ns();
    for (CellRun* cell : first) cell->go(first_ns, end_ns);
    up = true;
  }
  while (!stopping.load(std::memory_order_relaxed) && (end_ns < 0 || clock().now_ns() < end_ns))
    monotonic.sleep_until_ns(monotonic.now_ns() + look_ns);
  const std::lock_guard lock(control_mutex);
  up = false;
  for (const auto& cell : cells) {
    if (stopping.load(std::memory_order_relaxed)) {
      cell->stop();
    } else {
      cell->join();  // its last slots, if it is behind
    }
  }
  keeper.reset();
}

Result<CellRun*> Site::State::find(std::string_view name) {
  std::string names;
  for (const auto& cell : cells) {
    if (cell->config().name == name) return cell.get();
    names += (names.empty() ? "" : ", ") + cell->config().name;
  }
  return Error{"no cell " + std::string(name) + "; this site has " + names};
}

Site::Site() = default;
Site::Site(Site&&) noexcept = default;
Site& Site::operator=(Site&&) noexcept = default;
Site::~Site() = default;

Result<Site> Site::make(SiteConfig config, SiteOptions options) {
  if (Result<void> checked = check_config(config); !checked) return checked.error();
  Result<Processors> processors = choose_processors(config);
  if (!processors) return processors.error();

  Site site;
  site.state_ = std::make_unique<State>();
  State& state = *site.state_;
  state.config = std::move(config);
  state.options = std::move(options);
  state.around = {.config = &state.config,
                  .options = &state.options,
                  .clock = &state.clock(),
                  .monotonic = &state.monotonic,
                  .board = &state.board,
                  .lease = &state.lease,
                  .radio_processors = std::move(processors->radio),
                  .air_processors = std::move(processors->air),
                  .warn = [&state](const std::string& text) { state.warn(text); }};
  for (std::size_t i = 0; i < state.config.cells.size(); ++i) {
    auto cell = CellRun::make(state.around, i);
    if (!cell) return cell.error();
    state.cells.push_back(*std::move(cell));
  }
  return site;
}

Result<void> Site::run() {
  if (state_->options.pace == Pace::free) {
    state_->run_free();
  } else {
    state_->run_real();
  }
  for (const auto& cell : state_->cells) {
    if (const Result<void> finished = cell->finish(); !finished) return finished;
  }
  return {};
}

void Site::stop() { state_->stopping.store(true, std::memory_order_relaxed); }

Result<void> Site::start_cell(std::string_view name) {
  const std::lock_guard lock(state_->control_mutex);
  const auto cell = state_->find(name);
  if (!cell) return cell.error();
  if (!state_->up) return Error{"the site does not run in real time: no cell can start"};
  if ((*cell)->runs()) return Error{"cell " + std::string(name) + " runs already"};
  (*cell)->prepare(state_->keeper.get());
  const std::int64_t after_ns = state_->clock().now_ns() + start_delay_ns - state_->first_ns;
  const std::int64_t periods = std::max<std::int64_t>(0, (after_ns + period_ns - 1) / period_ns);
  (*cell)->go(state_->first_ns + periods * period_ns, state_->end_ns);
  return {};
}

Result<void> Site::stop_cell(std::string_view name) {
  const std::lock_guard lock(state_->control_mutex);
  const auto cell = state_->find(name);
  if (!cell) return cell.error();
  if (!state_->up) return Error{"the site does not run in real time: no cell can stop"};
  if (!(*cell)->runs()) return Error{"cell " + std::string(name) + " does not run"};
  (*cell)->stop();
  return {};
}

std::size_t Site::cells() const { return state_->cells.size(); }
bool Site::runs(std::size_t cell) const { return state_->cells[cell]->runs(); }
const std::vector<int>& Site::radio_processors() const { return state_->around.radio_processors; }
bool Site::take_late(std::size_t cell, LateSlot& late) {
  return state_->cells[cell]->take_late(late);
}
bool Site::take_refused(std::size_t cell, RefusedPdu& refused) {
  return state_->cells[cell]->take_refused(refused);
}
bool Site::take_trace(std::size_t cell, SlotTrace& trace) {
  return state_->cells[cell]->take_trace(trace);
}
bool Site::take_stall(std::size_t cell, HostStall& stall) {
  return state_->cells[cell]->take_stall(stall);
}
const CellCounters& Site::counters(std::size_t cell) const {
  return state_->cells[cell]->counters();
}
const LeaseCounters& Site::lease_counters() const { return state_->lease; }

std::string Site::lease_in_words() const {
  const std::lock_guard lock(state_->warnings_mutex);
  return state_->lease_in_words;
}

std::vector<std::string> Site::warnings() const {
  const std::lock_guard lock(state_->warnings_mutex);
  return state_->warnings;
}

}  // namespace noroshi::site
