#pragma once

// The router in the plainest form: lists and maps, double precision, every site scored for every
// request. What route.h promises, written down a second time; never optimised.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "gateway/route/distance.h"
#include "gateway/route/route.h"

namespace noroshi::gateway::ref {

struct PlainChoice {
  std::string site;  // empty: none
  std::string content_hash;
  int cached_tokens = 0;
  double score_s = 0;
  double slowness = 1;      // learned of the copy until then
  double told_token_s = 0;  // that a completion token takes there by what is told alone
  // The scores of the best two that were not the same, to tell a near tie from a fault.
  std::vector<double> best_scores;
};

class PlainRouter {
 public:
  PlainRouter(RouterConfig config, std::uint64_t seed) : config_(std::move(config)), prng_(seed) {}

  void update(const SiteState& state);
  void lost(const std::string& site);
  void measured(const SiteAddress& at, double round_trip_s, std::int64_t now_ns);
  void allow(const std::string& model, std::vector<std::string> hashes) {
    allowed_[model] = std::move(hashes);
  }
  void hear(std::uint64_t session, const std::string& site, const std::string& model,
            const std::string& hash, int tokens, std::int64_t at_ns);
  // tried: by name.
  PlainChoice choose(const Ask& ask, const std::vector<std::string>& tried, std::int64_t now_ns);
  void finished(const PlainChoice& choice, const std::string& model, const Fared& fared,
                double expected_s, std::int64_t now_ns);

 private:
  struct Block {
    std::uint64_t stamp = 0;
    std::uint64_t age = 0;
  };
  enum class Basis : std::uint8_t { assumed, others, told };
  struct Copy {
    ModelAtSite report;
    double share_now = 1;  // of the site's report that it is of
    double share = 1;
    double others = 0;
    double own = 0;
    double slowness = 1;
    Basis basis = Basis::assumed;  // of slowness
    // As told, or the mean of the other copies at its last report.
    double prompt_tokens_per_s = 1;
    double tokens_per_s = 1;
    double service_s = 1;
    std::uint64_t clock = 0;
    std::map<std::uint64_t, Block> blocks;
    bool listed = false;
    std::uint64_t born = 0;
    std::int64_t reads_until_ns = 0;
  };
  struct Site {
    SiteState report;
    Distance distance;
    std::uint64_t measured = 0;  // the number of its last measure
    double rtt_s = 0;
    bool alive = false;
    std::int64_t suspect_until_ns = 0;
    double suspect_s = 0;
    bool suspected = false;
    std::map<std::pair<std::string, std::string>, Copy> copies;  // by model and content
  };
  struct Scored {
    double score_s;
    std::string site;
    std::string content_hash;
    int cached_tokens;
    double saved_s = 0;   // by what is cached
    double answer_s = 0;  // of the score
  };
  double told_or_mean(const std::pair<std::string, std::string>& which, const Copy& of,
                      double ModelAtSite::*field, double assumed) const;
  int others_that_told(const std::pair<std::string, std::string>& which, const Copy& of) const;
  std::optional<double> region_s(const std::string& region) const;
  static double slow_at(const Copy& copy);
  static double told_token_s(const Copy& copy) {
    return slow_at(copy) / copy.slowness / copy.tokens_per_s;
  }
  double score(const Site& site, const Copy& copy, double prompt, double completion) const;
  bool has_room(const Copy& copy) const;
  bool may_answer(const std::string& model, const std::string& hash,
                  std::string_view asked_hash) const;
  std::size_t held(const Copy& copy, std::span<const std::uint64_t> blocks) const;
  static void unlist(Site& site, const std::pair<std::string, std::string>& which);
  void give(Copy& copy, std::span<const std::uint64_t> blocks);

  RouterConfig config_;
  Prng prng_;
  std::int64_t now_ns_ = 0;  // of the decision
  std::map<std::string, Site> sites_;
  std::map<std::pair<std::string, std::string>, double> slowness_;  // of all copies of a content
  std::map<std::string, std::vector<std::string>> allowed_;
  std::map<std::string, std::vector<std::string>> hashes_;  // of a model, in the order heard of
  struct Turn {
    std::string site;
    std::string content_hash;
    std::uint64_t born = 0;
    int tokens = 0;
    std::int64_t at_ns = 0;
  };
  Turn last_turn(std::uint64_t session) const;
  std::map<std::uint64_t, Turn> sessions_;
  std::map<std::uint64_t, Turn> told_sessions_;
  std::uint64_t age_ = 0;
  std::uint64_t measures_ = 0;
  std::uint64_t born_ = 0;
};

}  // namespace noroshi::gateway::ref
