#include "fleet/leadership.h"

#include <algorithm>

#include "fleet/json_fields.h"

namespace noroshi::fleet {

std::string leader_text(const LeaderKey& key) {
  return boost::json::serialize(boost::json::object{
      {"v", 1}, {"holder", key.holder}, {"term", key.term}, {"renewals", key.renewals}});
}

Result<LeaderKey> parse_leader(std::string_view bytes) {
  const auto document = parse_document(bytes, 4096);
  if (!document) return Error{"leader: " + document.error().message};
  std::optional<Error> error;
  JsonFields fields(*document, "leader", error);
  LeaderKey key;
  fields.require("holder");
  fields.require("term");
  fields.text("holder", key.holder);
  fields.natural("term", key.term);
  fields.natural("renewals", key.renewals);
  if (error) return *std::move(error);
  return key;
}

void Leadership::saw(std::uint64_t revision, const LeaderKey& key, std::int64_t now_ns) {
  if (seen_ && revision <= revision_) return;
  seen_ = true;
  revision_ = revision;
  key_ = key;
  changed_ns_ = now_ns;
  if (key.holder != ourself_ || key.term != term_) term_ = 0;
}

void Leadership::saw_garbage(std::uint64_t revision, std::uint64_t term_known,
                             std::int64_t now_ns) {
  saw(revision, {.holder = {}, .term = std::max(key_.term, term_known), .renewals = 0}, now_ns);
}

std::optional<Leadership::Attempt> Leadership::next(std::int64_t now_ns) const {
  if (!seen_) return std::nullopt;
  Attempt attempt{.key = key_, .revision = revision_, .started_ns = now_ns};
  if (term_ > 0 && now_ns - renewed_ns_ < leader_silent_ns) {
    if (now_ns - renewed_ns_ < leader_renew_ns) return std::nullopt;
    ++attempt.key.renewals;
    return attempt;
  }
  if (revision_ > 0 && now_ns - changed_ns_ < leader_silent_ns) return std::nullopt;
  attempt.key = {.holder = ourself_, .term = key_.term + 1, .renewals = 0};
  return attempt;
}

void Leadership::wrote(const Attempt& attempt, std::uint64_t revision) {
  revision_ = revision;
  key_ = attempt.key;
  changed_ns_ = attempt.started_ns;
  term_ = attempt.key.term;
  renewed_ns_ = attempt.started_ns;
}

}  // namespace noroshi::fleet
