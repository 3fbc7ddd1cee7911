#include "meter/ship.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "gateway/thread.h"
#include "meter/record.h"

namespace noroshi::meter {
namespace {

constexpr int look_ms = 200;  // how soon the thread sees that it is to stop

}  // namespace

std::string usage_subject(std::string_view gateway) {
  return "noroshi.usage." + std::string(gateway);
}

Result<void> ensure_usage_stream(fleet::Bus& bus, const UsageStreamConfig& config,
                                 double timeout_s) {
  return bus.ensure_stream({.name = usage_stream,
                            .subjects = {usage_subjects},
                            .duplicates_s = config.duplicates_s,
                            .bytes_max = config.bytes_max,
                            .refuse_when_full = true,  // the oldest must not go for the newest
                            .until_acked = true,
                            .replicas = config.replicas},
                           timeout_s);
}

struct Shipper::State {
  State(Spool& records, fleet::Bus& network, ShipperConfig c)
      : spool(records), bus(network), config(std::move(c)) {}

  Spool& spool;
  fleet::Bus& bus;
  const ShipperConfig config;
  mutable std::mutex mutex;
  std::condition_variable changed;
  ShipperCounters count;
  bool stopping = false;
  std::thread thread;

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      changed.notify_all();
    }
    if (thread.joinable()) thread.join();
  }

  void run();
  Result<std::uint64_t> ship_batch();
};

// Returns how many records.
Result<std::uint64_t> Shipper::State::ship_batch() {
  auto records = spool.read(spool.trimmed_up_to(), static_cast<std::size_t>(config.batch));
  if (!records) return records.error();
  if (records->empty()) return std::uint64_t{0};
  std::vector<fleet::Bus::Kept> messages;
  for (SpooledRecord& one : *records) {
    // The store's reader says what is wrong with a record that has no id; here it only goes on.
    const auto record = parse_record(one.record);
    messages.push_back({usage_subject(config.gateway), std::move(one.record),
                        record ? record->id : std::string()});
  }
  auto kept = bus.publish_kept_all(messages, config.publish_timeout_s);
  if (!kept) return kept.error();
  if (auto trimmed = spool.trim(records->back().sequence); !trimmed) return trimmed.error();
  return static_cast<std::uint64_t>(records->size());
}

void Shipper::State::run() {
  for (;;) {
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
    }
    if (!spool.wait(spool.trimmed_up_to(), look_ms)) continue;
    const auto shipped = ship_batch();
    std::unique_lock lock(mutex);
    if (shipped) {
      count.shipped += *shipped;
      ++count.batches;
      count.last_error.clear();
      changed.notify_all();
      continue;
    }
    ++count.failures;
    count.last_error = shipped.error().message;
    changed.wait_for(lock, std::chrono::milliseconds(config.retry_ms), [this] { return stopping; });
  }
}

Shipper::Shipper() = default;
Shipper::Shipper(Shipper&&) noexcept = default;
Shipper& Shipper::operator=(Shipper&&) noexcept = default;
Shipper::~Shipper() = default;

Result<Shipper> Shipper::start(Spool& spool, fleet::Bus& bus, ShipperConfig config) {
  if (!fleet::is_word(config.gateway)) {
    return Error{"usage: the gateway's name '" + config.gateway +
                 "' must be 1 to 64 letters, digits, '-' or '_'"};
  }
  Shipper shipper;
  shipper.state_ = std::make_unique<State>(spool, bus, std::move(config));
  State& state = *shipper.state_;
  state.thread = gateway::ordinary_thread("usage-ship", [&state] { state.run(); });
  return shipper;
}

ShipperCounters Shipper::counters() const {
  const std::lock_guard lock(state_->mutex);
  return state_->count;
}

bool Shipper::wait_empty(double timeout_s) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, std::chrono::duration<double>(timeout_s),
                                  [this] { return state_->spool.counters().waiting == 0; });
}

}  // namespace noroshi::meter
