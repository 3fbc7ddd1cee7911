#pragma once

// The other end of metering: takes usage records out of the fleet's stream into the store. A
// message is acknowledged after the transaction with its record is on the disk, so a meter may die
// anywhere: what was not acknowledged comes again, and what was stored is known by its id.
//
// Any number of meters may run on one stream and one store; they share the work.
//
// Messages are bytes from other machines. What is no record, or one that cannot be counted
// (unknown tenant, from the future by more than a day), is kept aside with its reason and
// acknowledged: it disturbs nothing else. A record whose end is in the future of this clock by more
// than a minute is counted (clocks differ) and its gateway is named in the counters.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "fleet/bus.h"
#include "meter/ship.h"
#include "meter/store/store.h"

namespace noroshi::meter {

struct MeterConfig {
  std::string store = "usage.db";  // a file or a postgresql:// URL
  UsageStreamConfig stream = {};
  std::string durable = "meter";  // the consumer's name, one for all meters
  int batch = 500;
  double acknowledge_s = 30;  // what a dead meter had taken comes again after so long
  double timeout_s = 5;       // of one question to the bus
  int retry_ms = 500;
  // Whether a tenant's records may be counted; none: every tenant's may.
  std::function<bool(const std::string& tenant)> tenant_known = {};
  std::function<std::int64_t()> unix_ns = {};  // the clock; none: the system's
};

struct MeterCounters {
  std::uint64_t messages = 0;
  StoreCounts store = {};
  std::uint64_t malformed = 0;  // kept aside, as are the next two
  std::uint64_t unknown_tenant = 0;
  std::uint64_t from_the_future = 0;
  std::uint64_t redelivered = 0;  // handed out before, to a meter that died or was slow
  std::uint64_t failures = 0;     // of the bus or the store; tried again
  std::map<std::string, std::int64_t> skew_s = {};  // by subject: the largest above a minute
  std::string last_error = {};                      // empty when the last batch went well
  bool working = false;                             // the bus and the store are there
};

class Meter {
 public:
  // Opens the store and starts working; without a bus it waits for one. The bus outlives it.
  // Errors: the store's.
  static Result<Meter> start(fleet::Bus& bus, MeterConfig config);
  Meter(Meter&&) noexcept;
  Meter& operator=(Meter&&) noexcept;
  ~Meter();  // finishes its batch

  MeterCounters counters() const;
  std::string metrics_text() const;  // Prometheus
  // True once the condition holds, asked after each batch; false after timeout_s.
  bool wait_until(const std::function<bool(const MeterCounters&)>& condition, double timeout_s);

 private:
  Meter();
  struct State;
  std::unique_ptr<State> state_;
};

// What the messages of one batch are; pure. now_ns: Unix time.
struct Sorted {
  std::vector<UsageRecord> records = {};
  std::vector<Aside> aside = {};
};
Sorted sort_batch(const std::vector<fleet::Delivery>& batch, const MeterConfig& config,
                  std::int64_t now_ns, MeterCounters& counters);

}  // namespace noroshi::meter
