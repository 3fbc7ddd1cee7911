// What the leader puts back, or makes, where it is not as it must be.

#include "fleet/control.h"

namespace noroshi::fleet {
namespace {

constexpr std::int64_t secret_interval_ns = 1'000'000'000;

}  // namespace

// Nobody who may write what the fleet wants writes what it cannot read. But a server keeps in a
// bucket whatever is said on the key's subject, also an answer of its own that somebody had sent
// there (keys.cpp).
void Control::restore_spoilt(std::uint64_t term) {
  constexpr std::size_t at_once = 64;
  std::vector<KvWrite> writes;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [where, revision] : spoilt_) {
      if (writes.size() == at_once) break;
      const auto text = planner_.known_text(where.first, where.second);
      if (text) {
        writes.push_back({where.first, where.second, *text, revision,
                          "restore " + where.second + ", which nobody could read"});
      }
    }
  }
  for (const KvWrite& one : writes) {
    if (!write(one, term, config_.id)) continue;
    const std::lock_guard lock(mutex_);
    const auto still = spoilt_.find({one.bucket, one.key});
    // The watch may have brought more of it meanwhile.
    if (still != spoilt_.end() && still->second == one.revision) spoilt_.erase(still);
  }
}

// Who made one a moment ago, which we have not heard yet, was faster: that one stands.
void Control::make_session_secret(std::uint64_t term, std::int64_t now_ns) {
  {
    const std::lock_guard lock(mutex_);
    if (!config_.new_session_secret || planner_.has_session_secret() || now_ns < next_secret_ns_) {
      return;
    }
    next_secret_ns_ = now_ns + secret_interval_ns;
  }
  const Result<std::string> secret = config_.new_session_secret();
  if (!secret) {
    const std::lock_guard lock(mutex_);
    return log("make the gateways' session secret", config_.id, secret.error().message);
  }
  write({fleet_bucket, session_secret_key, session_secret_text(*secret), 0,
         "make the gateways' session secret"},
        term, config_.id);
}

}  // namespace noroshi::fleet
