#include "gateway/route/route_ref.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "gateway/route/copy_load.h"
#include "gateway/route/prefix.h"

namespace noroshi::gateway::ref {
void PlainRouter::update(const SiteState& state) {
  Site& site = sites_[state.name];
  const bool restarted = site.report.instance != state.instance && !site.report.name.empty();
  const bool moved = site.report.host != state.host || site.report.tcp_port != state.tcp_port ||
                     site.report.region != state.region;
  if (moved) {
    site.distance = {};
    site.measured = 0;
  }
  site.report = state;
  site.rtt_s = site.distance.known() ? site.distance.round_trip_s()
                                     : region_s(state.region).value_or(state.rtt_ms / 1e3);
  site.alive = true;
  if (restarted) {
    site.suspected = false;
    site.suspect_s = 0;
  }
  if (restarted) {
    for (auto& [which, copy] : site.copies) copy.blocks.clear();
  }
  for (const ModelAtSite& model : state.models) {
    auto& hashes = hashes_[model.name];
    if (std::ranges::find(hashes, model.content_hash) == hashes.end()) {
      hashes.push_back(model.content_hash);
    }
    Copy& copy = site.copies[{model.name, model.content_hash}];
    copy.listed = true;
    if (copy.born == 0) copy.born = ++born_;
    copy.report = model;
    copy.share_now = state.lease_share;
    copy.share = (state.lease_share + state.lease_share_forecast) / 2;
    const std::pair which(model.name, model.content_hash);
    copy.prompt_tokens_per_s =
        told_or_mean(which, copy, &ModelAtSite::prompt_tokens_per_s, config_.prompt_tokens_per_s);
    copy.tokens_per_s = told_or_mean(which, copy, &ModelAtSite::tokens_per_s, config_.tokens_per_s);
    copy.service_s = told_or_mean(which, copy, &ModelAtSite::service_s_mean, config_.service_s);
    double& common = slowness_.try_emplace(which, 1).first->second;
    const int others = others_that_told(which, copy);
    if (model.tokens_per_s > 0 && others == 0 && copy.basis != Basis::told) common = 1;
    const Basis basis = model.tokens_per_s > 0 ? Basis::told
                        : others > 0           ? Basis::others
                                               : Basis::assumed;
    copy.slowness = basis == copy.basis ? common + 0.98 * (copy.slowness - common) : common;
    copy.basis = basis;
    copy.others = std::max(
        0.0, static_cast<double>(model.requests_in_flight + model.requests_queued) - copy.own);
  }
  const auto copies = site.copies;
  for (const auto& entry : copies) {
    const bool listed = std::ranges::any_of(state.models, [&](const ModelAtSite& model) {
      return std::pair(model.name, model.content_hash) == entry.first;
    });
    if (!listed) unlist(site, entry.first);
  }
}

void PlainRouter::measured(const SiteAddress& at, double round_trip_s, std::int64_t now_ns) {
  Site& site = sites_.at(at.name);
  if (site.report.host != at.host || site.report.tcp_port != at.tcp_port) return;
  site.distance.add(round_trip_s, now_ns);
  site.rtt_s = site.distance.round_trip_s();
  site.measured = ++measures_;
}

// The lower median of those measured last.
std::optional<double> PlainRouter::region_s(const std::string& region) const {
  std::vector<std::pair<std::uint64_t, double>> all;
  for (const auto& [name, site] : sites_) {
    if (site.measured == 0 || site.report.region != region) continue;
    all.emplace_back(site.measured, site.distance.round_trip_s());
  }
  if (all.empty()) return {};
  std::ranges::sort(all, std::greater<>());
  all.resize(std::min(all.size(), region_sites_max));
  std::vector<double> values;
  for (const auto& [number, value] : all) values.push_back(value);
  std::ranges::sort(values);
  return values[(values.size() - 1) / 2];
}

int PlainRouter::others_that_told(const std::pair<std::string, std::string>& which,
                                  const Copy& of) const {
  int told = 0;
  for (const auto& [name, site] : sites_) {
    const auto found = site.copies.find(which);
    if (found == site.copies.end() || &found->second == &of) continue;
    told += found->second.listed && found->second.report.tokens_per_s > 0 ? 1 : 0;
  }
  return told;
}

double PlainRouter::told_or_mean(const std::pair<std::string, std::string>& which, const Copy& of,
                                 double ModelAtSite::*field, double assumed) const {
  if (of.report.*field > 0) return std::max(of.report.*field, told_min);
  double product = 0;
  int told = 0;
  for (const auto& [name, site] : sites_) {
    const auto found = site.copies.find(which);
    if (found == site.copies.end() || !found->second.listed) continue;
    const double value = found->second.report.*field;
    if (!(value > 0)) continue;
    product += std::log(std::max(value, told_min));
    ++told;
  }
  return told > 0 ? std::exp(product / told) : assumed;
}

// A copy with a request there is remembered until that is done.
void PlainRouter::unlist(Site& site, const std::pair<std::string, std::string>& which) {
  Copy& copy = site.copies.at(which);
  copy.listed = false;
  copy.born = 0;
  if (copy.own == 0) site.copies.erase(which);
}

void PlainRouter::lost(const std::string& name) {
  Site& site = sites_[name];
  site.alive = false;
  const auto copies = site.copies;
  for (const auto& [which, copy] : copies) unlist(site, which);
}

double PlainRouter::slow_at(const Copy& copy) {
  const ModelAtSite& m = copy.report;
  const double open = std::max(1.0, m.places * copy.share);
  const double there = copy.others + copy.own;
  double slow = copy.slowness * std::clamp(copy.share_now / std::max(copy.share, 0.01), 0.25, 4.0);
  if (m.places > 0) {
    const double reported = m.requests_in_flight + m.requests_queued;
    slow *= 1 + std::max(0.0, std::min(there, open) - std::min(reported, open)) / open;
  }
  return slow;
}

double PlainRouter::score(const Site& site, const Copy& copy, double prompt,
                          double completion) const {
  const ModelAtSite& m = copy.report;
  const double open = std::max(1.0, m.places * copy.share);
  const double there = copy.others + copy.own;
  double wait = 0;
  if (m.places > 0 && there >= open) {
    wait = (there - open + 1) / open * copy.service_s * copy.slowness;
  }
  const double slow = slow_at(copy);
  const double backlog = std::max(0.0, static_cast<double>(copy.reads_until_ns - now_ns_) / 1e9);
  return site.rtt_s + wait + backlog + (site.suspected ? suspect_penalty_s : 0) +
         slow * (prompt / copy.prompt_tokens_per_s + completion / copy.tokens_per_s);
}

bool PlainRouter::has_room(const Copy& copy) const {
  const double open = std::max(1.0, copy.report.places * copy.share);
  return copy.report.places <= 0 || copy.others + copy.own + 1 <= config_.load_cap * open;
}

bool PlainRouter::may_answer(const std::string& model, const std::string& hash,
                             std::string_view asked_hash) const {
  if (!asked_hash.empty()) return hash == asked_hash;
  const auto allowed = allowed_.find(model);
  if (allowed != allowed_.end() && !allowed->second.empty()) {
    return std::ranges::find(allowed->second, hash) != allowed->second.end();
  }
  const auto heard = hashes_.find(model);
  if (heard == hashes_.end()) return false;
  std::string most;
  int most_copies = 0;
  for (const std::string& candidate : heard->second) {
    int copies = 0;
    for (const auto& [name, site] : sites_) {
      const auto copy = site.copies.find({model, candidate});
      if (copy != site.copies.end() && copy->second.listed) ++copies;
    }
    if (copies > most_copies) {
      most = candidate;
      most_copies = copies;
    }
  }
  return most_copies > 0 && hash == most;
}

std::size_t PlainRouter::held(const Copy& copy, std::span<const std::uint64_t> blocks) const {
  const std::uint64_t tokens = static_cast<std::uint64_t>(
      copy.report.cache_tokens > 0 ? copy.report.cache_tokens : config_.cache_tokens);
  const std::uint64_t size = tokens * bytes_per_token / prefix_block_bytes;
  std::size_t count = 0;
  for (const std::uint64_t hash : blocks) {
    const auto found = copy.blocks.find(hash);
    if (found == copy.blocks.end() || copy.clock - found->second.stamp >= size) break;
    ++count;
  }
  return count;
}

void PlainRouter::give(Copy& copy, std::span<const std::uint64_t> blocks) {
  ++age_;
  for (std::size_t i = held(copy, blocks); i < blocks.size(); ++i) {
    copy.clock += (prefix_bytes(i + 1) - prefix_bytes(i)) / prefix_block_bytes;
  }
  for (const std::uint64_t hash : blocks) copy.blocks[hash] = {copy.clock, age_};
}

void PlainRouter::hear(std::uint64_t session, const std::string& site, const std::string& model,
                       const std::string& hash, int tokens, std::int64_t at_ns) {
  const auto there = sites_.find(site);
  if (there == sites_.end()) return;
  const auto copy = there->second.copies.find({model, hash});
  if (copy == there->second.copies.end() || !copy->second.listed) return;
  Turn& known = told_sessions_[session];
  if (known.born == 0 || known.at_ns < at_ns)
    known = {site, hash, copy->second.born, tokens, at_ns};
}

// Of its turns at copies that are still there the later.
PlainRouter::Turn PlainRouter::last_turn(std::uint64_t session) const {
  Turn last;
  for (const auto* turns : {&sessions_, &told_sessions_}) {
    const auto found = turns->find(session);
    if (session == 0 || found == turns->end()) continue;
    const Turn& turn = found->second;
    const auto& copies = sites_.at(turn.site).copies;
    const bool there = std::ranges::any_of(
        copies, [&](const auto& copy) { return copy.second.born == turn.born; });
    if (there && (last.born == 0 || turn.at_ns > last.at_ns)) last = turn;
  }
  return last;
}

PlainChoice PlainRouter::choose(const Ask& ask, const std::vector<std::string>& tried,
                                std::int64_t now_ns) {
  const std::string model(ask.model);
  now_ns_ = now_ns;
  for (auto& [name, site] : sites_) {
    if (site.suspected && now_ns >= site.suspect_until_ns) site.suspected = false;
  }
  std::size_t contents = 0;
  if (const auto heard = hashes_.find(model); heard != hashes_.end()) {
    for (const std::string& hash : heard->second) {
      contents += may_answer(model, hash, ask.content_hash) ? 1 : 0;
    }
  }
  for (std::size_t i = 0; i < contents; ++i) (void)prng_();

  struct Held {
    std::string site;
    std::string content_hash;
    std::size_t blocks;
    std::uint64_t age;
  };
  std::vector<Scored> all;
  std::vector<Held> held_by;
  for (auto& [name, site] : sites_) {
    const bool passed_by = !site.alive || !site.report.ready || site.report.draining ||
                           std::ranges::find(tried, name) != tried.end();
    for (const auto& [which, copy] : site.copies) {
      if (which.first != model) continue;
      const std::size_t blocks = held(copy, ask.prefix_blocks);
      if (blocks > 0) {
        held_by.push_back(
            {name, which.second, blocks, copy.blocks.at(ask.prefix_blocks[blocks - 1]).age});
      }
      if (passed_by || !copy.listed || !may_answer(model, which.second, ask.content_hash)) continue;
      all.push_back(
          {score(site, copy, ask.prompt_tokens, ask.completion_tokens), name, which.second, 0});
    }
  }
  if (all.empty()) return {};
  std::ranges::sort(held_by, [](const Held& a, const Held& b) {
    return a.blocks != b.blocks ? a.blocks > b.blocks : a.age > b.age;
  });
  held_by.resize(std::min(held_by.size(), PrefixIndex::holders_max));
  const Turn turn = last_turn(ask.session);
  const auto is_sessions = [&](const Scored& one) {
    return one.site == turn.site && one.content_hash == turn.content_hash &&
           sites_.at(one.site).copies.at({model, one.content_hash}).born == turn.born;
  };
  for (Scored& one : all) {
    const Site& site = sites_[one.site];
    const Copy& copy = site.copies.at({model, one.content_hash});
    if (!has_room(copy)) continue;
    std::int64_t cached = 0;
    for (const Held& holder : held_by) {
      if (holder.site == one.site && holder.content_hash == one.content_hash) {
        cached = static_cast<std::int64_t>(prefix_bytes(holder.blocks)) / bytes_per_token;
      }
    }
    if (is_sessions(one)) cached = std::max<std::int64_t>(cached, turn.tokens);
    one.cached_tokens = static_cast<int>(std::clamp<std::int64_t>(cached, 0, ask.prompt_tokens));
    one.score_s = score(site, copy, ask.prompt_tokens - one.cached_tokens, ask.completion_tokens);
    const double slow = slow_at(copy);
    one.saved_s = slow * one.cached_tokens / copy.prompt_tokens_per_s;
    one.answer_s = slow * ask.completion_tokens / copy.tokens_per_s;
  }
  std::ranges::stable_sort(all, {}, &Scored::score_s);
  std::size_t best = 0;
  while (best < all.size() && best < static_cast<std::size_t>(config_.best_max) &&
         (best == 0 || all[best].score_s < all[0].score_s * (1 + config_.band) + config_.band_s)) {
    ++best;
  }
  std::size_t chosen = 0;
  bool stays = false;
  for (std::size_t i = 0; i < best; ++i) {
    if (!is_sessions(all[i])) continue;
    chosen = i;
    stays = true;
  }
  const double first_s = all[0].score_s - all[0].answer_s;
  bool cache_decides = false;
  for (std::size_t i = 0; i < best && best > 1 && !stays && !cache_decides; ++i) {
    const double its_s = all[i].score_s - all[i].answer_s;
    if (all[i].saved_s > its_s * config_.band + config_.band_s &&
        its_s <= first_s * (1 + config_.band) + config_.band_s) {
      chosen = i;
      cache_decides = true;
    }
  }
  if (!stays && best > 1 && !cache_decides) {
    const std::size_t one = prng_.below(best);
    const std::size_t step = 1 + prng_.below(best - 1);
    chosen = std::min(one, (one + step) % best);
  }
  Copy& copy = sites_[all[chosen].site].copies.at({model, all[chosen].content_hash});
  PlainChoice choice{all[chosen].site,
                     copy.report.content_hash,
                     all[chosen].cached_tokens,
                     all[chosen].score_s,
                     copy.slowness,
                     told_token_s(copy),
                     {}};
  for (std::size_t i = 0; i < std::min(all.size(), best + 1); ++i) {
    choice.best_scores.push_back(all[i].score_s);
  }
  copy.reads_until_ns = reads_until_ns(
      copy.reads_until_ns, now_ns,
      slow_at(copy) * (ask.prompt_tokens - choice.cached_tokens) / copy.prompt_tokens_per_s);
  copy.own += 1;
  give(copy, ask.prefix_blocks);
  if (ask.session != 0)
    sessions_[ask.session] = {choice.site, choice.content_hash, copy.born, ask.prompt_tokens,
                              now_ns};
  return choice;
}

void PlainRouter::finished(const PlainChoice& choice, const std::string& model, const Fared& fared,
                           double expected_s, std::int64_t now_ns) {
  Site& site = sites_[choice.site];
  const std::pair which(model, choice.content_hash);
  const auto suspect = [&](double for_s) {
    site.suspected = true;
    site.suspect_until_ns = now_ns + static_cast<std::int64_t>(for_s * 1e9);
  };
  Copy& copy = site.copies.at(which);
  copy.own -= 1;
  if (copy.own == 0) copy.reads_until_ns = 0;
  if (fared.fate == Fate::failed) {
    site.suspect_s = site.suspect_s == 0 ? config_.suspect_s
                                         : std::min(2 * site.suspect_s, config_.suspect_s_max);
    suspect(site.suspect_s);
  } else if (fared.fate == Fate::refused) {
    suspect(0.5);
  } else if (fared.fate == Fate::answered) {
    site.suspected = false;
    site.suspect_s = 0;
    if (expected_s > 0 && fared.took_s > 0) {
      // It took so many times as long as was told when it was chosen, and as is told now.
      const double ratio = std::clamp(fared.took_s / expected_s, 0.1, 100.0);
      const double then = choice.slowness * ratio;
      const double now = then * choice.told_token_s / told_token_s(copy);
      double seen = copy.slowness;
      if (then > seen && now > seen) seen = std::min(then, now);
      if (then < seen && now < seen) seen = std::max(then, now);
      copy.slowness = std::clamp(0.9 * copy.slowness + 0.1 * seen, 0.05, 50.0);
      double& common = slowness_.at(which);
      common += 0.1 * (copy.slowness - common);
    }
  }
  if (!copy.listed) unlist(site, which);
}

}  // namespace noroshi::gateway::ref
