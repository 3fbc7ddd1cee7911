#pragma once

// Who is there, from heartbeats, by the hearer's clock alone: the sender's does not matter.
//
//   joined --(a beat)--> alive --(silent for lost_after while the bus was up)--> lost --(a beat)-->
//   alive
//
// Silence counts only while the bus is known to work (its pulse comes back): a dead bus loses
// nobody. A second process with the name of a living site (another instance) is refused as long as
// the first one beats. Pure: time is an argument.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fleet/report.h"

namespace noroshi::fleet {

inline constexpr std::int64_t lost_after_ns = 650'000'000;  // three beats and some

// Whether the bus works, from the pulse that its user sends to itself.
class BusPulse {
 public:
  static constexpr std::int64_t interval_ns = 50'000'000;
  static constexpr std::int64_t gap_ns = 400'000'000;  // without a pulse: it was down

  void came_back(std::int64_t now_ns) {
    if (last_ns_ < 0 || now_ns - last_ns_ > gap_ns) up_since_ns_ = now_ns;
    last_ns_ = now_ns;
  }
  // How long, of the time since then, the bus was up without a break until its last pulse.
  std::int64_t silence_ns(std::int64_t since_ns) const {
    if (last_ns_ < 0) return 0;
    return last_ns_ - (since_ns > up_since_ns_ ? since_ns : up_since_ns_);
  }

 private:
  std::int64_t last_ns_ = -1;
  std::int64_t up_since_ns_ = 0;
};

enum class Heard : std::uint8_t {
  joined,  // a new site, or one that was lost
  updated,
  restarted,  // the same name, another instance, and the first one is silent
  old,        // came late: a younger beat is known
  duplicate,  // another process has the name and lives: refused
};

struct Member {
  SiteReport report = {};
  std::int64_t heard_ns = 0;
  bool alive = true;
  std::uint64_t rival_instance = 0;  // the last one refused; 0: none
  std::string rival_region = {};
  std::int64_t rival_heard_ns = 0;
};

class Membership {
 public:
  static constexpr std::size_t sites_max = 200'000;

  // At sites_max a new name is refused like a duplicate.
  Heard hear(SiteReport report, std::int64_t now_ns);
  // A beat of somebody who is refused, whatever became of the one who has the name.
  void hear_rival(const SiteReport& report, std::int64_t now_ns);
  // Those that are newly lost.
  std::vector<std::string> expire(const BusPulse& pulse);
  // Forgets one that is lost.
  void forget(const std::string& site) { members_.erase(site); }

  const std::map<std::string, Member>& members() const { return members_; }
  const Member* find(const std::string& site) const;

 private:
  std::map<std::string, Member> members_;
};

// What a site does when it hears a beat on its own subject.
enum class Rival : std::uint8_t {
  ourself,
  yields,    // it is the younger one and will give up
  we_yield,  // it was there first
};
// Ages are durations on each one's own clock. A draw goes to the smaller instance.
Rival rival_of(std::uint64_t our_instance, double our_uptime_s, const SiteReport& heard);

}  // namespace noroshi::fleet
