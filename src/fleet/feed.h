#pragma once

// What a gateway hears of the sites, carried to its router: heartbeats of its own region, the other
// regions' digests, and which content of a model may answer to its name. Nothing is taken back for
// age: with the bus dead the router goes on with what it knew last. A site is lost when it misses
// its beats while the bus works, or its region's digest no longer names it. A name is the region's
// that was the first to have it, as long as that has it: another's is counted and ignored.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "fleet/bus.h"
#include "fleet/digest.h"
#include "fleet/membership.h"

namespace noroshi::fleet {

struct FeedConfig {
  std::string region = {};   // the gateway's
  std::string id = {};       // a word, of this gateway alone
  std::string api_key = {};  // that sites want to see
  bool plain_sites = false;  // beyond the loopback are asked, too: the way to them is safe
  double rtt_ms_own = 1;     // to sites of the own region
  double rtt_ms_other = 20;
  std::map<std::string, double> rtt_ms = {};  // to sites of a region, where it is known better
};

// Where the news goes: a gateway's router, by its words (gateway/route/route.h).
struct FeedSink {
  std::function<Result<void>(const gateway::SiteState&)> update;
  std::function<void(const std::string& site)> lost;
  std::function<void(const std::string& model, std::vector<std::string> content_hashes)> allow;
};
FeedSink sink_of(gateway::Router& router);

struct FeedCounters {
  std::uint64_t beats = 0;
  std::uint64_t digests = 0;
  std::uint64_t refused = 0;     // malformed, or refused by the router
  std::uint64_t duplicates = 0;  // beats and lines of digests of a name that another site has
  std::uint64_t lost = 0;
  std::uint64_t plain_sites = 0;  // words of sites without TLS that were refused
  std::string plain_site = {};    // the last of them, in words
  std::string last_error = {};
};

class Feed {
 public:
  Feed(Bus& bus, Clock& clock, FeedConfig config, FeedSink sink);

  Result<void> start();
  // Sends the pulse and looks who is silent. Never waits. Every few ten milliseconds.
  void step();
  FeedCounters counters() const;

 private:
  struct Region;
  struct Holder {
    Region* region = nullptr;
    std::uint64_t round = 0;  // that named it last
  };
  using Named = std::pair<const std::string, Holder>;
  struct Region {
    std::uint64_t origin = 0;
    std::uint64_t sequence = 0;
    std::set<int> parts;      // of this sequence, that came
    std::uint64_t round = 0;  // grows with each sequence
    std::int64_t heard_ns = 0;
    std::vector<Named*> sites;  // that the router was told of
  };
  void heard_beat(const Message& message);
  void heard_digest(const Message& message);
  void heard_model(const KvEntry& entry);
  void complete(Region& region);
  // Whether the name is the region's, from now on if nobody else has it.
  bool hold(const std::string& site, Region& region, std::int64_t now_ns);
  void release(const std::string& site);  // a site of the own region
  void update(gateway::SiteState site, std::int64_t now_ns, std::int64_t age_ns);
  void refuse(const Error& error);

  Bus& bus_;
  Clock& clock_;
  const FeedConfig config_;
  const FeedSink sink_;

  mutable std::mutex mutex_;  // of all below
  Membership membership_;
  BusPulse pulse_;
  std::map<std::string, Region> regions_;
  Region own_;  // whose sites are heard at first hand
  std::unordered_map<std::string, Holder> names_;
  FeedCounters counters_;
  std::int64_t next_pulse_ns_ = 0;
  std::vector<std::unique_ptr<Subscription>> subscriptions_;  // last: its handlers use the others
};

}  // namespace noroshi::fleet
