#pragma once

// What the leader decides, from what KV holds and what the sites report: placement, roll-outs and
// drains become each site's desired state. Pure: the same news in the same order give the same
// writes; time is an argument. Whoever runs it (control.h) carries news in and writes out.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fleet/bus.h"
#include "fleet/desired.h"
#include "fleet/membership.h"
#include "fleet/placement.h"
#include "fleet/rollout.h"

namespace noroshi::fleet {

// One compare and set that is due; revision 0: the key must not be there.
struct KvWrite {
  static constexpr std::uint64_t erase = ~std::uint64_t{0};  // as revision: erase the key
  std::string bucket = {};
  std::string key = {};
  std::string value = {};
  std::uint64_t revision = 0;
  std::string why = {};  // for the audit log
};

struct PlannerConfig {
  RolloutConfig rollout = {};
  double demand_half_life_s = 10;
};

template <class T>
struct Revised {
  T value = {};
  std::uint64_t revision = 0;
};

class Planner {
 public:
  explicit Planner(PlannerConfig config = {}) : config_(config) {}

  // News from KV, of any bucket. Errors name key, field and value; the last good value stays.
  Result<void> learn(const std::string& bucket, const KvEntry& entry);
  // News from the sites; plan() asks it.
  Membership& membership() { return membership_; }
  const Membership& membership() const { return membership_; }

  // What is to be written now by a leader of this term. Nothing is assumed written until learn()
  // brings it back.
  std::vector<KvWrite> plan(std::uint64_t term, std::int64_t now_ns);

  const std::vector<Shortfall>& shortfalls() const { return shortfalls_; }
  const std::map<std::string, Revised<ModelSpec>>& models() const { return models_; }
  const std::map<std::string, Revised<SiteFacts>>& facts() const { return facts_; }
  const std::map<std::string, Revised<DesiredSite>>& desired() const { return desired_; }
  const std::map<std::string, Revised<Rollout>>& rollouts() const { return rollouts_; }
  bool drains(const std::string& site) const;
  std::uint64_t drain_revision(const std::string& site) const;  // 0: nobody has said

 private:
  void follow_demand(std::int64_t now_ns);
  std::vector<PlacementSite> placement_sites() const;
  std::vector<ModelFile> own_models(const SiteFacts& facts) const;
  std::vector<RolloutSite> rollout_sites(const Rollout& rollout) const;
  void plan_rollouts(std::int64_t now_ns, std::vector<KvWrite>& writes);
  void plan_desired(std::uint64_t term, const Placement& placement, std::vector<KvWrite>& writes);

  PlannerConfig config_;
  Membership membership_;
  std::map<std::string, Revised<ModelSpec>> models_;
  std::map<std::string, Revised<bool>> drains_;
  std::map<std::string, Revised<Rollout>> rollouts_;
  std::map<std::string, Revised<SiteFacts>> facts_;
  std::map<std::string, Revised<DesiredSite>> desired_;
  std::map<std::string, RolloutWatch> watches_;
  std::map<std::string, double> demand_;  // requests in flight and queued, smoothed
  std::int64_t demand_at_ns_ = -1;
  std::vector<Shortfall> shortfalls_;
};

}  // namespace noroshi::fleet
