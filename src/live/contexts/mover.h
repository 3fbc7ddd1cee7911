#pragma once

// Contexts of sessions, on their way from site to site (gateway/context.h). At the site that a
// session has come to:
//
//   fetch()  cheaper to compute?                                   costs known of the other site
//            -> asks the other site on the bus                     noroshi.context.REGION.SITE
//            -> takes the sealed context out of the fleet's store, opens it
//            -> restores it into an idle slot of the engine
//
// and at the one that it came from:
//
//   ask  -> the engine's slot by the turn's seed -> saved -> sealed (seal.h) -> put in the store
//
// The request waits no longer than patience_s (gateway/handover/handover.h) says; a site that
// failed is not asked for a while. Two threads of its own, one for either side, so that two sites
// that ask each other do not wait for each other.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/prng.h"
#include "base/result.h"
#include "fleet/bus.h"
#include "gateway/gateway.h"
#include "gateway/handover/handover.h"
#include "live/contexts/messages.h"

namespace noroshi::live {

struct MoverConfig {
  std::string region = {};  // ours
  std::string site = {};
  std::string folder = {};  // where our engines save and restore
  std::uint64_t seed = 1;   // of the blobs' names: another one in each process
  std::size_t bytes_max = std::size_t{160} << 20;  // of a context
};

struct MoverCalls {
  std::function<std::optional<gateway::TurnPlace>(std::string_view session)> last_turn = {};
  // The hash of the model's file that the engine at this port runs; empty: not known.
  std::function<std::string(int tcp_port)> content_of = {};
};

struct MoverCounters {
  std::uint64_t fetched = 0;
  std::uint64_t fetches_failed = 0;
  std::uint64_t sent = 0;
  std::uint64_t asks_refused = 0;
  std::string last_error = {};
};

class ContextMover {
 public:
  static constexpr std::size_t waiting_max = 16;  // of either side; above: refused

  ContextMover(fleet::Bus& bus, Clock& clock, MoverConfig config, MoverCalls calls);
  ~ContextMover();
  ContextMover(const ContextMover&) = delete;
  ContextMover& operator=(const ContextMover&) = delete;

  Result<void> start();
  // As GatewayCalls::fetch_context; any thread.
  void fetch(gateway::ContextWanted wanted, std::function<void(gateway::ContextFetched)> tell);
  MoverCounters counters() const;

 private:
  struct Fetch {
    gateway::ContextWanted wanted;
    std::function<void(gateway::ContextFetched)> tell;
    std::int64_t asked_ns = 0;
  };
  struct Peer {
    gateway::HandoverCosts costs;
    double rest_s = 0;  // after its last failure; 0: it did well
    std::int64_t not_before_ns = 0;
  };
  struct Restored {
    int tcp_port = 0;
    int slot = 0;
    std::int64_t at_ns = 0;
  };

  void run_fetches();
  void run_asks();
  gateway::ContextFetched fetch_one(const Fetch& fetch);
  Result<int> bring(const Fetch& fetch, Peer& peer, double patience_s);
  Result<gateway::SlotPlace> idle_slot(const gateway::SiteAddress& engine, double timeout_s);
  ContextAnswer send(const ContextAsk& ask);
  double left_s(const Fetch& fetch, double patience_s);
  void tidy_up();

  fleet::Bus& bus_;
  Clock& clock_;
  const MoverConfig config_;
  const MoverCalls calls_;

  std::map<std::string, Peer> peers_;  // of the fetching thread
  std::vector<Restored> restored_;     // of the fetching thread: of late
  std::string blob_;                   // of the fetching thread: in the store, not needed any more
  Prng prng_;                          // of the fetching thread

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Fetch> fetches_;        // under mutex_
  std::deque<fleet::Message> asks_;  // under mutex_
  MoverCounters counters_;           // under mutex_
  bool stopping_ = false;            // under mutex_
  std::thread fetching_, asked_;
  std::unique_ptr<fleet::Subscription> subscription_;  // last: its handler uses the others
};

}  // namespace noroshi::live
