#pragma once

// The gateway's choice of site. What is known of every site lies in tables ordered by distance; for
// each request the site is chosen from which the answer is expected to be whole first:
//
//   score   = round trip + wait for a place + backlog + what is slow there x (prompt not cached
//             / prompt rate + answer / token rate)                                    [seconds]
//   wait    = 0 while a place is open, else (those before it + 1) / open places x mean service time
//   open    = places x share that the radio leaves
//   backlog = what is left to read of the prompts that we sent there, one after the other
//
// Those before it are the last report's, with this gateway's own requests counted live, so that a
// burst between two reports does not run to one site. Of the few best (those within a band of the
// best) two are drawn and the better one is taken, so that many gateways with the same old reports
// do not run to one site either. Rates are the sites' own, as they measure them; one that has
// answered nothing yet is taken to be like the others. What this gateway's requests really take is
// learned beside that, of each copy and, more loosely, of all copies of a model file: own figures
// win while they are fresh, and with each further report a copy's goes back to what all share. What
// a request took is set against what the site told when it was chosen, not against what was learned
// in between by those before it, of which there may be many: so learning never overshoots.
//
// A prompt's beginning that a site has in its cache costs nothing there (prefix.h), and so does the
// context of a session's last turn; but only while the site has a place for it, so that a loved
// prompt cannot fill a site up. Of the best, one where that saves more than the band of its time to
// the first token is taken undrawn.
//
// A session's last turn is the later one of what this gateway chose and what others tell of theirs
// (told_turns.h).
//
// The round trip is what news of the site says until connections to it, or to others of its region,
// have shown better (distance.h).
//
// A site that failed in band is the last resort until its time is over (2 s, doubled at each
// failure in a row, 30 s at most). Nothing is dropped for age: with the bus dead the router works
// on what it knew last. Time and chance are arguments; thread-safe. It never waits, does I/O or
// learns of NATS: who has news of sites calls update() and lost().

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gateway/route/key_pin.h"
#include "gateway/route/told_turns.h"

namespace noroshi::gateway {

// One model that a site can answer with now, and what is left of its engine. 0: not known.
struct ModelAtSite {
  std::string name = {};
  std::string content_hash = {};   // of the model's file; sites that differ in it are kept apart
  int places = 0;                  // requests at once that its engine works on; 0: no limit known
  int requests_in_flight = 0;      // at the engine, whoever sent them
  int requests_queued = 0;         // before it
  double prompt_tokens_per_s = 0;  // at which one prompt is read now
  double tokens_per_s = 0;         // completion tokens that one request gets now
  double service_s_mean = 0;       // of a request of late, from its place to its last byte
  int cache_tokens = 0;            // of context that its engine holds
};

// What the router must know of a site. Numbers are of the moment at which the report was made.
struct SiteState {
  std::string name = {};       // its identity
  std::uint64_t instance = 0;  // drawn when its process starts: tells a restart from a second site
  std::string region = {};
  std::string host = {};  // of its OpenAI-compatible HTTP face: a name or an address
  int tcp_port = 0;
  KeyPin pin = {};           // of the key that its HTTPS shows; none: it speaks plain HTTP
  std::string api_key = {};  // that this gateway shows there
  bool ready = false;
  bool draining = false;  // finishes what it has, takes nothing new
  std::vector<ModelAtSite> models = {};
  double lease_share = 1;           // of its places, that the radio leaves now, 0..1
  double lease_share_forecast = 1;  // over the next seconds
  double rtt_ms = 0;                // from this gateway, until it is measured
  // Its server does not mind connections that idle between requests; each holds one of the few
  // threads of llama-server's.
  bool keeps_connections = true;
  // It is an engine whose contexts can be moved (handover/handover.h): each turn gets a seed.
  bool keeps_contexts = false;
  std::int64_t received_at_ns = 0;  // this gateway's monotonic clock
};

struct RouterConfig {
  double band = 0.2;       // sites whose score is within it of the best one's count as best
  double band_s = 0.002;   // ... or within this
  int best_max = 8;        // of them, at most
  double load_cap = 1.25;  // requests a place, above which a cached prefix counts no more
  double suspect_s = 2;    // a site that failed is the last resort for so long
  double suspect_s_max = 30;
  std::size_t prefix_entries = 1 << 18;  // remembered (block, site) pairs, 16 bytes each
  std::size_t sessions_max = 1 << 16;    // whose last turn is remembered, 32 bytes each
  // As many again, of turns that other gateways tell; 0: they are not heard, nor told of ours.
  std::size_t sessions_told_max = 0;
  std::size_t turns_told_max = 8192;  // that wait to be told; above, the oldest are not
  std::size_t sites_max = 200'000;    // known at once; above, new ones are refused
  // Where the gateway stands: all sites of this region are to be measured, one of each other.
  std::string region = {};
  double measure_again_s = 60;  // what was measured so long ago is measured again
  // What is assumed of a model of which the reports say nothing.
  double prompt_tokens_per_s = 1000;
  double tokens_per_s = 30;
  double service_s = 1;
  int cache_tokens = 32'768;
};

// What is asked, as far as it decides where.
struct Ask {
  std::string_view model = {};
  std::string_view content_hash = {};                 // only sites with this one; empty: any
  std::span<const std::uint64_t> prefix_blocks = {};  // of the prompt (prefix.h)
  std::uint64_t session = 0;                          // hash of its name; 0: none
  int prompt_tokens = 0;                              // expected
  int completion_tokens = 0;
  std::span<const std::uint32_t> tried = {};  // sites that failed this request already
};

struct SiteAddress {
  std::string name;
  std::string region;
  std::string host;
  int tcp_port = 0;
  KeyPin pin;
  std::string api_key;
  bool keeps_connections = true;
  bool keeps_contexts = false;
};

// A site chosen for one request: counted there until it is given to finished().
struct Choice {
  std::shared_ptr<const SiteAddress> at;  // null: no site has the model and is ready
  std::uint32_t site = 0;
  std::uint32_t copy = 0;  // of the model, at that site
  std::string content_hash = {};
  int cached_tokens = 0;        // of the prompt, expected in the site's cache
  double predicted_s = 0;       // to the last byte, as the ask expected it
  double expected_fixed_s = 0;  // the same for any number of completion tokens
  double expected_per_token_s = 0;
  double slowness = 1;               // learned of the copy until then, part of what is expected
  std::uint32_t previous = none;     // the site of the session's last turn
  bool previous_same_model = false;  // there: by the hash of its file, which is known
  static constexpr std::uint32_t none = 0xffffffffu;
};

// How a chosen site fared.
enum class Fate : std::uint8_t {
  answered,  // whole
  refused,   // by the site, which is busy or loads: a sign of load, not of death
  failed,    // no connection, no answer, broke off
  left,      // the client went away: says nothing of the site
};

struct Fared {
  Fate fate = Fate::answered;
  double took_s = 0;  // from the choice to the end; of one that was answered
  int completion_tokens = 0;
};

// What the sites that have a model can take together, for the queue before them (admission.h).
struct Capacity {
  bool known = false;  // a site offers the model; ready or not
  bool ready = false;  // one that may be chosen
  int places = 0;      // 0: no limit known
  double share = 1;
};

// A site whose distance is not known, or of long ago.
struct ToMeasure {
  std::uint32_t site = 0;
  std::shared_ptr<const SiteAddress> at = {};
};

// How far the sites of a region are that were not measured themselves.
struct RegionDistance {
  std::string region = {};
  double round_trip_s = 0;
  std::size_t sites_measured = 0;
};

struct RouterCounters {
  std::uint64_t sites = 0;
  std::uint64_t decisions = 0;
  std::uint64_t decisions_without_site = 0;
  std::uint64_t cached_tokens = 0;  // expected, of all choices
  std::uint64_t updates = 0;
  std::uint64_t updates_refused = 0;
  std::uint64_t failures = 0;  // told by finished()
  std::uint64_t sessions_moved = 0;
  std::uint64_t turns_untold = 0;   // of ours: there were more than others can be told of
  std::uint64_t turns_heard = 0;    // of others
  std::uint64_t turns_nowhere = 0;  // of them, at a site or of a model that is not known there
  std::uint64_t measured = 0;       // round trips
};

class Router {
 public:
  explicit Router(const RouterConfig& config = {}, std::uint64_t seed = 1);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;
  struct State;

  // A site is new or has changed. An older report than the last one changes nothing. Errors name
  // site, field and value; the last good report then stays: a number that is none, a port out of
  // range, a model twice, or a second site with the name of one that is alive.
  Result<void> update(const SiteState& state);
  // The site is gone, or silent for too long; update() brings it back. False: no such site.
  bool lost(std::string_view site);
  // Which content of a model may answer to its name (during a roll-out both). Until told: the one
  // that most sites have. An empty list goes back to that.
  void allow(std::string_view model, std::vector<std::string> content_hashes);

  // Counts the request at the site. choice.at is null when there is no site.
  Choice choose(const Ask& ask, std::int64_t now_ns);
  // Once for each choice that has a site. A site whose requests take longer than its reports let
  // expect is taken for that much slower.
  void finished(const Choice& choice, const Fared& fared, std::int64_t now_ns);

  // Turns that were chosen since the last call: of each session the newest, newest first.
  ToldTurns new_turns();
  // Other gateways' turns; an older one than what is known changes nothing.
  void hear(const ToldTurns& told);
  // All turns since then that are known, about turns_max a call (never more, above 2048). from: 0
  // at first, then as it was left; 0 again: that was all.
  ToldTurns known_turns(std::size_t& from, std::size_t turns_max, std::int64_t since_ns) const;

  // Those that have such a turn, at most: some may be there twice, or at sites that are gone.
  std::uint64_t sessions_known() const;

  // A connection to the site took a round trip so long. It counts for the site from now on, and for
  // those of its region that were never measured from their next news on. Nothing is learned of a
  // site that has another address by now.
  void measured(std::uint32_t site, const SiteAddress& at, double round_trip_s,
                std::int64_t now_ns);
  // Which site is to be measured next; nothing: none is due. One of each region, and those of the
  // own region, in turns.
  std::optional<ToMeasure> to_measure(std::int64_t now_ns);
  std::vector<RegionDistance> distances() const;  // of regions that were measured, by name

  Capacity capacity(std::string_view model) const;
  std::vector<std::string> models() const;  // of sites that are known, sorted
  bool ready() const;                       // any site may be chosen
  // The address of a site, while it is known.
  std::shared_ptr<const SiteAddress> address(std::uint32_t site) const;
  std::uint64_t losses() const;  // lost() so far: whether to look at address() again
  RouterCounters counters() const;
  std::size_t memory_bytes() const;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::gateway
