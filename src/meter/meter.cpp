#include "meter/meter.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "base/prometheus.h"
#include "gateway/thread.h"

namespace noroshi::meter {
namespace {

constexpr double fetch_wait_s = 0.2;  // also how soon the thread sees that it is to stop
constexpr std::int64_t minute_ns = 60'000'000'000;
constexpr std::int64_t day_ns = 1440 * minute_ns;
constexpr std::size_t skews_max = 1000;
constexpr int unacknowledged_max = 2000;  // of all meters: a consumer has one such number

std::int64_t system_unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Sorted sort_batch(const std::vector<fleet::Delivery>& batch, const MeterConfig& config,
                  std::int64_t now_ns, MeterCounters& counters) {
  Sorted sorted;
  for (const fleet::Delivery& message : batch) {
    ++counters.messages;
    counters.redelivered += message.deliveries > 1;
    const auto aside = [&](std::string reason) {
      sorted.aside.push_back({.id = message.subject + "/" + std::to_string(message.sequence),
                              .subject = message.subject,
                              .reason = std::move(reason),
                              .data = message.data});
    };
    auto record = parse_record(message.data);
    if (!record) {
      ++counters.malformed;
      aside(record.error().message);
    } else if (config.tenant_known && !config.tenant_known(record->tenant)) {
      ++counters.unknown_tenant;
      aside("unknown tenant '" + record->tenant + "'");
    } else if (record->done_ns - now_ns > day_ns) {
      ++counters.from_the_future;
      aside("done_ns " + std::to_string(record->done_ns) + " is " +
            std::to_string((record->done_ns - now_ns) / 1'000'000'000) +
            " s in the future of this clock");
    } else {
      if (record->done_ns - now_ns > minute_ns && counters.skew_s.size() < skews_max) {
        std::int64_t& skew_s = counters.skew_s[message.subject];
        skew_s = std::max(skew_s, (record->done_ns - now_ns) / 1'000'000'000);
      }
      sorted.records.push_back(*std::move(record));
    }
  }
  return sorted;
}

struct Meter::State {
  State(fleet::Bus& network, MeterConfig c) : bus(network), config(std::move(c)) {}

  fleet::Bus& bus;
  MeterConfig config;
  mutable std::mutex mutex;
  std::condition_variable changed;
  MeterCounters count;
  bool stopping = false;
  // The thread's alone.
  std::optional<Store> store;
  std::unique_ptr<fleet::Consumer> consumer;
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
  Result<void> prepare();
  Result<void> work();
};

Result<void> Meter::State::prepare() {
  if (!store) {
    auto opened = Store::open(config.store, Access::write);
    if (!opened) return opened.error();
    store.emplace(*std::move(opened));
  }
  if (consumer) return {};
  if (auto made = ensure_usage_stream(bus, config.stream, config.timeout_s); !made) return made;
  auto made = bus.consume({.stream = usage_stream,
                           .durable = config.durable,
                           .subject = {},
                           .acknowledge_s = config.acknowledge_s,
                           .unacknowledged_max = unacknowledged_max},
                          config.timeout_s);
  if (!made) return made.error();
  consumer = *std::move(made);
  return {};
}

// One batch: messages -> records -> transaction -> acknowledgements.
Result<void> Meter::State::work() {
  const auto batch = consumer->fetch(config.batch, fetch_wait_s);
  if (!batch) {
    consumer.reset();  // the stream or the consumer may be gone with its server
    return batch.error();
  }
  if (batch->empty()) return {};
  const std::int64_t now_ns = config.unix_ns();
  MeterCounters next;
  {
    const std::lock_guard lock(mutex);
    next = count;
  }
  const Sorted sorted = sort_batch(*batch, config, now_ns, next);
  const auto stored = store->insert(sorted.records, sorted.aside, now_ns);
  if (!stored) {
    store.reset();
    for (const fleet::Delivery& message : *batch) {
      static_cast<void>(consumer->hand_out_again(message));
    }
    return stored.error();
  }
  next.store.inserted += stored->inserted;
  next.store.duplicates += stored->duplicates;
  next.store.conflicts += stored->conflicts;
  next.store.aside += stored->aside;
  {
    const std::lock_guard lock(mutex);
    count = next;
  }
  // In order on one connection: when the server has the last one, it has them all.
  for (const fleet::Delivery& message : *batch) {
    const bool last = &message == &batch->back();
    auto acknowledged = consumer->acknowledge(message, last ? config.timeout_s : 0);
    if (!acknowledged) return acknowledged;
  }
  return {};
}

void Meter::State::run() {
  for (;;) {
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
    }
    Result<void> done = prepare();
    if (done) done = work();
    std::unique_lock lock(mutex);
    count.working = done.ok();
    if (done) {
      count.last_error.clear();
      changed.notify_all();
      continue;
    }
    ++count.failures;
    count.last_error = done.error().message;
    changed.notify_all();
    changed.wait_for(lock, std::chrono::milliseconds(config.retry_ms), [this] { return stopping; });
  }
}

Meter::Meter() = default;
Meter::Meter(Meter&&) noexcept = default;
Meter& Meter::operator=(Meter&&) noexcept = default;
Meter::~Meter() = default;

Result<Meter> Meter::start(fleet::Bus& bus, MeterConfig config) {
  if (config.batch < 1 || config.batch > unacknowledged_max) {
    return Error{"meter: batch " + std::to_string(config.batch) + " is not in 1.." +
                 std::to_string(unacknowledged_max)};
  }
  if (!config.unix_ns) config.unix_ns = system_unix_ns;
  auto store = Store::open(config.store, Access::write);
  if (!store) return Error{"meter: " + store.error().message};
  Meter meter;
  meter.state_ = std::make_unique<State>(bus, std::move(config));
  State& state = *meter.state_;
  state.store.emplace(*std::move(store));
  state.thread = gateway::ordinary_thread("meter", [&state] { state.run(); });
  return meter;
}

MeterCounters Meter::counters() const {
  const std::lock_guard lock(state_->mutex);
  return state_->count;
}

bool Meter::wait_until(const std::function<bool(const MeterCounters&)>& condition,
                       double timeout_s) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, std::chrono::duration<double>(timeout_s),
                                  [&] { return condition(state_->count); });
}

std::string Meter::metrics_text() const {
  const MeterCounters now = counters();
  std::string text;
  const auto add = [&text](std::string_view name, const char* help, std::uint64_t value) {
    prometheus::one(text, name, help, value);
  };
  add("noroshi_meter_messages_total", "Messages taken from the usage stream.", now.messages);
  add("noroshi_meter_records_total", "Usage records stored.", now.store.inserted);
  add("noroshi_meter_duplicates_total", "Records that were stored already.", now.store.duplicates);
  add("noroshi_meter_conflicts_total", "Records whose id another has.", now.store.conflicts);
  add("noroshi_meter_malformed_total", "Messages that are no record, kept aside.", now.malformed);
  add("noroshi_meter_unknown_tenant_total", "Records of an unknown tenant, kept aside.",
      now.unknown_tenant);
  add("noroshi_meter_from_the_future_total", "Records a day and more in the future, kept aside.",
      now.from_the_future);
  add("noroshi_meter_skewed_gateways", "Gateways whose clock is ahead by more than a minute.",
      now.skew_s.size());
  add("noroshi_meter_failures_total", "Batches that the bus or the store failed.", now.failures);
  return text;
}

}  // namespace noroshi::meter
