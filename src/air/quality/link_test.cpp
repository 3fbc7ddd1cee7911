// Catches: a link whose block depends on what ran before, whose SINR is not the one that was asked
// for, or that loses what it must not; HARQ that does not combine or counts wrongly.

#include "air/quality/link.h"

#include <gtest/gtest.h>

#include "air/quality/harq_link.h"
#include "nr/mcs.h"

namespace noroshi::air {
namespace {

nr::SharedChannel make_pusch(const nr::Carrier& carrier, int layers, int mcs) {
  nr::SharedChannel pusch;
  pusch.rnti = 1;
  for (int rb = 0; rb < carrier.rb_count; ++rb) pusch.rbs.set(static_cast<std::size_t>(rb));
  const nr::Mcs scheme = *nr::mcs(nr::McsTable::qam64, mcs);
  pusch.modulation = scheme.modulation;
  pusch.code_rate_x10240 = scheme.code_rate_x10240;
  pusch.layers = layers;
  pusch.dmrs.symbol_mask = 1u << 2 | 1u << 11;
  pusch.dmrs.port_mask = static_cast<std::uint16_t>((1u << layers) - 1);
  pusch.tb_bits = nr::transport_block_bits(pusch);
  return pusch;
}

LinkConfig link_config(int layers, int antennas, TapGain gain) {
  LinkConfig config;
  config.carrier = nr::make_carrier(30, 10).value();
  config.pusch = make_pusch(config.carrier, layers, 10);
  config.channel = {
      channel_profile("awgn", 0).value(), gain, antennas, layers, config.carrier.scs_khz,
      config.carrier.subcarriers()};
  return config;
}

TEST(Link, ABlockComesFromSeedAndNumberAlone) {
  const LinkConfig config = link_config(1, 2, TapGain::rayleigh);
  Link one(config), other(config);
  for (const std::uint64_t block : {7u, 3u}) static_cast<void>(one.loses(6, block));
  const bool lost = one.loses(5, 4);
  const float sinr_db = one.last().sinr_db;
  EXPECT_EQ(other.loses(5, 4), lost);
  EXPECT_EQ(other.last().sinr_db, sinr_db);
  static_cast<void>(other.loses(5, 5));
  EXPECT_NE(other.last().sinr_db, sinr_db);
}

// All antennas together over the noise of one: the equalised SINR of a single tap, of any number
// of antennas, and of each of the layers of a Butler matrix, which share the power.
TEST(Link, SinrIsTheOneAskedFor) {
  for (const int antennas : {1, 2, 4}) {
    Link link(link_config(1, antennas, TapGain::uniform_phase));
    EXPECT_FALSE(link.loses(17, 0));
    EXPECT_NEAR(link.last().sinr_db, 17, 0.4) << antennas;
  }
  Link link(link_config(4, 4, TapGain::butler));
  EXPECT_FALSE(link.loses(23, 0));
  EXPECT_NEAR(link.last().sinr_db, 23 - 6.02, 0.5);
}

TEST(Link, LosesBelowAndNotAboveWhatTheMcsNeeds) {
  Link link(link_config(1, 1, TapGain::uniform_phase));  // MCS 10: about 4.6 dB
  int low = 0, high = 0;
  for (std::uint64_t block = 0; block < 10; ++block) {
    low += link.loses(3, block);
    high += link.loses(6, block);
  }
  EXPECT_EQ(low, 10);
  EXPECT_EQ(high, 0);
}

HarqLinkConfig harq_config() {
  HarqLinkConfig config;
  config.carrier = nr::make_carrier(15, 5).value();
  config.pusch = make_pusch(config.carrier, 1, 10);
  config.profile = channel_profile("awgn", 0).value();
  return config;
}

TEST(HarqLink, CountsTransmissionsThatDeliverNothing) {
  HarqLink link(harq_config());
  EXPECT_EQ(link.lost_share(12, 8, 0), 0);
  EXPECT_EQ(link.lost_share(-15, 8, 0), 1);
  // 2.5 dB below what one needs, two together deliver: every second does.
  EXPECT_EQ(link.lost_share(2.5, 8, 0), 0.5);
  // 4.5 dB below, the third does.
  EXPECT_NEAR(link.lost_share(0, 9, 0), 2.0 / 3, 0.12);
}

TEST(HarqLink, ARunComesFromSeedAndNumberAlone) {
  HarqLinkConfig config = harq_config();
  config.profile = channel_profile("tdla30", 0).value();
  config.doppler_hz = 100;
  HarqLink one(config), other(config);
  static_cast<void>(one.lost_share(3, 5, 9));
  EXPECT_EQ(one.lost_share(6, 10, 2), other.lost_share(6, 10, 2));
}

}  // namespace
}  // namespace noroshi::air
