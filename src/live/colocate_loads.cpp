#include "live/colocate_loads.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace noroshi::live {
namespace {

using Arrivals = std::vector<std::pair<double, std::int64_t>>;

// Of each of the two handsets, together just what the cell can carry.
constexpr double downlink_peak_mbps = 65;
constexpr double uplink_peak_mbps = 20;

// Mean traffic of a cell by hour of the day over its busiest hour: 211 cells of the Milan grid over
// 62 days (Telecom Italia, Open Big Data, ODbL).
constexpr double share_of_peak[24] = {0.32, 0.27, 0.25, 0.24, 0.24, 0.25, 0.31, 0.40,
                                      0.51, 0.56, 0.59, 0.59, 0.61, 0.57, 0.58, 0.58,
                                      0.59, 0.59, 0.58, 0.55, 0.51, 0.47, 0.42, 0.37};

std::int64_t bytes_of(double mbps, double seconds) {
  return static_cast<std::int64_t>(mbps * 1e6 / 8 * seconds);
}

Arrivals day(double peak_mbps, double seconds) {
  constexpr double step_s = 0.005;
  Arrivals arrivals;
  for (double t = 0; t < seconds; t += step_s) {
    const double hour = std::min(23.999, t / seconds * 24);
    const auto from = static_cast<std::size_t>(hour);
    const double part = hour - std::floor(hour);
    const double share = (1 - part) * share_of_peak[from] + part * share_of_peak[(from + 1) % 24];
    arrivals.emplace_back(t, bytes_of(peak_mbps * share, step_s));
  }
  return arrivals;
}

mac::Traffic traffic(std::string_view load, double peak_mbps, double seconds) {
  mac::Traffic traffic;
  if (load == "low") {
    traffic.kind = mac::Traffic::Kind::poisson;
    traffic.mbps = peak_mbps / 40;
  } else if (load == "full") {
    traffic.kind = mac::Traffic::Kind::full_buffer;
  } else {
    traffic.kind = mac::Traffic::Kind::replay;
    traffic.loop = true;
    // The second arrival, of nothing, is where the round ends.
    traffic.arrivals = load == "diurnal" ? day(peak_mbps, seconds)
                                         : Arrivals{{0.0, bytes_of(peak_mbps, 0.005)}, {0.010, 0}};
  }
  return traffic;
}

}  // namespace

Result<site::SiteConfig> colocate_site(std::string_view load, double seconds) {
  if (load != "low" && load != "diurnal" && load != "bursty" && load != "full")
    return Error{"no radio load '" + std::string(load) + "': low, diurnal, bursty or full"};
  site::SiteConfig config;
  config.name = "colocate";
  site::CellConfig& cell = config.cells[0];
  const auto carrier = nr::make_carrier(30, 40);
  const auto pattern = nr::make_duplex_pattern("DDDSU", 30);
  assert(carrier && pattern);
  cell.carrier = *carrier;
  cell.pattern = *pattern;
  cell.light_air = true;
  cell.mac.handsets_per_slot_max = 1;
  for (const std::uint16_t rnti : {17921, 17922}) {
    site::HandsetChannel channel;
    channel.rnti = rnti;
    channel.profile = "awgn";
    channel.snr_db = 30;
    cell.channels.push_back(channel);
    mac::HandsetConfig handset;
    handset.rnti = rnti;
    handset.downlink = traffic(load, downlink_peak_mbps, seconds);
    handset.uplink = traffic(load, uplink_peak_mbps, seconds);
    cell.mac.handsets.push_back(std::move(handset));
  }
  return config;
}

}  // namespace noroshi::live
