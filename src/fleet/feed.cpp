#include "fleet/feed.h"

#include "base/loopback.h"
#include "fleet/desired.h"

namespace noroshi::fleet {
namespace {

constexpr std::size_t regions_max = 4096;
// A region whose digests have been missing for so long keeps no name from others.
constexpr std::int64_t digest_holds_ns = 3'500'000'000;

}  // namespace

Feed::Feed(Bus& bus, Clock& clock, FeedConfig config, FeedSink sink)
    : bus_(bus), clock_(clock), config_(std::move(config)), sink_(std::move(sink)) {}

Result<void> Feed::start() {
  for (const auto& [what, word] : {std::pair{"region", config_.region}, {"id", config_.id}}) {
    if (is_word(word)) continue;
    return Error{std::string("fleet: the gateway's ") + what + " is '" + word +
                 "' (allowed: 1 to 64 letters, digits, '-' and '_')"};
  }
  const auto hear = [this](const std::string& subject, void (Feed::*heard)(const Message&)) {
    auto subscription = bus_.subscribe(
        subject, "", [this, heard](const Message& message) { (this->*heard)(message); });
    if (!subscription) return Result<void>(subscription.error());
    subscriptions_.push_back(*std::move(subscription));
    return Result<void>();
  };
  if (auto r = hear("noroshi." + config_.region + ".*.beat", &Feed::heard_beat); !r) return r;
  if (auto r = hear("noroshi.digest.*", &Feed::heard_digest); !r) return r;
  auto pulse = bus_.subscribe("noroshi.pulse." + config_.id, "", [this](const Message&) {
    const std::lock_guard lock(mutex_);
    pulse_.came_back(clock_.now_ns());
  });
  if (!pulse) return pulse.error();
  subscriptions_.push_back(*std::move(pulse));
  auto models =
      bus_.kv_watch(fleet_bucket, "model.*", [this](const KvEntry& entry) { heard_model(entry); });
  if (!models) return models.error();
  subscriptions_.push_back(*std::move(models));
  return {};
}

void Feed::refuse(const Error& error) {
  ++counters_.refused;
  counters_.last_error = error.message;
}

void Feed::update(gateway::SiteState site, std::int64_t now_ns, std::int64_t age_ns) {
  if (site.pin.is_none() && !config_.plain_sites && !is_loopback(site.host)) {
    ++counters_.plain_sites;
    sink_.lost(site.name);  // it may have had another address
    counters_.plain_site = "site '" + site.name + "' at " + site.host +
                           " speaks plain HTTP (its ai.gateway.tls): it is asked nothing, unless "
                           "the gateway is told that the way is safe (--plain-sites)";
    return refuse({counters_.plain_site});
  }
  site.received_at_ns = now_ns - age_ns;
  site.api_key = config_.api_key;
  const auto known = config_.rtt_ms.find(site.region);
  site.rtt_ms = known != config_.rtt_ms.end()   ? known->second
                : site.region == config_.region ? config_.rtt_ms_own
                                                : config_.rtt_ms_other;
  if (const Result<void> taken = sink_.update(site); !taken) refuse(taken.error());
}

void Feed::heard_beat(const Message& message) {
  Result<SiteReport> report = parse_report(message.subject, message.data);
  const std::lock_guard lock(mutex_);
  if (!report) return refuse(report.error());
  const std::int64_t now_ns = clock_.now_ns();
  ++counters_.beats;
  const gateway::SiteState site = report->site;
  if (!hold(site.name, own_, now_ns)) {
    ++counters_.duplicates;
    return;
  }
  switch (membership_.hear(*std::move(report), now_ns)) {
    case Heard::duplicate:
      ++counters_.duplicates;
      [[fallthrough]];
    case Heard::old:
      if (const Member* member = membership_.find(site.name); !member || !member->alive) {
        release(site.name);
      }
      return;
    case Heard::restarted:
      sink_.lost(site.name);  // its caches are gone
      break;
    default:
      break;
  }
  update(site, now_ns, 0);
}

void Feed::heard_digest(const Message& message) {
  Result<Digest> digest = parse_digest(message.subject, message.data);
  const std::lock_guard lock(mutex_);
  if (!digest) return refuse(digest.error());
  if (digest->region == config_.region) return;  // heard at first hand
  const std::int64_t now_ns = clock_.now_ns();
  if (regions_.size() >= regions_max && regions_.count(digest->region) == 0) {
    return refuse({"digest of region '" + digest->region + "': there are " +
                   std::to_string(regions_max) + " regions already"});
  }
  ++counters_.digests;
  Region& region = regions_[digest->region];
  const bool newer = region.origin != digest->origin || digest->sequence > region.sequence;
  if (newer) {
    region.origin = digest->origin;
    region.sequence = digest->sequence;
    region.parts.clear();
    ++region.round;
  } else if (digest->sequence < region.sequence) {
    return;
  }
  region.heard_ns = now_ns;
  for (DigestSite& entry : digest->sites) {
    if (!hold(entry.site.name, region, now_ns)) {
      ++counters_.duplicates;
      continue;
    }
    update(std::move(entry.site), now_ns, std::int64_t{entry.age_ms} * 1'000'000);
  }
  region.parts.insert(digest->part);
  if (static_cast<int>(region.parts.size()) == digest->parts) complete(region);
}

bool Feed::hold(const std::string& site, Region& region, std::int64_t now_ns) {
  const auto [found, is_new] = names_.try_emplace(site);
  Named& named = *found;
  Region* before = named.second.region;
  if (!is_new && before != &region) {
    if (before == &own_ || now_ns - before->heard_ns <= digest_holds_ns) return false;
    std::erase(before->sites, &named);
  }
  named.second = {&region, region.round};
  if (before != &region && &region != &own_) region.sites.push_back(&named);
  return true;
}

void Feed::release(const std::string& site) {
  const auto found = names_.find(site);
  if (found != names_.end() && found->second.region == &own_) names_.erase(found);
}

// All parts of a digest came: who is in none of them is no longer there.
void Feed::complete(Region& region) {
  std::erase_if(region.sites, [&](const Named* site) {
    if (site->second.round == region.round) return false;
    const std::string name = site->first;
    names_.erase(name);
    sink_.lost(name);
    ++counters_.lost;
    return true;
  });
}

void Feed::heard_model(const KvEntry& entry) {
  if (entry.erased) return;
  const Result<ModelSpec> model = parse_model(entry.value);
  if (!model) {
    const std::lock_guard lock(mutex_);
    return refuse({"key " + entry.key + ": " + model.error().message});
  }
  std::vector<std::string> hashes;
  for (const std::string& hash : {model->content_hash, model->previous_hash}) {
    if (!hash.empty()) hashes.push_back(hash);
  }
  sink_.allow(model->name, std::move(hashes));
}

void Feed::step() {
  const std::int64_t now_ns = clock_.now_ns();
  if (now_ns >= next_pulse_ns_) {
    next_pulse_ns_ = now_ns + BusPulse::interval_ns;
    // Without connection there is no pulse, which is what it tells.
    const Result<void> sent = bus_.publish("noroshi.pulse." + config_.id, "");
    static_cast<void>(sent);
  }
  const std::lock_guard lock(mutex_);
  for (const std::string& site : membership_.expire(pulse_)) {
    release(site);
    sink_.lost(site);
    ++counters_.lost;
  }
}

FeedCounters Feed::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace noroshi::fleet
