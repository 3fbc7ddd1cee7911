#include "fleet/rollout.h"

#include <algorithm>
#include <tuple>

namespace noroshi::fleet {
namespace {

bool is_done(const Rollout& rollout, const std::string& site) {
  return std::ranges::find(rollout.done, site) != rollout.done.end();
}

Rollout rolled_back(Rollout rollout, const std::string& reason) {
  rollout.state = RolloutState::rolled_back;
  rollout.reason = "site " + rollout.site + ": " + reason;
  rollout.site.clear();
  return rollout;
}

// The next site: the least busy that has the file. Done when none is left.
Rollout next_site(Rollout rollout, const std::vector<RolloutSite>& sites) {
  const RolloutSite* best = nullptr;
  for (const RolloutSite& site : sites) {
    if (!site.alive || is_done(rollout, site.name)) continue;
    if (!site.has_new_file) {
      rollout.site = site.name;
      return rolled_back(std::move(rollout), "it has no file with the new content");
    }
    if (best == nullptr || std::tie(site.requests_in_flight, site.name) <
                               std::tie(best->requests_in_flight, best->name)) {
      best = &site;
    }
  }
  rollout.site = best != nullptr ? best->name : "";
  if (best == nullptr) rollout.state = RolloutState::done;
  return rollout;
}

}  // namespace

const std::string& wanted_hash(const Rollout& rollout, const std::string& site) {
  if (rollout.state == RolloutState::rolled_back) return rollout.from_hash;
  if (rollout.state == RolloutState::done) return rollout.to_hash;
  return rollout.site == site || is_done(rollout, site) ? rollout.to_hash : rollout.from_hash;
}

Rollout advance(const Rollout& rollout, const RolloutConfig& config,
                const std::vector<RolloutSite>& sites, std::int64_t now_ns, RolloutWatch& watch) {
  if (rollout.state != RolloutState::running) return rollout;
  if (rollout.site.empty()) return next_site(rollout, sites);
  if (watch.site != rollout.site) {
    watch = {.site = rollout.site, .since_ns = now_ns, .well_since_ns = -1};
  }
  const auto site = std::ranges::find(sites, rollout.site, &RolloutSite::name);
  if (site == sites.end()) {
    // It shall no longer run the model: drained, or placed elsewhere.
    Rollout next = rollout;
    next.site.clear();
    return next_site(std::move(next), sites);
  }
  if (!site->alive) return rolled_back(rollout, "it was lost with the new content");
  if (!site->fault.empty()) return rolled_back(rollout, site->fault);
  const bool well = site->ready && site->content_hash == rollout.to_hash;
  if (!well) {
    if (watch.well_since_ns >= 0) {
      return rolled_back(rollout, "it was ready with the new content and then was not");
    }
    if (now_ns - watch.since_ns > config.timeout_ns) {
      return rolled_back(rollout, "it was not ready with the new content after " +
                                      std::to_string(config.timeout_ns / 1'000'000'000) + " s");
    }
    return rollout;
  }
  if (watch.well_since_ns < 0) watch.well_since_ns = now_ns;
  if (now_ns - watch.well_since_ns < config.gate_ns) return rollout;
  Rollout next = rollout;
  next.done.push_back(next.site);
  watch = {};
  return next_site(std::move(next), sites);
}

}  // namespace noroshi::fleet
