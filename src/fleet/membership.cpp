#include "fleet/membership.h"

namespace noroshi::fleet {

Heard Membership::hear(SiteReport report, std::int64_t now_ns) {
  const auto found = members_.find(report.site.name);
  report.site.received_at_ns = now_ns;
  if (found == members_.end()) {
    if (members_.size() >= sites_max) return Heard::duplicate;
    std::string name = report.site.name;
    members_.emplace(std::move(name), Member{.report = std::move(report), .heard_ns = now_ns});
    return Heard::joined;
  }
  Member& member = found->second;
  const bool same = member.report.site.instance == report.site.instance;
  if (!same && member.alive && now_ns - member.heard_ns <= lost_after_ns) {
    hear_rival(report, now_ns);
    return Heard::duplicate;
  }
  if (same && report.sequence <= member.report.sequence) return Heard::old;
  const bool was_alive = member.alive;
  member.report = std::move(report);
  member.heard_ns = now_ns;
  member.alive = true;
  if (!same) member.rival_instance = 0;
  if (!was_alive) return Heard::joined;
  return same ? Heard::updated : Heard::restarted;
}

void Membership::hear_rival(const SiteReport& report, std::int64_t now_ns) {
  const auto found = members_.find(report.site.name);
  if (found == members_.end()) return;
  found->second.rival_instance = report.site.instance;
  found->second.rival_region = report.site.region;
  found->second.rival_heard_ns = now_ns;
}

std::vector<std::string> Membership::expire(const BusPulse& pulse) {
  std::vector<std::string> lost;
  for (auto& [name, member] : members_) {
    if (!member.alive || pulse.silence_ns(member.heard_ns) <= lost_after_ns) continue;
    member.alive = false;
    lost.push_back(name);
  }
  return lost;
}

const Member* Membership::find(const std::string& site) const {
  const auto found = members_.find(site);
  return found == members_.end() ? nullptr : &found->second;
}

Rival rival_of(std::uint64_t our_instance, double our_uptime_s, const SiteReport& heard) {
  if (heard.site.instance == our_instance) return Rival::ourself;
  const bool we_are_older = our_uptime_s != heard.uptime_s ? our_uptime_s > heard.uptime_s
                                                           : our_instance < heard.site.instance;
  return we_are_older ? Rival::yields : Rival::we_yield;
}

}  // namespace noroshi::fleet
