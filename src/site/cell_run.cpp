#include "site/cell_run.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

namespace noroshi::site {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr int air_below_radio = 20;                      // in SCHED_FIFO priority
constexpr std::int64_t period_ns = 20'000'000;           // holds whole frames and duplex patterns
constexpr std::int64_t recording_period_ns = 4'000'000;  // of the disk's thread
constexpr std::uint64_t cell_stream = 0x20000;           // of the seed; the first cell has it bare

// Which of the site's radio processors the cell's workers have: its own, or all of a single cell,
// or the next one in turn. One worker, or two: the uplink's then has a processor of its own.
std::vector<int> radio_places(const CellSurroundings& around, std::size_t index) {
  const SiteConfig& site = *around.config;
  const std::vector<int>& radio = around.radio_processors;
  const CellConfig& cell = site.cells[index];
  std::vector<int> places;
  for (std::size_t p = 0; p < radio.size(); ++p) {
    const bool mine = cell.processors.empty()
                          ? site.cells.size() == 1 || p == index % radio.size()
                          : std::ranges::find(cell.processors, radio[p]) != cell.processors.end();
    if (mine && places.size() < 2) places.push_back(static_cast<int>(p));
  }
  // In the order in which the cell names them: its downlink's first.
  if (!cell.processors.empty() && places.size() == 2 &&
      radio[static_cast<std::size_t>(places[0])] != cell.processors[0])
    std::swap(places[0], places[1]);
  return places;
}

}  // namespace

mac::MacConfig mac_config_of(const CellConfig& cell) {
  mac::MacConfig mac = cell.mac;
  mac.carrier = cell.carrier;
  mac.pattern = cell.pattern;
  mac.transmit_antennas = cell.transmit_antennas;
  mac.receive_antennas = cell.receive_antennas;
  mac.downlink_layers_max = cell.downlink_layers_max;
  mac.uplink_layers_max = cell.uplink_layers_max;
  mac.uplink_group_layers = cell.uplink_group_layers;
  mac.precoding_group_rbs = cell.precoding_group_rbs;
  mac.uci_on_pusch = cell.uci_on_pusch;
  const std::size_t handsets = std::min(mac.handsets.size(), cell.channels.size());
  for (std::size_t i = 0; i < handsets; ++i) {
    mac.handsets[i].transmit_antennas = cell.channels[i].transmit_antennas;
    mac.handsets[i].receive_antennas = cell.channels[i].receive_antennas;
  }
  return mac;
}

CellRun::CellRun(const CellSurroundings& around, std::size_t index)
    : around_(around),
      config_(around.config->cells[index]),
      radio_(radio_places(around, index)),
      stopwatch_(*around.monotonic, thread_clock_) {}

CellRun::~CellRun() { stop(); }

Result<std::unique_ptr<CellRun>> CellRun::make(const CellSurroundings& around, std::size_t index) {
  const SiteConfig& site = *around.config;
  const CellConfig& cell = site.cells[index];
  const std::uint64_t site_seed = around.options->seed;
  const std::uint64_t seed = index == 0 ? site_seed : Prng(site_seed, cell_stream + index)();
  Result<Emulation> emulation = Emulation::make(cell, seed);
  if (!emulation) return emulation.error();

  auto run = std::make_unique<CellRun>(around, index);
  if (!site.record_path.empty()) {
    Result<Recorder> recorder = Recorder::create(run->path_of(site.record_path), cell.carrier,
                                                 cell.receive_antennas, cell.name);
    if (!recorder) return recorder.error();
    run->recorder_.emplace(*std::move(recorder));
  }
  if (!site.replay_path.empty()) {
    Result<Replay> replay = Replay::open(site.replay_path, cell.carrier, cell.receive_antennas);
    if (!replay) return replay.error();
    run->replay_.emplace(*std::move(replay));
    if (Result<void> filled = run->replay_->fill(); !filled) return filled.error();
  }
  // The MAC and the air of one cell live by the cell's parameters and the run's seed.
  mac::MacConfig mac = mac_config_of(cell);
  mac.seed = seed;
  const SlotLoop::Surroundings surroundings{
      .counters = run->counters_,
      .board = *around.board,
      .cell = static_cast<int>(index),
      .clock = *around.clock,
      .stopwatch = run->stopwatch_,
      .recorder = run->recorder_ ? &*run->recorder_ : nullptr,
      .replay = run->replay_ ? &*run->replay_ : nullptr,
  };
  run->loop_.emplace(site, cell, mac, *std::move(emulation), surroundings,
                     static_cast<int>(around.radio_processors.size()), run->radio_.front(),
                     run->radio_.back());
  run->read_cost_model();
  run->make_workers();
  return run;
}

void CellRun::make_workers() {
  const SiteConfig& site = *around_.config;
  const auto add = [this](int radio_processor, int priority, std::vector<int> processors) {
    workers_.push_back(std::make_unique<Worker>());
    Worker& worker = *workers_.back();
    worker.radio_processor = radio_processor;
    worker.fifo_priority = priority;
    worker.processors = std::move(processors);
    return &worker;
  };
  const auto radio_worker = [&](int place) {
    Worker* worker = add(place, site.realtime_priority,
                         {around_.radio_processors[static_cast<std::size_t>(place)]});
    worker->cpu_ns = &counters_.radio_cpu_ns;
    return worker;
  };
  const bool uplink_apart = radio_.size() == 2;
  Worker* downlink = radio_worker(radio_.front());
  downlink->lost = &counters_.lost_slots;
  downlink->tick = [this, downlink, uplink_apart](SlotCount n) {
    radio_tick(*downlink, n, !uplink_apart);
  };
  Worker* uplink = downlink;
  if (uplink_apart) {
    uplink = radio_worker(radio_.back());
    uplink->lost = &uplink_behind_;
    uplink->tick = [this, uplink](SlotCount n) {
      measured(*uplink, [&] { loop_->uplink_tick(n); });
    };
  }
  uplink->warm = [this](SlotCount n) { loop_->warm_uplink(n); };
  const int air_priority =
      site.realtime_priority == 0 ? 0 : std::max(1, site.realtime_priority - air_below_radio);
  Worker* air = add(-1, air_priority, around_.air_processors);
  air->lost = &counters_.lost_air_slots;
  air->cpu_ns = &counters_.air_cpu_ns;
  air->tick = [this](SlotCount n) { loop_->air_tick(n); };
}

void CellRun::prepare(LeaseKeeper* keeper) {
  loop_->lend_through(keeper);
  stopping_.store(false);
  running_.store(true);
  move_recordings();
  ready_ = std::make_unique<std::latch>(static_cast<std::ptrdiff_t>(workers_.size()));
  go_ = std::make_unique<std::latch>(1);
  for (const auto& worker : workers_) {
    threads_.emplace_back([this, &worker = *worker] {
      around_.warn(pin_thread(worker.processors));
      around_.warn(set_fifo_priority(worker.fifo_priority));
      prefault_stack();
      ready_->count_down();
      go_->wait();
      follow(worker);
    });
  }
  if (recorder_ || replay_) {
    threads_.emplace_back([this] {
      for (std::int64_t next = around_.monotonic->now_ns(); running_.load();
           next += recording_period_ns) {
        around_.monotonic->sleep_until_ns(next);
        move_recordings();
      }
    });
  }
  ready_->wait();
}

// The numbers of slots go on where they were, at the next period of the site, so that the frames
// and duplex patterns of all cells stay together.
void CellRun::go(std::int64_t from_ns, std::int64_t end_ns) {
  const SlotCount slots = period_ns / slot_ns();
  first_slot_ = (first_slot_ + slots - 1) / slots * slots;
  const std::int64_t tick_0 = from_ns - first_slot_ * slot_ns();
  loop_->start(tick_0);
  end_slot_ =
      end_ns < 0 ? -1 : std::max(first_slot_ + 1, (end_ns - tick_0 + slot_ns() / 2) / slot_ns());
  go_->count_down();
}

void CellRun::join() {
  for (std::size_t i = 0; i < std::min(threads_.size(), workers_.size()); ++i) threads_[i].join();
  running_.store(false);
  if (threads_.size() > workers_.size()) threads_.back().join();
  if (threads_.empty()) return;
  threads_.clear();
  first_slot_ = (around_.clock->now_ns() - loop_->tick_ns(0)) / slot_ns() + 1;
  loop_->forget();
  loop_->lend_through(nullptr);
}

void CellRun::stop() {
  stopping_.store(true);
  join();
}

// Ticks until the end. A worker that is too far behind goes on at the present slot; the slots
// between are lost.
void CellRun::follow(Worker& worker) {
  std::int64_t cpu = thread_cpu_ns();
  for (SlotCount n = first_slot_; (end_slot_ < 0 || n < end_slot_) && !stopping_.load(relaxed);
       ++n) {
    sleep_to(worker, n);
    const SlotCount present = (around_.clock->now_ns() - loop_->tick_ns(0)) / slot_ns();
    if (present - n > behind_slots_max) {
      const SlotCount next = end_slot_ < 0 ? present : std::min(present, end_slot_);
      const auto lost = static_cast<std::uint64_t>(next - n);
      worker.lost->fetch_add(lost, relaxed);
      const std::int64_t behind_ns = (present - n - behind_slots_max) * slot_ns();
      if (worker.lost == &counters_.lost_slots && worker.stalled_ns >= behind_ns)
        counters_.lost_by_host.fetch_add(lost, relaxed);
      n = next;
      if (n == end_slot_) break;
    }
    worker.tick(n);
    if (worker.radio_processor >= 0)
      around_.board->note_end(worker.radio_processor, around_.clock->now_ns());
    const std::int64_t now = thread_cpu_ns();
    worker.cpu_ns->fetch_add(static_cast<std::uint64_t>(now - cpu), relaxed);
    cpu = now;
  }
}

// To tick n, or up a little earlier where the lease wants it. Nobody but the host and the kernel
// makes a radio worker that sleeps wake up late: it is its own canary.
void CellRun::sleep_to(Worker& worker, SlotCount n) {
  Clock& clock = *around_.clock;
  const std::int64_t tick = loop_->tick_ns(n);
  worker.early_ns = 0;
  if (worker.radio_processor < 0) return clock.sleep_until_ns(tick);
  const std::int64_t up_at = tick - loop_->early_ns(worker.radio_processor, n);
  const bool slept = clock.now_ns() < up_at;
  clock.sleep_until_ns(up_at);
  const std::int64_t up = clock.now_ns();
  if (slept) {
    worker.stalled_ns = 0;
    loop_->set_busy_since(worker.radio_processor, up_at);
    counters_.wake_ns.add(static_cast<std::uint64_t>(std::max<std::int64_t>(up - up_at, 0)));
    const std::int64_t free_at =
        std::max(up_at, around_.board->end_ns(worker.radio_processor));  // of another cell
    if (up - free_at >= late_wake_min_ns) note_stall(worker, {free_at, up, up - free_at});
  }
  if (up >= tick) return;
  worker.early_ns = tick - up;
  if (worker.warm) worker.warm(n);
  // Nothing but reading the clock: a gap between two readings is a stall.
  for (std::int64_t seen = clock.now_ns(), now = seen; seen < tick; seen = now) {
    now = clock.now_ns();
    if (now - seen >= stall_min_ns) note_stall(worker, {seen, now, now - seen});
  }
  counters_.early_slots.fetch_add(1, relaxed);
  counters_.early_ns.fetch_add(static_cast<std::uint64_t>(worker.early_ns), relaxed);
}

void CellRun::note_stall(Worker& worker, const HostStall& stall) {
  worker.stalled_ns += stall.stalled_ns;
  counters_.stalls.fetch_add(1, relaxed);
  counters_.stalled_ns.fetch_add(static_cast<std::uint64_t>(stall.stalled_ns), relaxed);
  (void)worker.stalls.push(stall);  // full: nobody looks
}

template <class Work>
Elapsed CellRun::measured(Worker& worker, Work work) {
  const Stopwatch::Start start = stopwatch_.start();
  work();
  const Elapsed elapsed = stopwatch_.since(start);
  if (elapsed.stalled())
    note_stall(worker, {start.wall_ns, start.wall_ns + elapsed.took_ns, elapsed.stalled_ns});
  return elapsed;
}

void CellRun::radio_tick(Worker& worker, SlotCount now, bool with_uplink) {
  const std::int64_t begin = around_.monotonic->now_ns();
  const Elapsed elapsed = measured(worker, [&] {
    loop_->downlink_tick(now);
    if (with_uplink) loop_->uplink_tick(now);
  });
  counters_.slot_ns.add(static_cast<std::uint64_t>(elapsed.took_ns));
  counters_.own_slot_ns.add(static_cast<std::uint64_t>(elapsed.own_ns()));
  const bool taken = (around_.lease->taken.load(relaxed) >> worker.radio_processor & 1) != 0;
  (void)traces_.push({.slot = now,  // full: nobody looks
                      .begin_ns = begin,
                      .end_ns = begin + elapsed.took_ns,
                      .early_ns = worker.early_ns,
                      .taken = taken});
}

void CellRun::free_tick(SlotCount now) {
  const std::int64_t begin = thread_cpu_ns();
  radio_tick(*workers_.front(), now, true);
  const std::int64_t radio_end = thread_cpu_ns();
  loop_->air_tick(now);
  counters_.radio_cpu_ns.fetch_add(static_cast<std::uint64_t>(radio_end - begin), relaxed);
  counters_.air_cpu_ns.fetch_add(static_cast<std::uint64_t>(thread_cpu_ns() - radio_end), relaxed);
  move_recordings();
}

bool CellRun::take_trace(SlotTrace& trace) {
  const SlotTrace* next = traces_.front();
  if (next == nullptr) return false;
  trace = *next;
  traces_.pop();
  return true;
}

bool CellRun::take_stall(HostStall& stall) {
  for (const auto& worker : workers_) {
    if (const HostStall* next = worker->stalls.front(); next != nullptr) {
      stall = *next;
      worker->stalls.pop();
      return true;
    }
  }
  return false;
}

void CellRun::move_recordings() {
  const auto warn = [this](const Result<void>& moved) {
    if (!moved) around_.warn(moved.error().message);
  };
  if (recorder_) warn(recorder_->drain());
  if (replay_) warn(replay_->fill());
}

Result<void> CellRun::finish() {
  if (around_.options->pace == Pace::real) write_cost_model();
  return recorder_ ? recorder_->close() : Result<void>();
}

// Of several cells each has its own file.
std::string CellRun::path_of(const std::string& path) const {
  return around_.config->cells.size() == 1 ? path : path + "-" + config_.name;
}

std::string CellRun::cost_origin() const {
  return cost_model_origin(config_.carrier, config_.transmit_antennas, config_.receive_antennas);
}

void CellRun::read_cost_model() {
  if (around_.config->cost_model_path.empty()) return;
  const std::string path = path_of(around_.config->cost_model_path);
  std::ifstream file(path, std::ios::binary);
  if (!file) return;  // the first run: it will be written
  std::stringstream text;
  text << file.rdbuf();
  const Result<void> read = parse_cost_model(text.str(), cost_origin(), loop_->cost_model());
  if (!read)
    around_.warn("cost model " + path + ": " + read.error().message +
                 "; learned anew, and written there at the end");
}

// Beside the old one first: a full disk loses nothing.
void CellRun::write_cost_model() {
  if (around_.config->cost_model_path.empty()) return;
  const std::string path = path_of(around_.config->cost_model_path);
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::binary);
  file << format_cost_model(loop_->cost_model(), cost_origin());
  file.close();
  if (!file || std::rename(part.c_str(), path.c_str()) != 0)
    around_.warn("cost model " + path + " cannot be written: " + std::strerror(errno));
}

}  // namespace noroshi::site
