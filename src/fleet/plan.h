#pragma once

// One round of planning, in three steps, so that the control plane holds its lock for pieces of it
// only and goes on hearing sites and obeying commands meanwhile (docs/decisions/0021):
//
//   gather   planner.h, under the lock, so many sites at a time   what is known now
//   decide   here, pure, under no lock                            what each site should run
//   stands   planner.h, under the lock, site by site              the write, where what was decided
//                                                                 from is still so
//
// What changed meanwhile is the next round's.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fleet/desired.h"
#include "fleet/placement.h"
#include "fleet/rollout.h"

namespace noroshi::fleet {

inline constexpr std::size_t sites_a_lock = 1024;  // gathered at a time

template <class T>
struct Revised {
  T value = {};
  std::uint64_t revision = 0;
};

// Shared with what was gathered, for they are many and not small. Never null.
using FactsHeld = Revised<std::shared_ptr<const SiteFacts>>;
using DesiredHeld = Revised<std::shared_ptr<const DesiredSite>>;

struct PlanSite {
  FactsHeld facts = {};
  DesiredHeld desired = {};  // null, revision 0: nothing was desired of it yet
  bool alive = false;
  bool draining = false;
  double lease_share_forecast = 0;
};

struct PlanInput {
  std::map<std::string, Revised<ModelSpec>> models = {};  // by key word
  std::map<std::string, Revised<Rollout>> rollouts = {};
  std::map<std::string, double> requests = {};  // now, by model
  std::vector<PlanSite> sites = {};             // by name
  // How far gathering is.
  bool begun = false;
  std::string member_reached = {};
  std::string site_reached = {};
  bool members_done = false;
};

struct SiteChange {
  PlanSite seen = {};
  DesiredSite next = {};  // its term is filled in when it is written
};

struct Plan {
  std::vector<SiteChange> changes = {};
  std::vector<Shortfall> shortfalls = {};
};

// place(), or what stands in for it in a test.
using PlaceFunction =
    std::function<Placement(const std::vector<ModelSpec>&, const std::vector<PlacementSite>&,
                            const std::map<std::string, double>&)>;

Plan decide(const PlanInput& input, const std::map<std::string, double>& demand,
            const PlaceFunction& place_models);

}  // namespace noroshi::fleet
