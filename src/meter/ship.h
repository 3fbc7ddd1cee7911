#pragma once

// From the spool into the fleet's stream of usage: in order, a batch in one round trip, each record
// with its id as message id. A batch that was not acknowledged whole is sent again; the stream
// drops what it had, and the store knows every id for ever. What is acknowledged is trimmed.
//
// With the bus dead or the region cut off the spool grows, up to its limit, and is shipped later.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "fleet/bus.h"
#include "meter/spool/spool.h"

namespace noroshi::meter {

inline constexpr const char* usage_stream = "USAGE";
inline constexpr const char* usage_subjects = "noroshi.usage.>";
// gateway: a word (fleet/bus.h).
std::string usage_subject(std::string_view gateway);

struct UsageStreamConfig {
  double duplicates_s = 120;
  std::int64_t bytes_max = std::int64_t{2} << 30;  // then new records wait in the spools
  int replicas = 1;
};
// Made by whoever has the right to: the meter, or the control plane.
Result<void> ensure_usage_stream(fleet::Bus& bus, const UsageStreamConfig& config,
                                 double timeout_s);

struct ShipperConfig {
  std::string gateway = {};  // a word: the last of the subject
  int batch = 256;
  double publish_timeout_s = 5;
  int retry_ms = 200;
};

struct ShipperCounters {
  std::uint64_t shipped = 0;
  std::uint64_t batches = 0;
  std::uint64_t failures = 0;   // batches that must be sent again
  std::string last_error = {};  // empty when the last batch went well
};

class Shipper {
 public:
  // Runs on its own thread until the end of its life. The spool and the bus outlive it. Errors: a
  // gateway's name that is no word.
  static Result<Shipper> start(Spool& spool, fleet::Bus& bus, ShipperConfig config);
  Shipper(Shipper&&) noexcept;
  Shipper& operator=(Shipper&&) noexcept;
  ~Shipper();

  ShipperCounters counters() const;
  // True once everything that the spool holds is shipped; false after timeout_s.
  bool wait_empty(double timeout_s);

 private:
  Shipper();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::meter
