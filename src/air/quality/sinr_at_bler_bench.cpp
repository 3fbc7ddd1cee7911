// Receiver quality: the SINR (as air/quality/link.h defines it) at which a tenth of the blocks is
// lost. 273 resource blocks at 30 kHz, 14 symbols, DM-RS type 1 in symbols 2 and 11 at +3 dB (as
// OCUDU's pxsch_bler_test has them: a third symbol would raise the code rate), 10 LDPC iterations,
// every slot another channel that stands still for it: a single tap of random phase (4x4: a Butler
// matrix), or TDL-A of 30 ns with Rayleigh taps or taps of constant power.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "air/quality/crossing.h"
#include "air/quality/link.h"
#include "base/bench.h"
#include "nr/mcs.h"

namespace noroshi::air {
namespace {

struct Row {
  const char* profile;
  TapGain gain;
  int layers, antennas;
  nr::McsTable table;
  int mcs;
  double first_db;
};

constexpr auto phase = TapGain::uniform_phase, rayleigh = TapGain::rayleigh;
constexpr auto qam64 = nr::McsTable::qam64, qam256 = nr::McsTable::qam256;
constexpr Row rows[] = {
    {"awgn", phase, 1, 1, qam64, 0, -5},       {"awgn", phase, 1, 1, qam64, 9, 3.5},
    {"awgn", phase, 1, 1, qam64, 16, 9},       {"awgn", phase, 1, 1, qam64, 20, 12},
    {"awgn", phase, 1, 1, qam64, 28, 19.5},    {"awgn", phase, 1, 1, qam256, 27, 26},
    {"awgn", phase, 1, 4, qam64, 16, 9},       {"tdla30", rayleigh, 1, 2, qam64, 9, 8},
    {"tdla30", rayleigh, 1, 4, qam64, 16, 11}, {"tdla30", rayleigh, 2, 4, qam64, 16, 16},
    {"tdla30", phase, 1, 2, qam64, 9, 6.5},    {"tdla30", phase, 1, 4, qam64, 16, 10.5},
    {"tdla30", phase, 2, 4, qam64, 16, 15.5},  {"awgn", TapGain::butler, 4, 4, qam64, 20, 18.5},
};

std::string name_of(const Row& row) {
  std::string name = std::string(row.profile) == "awgn" ? "single-tap" : "tdl-a";
  if (name == "tdl-a") name += row.gain == rayleigh ? " rayleigh" : " uniform-phase";
  name += " " + std::to_string(row.layers) + "x" + std::to_string(row.antennas);
  return name + " mcs" + std::to_string(row.mcs) + (row.table == qam256 ? " 256qam" : "");
}

LinkConfig config_of(const Row& row) {
  LinkConfig config;
  config.carrier = nr::make_carrier(30, 100).value();
  nr::SharedChannel& pusch = config.pusch;
  pusch.rnti = 0x1234;
  for (int rb = 0; rb < config.carrier.rb_count; ++rb)
    pusch.rbs[static_cast<std::size_t>(rb)] = true;
  const nr::Mcs mcs = nr::mcs(row.table, row.mcs).value();
  pusch.modulation = mcs.modulation;
  pusch.code_rate_x10240 = mcs.code_rate_x10240;
  pusch.layers = row.layers;
  pusch.dmrs.symbol_mask = 1u << 2 | 1u << 11;
  pusch.dmrs.port_mask = static_cast<std::uint16_t>((1u << row.layers) - 1);
  pusch.tb_bits = nr::transport_block_bits(pusch);
  config.channel = {channel_profile(row.profile, 0).value(),
                    row.gain,
                    row.antennas,
                    row.layers,
                    config.carrier.scs_khz,
                    config.carrier.subcarriers()};
  config.decode.iterations_max = 10;
  return config;
}

}  // namespace

NOROSHI_BENCH(sinr_at_bler) {
  for (const Row& row : rows) {
    const std::string name = name_of(row);
    const LinkConfig config = config_of(row);
    if (!bench.wants(name) || !phy::check_pusch(config.carrier, config.pusch)) continue;
    bench.level_db(name, [&](bool once) {
      CrossingConfig search{.first_db = row.first_db};
      search.trials = once                                                    ? 4
                      : std::string(row.profile) == "awgn" && row.layers == 1 ? 1000
                                                                              : 4000;
      if (once) {
        search.low_db = search.first_db - 0.5;
        search.high_db = search.first_db + 0.5;
      }
      search.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 64u));
      std::vector<std::unique_ptr<Link>> links;
      for (int thread = 0; thread < search.threads; ++thread)
        links.push_back(std::make_unique<Link>(config));
      const Crossing crossing = find_crossing(
          search,
          [&](double db, std::uint64_t block, int thread) {
            return links[static_cast<std::size_t>(thread)]->loses(db, block);
          },
          [&](double db, double rate) {
            std::fprintf(stderr, "%s: %.4f of %d blocks lost at %.3f dB\n", name.c_str(), rate,
                         search.trials, db);
          });
      return BenchFound{crossing.db, crossing.low_db, crossing.high_db, search.trials};
    });
  }
}

}  // namespace noroshi::air
