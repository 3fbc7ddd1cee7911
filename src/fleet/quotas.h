#pragma once

// A tenant has its quota once, by whichever of a fleet's gateways (doors.h) it asks: five times a
// second each tells what its tenants used since its last word, and how many of their requests it
// has now (tenant_use.h). A hearer takes that out of its own buckets, and counts those requests
// beside its own (gateway/tenants.h).
//
// With N doors, over any t seconds, a tenant of R requests a second gets at most
//
//   R t + N max(1, R) + (N - 1) R T,   T = a telling interval and the message's way,
//
// for until they hear of each other all may let in what their buckets hold; after that the buckets
// owe it (ten of them at most), so over a long time it is R. Likewise tokens, and (N - 1) times
// requests_at_once when all doors fill within T.
//
// Nothing here is on a request's way, and with the bus dead each door goes on by itself. What is
// told then is lost, as is a message that gets lost: use that nobody else charges. A door that
// starts does not know what was used before: its buckets are full. Requests at another door are
// forgotten when that says so, as one that ends does, or is silent for two seconds. Tenants are
// known by their names' marks: one that the hearer's file does not list is passed over, and the
// quota that counts is that of the hearer's file.
//
// Whoever has a gateway's key can tell false use: it locks a tenant out while it is told, and until
// ten buckets are paid back.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "fleet/bus.h"
#include "gateway/tenants.h"

namespace noroshi::fleet {

struct QuotasConfig {
  std::string id = {};       // a word, of this gateway alone
  std::uint64_t origin = 0;  // of this process alone: drawn
};

struct QuotasCounters {
  std::uint64_t doors = 0;     // others that have said something in the last two seconds
  std::uint64_t told = 0;      // messages
  std::uint64_t lost = 0;      // that could not be sent
  std::uint64_t heard = 0;     // of others
  std::uint64_t replayed = 0;  // heard before, or overtaken by a later one: passed over
  std::uint64_t refused = 0;   // malformed, or of too many gateways
  std::string last_error = {};
};

class Quotas {
 public:
  static constexpr std::size_t doors_max = 4096;
  // At once or lately: a door that was restarted is two for a while. No key can take others'
  // places.
  static constexpr std::size_t processes_max = 4;  // of one id

  // Its clock is the one that the tenants are asked by.
  Quotas(Bus& bus, Clock& clock, QuotasConfig config, gateway::Tenants& tenants);
  Quotas(const Quotas&) = delete;
  Quotas& operator=(const Quotas&) = delete;
  ~Quotas();  // tells the last, and that nothing is here any more

  Result<void> start();
  // Tells, and forgets who is silent, when it is time. Never waits. Every few ten milliseconds.
  void step();
  QuotasCounters counters() const;

 private:
  struct Door {
    std::uint64_t number = 0;  // as tenants_ knows it
    std::uint64_t last = 0;    // of its messages
    std::int64_t heard_ns = 0;
    bool speaks = false;  // has been heard within the silence allowed
  };
  using Doors = std::map<std::pair<std::string, std::uint64_t>, Door>;  // by id and origin

  void heard(const Message& message);
  Result<Door*> door(const std::string& id, std::uint64_t origin);
  void tell(std::vector<gateway::TenantUse> used);
  void forget_silent(std::int64_t now_ns);

  Bus& bus_;
  Clock& clock_;
  const QuotasConfig config_;
  gateway::Tenants& tenants_;

  mutable std::mutex mutex_;  // of all below
  Doors doors_;
  std::uint64_t doors_seen_ = 0;
  QuotasCounters counters_;

  // Of step() alone.
  std::int64_t next_ns_ = 0;
  std::uint64_t number_ = 0;
  bool told_at_once_ = false;                   // others count requests of ours
  std::unique_ptr<Subscription> subscription_;  // last: its handler uses the others
};

}  // namespace noroshi::fleet
