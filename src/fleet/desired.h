#pragma once

// What is wanted and what changes slowly, kept in KV (JSON, "v": 1), never on the way of a request:
//
//   bucket noroshi-fleet     model.MODEL    a model that the fleet offers, and how
//                            drain.SITE     a site that is to be emptied
//                            rollout.MODEL  a change of a model's content that is under way
//                            leader         who decides (leadership.h)
//                            session.secret under which gateways name sessions (doors.h); made by
//                                           the leader where there is none
//   bucket noroshi-REGION    facts.SITE     what the site is; written by the site
//                            desired.SITE   what it shall run; written by the leader, with its term
//
// A revision is a fencing token: writes name the one that they saw.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace noroshi::fleet {

inline constexpr const char* fleet_bucket = "noroshi-fleet";
inline constexpr const char* session_secret_key = "session.secret";
std::string region_bucket(std::string_view region);
std::string region_of_bucket(std::string_view bucket);
// A model's name as word of a key: other letters than a key may have become =XX.
std::string key_word(std::string_view model);

// A model's file: the content decides, not the name.
struct ModelFile {
  std::string name = {};
  std::string content_hash = {};   // SHA-256, 64 hexadecimal digits
  std::uint64_t memory_bytes = 0;  // that an engine with it takes
};
bool operator==(const ModelFile& a, const ModelFile& b);

struct ModelSpec {
  std::string name = {};
  std::string content_hash = {};
  std::string previous_hash = {};  // also answers to the name during a roll-out; empty: none
  std::uint64_t memory_bytes = 0;
  int copies_min = 1;
  int copies_max = 1'000'000;
  double requests_per_copy = 8;  // in flight, above which another copy is wanted
  // A site must be in one of them, where any are given, and have every label.
  std::vector<std::string> regions = {};
  std::vector<std::string> prefectures = {};
  std::vector<std::string> labels = {};
};

struct SiteFacts {
  std::string name = {};
  std::string region = {};
  std::uint64_t instance = 0;
  std::string prefecture = {};
  std::vector<std::string> labels = {};  // "sovereign", ...
  std::uint64_t memory_bytes = 0;        // for engines
  int processors = 0;
  std::vector<ModelFile> files = {};  // that it has
  std::uint64_t disk_bytes = 0;       // for files that it may be sent; 0: it takes none
  // Of them, what it runs by its own configuration, as long as the fleet has no model of that name.
  std::vector<std::string> configured = {};
  std::string version = {};  // of noroshi
};

struct DesiredSite {
  std::uint64_t term = 0;
  bool draining = false;
  std::vector<ModelFile> models = {};
  // Not empty: the name is a site's of that region; this one stays out of the fleet, and what else
  // stands here is for when it is let in again.
  std::string refused_by = {};
};

enum class RolloutState : std::uint8_t { running, done, rolled_back };
struct Rollout {
  std::string model = {};
  std::string from_hash = {};
  std::string to_hash = {};
  std::string site = {};               // that changes now; empty: none
  std::vector<std::string> done = {};  // sites that run the new one and are well
  RolloutState state = RolloutState::running;
  std::string reason = {};  // why it was rolled back
};

std::string model_text(const ModelSpec& spec);
std::string facts_text(const SiteFacts& facts);
std::string desired_text(const DesiredSite& desired);
std::string rollout_text(const Rollout& rollout);
std::string drain_text(bool draining);
std::string session_secret_text(const std::string& secret);

Result<ModelSpec> parse_model(std::string_view bytes);
Result<SiteFacts> parse_facts(std::string_view bytes);
Result<DesiredSite> parse_desired(std::string_view bytes);
Result<Rollout> parse_rollout(std::string_view bytes);
Result<bool> parse_drain(std::string_view bytes);
// 64 hexadecimal digits. Errors do not show it.
Result<std::string> parse_session_secret(std::string_view bytes);

const char* name_of(RolloutState state);

// SHA-256 of a file, in hexadecimal. Errors name the path.
Result<std::string> file_hash(const std::string& path);

}  // namespace noroshi::fleet
