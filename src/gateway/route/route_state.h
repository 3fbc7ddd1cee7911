#pragma once

// What the router keeps. Inside this folder only.

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/prng.h"
#include "gateway/route/candidates.h"
#include "gateway/route/copy_load.h"
#include "gateway/route/distance.h"
#include "gateway/route/prefix.h"
#include "gateway/route/route.h"
#include "gateway/route/sessions.h"

namespace noroshi::gateway {

// A model at a site.
struct Copy {
  std::uint32_t site = 0;
  std::uint32_t content = 0;
  std::uint32_t born = 0;
  std::uint32_t slot = Candidates::absent;  // in its content's candidates, while it may be chosen
  bool listed = false;                      // the site's last report has it
  std::int64_t reads_until_ns = 0;          // the prompts that it was given, as far as we gave them
  CopyLoad load = {};
};

// One content of a model: all copies of it can take each other's place.
struct Content {
  std::string hash;
  std::uint64_t mark = 0;  // model_mark()
  Candidates candidates;
  std::uint64_t copies = 0;     // listed, chosen from or not
  std::uint64_t unlimited = 0;  // of the candidates, those without a limit of places
  double places = 0;            // of the others
  double open = 0;
  ToldSpeeds told = {};  // by the copies that are listed
  double slowness = 1;   // learned of all copies: where that of one goes which is not asked
};

struct Model {
  std::string name;
  std::vector<std::uint32_t> contents = {};
  std::vector<std::string> allowed = {};
};

struct Site {
  std::shared_ptr<const SiteAddress> address;
  std::uint64_t instance = 0;
  std::int64_t received_at_ns = 0;
  bool alive = false;
  bool takes = false;  // ready and not draining
  std::int64_t suspect_until_ns = 0;
  double suspect_s = 0;  // how long the last time was; 0: it is trusted
  bool suspected = false;
  std::vector<std::uint32_t> copies = {};
  std::uint32_t region = 0;
  Distance distance = {};
  std::int64_t measure_due_ns = 0;
};

// The sites of one region, and how far it is.
struct SiteRegion {
  std::string name;
  std::vector<std::uint32_t> sites = {};     // alive or not
  std::vector<std::uint32_t> measured = {};  // of them, the last one last: region_sites_max
  std::size_t known = 0;                     // whose distance was measured
  std::optional<double> round_trip_s = {};
  std::int64_t measure_due_ns = 0;  // any of them
  std::size_t turn = 0;             // of sites: which is measured next for the region
  std::size_t turn_own = 0;         // and for itself
};

// A turn of this gateway's, that others are to be told of.
struct NewTurn {
  std::uint64_t session = 0;
  Turn turn = {};
};

// The contents of a model that may answer; a roll-out has two.
struct SomeContents {
  std::array<std::uint32_t, 8> numbers = {};
  std::size_t count = 0;

  void add(std::uint32_t number) {
    if (count < numbers.size()) numbers[count++] = number;
  }
  bool has(std::uint32_t number) const {
    return std::find(numbers.begin(), numbers.begin() + count, number) != numbers.begin() + count;
  }
};

struct Router::State {
  State(const RouterConfig& router_config, std::uint64_t seed)
      : config(router_config),
        prng(seed),
        prefixes(router_config.prefix_entries),
        sessions(router_config.sessions_max),
        told_sessions(router_config.sessions_told_max) {}

  // update.cpp
  Result<void> update(const SiteState& state);
  void take_report(std::uint32_t site, const SiteState& state);
  void unlist(std::uint32_t copy);
  void refresh(std::uint32_t copy);
  void refresh_site(std::uint32_t site);
  std::uint32_t model_number(std::string_view name);
  std::uint32_t content_of(std::string_view model, const std::string& hash);
  std::uint32_t copy_of(std::uint32_t site, std::uint32_t content);
  void suspect(Site& site, std::uint32_t number, double for_s, std::int64_t now_ns);
  void trust(Site& site, std::uint32_t number);
  void end_suspicions(std::int64_t now_ns);
  double reads_until_s(const Copy& copy) const {
    return static_cast<double>(std::max<std::int64_t>(0, copy.reads_until_ns - epoch_ns)) / 1e9;
  }
  void advance(std::int64_t now_ns);
  float now_s(std::int64_t now_ns) const {
    return static_cast<float>(static_cast<double>(std::max<std::int64_t>(0, now_ns - epoch_ns)) /
                              1e9);
  }
  double penalty_s(const Site& site) const { return site.suspected ? suspect_penalty_s : 0; }

  // distances.cpp
  void settle_in(std::uint32_t site, const std::string& region, bool moved);
  double round_trip_s(const Site& site, double otherwise) const;
  void take_median(SiteRegion& region);
  std::optional<std::uint32_t> region_to_measure(std::int64_t now_ns);
  std::optional<std::uint32_t> own_to_measure(std::int64_t now_ns);

  // route.cpp
  SomeContents contents_for(const Model& model, std::string_view hash) const;
  const Model* model_named(std::string_view name) const;

  // told_turns.cpp
  std::optional<Turn> last_turn(std::uint64_t session) const;
  void take_turn(std::uint64_t session, const Turn& turn);

  const RouterConfig config;
  mutable std::mutex mutex;
  Prng prng;
  PrefixIndex prefixes;
  Sessions sessions;               // by this gateway's own choice
  Sessions told_sessions;          // by others', so that these cannot push out our own
  std::vector<NewTurn> new_turns;  // a ring, once it is full
  std::size_t turns_taken = 0;     // since it was empty
  std::vector<Site> sites;
  std::unordered_map<std::string, std::uint32_t> site_numbers;
  std::vector<SiteRegion> regions;
  std::unordered_map<std::string, std::uint32_t> region_numbers;
  std::size_t region_turn = 0;
  bool own_turn = false;  // to be measured
  std::vector<Model> models;
  std::map<std::string, std::uint32_t, std::less<>> model_numbers;
  std::vector<Content> contents;
  std::vector<Copy> copies;
  std::vector<std::uint32_t> free_copies;
  std::uint32_t copies_born = 0;
  std::vector<std::uint32_t> suspects;  // sites
  std::vector<float> scratch;
  std::int64_t epoch_ns = 0;  // of the candidates' clock
  std::uint64_t losses = 0;
  RouterCounters counts;
};

}  // namespace noroshi::gateway
