#include "fleet/planner.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace noroshi::fleet {
namespace {

// A leader that has just begun has heard nobody yet.
constexpr std::int64_t name_vacant_ns = 3'000'000'000;

// The part of a key after "KIND."; nothing when it is of another kind.
std::optional<std::string> key_after(const std::string& key, std::string_view kind) {
  if (!key.starts_with(kind) || key.size() <= kind.size() || key[kind.size()] != '.') return {};
  return key.substr(kind.size() + 1);
}

// Takes what the entry says into the map; an erased key leaves it.
template <class Held, class T>
Result<void> take(std::map<std::string, Revised<Held>>& map, const std::string& name,
                  const KvEntry& entry, Result<T> (*parse)(std::string_view)) {
  if (entry.erased) {
    map.erase(name);
    return {};
  }
  Result<T> value = parse(entry.value);
  if (!value) return Error{"key " + entry.key + ": " + value.error().message};
  if constexpr (std::is_same_v<Held, T>) {
    map[name] = {.value = *std::move(value), .revision = entry.revision};
  } else {
    map[name] = {.value = std::make_shared<const T>(*std::move(value)), .revision = entry.revision};
  }
  return {};
}

template <class T>
void move_site(const std::string& site, std::map<std::string, T>& from,
               std::map<std::string, T>& to) {
  auto node = from.extract(site);
  if (!node.empty()) to.insert(std::move(node));
}

const gateway::ModelAtSite* model_of(const SiteReport& report, const std::string& model) {
  const auto found = std::ranges::find(report.site.models, model, &gateway::ModelAtSite::name);
  return found == report.site.models.end() ? nullptr : &*found;
}

}  // namespace

Result<void> Planner::learn(const std::string& bucket, const KvEntry& entry) {
  if (bucket == fleet_bucket) {
    if (const auto model = key_after(entry.key, "model")) {
      return take(models_, *model, entry, parse_model);
    }
    if (const auto site = key_after(entry.key, "drain")) {
      return take(drains_, *site, entry, parse_drain);
    }
    if (const auto model = key_after(entry.key, "rollout")) {
      return take(rollouts_, *model, entry, parse_rollout);
    }
    if (entry.key == session_secret_key) {
      return take(session_secrets_, entry.key, entry, parse_session_secret);
    }
    return {};
  }
  if (const auto site = key_after(entry.key, "facts")) {
    if (!entry.erased) {
      const Result<SiteFacts> facts = parse_facts(entry.value);
      if (facts && (facts->name != *site || region_bucket(facts->region) != bucket)) {
        return Error{"key " + entry.key + " of " + bucket + ": speaks for site '" + facts->name +
                     "' of region '" + facts->region + "'"};
      }
    }
    return learn_site(region_of_bucket(bucket), *site, true, entry);
  }
  if (const auto site = key_after(entry.key, "desired")) {
    return learn_site(region_of_bucket(bucket), *site, false, entry);
  }
  return {};
}

std::optional<std::string> Planner::known_text(const std::string& bucket,
                                               const std::string& key) const {
  const auto text = [](const auto& map, const std::string& name, const auto& text_of) {
    const auto found = map.find(name);
    return found == map.end() ? std::nullopt
                              : std::optional<std::string>(text_of(found->second.value));
  };
  if (bucket == fleet_bucket) {
    if (const auto model = key_after(key, "model")) return text(models_, *model, model_text);
    if (const auto site = key_after(key, "drain")) return text(drains_, *site, drain_text);
    if (const auto model = key_after(key, "rollout")) return text(rollouts_, *model, rollout_text);
    if (key == session_secret_key) return text(session_secrets_, key, session_secret_text);
    return {};
  }
  const auto site_text = [&](const std::string& site, const auto& at_home, auto Claims::*aside,
                             const auto& text_of) -> std::optional<std::string> {
    const std::string region = region_of_bucket(bucket);
    const auto of_held = [&](const auto& held) { return text_of(*held); };
    const auto home = home_.find(site);
    if (home != home_.end() && home->second == region) return text(at_home, site, of_held);
    const auto claims = claims_.find(region);
    if (claims == claims_.end()) return {};
    return text(claims->second.*aside, site, of_held);
  };
  if (const auto site = key_after(key, "facts")) {
    return site_text(*site, facts_, &Claims::facts, facts_text);
  }
  if (const auto site = key_after(key, "desired")) {
    return site_text(*site, desired_, &Claims::desired, desired_text);
  }
  return {};
}

Result<void> Planner::learn_site(const std::string& region, const std::string& site, bool of_facts,
                                 const KvEntry& entry) {
  auto home = home_.find(site);
  if (home == home_.end() && !entry.erased) {
    home = home_.emplace(site, region).first;
    // What was said of it before the name was anybody's.
    move_site(site, claims_[region].desired, desired_);
  }
  const bool at_home = home != home_.end() && home->second == region;
  auto& facts = at_home ? facts_ : claims_[region].facts;
  auto& desired = at_home ? desired_ : claims_[region].desired;
  const Result<void> taken =
      of_facts ? take(facts, site, entry, parse_facts) : take(desired, site, entry, parse_desired);
  if (!of_facts && taken) {
    const auto held = desired.find(site);
    const bool told = held != desired.end() && !held->second.value->refused_by.empty();
    if (!told) refused_.erase({site, region});
    if (told && refused_.try_emplace({site, region}, -1).second && member_of(site, region)) {
      membership_.forget(site);  // heard before this was known
    }
  }
  settle(site);
  return taken;
}

std::vector<std::string> Planner::claims(const std::string& site) const {
  std::vector<std::string> regions;
  for (const auto& [region, claims] : claims_) {
    if (claims.facts.count(site) > 0) regions.push_back(region);
  }
  return regions;
}

std::size_t Planner::contested() const {
  std::set<std::string> names;
  for (const auto& [region, claims] : claims_) {
    for (const auto& [name, facts] : claims.facts) names.insert(name);
  }
  return names.size();
}

void Planner::settle(const std::string& site) {
  const auto home = home_.find(site);
  if (home == home_.end()) return;
  const std::vector<std::string> others = claims(site);
  const bool known = facts_.count(site) > 0;
  if (others.empty()) {
    if (!known && desired_.count(site) == 0) home_.erase(home);
    return;
  }
  const Member* member = membership_.find(site);
  std::string next = known ? home->second : others.front();
  if (member != nullptr && member->alive) {
    const std::string& lives = member->report.site.region;
    if (std::ranges::find(others, lives) != others.end()) next = lives;
  }
  if (next == home->second) return;
  move_site(site, facts_, claims_[home->second].facts);
  move_site(site, desired_, claims_[home->second].desired);
  move_site(site, claims_[next].facts, facts_);
  move_site(site, claims_[next].desired, desired_);
  home->second = next;
}

// Nothing while the one that is heard under the name is of another region.
const Member* Planner::member_of(const std::string& site, const std::string& region) const {
  const Member* member = membership_.find(site);
  return member != nullptr && member->report.site.region == region ? member : nullptr;
}

bool Planner::drains(const std::string& site) const {
  const auto found = drains_.find(site);
  return found != drains_.end() && found->second.value;
}

std::uint64_t Planner::drain_revision(const std::string& site) const {
  const auto found = drains_.find(site);
  return found == drains_.end() ? 0 : found->second.revision;
}

bool Planner::gather(PlanInput& input, std::size_t sites_max) const {
  if (!input.begun) {
    input.begun = true;
    input.models = models_;
    input.rollouts = rollouts_;
  }
  const auto& members = membership_.members();
  auto member = members.upper_bound(input.members_done ? input.site_reached : input.member_reached);
  std::size_t count = 0;
  for (; !input.members_done && count < sites_max; ++count, ++member) {
    if (member == members.end()) {
      input.members_done = true;
      return false;
    }
    input.member_reached = member->first;
    if (!member->second.alive) continue;
    for (const gateway::ModelAtSite& model : member->second.report.site.models) {
      input.requests[model.name] += model.requests_in_flight + model.requests_queued;
    }
  }
  if (!input.members_done) return false;
  // All three lie in the order of names: they are walked side by side, not looked up.
  auto facts = facts_.upper_bound(input.site_reached);
  auto desired = desired_.upper_bound(input.site_reached);
  for (; facts != facts_.end() && count < sites_max; ++count, ++facts) {
    const std::string& name = facts->first;
    while (member != members.end() && member->first < name) ++member;
    while (desired != desired_.end() && desired->first < name) ++desired;
    PlanSite& site = input.sites.emplace_back();
    site.facts = facts->second;
    site.draining = drains(name);
    if (desired != desired_.end() && desired->first == name) site.desired = desired->second;
    if (member != members.end() && member->first == name &&
        member->second.report.site.region == facts->second.value->region) {
      site.alive = member->second.alive;
      site.lease_share_forecast = member->second.report.site.lease_share_forecast;
    }
    input.site_reached = name;
  }
  return facts == facts_.end();
}

std::map<std::string, double> Planner::follow_demand(const std::map<std::string, double>& requests,
                                                     std::int64_t now_ns) {
  const double elapsed_s =
      demand_at_ns_ < 0 ? 1e9 : static_cast<double>(now_ns - demand_at_ns_) / 1e9;
  const double kept = std::exp2(-elapsed_s / config_.demand_half_life_s);
  demand_at_ns_ = now_ns;
  for (auto& [model, smoothed] : demand_) smoothed *= kept;
  for (const auto& [model, now] : requests) demand_[model] += (1 - kept) * now;
  return demand_;
}

bool Planner::is_of(const PlanInput& input) const {
  const auto same = [](const auto& a, const auto& b) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
      return x.first == y.first && x.second.revision == y.second.revision;
    });
  };
  return same(models_, input.models) && same(rollouts_, input.rollouts);
}

std::vector<RolloutSite> Planner::rollout_sites(const Rollout& rollout) const {
  std::vector<RolloutSite> sites;
  for (const auto& [name, desired] : desired_) {
    const auto& models = desired.value->models;
    const Member* member = member_of(name, home_.at(name));
    if (member == nullptr || drains(name) ||
        std::ranges::find(models, rollout.model, &ModelFile::name) == models.end()) {
      continue;
    }
    RolloutSite& site = sites.emplace_back();
    site.name = name;
    site.alive = member->alive;
    const SiteReport& report = member->report;
    if (const gateway::ModelAtSite* model = model_of(report, rollout.model)) {
      site.content_hash = model->content_hash;
      site.requests_in_flight = model->requests_in_flight;
      site.ready = report.site.ready;
    }
    // What it says of an older desired state is not about this one.
    const bool current = report.desired_revision >= desired.revision;
    if (current) site.fault = report.fault;
    if (!current) site.ready = false;
    if (const auto facts = facts_.find(name); facts != facts_.end()) {
      site.has_new_file = std::ranges::any_of(facts->second.value->files, [&](const ModelFile& f) {
        return f.name == rollout.model && f.content_hash == rollout.to_hash;
      });
    }
  }
  return sites;
}

std::vector<KvWrite> Planner::plan_rollouts(std::int64_t now_ns) {
  std::vector<KvWrite> writes;
  for (const auto& entry : models_) {
    const std::string& key = entry.first;
    const Revised<ModelSpec>& model = entry.second;
    const ModelSpec& spec = model.value;
    const auto found = rollouts_.find(key);
    const bool has_one = found != rollouts_.end();
    const bool wants_one = !spec.previous_hash.empty() && spec.previous_hash != spec.content_hash;
    const bool is_this = has_one && found->second.value.to_hash == spec.content_hash &&
                         found->second.value.from_hash == spec.previous_hash;
    const std::uint64_t revision = has_one ? found->second.revision : 0;
    const auto write = [&](const Rollout& next, const std::string& why) {
      writes.push_back({fleet_bucket, "rollout." + key, rollout_text(next), revision, why});
    };
    if (!wants_one) continue;
    if (!is_this) {
      write({.model = spec.name, .from_hash = spec.previous_hash, .to_hash = spec.content_hash},
            "roll-out of " + spec.name + " begins");
      continue;
    }
    const Rollout& now = found->second.value;
    if (now.state != RolloutState::running) {
      // The model's content is settled: the new one, or the old one again.
      ModelSpec settled = spec;
      if (now.state == RolloutState::rolled_back) settled.content_hash = spec.previous_hash;
      settled.previous_hash.clear();
      writes.push_back({fleet_bucket, "model." + key, model_text(settled), model.revision,
                        "roll-out of " + spec.name + " is " + name_of(now.state) +
                            (now.reason.empty() ? "" : ": " + now.reason)});
      continue;
    }
    const Rollout next = advance(now, config_.rollout, rollout_sites(now), now_ns, watches_[key]);
    if (rollout_text(next) == rollout_text(now)) continue;
    write(next, "roll-out of " + spec.name + ": " +
                    (next.state != RolloutState::running
                         ? std::string(name_of(next.state)) + " " + next.reason
                         : "next site " + next.site));
  }
  return writes;
}

KvWrite Planner::refusal_write(const std::string& site, const std::string& region,
                               const std::string& refused_by, std::uint64_t term) const {
  const auto home = home_.find(site);
  const bool at_home = home != home_.end() && home->second == region;
  const auto& all = at_home ? desired_ : claims_.at(region).desired;
  const auto held = all.find(site);
  DesiredSite next = held == all.end() ? DesiredSite{} : *held->second.value;
  next.term = term;
  next.refused_by = refused_by;
  return {
      region_bucket(region), "desired." + site, desired_text(next),
      held == all.end() ? 0 : held->second.revision,
      "site " + site + " of region " + region +
          (refused_by.empty() ? ": the name is free, it may come in"
                              : " is refused: region " + refused_by + " has a site of its name")};
}

std::vector<KvWrite> Planner::plan_refusals(std::int64_t now_ns, std::uint64_t term) {
  const auto holder_of = [this](const std::string& site) -> std::string {
    const auto home = home_.find(site);
    if (home == home_.end()) return {};
    const Member* member = member_of(site, home->second);
    return member != nullptr && member->alive ? home->second : "";
  };
  std::vector<KvWrite> writes;
  for (const auto& [region, claims] : claims_) {
    for (const auto& [site, facts] : claims.facts) {
      const std::string holder = holder_of(site);
      if (holder.empty() || refuses(site, region)) continue;
      writes.push_back(refusal_write(site, region, holder, term));
    }
  }
  for (auto& [which, vacant_ns] : refused_) {
    const auto& [site, region] = which;
    const std::string holder = holder_of(site);
    if (!holder.empty() && holder != region) {
      vacant_ns = -1;
    } else if (vacant_ns < 0) {
      vacant_ns = now_ns;
    } else if (now_ns - vacant_ns >= name_vacant_ns) {
      writes.push_back(refusal_write(site, region, "", term));
    }
  }
  return writes;
}

std::optional<KvWrite> Planner::stands(const SiteChange& change, std::uint64_t term) const {
  const PlanSite& seen = change.seen;
  const SiteFacts& facts = *seen.facts.value;
  const auto facts_now = facts_.find(facts.name);
  const auto desired_now = desired_.find(facts.name);
  const Member* member = member_of(facts.name, facts.region);
  const bool alive = member != nullptr && member->alive;
  const std::uint64_t revision = desired_now == desired_.end() ? 0 : desired_now->second.revision;
  if (facts_now == facts_.end() || facts_now->second.revision != seen.facts.revision ||
      facts_now->second.value->region != facts.region || revision != seen.desired.revision ||
      alive != seen.alive || drains(facts.name) != seen.draining) {
    return {};
  }
  DesiredSite next = change.next;
  next.term = term;
  return KvWrite{region_bucket(facts.region), "desired." + facts.name, desired_text(next), revision,
                 "site " + facts.name + " shall run " + std::to_string(next.models.size()) +
                     " models" + (next.draining ? ", drains" : "")};
}

}  // namespace noroshi::fleet
