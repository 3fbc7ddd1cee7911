#pragma once

// What the leader knows, from what KV holds and what the sites report, and what it decides from
// that: placement, roll-outs and drains become each site's desired state (plan.h). Pure: the same
// news in the same order give the same writes; time is an argument. Whoever runs it (control.h)
// carries news in and writes out.
//
// A name is one site's in the whole fleet. Where the buckets of several regions have facts of one
// name, it is the region's whose site lives, else the one's that was known first; what the others
// have is held aside, planned for by nobody, and takes its place when that one is gone. The others
// are told so by their desired state (refused_by), and nobody hears them from then on, whoever is
// restarted: only the one whose the name is may be silent for long enough that they are let in.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fleet/bus.h"
#include "fleet/desired.h"
#include "fleet/membership.h"
#include "fleet/plan.h"
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
  PlaceFunction place = fleet::place;
};

class Planner {
 public:
  explicit Planner(PlannerConfig config = {}) : config_(std::move(config)) {}

  // News from KV, of any bucket. Errors name key, field and value; the last good value stays.
  Result<void> learn(const std::string& bucket, const KvEntry& entry);
  // What is known of a key, as it stood in KV before somebody wrote what nobody can read; nothing:
  // it is not known.
  std::optional<std::string> known_text(const std::string& bucket, const std::string& key) const;
  // News from the sites. After hear() said joined or restarted: settle().
  Membership& membership() { return membership_; }
  const Membership& membership() const { return membership_; }

  // Whose the name is, when that may be another region's from now on.
  void settle(const std::string& site);
  // The regions that have facts of the name too, and whose it is not; and of how many names.
  std::vector<std::string> claims(const std::string& site) const;
  std::size_t contested() const;

  // Adds what is known of at most so many further sites. True: that was all.
  bool gather(PlanInput& input, std::size_t sites_max) const;
  // Demand, from the requests that were gathered.
  std::map<std::string, double> follow_demand(const std::map<std::string, double>& requests,
                                              std::int64_t now_ns);
  // Whether models and roll-outs are still those that were gathered.
  bool is_of(const PlanInput& input) const;
  void take_shortfalls(std::vector<Shortfall> shortfalls) { shortfalls_ = std::move(shortfalls); }
  // What is to be written now of roll-outs. Nothing is assumed written until learn() brings it
  // back, here and below.
  std::vector<KvWrite> plan_rollouts(std::int64_t now_ns);
  // Who is to be told that his name is another's, and who that it is no more.
  std::vector<KvWrite> plan_refusals(std::int64_t now_ns, std::uint64_t term);
  // Whether the site of that region was told so.
  bool refuses(const std::string& site, const std::string& region) const {
    return refused_.count({site, region}) > 0;
  }
  // The write for one site by a leader of this term; nothing when the site is not as it was seen.
  std::optional<KvWrite> stands(const SiteChange& change, std::uint64_t term) const;

  const std::vector<Shortfall>& shortfalls() const { return shortfalls_; }
  const std::map<std::string, Revised<ModelSpec>>& models() const { return models_; }
  const std::map<std::string, FactsHeld>& facts() const { return facts_; }
  const std::map<std::string, DesiredHeld>& desired() const { return desired_; }
  const std::map<std::string, Revised<Rollout>>& rollouts() const { return rollouts_; }
  bool drains(const std::string& site) const;
  std::uint64_t drain_revision(const std::string& site) const;  // 0: nobody has said
  bool has_session_secret() const { return !session_secrets_.empty(); }

 private:
  // What the bucket of a region has of names that are another region's.
  struct Claims {
    std::map<std::string, FactsHeld> facts;
    std::map<std::string, DesiredHeld> desired;
  };
  Result<void> learn_site(const std::string& region, const std::string& site, bool of_facts,
                          const KvEntry& entry);
  KvWrite refusal_write(const std::string& site, const std::string& region,
                        const std::string& refused_by, std::uint64_t term) const;
  const Member* member_of(const std::string& site, const std::string& region) const;
  std::vector<RolloutSite> rollout_sites(const Rollout& rollout) const;

  PlannerConfig config_;
  Membership membership_;
  std::map<std::string, Revised<ModelSpec>> models_;
  std::map<std::string, Revised<bool>> drains_;
  std::map<std::string, Revised<Rollout>> rollouts_;
  std::map<std::string, Revised<std::string>> session_secrets_;  // by key: one, or none
  std::map<std::string, FactsHeld> facts_;
  std::map<std::string, DesiredHeld> desired_;
  std::map<std::string, std::string> home_;  // site: the region whose facts and desired are above
  std::map<std::string, Claims> claims_;     // by region
  // Site and region that were told, and since when nobody else was heard of the name; -1: not so.
  std::map<std::pair<std::string, std::string>, std::int64_t> refused_;
  std::map<std::string, RolloutWatch> watches_;
  std::map<std::string, double> demand_;  // requests in flight and queued, smoothed
  std::int64_t demand_at_ns_ = -1;
  std::vector<Shortfall> shortfalls_;
};

}  // namespace noroshi::fleet
