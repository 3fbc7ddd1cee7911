// The requirement points of TS 38.104 8.2.1.2 and 8.2.2.2: SNR at 70 % of the maximum throughput,
// to be held against the table's, which a case's name ends with. A point is met with confidence
// where the interval's upper end lies below it. Wide carriers and many antennas have fewer runs,
// so that every point takes about the same time; the same runs on every machine.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "air/quality/crossing.h"
#include "air/quality/harq_link.h"
#include "air/quality/pusch_requirements.h"
#include "base/bench.h"
#include "nr/mcs.h"

namespace noroshi::air {
namespace {

std::string name_of(const PuschRequirement& point) {
  char name[160];
  std::snprintf(name, sizeof name, "%s %s %dMHz %dx%d %s-%.0f required %.1f", point.table,
                point.reference_channel, point.bandwidth_mhz, point.ports, point.antennas,
                point.profile, point.doppler_hz, point.snr_db);
  return name;
}

HarqLinkConfig config_of(const PuschRequirement& point) {
  HarqLinkConfig config;
  config.carrier = nr::make_carrier(point.scs_khz, point.bandwidth_mhz).value();
  nr::SharedChannel& pusch = config.pusch;
  pusch.rnti = 1;
  for (int rb = 0; rb < point.rbs; ++rb) pusch.rbs[static_cast<std::size_t>(rb)] = true;
  pusch.modulation = point.modulation;
  pusch.code_rate_x10240 = 10 * point.code_rate_x1024;
  pusch.layers = point.ports;
  pusch.transform_precoding = point.transform_precoding;
  pusch.dmrs.symbol_mask = 1u << 2 | 1u << 11;  // type A, one additional position
  pusch.dmrs.port_mask = static_cast<std::uint16_t>((1u << point.ports) - 1);
  pusch.tb_bits = nr::transport_block_bits(pusch);
  config.profile = channel_profile(point.profile, 0).value();
  config.doppler_hz = point.doppler_hz;
  config.antennas = point.antennas;
  return config;
}

}  // namespace

NOROSHI_BENCH(pusch_requirements) {
  constexpr int transmissions = 10;  // a run
  for (const PuschRequirement& point : pusch_requirements) {
    const std::string name = name_of(point);
    if (!bench.wants(name)) continue;
    const HarqLinkConfig config = config_of(point);
    if (!phy::check_pusch(config.carrier, config.pusch)) continue;
    bench.level_db(name, [&](bool once) {
      CrossingConfig search{.target = 0.3, .first_db = point.snr_db - 2};
      search.trials = once ? 1 : std::clamp(6000 / (point.bandwidth_mhz * point.antennas), 20, 60);
      search.step_db = 0.5;
      search.resolution_db = 0.25;
      if (once) {
        search.low_db = search.first_db - 0.5;
        search.high_db = search.first_db + 0.5;
      }
      search.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 64u));
      std::vector<std::unique_ptr<HarqLink>> links;
      for (int thread = 0; thread < search.threads; ++thread)
        links.push_back(std::make_unique<HarqLink>(config));
      const Crossing crossing = find_crossing(
          search,
          [&](double db, std::uint64_t run, int thread) {
            return links[static_cast<std::size_t>(thread)]->lost_share(db, once ? 1 : transmissions,
                                                                       run);
          },
          [&](double db, double lost) {
            std::fprintf(stderr, "%s: throughput %.3f at %.3f dB\n", name.c_str(), 1 - lost, db);
          });
      return BenchFound{crossing.db, crossing.low_db, crossing.high_db, search.trials};
    });
  }
}

}  // namespace noroshi::air
