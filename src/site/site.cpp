#include "site/site.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <latch>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>

#include "site/realtime.h"
#include "site/slot_loop.h"

namespace noroshi::site {
namespace {

constexpr int air_below_radio = 20;     // in SCHED_FIFO priority
constexpr int keeper_below_radio = 10;  // of the lease
constexpr const char* control_groups = "/sys/fs/cgroup";
constexpr std::int64_t start_delay_ns = 10'000'000;      // from all workers ready to tick 0
constexpr std::int64_t recording_period_ns = 4'000'000;  // of the disk's thread

struct Processors {
  std::vector<int> radio, air;
};

// Radio on the last processor, air on the one before it.
Result<Processors> choose_processors(const SiteConfig& config) {
  const std::vector<int> usable = usable_processors();
  Processors chosen{config.radio_processors, config.air_processors};
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

Result<void> check_config(const SiteConfig& config) {
  const CellConfig& cell = config.cell;
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
  if (cell.receive_antennas < 1 || cell.receive_antennas > nr::receive_antennas_max)
    return Error{"cell " + cell.name + ": 1 to 4 receive antennas"};
  return {};
}

}  // namespace

struct Site::State {
  SiteConfig config;
  SiteOptions options;
  Processors processors;
  SiteCounters counters;
  Ring<SlotTrace> traces{8192};
  std::optional<Recorder> recorder;
  std::optional<Replay> replay;
  MonotonicClock monotonic;
  ManualClock manual;
  std::optional<SlotLoop> loop;
  std::atomic<bool> stopping{false};
  static_assert(std::atomic<bool>::is_always_lock_free);  // stop() in a signal handler

  mutable std::mutex warnings_mutex;
  std::vector<std::string> warnings;
  std::string lease_in_words;  // under warnings_mutex

  Clock& clock() {
    if (options.clock != nullptr) return *options.clock;
    if (options.pace == Pace::real) return monotonic;
    return manual;
  }
  SlotCount slots() const {  // of the run; -1: until stop()
    if (options.duration_s <= 0) return -1;
    const double slot_s = static_cast<double>(slot_duration_ns(config.cell.carrier.scs_khz)) * 1e-9;
    return std::max<SlotCount>(1, static_cast<SlotCount>(options.duration_s / slot_s + 0.5));
  }

  void warn(const std::string& text);
  void warn(const Result<void>& result) {
    if (!result) warn(result.error().message);
  }
  void move_recordings();
  std::unique_ptr<LeaseKeeper> make_keeper();
  std::string cost_origin() const;
  void read_cost_model();
  void write_cost_model();
  template <class Tick>
  void follow(std::atomic<std::uint64_t>& lost, Tick tick);
  void run_free();
  void run_real();
  void radio_tick(SlotCount now, bool with_uplink);
};

void Site::State::warn(const std::string& text) {
  if (text.empty()) return;
  const std::lock_guard lock(warnings_mutex);
  if (std::ranges::find(warnings, text) == warnings.end()) warnings.push_back(text);
}

void Site::State::move_recordings() {
  if (recorder) warn(recorder->drain());
  if (replay) warn(replay->fill());
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
  {
    const std::lock_guard lock(warnings_mutex);
    lease_in_words = "policy " + std::string(name_of(config.lease.policy)) + ", engines held by " +
                     (*mechanism)->name();
  }
  const std::vector<int> usable = usable_processors();
  LeaseKeeper::Config keeper;
  keeper.radio_processors = processors.radio;
  keeper.engine_processors = usable;
  for (const int processor : usable) {
    if (std::ranges::find(processors.radio, processor) == processors.radio.end())
      keeper.own_processors.push_back(processor);
  }
  keeper.fifo_priority = config.realtime_priority == 0
                             ? 0
                             : std::max(1, config.realtime_priority - keeper_below_radio);
  return std::make_unique<LeaseKeeper>(std::move(keeper), *std::move(mechanism), options.engines,
                                       counters.lease, monotonic,
                                       [this](const std::string& text) { warn(text); });
}

std::string Site::State::cost_origin() const {
  return cost_model_origin(config.cell.carrier, config.cell.transmit_antennas,
                           config.cell.receive_antennas);
}

void Site::State::read_cost_model() {
  if (config.cost_model_path.empty()) return;
  std::ifstream file(config.cost_model_path, std::ios::binary);
  if (!file) return;  // the first run: it will be written
  std::stringstream text;
  text << file.rdbuf();
  const Result<void> read = parse_cost_model(text.str(), cost_origin(), loop->cost_model());
  if (!read)
    warn("cost model " + config.cost_model_path + ": " + read.error().message +
         "; learned anew, and written there at the end");
}

// Beside the old one first: a full disk loses nothing.
void Site::State::write_cost_model() {
  if (config.cost_model_path.empty()) return;
  const std::string part = config.cost_model_path + ".part";
  std::ofstream file(part, std::ios::binary);
  file << format_cost_model(loop->cost_model(), cost_origin());
  file.close();
  if (!file || std::rename(part.c_str(), config.cost_model_path.c_str()) != 0)
    warn("cost model " + config.cost_model_path + " cannot be written: " + std::strerror(errno));
}

// Calls tick(n) at every tick until the end. A worker that is too far behind goes on at the present
// slot; the slots between are lost.
template <class Tick>
void Site::State::follow(std::atomic<std::uint64_t>& lost, Tick tick) {
  const SlotCount end = slots();
  const std::int64_t slot_ns = loop->tick_ns(1) - loop->tick_ns(0);
  for (SlotCount n = 0; (end < 0 || n < end) && !stopping.load(std::memory_order_relaxed); ++n) {
    clock().sleep_until_ns(loop->tick_ns(n));
    const SlotCount present = (clock().now_ns() - loop->tick_ns(0)) / slot_ns;
    if (present - n > behind_slots_max) {
      const SlotCount next = end < 0 ? present : std::min(present, end);
      lost.fetch_add(static_cast<std::uint64_t>(next - n), std::memory_order_relaxed);
      n = next;
      if (n == end) break;
    }
    tick(n);
  }
}

void Site::State::radio_tick(SlotCount now, bool with_uplink) {
  const std::int64_t begin = monotonic.now_ns();
  loop->downlink_tick(now);
  if (with_uplink) loop->uplink_tick(now);
  const std::int64_t end = monotonic.now_ns();
  counters.slot_ns.add(static_cast<std::uint64_t>(end - begin));
  const bool taken = (counters.lease.taken.load(std::memory_order_relaxed) & 1) != 0;
  (void)traces.push({now, begin, end, taken});  // full: nobody looks
}

void Site::State::run_free() {
  loop->start(clock().now_ns());
  std::int64_t cpu = thread_cpu_ns();
  const auto charge = [&](std::atomic<std::uint64_t>& counter) {
    const std::int64_t now = thread_cpu_ns();
    counter.fetch_add(static_cast<std::uint64_t>(now - cpu), std::memory_order_relaxed);
    cpu = now;
  };
  follow(counters.lost_slots, [&](SlotCount n) {
    radio_tick(n, true);
    charge(counters.radio_cpu_ns);
    loop->air_tick(n);
    charge(counters.air_cpu_ns);
    move_recordings();
  });
}

void Site::State::run_real() {
  warn(lock_memory());
  AwakeHold awake;
  if (config.keep_awake) warn(awake.take());
  const bool uplink_apart = processors.radio.size() >= 2;
  const int workers = uplink_apart ? 3 : 2;
  loop->set_uplink_worker(uplink_apart ? 1 : 0);
  const std::unique_ptr<LeaseKeeper> keeper = make_keeper();
  loop->lend_through(keeper.get());
  std::latch ready(workers);
  std::latch go(1);
  const auto worker = [&](const std::vector<int>& where, int priority,
                          std::atomic<std::uint64_t>& lost, std::atomic<std::uint64_t>& cpu_ns,
                          auto tick) {
    return std::thread([this, &ready, &go, where, priority, &lost, &cpu_ns, tick] {
      warn(pin_thread(where));
      warn(set_fifo_priority(priority));
      prefault_stack();
      ready.count_down();
      go.wait();
      std::int64_t cpu = thread_cpu_ns();
      follow(lost, [&](SlotCount n) {
        tick(n);
        const std::int64_t now = thread_cpu_ns();
        cpu_ns.fetch_add(static_cast<std::uint64_t>(now - cpu), std::memory_order_relaxed);
        cpu = now;
      });
    });
  };

  const int radio_priority = config.realtime_priority;
  const int air_priority = radio_priority == 0 ? 0 : std::max(1, radio_priority - air_below_radio);
  std::vector<std::thread> threads;
  threads.push_back(worker({processors.radio[0]}, radio_priority, counters.lost_slots,
                           counters.radio_cpu_ns,
                           [this, uplink_apart](SlotCount n) { radio_tick(n, !uplink_apart); }));
  std::atomic<std::uint64_t> uplink_behind{0};  // uplink slots that are lost count themselves
  if (uplink_apart) {
    threads.push_back(worker({processors.radio.begin() + 1, processors.radio.end()}, radio_priority,
                             uplink_behind, counters.radio_cpu_ns,
                             [this](SlotCount n) { loop->uplink_tick(n); }));
  }
  threads.push_back(worker(processors.air, air_priority, counters.lost_air_slots,
                           counters.air_cpu_ns, [this](SlotCount n) { loop->air_tick(n); }));

  move_recordings();
  ready.wait();
  loop->start(clock().now_ns() + start_delay_ns);
  go.count_down();
  std::atomic<bool> finished{false};
  std::optional<std::thread> disk;
  if (recorder || replay) {
    disk.emplace([this, &finished] {
      for (std::int64_t next = monotonic.now_ns(); !finished.load(); next += recording_period_ns) {
        monotonic.sleep_until_ns(next);
        move_recordings();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  finished.store(true);
  if (disk) disk->join();
  loop->lend_through(nullptr);
}

Site::Site() = default;
Site::Site(Site&&) noexcept = default;
Site& Site::operator=(Site&&) noexcept = default;
Site::~Site() = default;

Result<Site> Site::make(SiteConfig config, SiteOptions options) {
  if (Result<void> checked = check_config(config); !checked) return checked.error();
  Result<Processors> processors = choose_processors(config);
  if (!processors) return processors.error();
  Result<Emulation> emulation = Emulation::make(config.cell, options.seed);
  if (!emulation) return emulation.error();

  Site site;
  site.state_ = std::make_unique<State>();
  State& state = *site.state_;
  const CellConfig& cell = config.cell;
  if (!config.record_path.empty()) {
    Result<Recorder> recorder =
        Recorder::create(config.record_path, cell.carrier, cell.receive_antennas, cell.name);
    if (!recorder) return recorder.error();
    state.recorder.emplace(*std::move(recorder));
  }
  if (!config.replay_path.empty()) {
    Result<Replay> replay = Replay::open(config.replay_path, cell.carrier, cell.receive_antennas);
    if (!replay) return replay.error();
    state.replay.emplace(*std::move(replay));
    if (Result<void> filled = state.replay->fill(); !filled) return filled.error();
  }
  // The MAC and the air of one cell live by the cell's parameters and the run's seed.
  mac::MacConfig mac = cell.mac;
  mac.carrier = cell.carrier;
  mac.pattern = cell.pattern;
  mac.transmit_antennas = cell.transmit_antennas;
  mac.receive_antennas = cell.receive_antennas;
  mac.seed = options.seed;
  state.config = std::move(config);
  state.options = std::move(options);
  state.processors = *std::move(processors);
  state.loop.emplace(
      state.config, mac, *std::move(emulation), state.recorder ? &*state.recorder : nullptr,
      state.replay ? &*state.replay : nullptr, state.counters, state.clock(), state.monotonic);
  state.read_cost_model();
  return site;
}

Result<void> Site::run() {
  if (state_->options.pace == Pace::free) {
    state_->run_free();
  } else {
    state_->run_real();
    state_->write_cost_model();
  }
  if (state_->recorder) return state_->recorder->close();
  return {};
}

void Site::stop() { state_->stopping.store(true, std::memory_order_relaxed); }

const std::vector<int>& Site::radio_processors() const { return state_->processors.radio; }

bool Site::take_trace(SlotTrace& trace) {
  const SlotTrace* next = state_->traces.front();
  if (next == nullptr) return false;
  trace = *next;
  state_->traces.pop();
  return true;
}

bool Site::take_late(LateSlot& late) { return state_->loop->take_late(late); }

const SiteCounters& Site::counters() const { return state_->counters; }

std::string Site::lease_in_words() const {
  const std::lock_guard lock(state_->warnings_mutex);
  return state_->lease_in_words;
}

std::vector<std::string> Site::warnings() const {
  const std::lock_guard lock(state_->warnings_mutex);
  return state_->warnings;
}

}  // namespace noroshi::site
