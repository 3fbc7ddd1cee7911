#pragma once

// A model's new content goes to one site at a time. The site gets the new file and must be well
// with it: it reports the new content, ready, without a fault, for gate_ns on end and within
// timeout_ns. Then the next one. A site that says it cannot, is lost, or is not well in time ends
// the roll-out: every site goes back to the old content.
//
// Pure: what the sites report and the time are arguments. The roll-out itself lies in KV, so that
// the next leader goes on where this one stopped; only the watch over the current site starts anew.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fleet/desired.h"

namespace noroshi::fleet {

struct RolloutConfig {
  std::int64_t gate_ns = 5'000'000'000;
  std::int64_t timeout_ns = 180'000'000'000;
};

// A site that shall run the model.
struct RolloutSite {
  std::string name = {};
  bool alive = true;
  bool ready = false;
  std::string content_hash = {};  // of the model, as it reports it; empty: it runs none
  bool has_new_file = true;
  std::string fault = {};  // about the desired state that it was given last
  int requests_in_flight = 0;
};

// The leader's watch over the site that changes now.
struct RolloutWatch {
  std::string site = {};
  std::int64_t since_ns = 0;
  std::int64_t well_since_ns = -1;
};

// The next state of a running roll-out; the same when nothing is due.
Rollout advance(const Rollout& rollout, const RolloutConfig& config,
                const std::vector<RolloutSite>& sites, std::int64_t now_ns, RolloutWatch& watch);

// The content that the site shall have of the roll-out's model.
const std::string& wanted_hash(const Rollout& rollout, const std::string& site);

}  // namespace noroshi::fleet
