#pragma once

// The turns that gateways tell, kept by one that routes nothing: a control plane, which tells them
// to a gateway that starts (doors.h), so that also a fleet's only gateway finds its sessions after
// its restart. Bounded: of too many sessions in a bucket the one unused for longest goes, and with
// more than places_max places all is forgotten. Thread-safe; no clock.

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "fleet/doors.h"
#include "gateway/route/sessions.h"
#include "gateway/route/told_turns.h"

namespace noroshi::fleet {

class TurnsKept {
 public:
  static constexpr std::size_t places_max = 1 << 18;

  explicit TurnsKept(std::size_t sessions_max) : table_(sessions_max) {}

  void hear(const gateway::ToldTurns& told);
  // As Router::known_turns().
  gateway::ToldTurns known_turns(std::size_t& from, std::size_t turns_max,
                                 std::int64_t since_ns) const;
  std::uint64_t sessions_known() const;

 private:
  struct Kept {
    std::uint32_t place = 0;
    int tokens = 0;
    std::int64_t at_ns = 0;
  };
  mutable std::mutex mutex_;
  gateway::SessionTable<Kept> table_;
  std::vector<gateway::ToldTurns::Place> places_;
  std::map<std::pair<std::string, std::uint64_t>, std::uint32_t> numbers_;  // of places
};

DoorsSink doors_sink_of(TurnsKept& kept);

}  // namespace noroshi::fleet
