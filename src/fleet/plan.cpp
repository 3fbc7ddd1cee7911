#include "fleet/plan.h"

#include <algorithm>

namespace noroshi::fleet {
namespace {

// What a site runs by its own configuration and the fleet has no word about.
std::vector<ModelFile> own_models(const PlanInput& input, const SiteFacts& facts) {
  std::vector<ModelFile> own;
  for (const std::string& name : facts.configured) {
    const auto file = std::ranges::find(facts.files, name, &ModelFile::name);
    if (file != facts.files.end() && input.models.count(key_word(name)) == 0) own.push_back(*file);
  }
  return own;
}

PlacementSite placement_site(const PlanInput& input, const PlanSite& seen) {
  const SiteFacts& facts = *seen.facts.value;
  PlacementSite site;
  site.name = facts.name;
  site.region = facts.region;
  site.prefecture = facts.prefecture;
  site.labels = facts.labels;
  site.memory_bytes = facts.memory_bytes;
  for (const ModelFile& own : own_models(input, facts)) {
    site.memory_bytes -= std::min(site.memory_bytes, own.memory_bytes);
  }
  site.alive = seen.alive;
  site.draining = seen.draining;
  site.files = facts.files;
  site.disk_bytes = facts.disk_bytes;
  site.processors_left = facts.processors * seen.lease_share_forecast;
  if (seen.desired.value) site.models = seen.desired.value->models;
  return site;
}

DesiredSite next_of(const PlanInput& input, const PlanSite& seen, std::vector<ModelFile> placed) {
  const SiteFacts& facts = *seen.facts.value;
  DesiredSite next{.draining = seen.draining, .models = std::move(placed)};
  for (ModelFile& file : next.models) {
    const auto rollout = input.rollouts.find(key_word(file.name));
    if (rollout == input.rollouts.end()) continue;
    const Rollout& r = rollout->second.value;
    if (file.content_hash == r.from_hash || file.content_hash == r.to_hash) {
      file.content_hash = wanted_hash(r, facts.name);
    }
  }
  for (ModelFile& own : own_models(input, facts)) next.models.push_back(std::move(own));
  std::ranges::sort(next.models, {}, [](const ModelFile& m) { return m.name; });
  // A site that drains keeps what it runs: it finishes its requests, and gateways go elsewhere.
  if (next.draining && seen.desired.value) next.models = seen.desired.value->models;
  return next;
}

}  // namespace

Plan decide(const PlanInput& input, const std::map<std::string, double>& demand,
            const PlaceFunction& place_models) {
  std::vector<ModelSpec> specs;
  for (const auto& [key, model] : input.models) specs.push_back(model.value);
  std::vector<PlacementSite> sites;
  sites.reserve(input.sites.size());
  for (const PlanSite& seen : input.sites) sites.push_back(placement_site(input, seen));
  Placement placement = place_models(specs, sites, demand);
  Plan plan{.shortfalls = std::move(placement.shortfalls)};
  for (const PlanSite& seen : input.sites) {
    const auto placed = placement.sites.find(seen.facts.value->name);
    if (placed == placement.sites.end()) continue;  // it is lost: it keeps what was desired
    DesiredSite next = next_of(input, seen, std::move(placed->second));
    const DesiredSite* now = seen.desired.value.get();
    if (now != nullptr && now->models == next.models && now->draining == next.draining &&
        now->refused_by.empty()) {
      continue;
    }
    plan.changes.push_back({seen, std::move(next)});
  }
  return plan;
}

}  // namespace noroshi::fleet
