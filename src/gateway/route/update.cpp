// News of sites: reports, losses, failures seen in band.

#include <algorithm>
#include <cassert>

#include "gateway/route/check_state.h"
#include "gateway/route/route_state.h"

namespace noroshi::gateway {
namespace {

constexpr double name_in_use_s = 3;  // a site whose last report is younger is alive
constexpr double refused_s = 0.5;    // a site that is busy is the last resort for so long
constexpr std::int64_t epoch_ns_max = 16'000'000'000;
constexpr double slowness_kept = 0.98;   // of what was learned of a copy alone, at each report
constexpr double slowness_shared = 0.1;  // of what a request teaches of its copy, of all copies

bool same_address(const SiteAddress& address, const SiteState& state) {
  return address.name == state.name && address.region == state.region &&
         address.host == state.host && address.tcp_port == state.tcp_port &&
         address.pin == state.pin && address.api_key == state.api_key &&
         address.keeps_connections == state.keeps_connections &&
         address.keeps_contexts == state.keeps_contexts;
}

CopyLoad load_of(const SiteState& state, const ModelAtSite& model, const RouterConfig& config,
                 const Content& content, const CopyLoad& before) {
  CopyLoad load;
  load.share_now = state.lease_share;
  load.share = (state.lease_share + state.lease_share_forecast) / 2;
  load.places = model.places;
  load.reported = model.requests_in_flight + model.requests_queued;
  load.own = before.own;
  load.others = std::max(0.0, load.reported - load.own);
  const auto known = [&](std::size_t i, double told, double assumed) {
    load.told[i] = told > 0;
    return load.told[i] ? std::max(told, told_min) : content.told.mean(i, assumed);
  };
  load.prompt_tokens_per_s = known(0, model.prompt_tokens_per_s, config.prompt_tokens_per_s);
  load.tokens_per_s = known(1, model.tokens_per_s, config.tokens_per_s);
  load.service_s = known(2, model.service_s_mean, config.service_s);
  load.basis = load.told[1]                 ? CopyLoad::Basis::told
               : content.told.copies[1] > 0 ? CopyLoad::Basis::others
                                            : CopyLoad::Basis::assumed;
  load.slowness = load.basis == before.basis
                      ? content.slowness + slowness_kept * (before.slowness - content.slowness)
                      : content.slowness;
  return load;
}

}  // namespace

std::uint32_t Router::State::model_number(std::string_view name) {
  const auto [found, is_new] =
      model_numbers.try_emplace(std::string(name), static_cast<std::uint32_t>(models.size()));
  if (is_new) models.push_back({std::string(name)});
  return found->second;
}

std::uint32_t Router::State::content_of(std::string_view name, const std::string& hash) {
  Model& model = models[model_number(name)];
  for (const std::uint32_t content : model.contents) {
    if (contents[content].hash == hash) return content;
  }
  const auto number = static_cast<std::uint32_t>(contents.size());
  contents.push_back({.hash = hash, .mark = model_mark(name, hash), .candidates = {}});
  model.contents.push_back(number);
  return number;
}

std::uint32_t Router::State::copy_of(std::uint32_t site, std::uint32_t content) {
  for (const std::uint32_t copy : sites[site].copies) {
    if (copies[copy].content == content) return copy;
  }
  std::uint32_t number = 0;
  if (free_copies.empty()) {
    number = static_cast<std::uint32_t>(copies.size());
    copies.emplace_back();
  } else {
    number = free_copies.back();
    free_copies.pop_back();
    copies[number] = {};
  }
  copies[number].site = site;
  copies[number].content = content;
  sites[site].copies.push_back(number);
  prefixes.add_copy(number, config.cache_tokens);
  return number;
}

// Brings a copy's place among the candidates in line with what is known of it.
void Router::State::refresh(std::uint32_t number) {
  Copy& copy = copies[number];
  Content& content = contents[copy.content];
  const Site& site = sites[copy.site];
  if (!copy.listed || !site.alive || !site.takes) {
    content.candidates.remove(copy.slot);
    return;
  }
  content.candidates.put(copy.slot, number,
                         terms_of(copy.load, penalty_s(site), reads_until_s(copy)));
}

// Floats of a clock that has run for long would be too coarse.
void Router::State::advance(std::int64_t now_ns) {
  if (now_ns - epoch_ns < epoch_ns_max) return;
  const std::int64_t shift_ns = now_ns - epoch_ns;
  epoch_ns = now_ns;
  for (Content& content : contents) {
    content.candidates.rebase(static_cast<float>(static_cast<double>(shift_ns) / 1e9));
  }
}

void Router::State::refresh_site(std::uint32_t number) {
  for (const std::uint32_t copy : sites[number].copies) refresh(copy);
}

namespace {

// A content's sums over its candidates, with (sign 1) or without (-1) this copy.
void count_places(Content& content, const CopyLoad& load, int sign) {
  if (load.places > 0) {
    content.places += sign * load.places;
    content.open += sign * load.places * load.share_now;
  } else {
    content.unlimited += static_cast<std::uint64_t>(sign);
  }
}

}  // namespace

// The site's last report has it no more. Its number is free when no request is there.
void Router::State::unlist(std::uint32_t number) {
  Copy& copy = copies[number];
  Content& content = contents[copy.content];
  if (copy.slot != Candidates::absent) count_places(content, copy.load, -1);
  content.candidates.remove(copy.slot);
  if (copy.listed) {
    --content.copies;
    content.told.count(copy.load, -1);
  }
  copy.listed = false;
  copy.born = 0;  // turns that went there are forgotten
  if (copy.load.own > 0) return;
  std::erase(sites[copy.site].copies, number);
  prefixes.forget(number);
  free_copies.push_back(number);
}

void Router::State::take_report(std::uint32_t number, const SiteState& state) {
  Site& site = sites[number];
  const bool restarted = site.instance != state.instance;
  site.instance = state.instance;
  site.received_at_ns = state.received_at_ns;
  site.alive = true;
  site.takes = state.ready && !state.draining;
  if (!site.address || !same_address(*site.address, state)) {
    const bool moved = site.address && (site.address->host != state.host ||
                                        site.address->tcp_port != state.tcp_port);
    settle_in(number, state.region, moved);
    site.address = std::make_shared<const SiteAddress>(
        SiteAddress{state.name, state.region, state.host, state.tcp_port, state.pin, state.api_key,
                    state.keeps_connections, state.keeps_contexts});
  }
  if (restarted) {
    trust(site, number);
    for (const std::uint32_t copy : site.copies) prefixes.forget(copy);
  }

  const double rtt_s = round_trip_s(site, state.rtt_ms / 1e3);
  std::vector<std::uint32_t> listed;
  for (const ModelAtSite& model : state.models) {
    const std::uint32_t copy_number = copy_of(number, content_of(model.name, model.content_hash));
    listed.push_back(copy_number);
    Copy& copy = copies[copy_number];
    Content& content = contents[copy.content];
    if (copy.slot != Candidates::absent) count_places(content, copy.load, -1);
    if (copy.listed) content.told.count(copy.load, -1);
    if (!copy.listed) {
      ++content.copies;
      copy.born = ++copies_born;
    }
    copy.listed = true;
    const CopyLoad::Basis basis = copy.load.basis;
    copy.load = load_of(state, model, config, content, copy.load);
    copy.load.rtt_s = rtt_s;
    const bool first_told = copy.load.basis == CopyLoad::Basis::told && basis != copy.load.basis &&
                            content.told.copies[1] == 0;
    content.told.count(copy.load, 1);
    if (first_told) {  // what was learned until now was against what is assumed of any model
      content.slowness = 1;
      copy.load.slowness = 1;
    }
    if (site.takes) count_places(content, copy.load, 1);
    prefixes.set_cache(copy_number,
                       model.cache_tokens > 0 ? model.cache_tokens : config.cache_tokens);
    refresh(copy_number);
  }
  const std::vector<std::uint32_t> before = site.copies;
  for (const std::uint32_t copy : before) {
    if (std::ranges::find(listed, copy) == listed.end()) unlist(copy);
  }
}

Result<void> Router::State::update(const SiteState& state) {
  if (const auto checked = check_state(state); !checked) return checked.error();
  const auto found = site_numbers.find(state.name);
  if (found == site_numbers.end()) {
    if (sites.size() >= config.sites_max) {
      return Error{"site '" + state.name + "': there are " + std::to_string(sites.size()) +
                   " sites already, and sites_max allows no more"};
    }
    const auto number = static_cast<std::uint32_t>(sites.size());
    sites.emplace_back();
    sites.back().instance = state.instance;
    site_numbers.emplace(state.name, number);
    take_report(number, state);
    return {};
  }
  const Site& site = sites[found->second];
  if (site.alive && state.received_at_ns < site.received_at_ns) return {};
  const double silent_s = static_cast<double>(state.received_at_ns - site.received_at_ns) / 1e9;
  const bool elsewhere =
      site.address->host != state.host || site.address->tcp_port != state.tcp_port;
  if (site.alive && site.instance != state.instance && elsewhere && silent_s < name_in_use_s) {
    return Error{"site '" + state.name + "' at " + state.host + ":" +
                 std::to_string(state.tcp_port) + ": a site of that name is alive at " +
                 site.address->host + ":" + std::to_string(site.address->tcp_port) +
                 "; give one of them another name"};
  }
  take_report(found->second, state);
  return {};
}

void Router::State::suspect(Site& site, std::uint32_t number, double for_s, std::int64_t now_ns) {
  site.suspect_until_ns = now_ns + static_cast<std::int64_t>(for_s * 1e9);
  if (!site.suspected) suspects.push_back(number);
  site.suspected = true;
  refresh_site(number);
}

void Router::State::trust(Site& site, std::uint32_t number) {
  site.suspect_s = 0;
  if (!site.suspected) return;
  site.suspected = false;
  std::erase(suspects, number);
  refresh_site(number);
}

void Router::State::end_suspicions(std::int64_t now_ns) {
  for (std::size_t i = 0; i < suspects.size();) {
    const std::uint32_t number = suspects[i];
    Site& site = sites[number];
    if (now_ns < site.suspect_until_ns) {
      ++i;
      continue;
    }
    site.suspected = false;
    suspects[i] = suspects.back();
    suspects.pop_back();
    refresh_site(number);
  }
}

Result<void> Router::update(const SiteState& state) {
  const std::lock_guard lock(state_->mutex);
  const auto done = state_->update(state);
  ++(done ? state_->counts.updates : state_->counts.updates_refused);
  return done;
}

bool Router::lost(std::string_view name) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const auto found = s.site_numbers.find(std::string(name));
  if (found == s.site_numbers.end() || !s.sites[found->second].alive) return false;
  Site& site = s.sites[found->second];
  site.alive = false;
  ++s.losses;
  const std::vector<std::uint32_t> copies = site.copies;
  for (const std::uint32_t copy : copies) s.unlist(copy);
  return true;
}

void Router::allow(std::string_view model, std::vector<std::string> content_hashes) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.models[s.model_number(model)].allowed = std::move(content_hashes);
}

void Router::finished(const Choice& choice, const Fared& fared, std::int64_t now_ns) {
  if (!choice.at) return;
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  assert(choice.copy < s.copies.size() && s.copies[choice.copy].load.own > 0);
  Copy& copy = s.copies[choice.copy];
  Site& site = s.sites[choice.site];
  copy.load.own -= 1;
  // Nothing of ours is there to be read, whatever we thought.
  if (copy.load.own == 0) copy.reads_until_ns = 0;
  if (fared.fate == Fate::failed) {
    ++s.counts.failures;
    site.suspect_s = site.suspect_s == 0 ? s.config.suspect_s
                                         : std::min(2 * site.suspect_s, s.config.suspect_s_max);
    s.suspect(site, choice.site, site.suspect_s, now_ns);
  } else if (fared.fate == Fate::refused) {
    s.suspect(site, choice.site, refused_s, now_ns);
  } else if (fared.fate == Fate::answered) {
    s.trust(site, choice.site);
    const double expected =
        choice.expected_fixed_s + fared.completion_tokens * choice.expected_per_token_s;
    if (expected > 0 && fared.took_s > 0) {
      copy.load.slowness = learned_slowness(copy.load, fared.took_s / expected, choice.slowness,
                                            choice.expected_per_token_s / choice.slowness);
      Content& content = s.contents[copy.content];
      content.slowness += slowness_shared * (copy.load.slowness - content.slowness);
    }
  }
  if (!copy.listed && copy.load.own == 0) {
    s.unlist(choice.copy);
  } else {
    s.refresh(choice.copy);
  }
}

}  // namespace noroshi::gateway
