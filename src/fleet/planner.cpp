#include "fleet/planner.h"

#include <algorithm>
#include <cmath>

namespace noroshi::fleet {
namespace {

// The part of a key after "KIND."; nothing when it is of another kind.
std::optional<std::string> key_after(const std::string& key, std::string_view kind) {
  if (!key.starts_with(kind) || key.size() <= kind.size() || key[kind.size()] != '.') return {};
  return key.substr(kind.size() + 1);
}

// Takes what the entry says into the map; an erased key leaves it.
template <class T, class Parse>
Result<void> take(std::map<std::string, Revised<T>>& map, const std::string& name,
                  const KvEntry& entry, Parse parse) {
  if (entry.erased) {
    map.erase(name);
    return {};
  }
  Result<T> value = parse(entry.value);
  if (!value) return Error{"key " + entry.key + ": " + value.error().message};
  map[name] = {.value = *std::move(value), .revision = entry.revision};
  return {};
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
    return take(facts_, *site, entry, parse_facts);
  }
  if (const auto site = key_after(entry.key, "desired")) {
    return take(desired_, *site, entry, parse_desired);
  }
  return {};
}

bool Planner::drains(const std::string& site) const {
  const auto found = drains_.find(site);
  return found != drains_.end() && found->second.value;
}

std::uint64_t Planner::drain_revision(const std::string& site) const {
  const auto found = drains_.find(site);
  return found == drains_.end() ? 0 : found->second.revision;
}

void Planner::follow_demand(std::int64_t now_ns) {
  std::map<std::string, double> now;
  for (const auto& [name, member] : membership_.members()) {
    if (!member.alive) continue;
    for (const gateway::ModelAtSite& model : member.report.site.models) {
      now[model.name] += model.requests_in_flight + model.requests_queued;
    }
  }
  const double elapsed_s =
      demand_at_ns_ < 0 ? 1e9 : static_cast<double>(now_ns - demand_at_ns_) / 1e9;
  const double kept = std::exp2(-elapsed_s / config_.demand_half_life_s);
  demand_at_ns_ = now_ns;
  for (auto& [model, requests] : demand_) requests *= kept;
  for (const auto& [model, requests] : now) demand_[model] += (1 - kept) * requests;
}

// What a site runs by its own configuration and the fleet has no word about.
std::vector<ModelFile> Planner::own_models(const SiteFacts& facts) const {
  std::vector<ModelFile> own;
  for (const std::string& name : facts.configured) {
    const auto file = std::ranges::find(facts.files, name, &ModelFile::name);
    if (file != facts.files.end() && models_.count(key_word(name)) == 0) own.push_back(*file);
  }
  return own;
}

std::vector<PlacementSite> Planner::placement_sites() const {
  std::vector<PlacementSite> sites;
  for (const auto& [name, facts] : facts_) {
    const Member* member = membership_.find(name);
    PlacementSite& site = sites.emplace_back();
    site.name = name;
    site.region = facts.value.region;
    site.prefecture = facts.value.prefecture;
    site.labels = facts.value.labels;
    site.memory_bytes = facts.value.memory_bytes;
    for (const ModelFile& own : own_models(facts.value)) {
      site.memory_bytes -= std::min(site.memory_bytes, own.memory_bytes);
    }
    site.alive = member != nullptr && member->alive;
    site.draining = drains(name);
    site.files = facts.value.files;
    site.disk_bytes = facts.value.disk_bytes;
    if (member != nullptr) {
      site.processors_left = facts.value.processors * member->report.site.lease_share_forecast;
    }
    if (const auto found = desired_.find(name); found != desired_.end()) {
      site.models = found->second.value.models;
    }
  }
  return sites;
}

std::vector<RolloutSite> Planner::rollout_sites(const Rollout& rollout) const {
  std::vector<RolloutSite> sites;
  for (const auto& [name, desired] : desired_) {
    const auto& models = desired.value.models;
    const Member* member = membership_.find(name);
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
      site.has_new_file = std::ranges::any_of(facts->second.value.files, [&](const ModelFile& f) {
        return f.name == rollout.model && f.content_hash == rollout.to_hash;
      });
    }
  }
  return sites;
}

void Planner::plan_rollouts(std::int64_t now_ns, std::vector<KvWrite>& writes) {
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
}

void Planner::plan_desired(std::uint64_t term, const Placement& placement,
                           std::vector<KvWrite>& writes) {
  for (const auto& [name, models] : placement.sites) {
    DesiredSite next{.term = term, .draining = drains(name), .models = models};
    for (ModelFile& file : next.models) {
      const auto rollout = rollouts_.find(key_word(file.name));
      if (rollout == rollouts_.end()) continue;
      const Rollout& r = rollout->second.value;
      if (file.content_hash == r.from_hash || file.content_hash == r.to_hash) {
        file.content_hash = wanted_hash(r, name);
      }
    }
    const auto facts = facts_.find(name);
    if (facts == facts_.end()) continue;
    for (ModelFile& own : own_models(facts->second.value)) next.models.push_back(std::move(own));
    std::ranges::sort(next.models, {}, [](const ModelFile& m) { return m.name; });
    const auto found = desired_.find(name);
    // A site that drains keeps what it runs: it finishes its requests, and gateways go elsewhere.
    if (next.draining && found != desired_.end()) next.models = found->second.value.models;
    const bool same = found != desired_.end() && found->second.value.models == next.models &&
                      found->second.value.draining == next.draining;
    if (same) continue;
    writes.push_back({region_bucket(facts->second.value.region), "desired." + name,
                      desired_text(next), found != desired_.end() ? found->second.revision : 0,
                      "site " + name + " shall run " + std::to_string(next.models.size()) +
                          " models" + (next.draining ? ", drains" : "")});
  }
}

std::vector<KvWrite> Planner::plan(std::uint64_t term, std::int64_t now_ns) {
  follow_demand(now_ns);
  std::vector<ModelSpec> specs;
  for (const auto& [key, model] : models_) specs.push_back(model.value);
  Placement placement = place(specs, placement_sites(), demand_);
  shortfalls_ = std::move(placement.shortfalls);
  std::vector<KvWrite> writes;
  plan_rollouts(now_ns, writes);
  plan_desired(term, placement, writes);
  return writes;
}

}  // namespace noroshi::fleet
