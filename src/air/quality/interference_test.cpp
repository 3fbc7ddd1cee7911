// Catches: MMSE-IRC that does not reject another cell's handset, on all blocks or on some; that
// costs where there is only white noise; whose SINR is not what its symbols have.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "air/quality/link.h"
#include "nr/mcs.h"

namespace noroshi::air {
namespace {

constexpr std::uint64_t seed = 41;
constexpr int blocks = 60;

nr::SharedChannel make_pusch(int first_rb, int rbs, int layers, int mcs, std::uint16_t cell_id) {
  nr::SharedChannel pusch;
  pusch.rnti = static_cast<std::uint16_t>(0x1000 + cell_id);
  pusch.scrambling_id = cell_id;
  for (int rb = first_rb; rb < first_rb + rbs; ++rb) pusch.rbs.set(static_cast<std::size_t>(rb));
  const nr::Mcs scheme = *nr::mcs(nr::McsTable::qam64, mcs);
  pusch.modulation = scheme.modulation;
  pusch.code_rate_x10240 = scheme.code_rate_x10240;
  pusch.layers = layers;
  pusch.dmrs.scrambling_id = cell_id;
  pusch.dmrs.symbol_mask = 1u << 2 | 1u << 11;
  pusch.dmrs.port_mask = static_cast<std::uint16_t>((1u << layers) - 1);
  pusch.tb_bits = nr::transport_block_bits(pusch);
  return pusch;
}

LinkConfig make_link(const char* profile, int layers, int antennas, int mcs) {
  LinkConfig config;
  config.carrier = nr::make_carrier(30, 20).value();
  config.pusch = make_pusch(0, config.carrier.rb_count, layers, mcs, 11);
  config.channel = {channel_profile(profile, 100e-9).value(),
                    TapGain::rayleigh,
                    antennas,
                    layers,
                    config.carrier.scs_khz,
                    config.carrier.subcarriers()};
  config.seed = seed;
  return config;
}

void add_interferer(LinkConfig& config, int first_rb, int rbs, double sir_db) {
  Interferer& other = config.interferer.emplace();
  other.pusch = make_pusch(first_rb, rbs, 1, 9, 22);
  other.channel = config.channel;
  other.channel.ports = 1;
  other.sir_db = sir_db;
}

struct Outcome {
  int lost = 0;
  double sinr_db = 0;  // mean, as reported
  double evm_db = 0;   // mean of 1 / EVM^2
};

Outcome run(LinkConfig config, phy::Equalizer equalizer, double snr_db) {
  config.equalizer = equalizer;
  Link link(config);
  Outcome out;
  for (std::uint64_t block = 0; block < blocks; ++block) {
    out.lost += link.loses(snr_db, block);
    out.sinr_db += static_cast<double>(link.last().sinr_db) / blocks;
    out.evm_db -= 20 * std::log10(static_cast<double>(link.last().evm)) / blocks;
  }
  return out;
}

// mmse_lost: so many at least, that it is the rejection which decides.
void expect_rejection(const LinkConfig& config, double snr_db, int mmse_lost, const char* name) {
  const Outcome mmse = run(config, phy::Equalizer::mmse, snr_db);
  const Outcome irc = run(config, phy::Equalizer::mmse_irc, snr_db);
  std::printf("%s: MMSE loses %d of %d at SINR %.1f dB, MMSE-IRC %d at %.1f dB (1 / EVM^2 %.1f)\n",
              name, mmse.lost, blocks, mmse.sinr_db, irc.lost, irc.sinr_db, irc.evm_db);
  EXPECT_GE(mmse.lost, mmse_lost);
  EXPECT_LE(irc.lost, blocks / 20);
  EXPECT_GT(irc.sinr_db, mmse.sinr_db + 10);
  EXPECT_NEAR(irc.sinr_db, irc.evm_db, 2);
}

TEST(Interference, OnAllBlocksIsRejected) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  for (const int layers : {1, 2}) {
    LinkConfig config = make_link("tdla30", layers, 4, layers == 1 ? 16 : 9);
    add_interferer(config, 0, config.carrier.rb_count, 0);
    expect_rejection(config, layers == 1 ? 20 : 23, blocks * 8 / 10, layers == 1 ? "1x4" : "2x4");
  }
}

TEST(Interference, OnSomeBlocksIsRejected) {
  for (const int layers : {1, 2}) {
    LinkConfig config = make_link("tdla30", layers, 4, layers == 1 ? 16 : 9);
    add_interferer(config, 9, 25, 0);
    expect_rejection(config, layers == 1 ? 20 : 23, blocks * 4 / 10,
                     layers == 1 ? "1x4, half the blocks" : "2x4, half the blocks");
  }
}

// Both mean SINR, so the margin is that of the equaliser's weights and of what it believes.
TEST(Interference, WhiteNoiseCostsLittle) {
  for (const int layers : {1, 2}) {
    LinkConfig config = make_link("tdla30", layers, 4, layers == 1 ? 16 : 9);
    const Outcome mmse = run(config, phy::Equalizer::mmse, 16);
    const Outcome irc = run(config, phy::Equalizer::mmse_irc, 16);
    std::printf("%dx4 white: 1 / EVM^2 %.2f dB and %.2f dB, SINR %.2f and %.2f, lost %d and %d\n",
                layers, mmse.evm_db, irc.evm_db, mmse.sinr_db, irc.sinr_db, mmse.lost, irc.lost);
    EXPECT_GT(irc.evm_db, mmse.evm_db - 0.15);
    EXPECT_NEAR(irc.sinr_db, mmse.sinr_db, 0.3);
    EXPECT_LE(irc.lost, mmse.lost + 1);
  }
}

}  // namespace
}  // namespace noroshi::air
