// How far the sites are, and which is to be measured next.

#include <algorithm>
#include <array>

#include "gateway/route/route_state.h"

namespace noroshi::gateway {
namespace {

constexpr std::size_t looks_max = 64;  // at regions, or at sites, for one that is due
// A site that does not answer is no reason to ask the same again at once, nor to leave a region be.
constexpr double retry_share = 0.25;  // of the time after which one is measured again

std::int64_t after_ns(std::int64_t now_ns, double s) {
  return now_ns + static_cast<std::int64_t>(s * 1e9);
}

}  // namespace

// The site is of this region. moved: to another address, of which nothing is known.
void Router::State::settle_in(std::uint32_t number, const std::string& name, bool moved) {
  Site& site = sites[number];
  const auto [found, is_new] =
      region_numbers.try_emplace(name, static_cast<std::uint32_t>(regions.size()));
  if (is_new) regions.push_back({.name = name});
  const bool settled = site.address != nullptr;
  const bool elsewhere = !settled || site.region != found->second;
  if (settled && (moved || elsewhere)) {
    SiteRegion& before = regions[site.region];
    if (site.distance.known()) --before.known;
    if (elsewhere) std::erase(before.sites, number);
    if (std::erase(before.measured, number) > 0) take_median(before);
    site.distance = {};
    site.measure_due_ns = 0;
  }
  if (elsewhere) regions[found->second].sites.push_back(number);
  site.region = found->second;
}

double Router::State::round_trip_s(const Site& site, double otherwise) const {
  if (site.distance.known()) return site.distance.round_trip_s();
  return regions[site.region].round_trip_s.value_or(otherwise);
}

void Router::State::take_median(SiteRegion& region) {
  std::array<double, region_sites_max> all;
  std::size_t count = 0;
  for (const std::uint32_t site : region.measured) {
    all[count++] = sites[site].distance.round_trip_s();
  }
  region.round_trip_s =
      count > 0 ? std::optional(median(std::span(all).first(count))) : std::nullopt;
}

void Router::measured(std::uint32_t number, const SiteAddress& at, double round_trip_s,
                      std::int64_t now_ns) {
  if (!(round_trip_s > 0 && round_trip_s <= round_trip_s_max)) return;
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  if (number >= s.sites.size()) return;
  Site& site = s.sites[number];
  if (site.address->host != at.host || site.address->tcp_port != at.tcp_port) return;
  ++s.counts.measured;
  SiteRegion& region = s.regions[site.region];
  region.known += site.distance.known() ? 0 : 1;
  site.distance.add(round_trip_s, now_ns);
  site.measure_due_ns = after_ns(now_ns, s.config.measure_again_s);
  region.measure_due_ns = site.measure_due_ns;
  if (std::erase(region.measured, number) == 0 && region.measured.size() == region_sites_max) {
    region.measured.erase(region.measured.begin());
  }
  region.measured.push_back(number);
  s.take_median(region);
  for (const std::uint32_t copy : site.copies) {
    s.copies[copy].load.rtt_s = site.distance.round_trip_s();
    s.refresh(copy);
  }
}

// Of a region that is due, a living site: another one each time, so that all of them have a say.
std::optional<std::uint32_t> Router::State::region_to_measure(std::int64_t now_ns) {
  for (std::size_t i = 0; i < std::min(looks_max, regions.size()); ++i) {
    SiteRegion& region = regions[region_turn++ % regions.size()];
    if (now_ns < region.measure_due_ns) continue;
    for (std::size_t k = 0; k < std::min(looks_max, region.sites.size()); ++k) {
      const std::uint32_t site = region.sites[region.turn++ % region.sites.size()];
      if (sites[site].alive) return site;
    }
  }
  return {};
}

std::optional<std::uint32_t> Router::State::own_to_measure(std::int64_t now_ns) {
  const auto found = region_numbers.find(config.region);
  if (found == region_numbers.end()) return {};
  SiteRegion& own = regions[found->second];
  for (std::size_t i = 0; i < std::min(looks_max, own.sites.size()); ++i) {
    const std::uint32_t site = own.sites[own.turn_own++ % own.sites.size()];
    if (sites[site].alive && now_ns >= sites[site].measure_due_ns) return site;
  }
  return {};
}

std::optional<ToMeasure> Router::to_measure(std::int64_t now_ns) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.own_turn = !s.own_turn;
  auto due = s.own_turn ? s.own_to_measure(now_ns) : s.region_to_measure(now_ns);
  if (!due) due = s.own_turn ? s.region_to_measure(now_ns) : s.own_to_measure(now_ns);
  if (!due) return {};
  Site& site = s.sites[*due];
  site.measure_due_ns = after_ns(now_ns, s.config.measure_again_s * retry_share);
  s.regions[site.region].measure_due_ns = site.measure_due_ns;
  return ToMeasure{*due, site.address};
}

std::vector<RegionDistance> Router::distances() const {
  const State& s = *state_;
  std::vector<RegionDistance> all;
  {
    const std::lock_guard lock(s.mutex);
    for (const SiteRegion& region : s.regions) {
      if (region.round_trip_s) all.push_back({region.name, *region.round_trip_s, region.known});
    }
  }
  std::ranges::sort(all, {}, &RegionDistance::region);
  return all;
}

}  // namespace noroshi::gateway
