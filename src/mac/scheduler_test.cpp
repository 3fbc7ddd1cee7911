// Catches: link adaptation that misses its target, fairness that starves or wastes, a scheduler
// that does not profit from fading, and transport blocks lost for good.

#include <gtest/gtest.h>

#include <cstdio>
#include <numeric>

#include "mac/link_adaptation.h"
#include "mac/split.h"
#include "mac/toy_cell.h"

namespace noroshi::mac {
namespace {

double first_bler(const MacCounters& after, const MacCounters& before) {
  return static_cast<double>(after.tb_first_failed - before.tb_first_failed) /
         static_cast<double>(after.tb_first - before.tb_first);
}

TEST(LinkAdaptation, BlockErrorsConvergeToTheTarget) {
  for (const double target : {0.03, 0.1}) {
    for (const double loss_db : {-3.0, 0.0, 4.0}) {  // of a receiver that the ladder knows not
      for (const double doppler_hz : {0.0, 10.0, 100.0}) {
        SCOPED_TRACE(testing::Message()
                     << "target " << target << " loss " << loss_db << " Doppler " << doppler_hz);
        MacConfig config = toy::config(1);
        config.target_bler = target;
        toy::Cell cell(config, {{100, 18, doppler_hz, 2, loss_db}}, 3);
        cell.run(1500);
        const MacCounters downlink = cell.mac.downlink();
        const MacCounters uplink = cell.mac.uplink();
        cell.run(8000);
        EXPECT_NEAR(first_bler(cell.mac.downlink(), downlink), target, 0.02);
        EXPECT_NEAR(first_bler(cell.mac.uplink(), uplink), target, 0.03);
      }
    }
  }
}

// The first blocks of every link, each number of layers one: no more than twice the target fail.
TEST(LinkAdaptation, StartsFromBelow) {
  for (const double target : {0.01, 0.1}) {
    for (const double loss_db : {0.0, 2.0}) {
      for (const double doppler_hz : {0.0, 5.0}) {
        SCOPED_TRACE(testing::Message()
                     << "target " << target << " loss " << loss_db << " Doppler " << doppler_hz);
        MacCounters sum[2];
        for (std::uint64_t seed = 1; seed <= 20; ++seed) {
          MacConfig config = toy::config(4);
          config.target_bler = target;
          config.transmit_antennas = config.receive_antennas = 4;
          config.downlink_layers_max = config.uplink_layers_max = 4;
          config.uplink_group_layers = 4;
          std::vector<toy::Radio> radios;
          for (HandsetConfig& handset : config.handsets) {
            handset.transmit_antennas = handset.receive_antennas = 4;
            radios.push_back({.rnti = handset.rnti,
                              .sinr_db = 20 + 4.0 * static_cast<double>(radios.size()),
                              .doppler_hz = doppler_hz,
                              .branches = 4,
                              .mixing_db = 2,
                              .receiver_loss_db = loss_db});
          }
          toy::Cell cell(config, radios, seed);
          cell.run(200);
          for (const bool uplink : {false, true}) {
            const MacCounters& from = uplink ? cell.mac.uplink() : cell.mac.downlink();
            sum[uplink].tb_first += from.tb_first;
            sum[uplink].tb_first_failed += from.tb_first_failed;
          }
        }
        EXPECT_GT(sum[0].tb_first, 8000u);
        EXPECT_GT(sum[1].tb_first, 1500u);
        EXPECT_LT(first_bler(sum[0], {}), 2 * target);
        EXPECT_LT(first_bler(sum[1], {}), 2 * target);
      }
    }
  }
}

TEST(LinkAdaptation, UsesTheWholeLadder) {
  for (const double sinr_db : {-3.0, 35.0}) {
    toy::Cell cell(toy::config(1), {{100, sinr_db, 0}}, 3);
    cell.run(600);
    const int mcs = cell.plan->ul_tti.pdus[0].mcs_index;
    if (sinr_db < 0) {
      EXPECT_LE(mcs, 2);
    } else {
      EXPECT_EQ(mcs, 27);
    }
  }
}

// At the ladder's end nothing fails; an offset that kept growing there would make everything fail
// once the channel gets worse.
TEST(LinkAdaptation, DoesNotWindUpAtTheLaddersEnd) {
  Link link;
  link.offset_db = 0;
  for (int i = 0; i < 1000; ++i) on_first_outcome(link, 0.1, {true, false, true});
  EXPECT_EQ(link.offset_db, 0);
  for (int i = 0; i < 1000; ++i) on_first_outcome(link, 0.1, {false, true, false});
  EXPECT_EQ(link.offset_db, 0);
  for (int i = 0; i < 1000; ++i) on_first_outcome(link, 0.1, {false, false, false});
  EXPECT_LT(link.offset_db, -5);
  EXPECT_GT(link.offset_db, -50);
}

TEST(Split, GivesEveryBlockOnceAndNoneBeyondWhatIsWanted) {
  const std::uint64_t seed = 2;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  for (int round = 0; round < 3000; ++round) {
    std::vector<Claim> claims(1 + prng.below(8));
    const int rbs = static_cast<int>(prng.below(60));
    const int claims_max = 1 + static_cast<int>(prng.below(5));
    for (std::size_t i = 0; i < claims.size(); ++i) {
      claims[i].handset = static_cast<int>(i);
      claims[i].metric = 0.1 + prng.uniform();
      claims[i].probe = prng.below(4) == 0;
      claims[i].rbs_wanted = 1 + static_cast<int>(prng.below(prng.below(2) == 0 ? 8 : 60));
    }
    const int count = split_rbs(View<Claim, 1>(claims), claims_max, rbs);
    ASSERT_LE(count, claims_max);
    ASSERT_EQ(count == 0, rbs == 0);
    int given = 0;
    for (int i = 0; i < count; ++i) {
      ASSERT_GE(claims[i].rbs, 1);
      ASSERT_LE(claims[i].rbs, claims[i].rbs_wanted);
      given += claims[i].rbs;
    }
    ASSERT_LE(given, rbs);
    int wanted_by_these = 0;
    for (int i = 0; i < count; ++i) wanted_by_these += claims[i].rbs_wanted;
    const bool probed =
        std::any_of(claims.begin(), claims.begin() + count, [](const Claim& c) { return c.probe; });
    if (!probed) {
      ASSERT_EQ(given, std::min(rbs, wanted_by_these));
    }
  }
}

TEST(ProportionalFair, NearAndFarGetLikeShares) {
  MacConfig config = toy::config(2);
  toy::Cell cell(config, {{100, 27, 10, 2}, {101, 7, 10, 2}}, 5);
  cell.run(12'000);
  const double share =
      static_cast<double>(cell.rbs[0]) / static_cast<double>(cell.rbs[0] + cell.rbs[1]);
  EXPECT_GT(share, 0.4);
  EXPECT_LT(share, 0.6);
  EXPECT_GT(cell.ok_bits[0], 2.5 * cell.ok_bits[1]);  // the same blocks carry more
}

TEST(ProportionalFair, GainsOverTakingTurnsWhenFadingIsIndependent) {
  // Taking turns gives each handset a fourth of what it has alone.
  constexpr int handsets = 4;
  constexpr SlotCount slots = 20'000;
  double turns = 0;
  std::vector<toy::Radio> radios;
  for (int i = 0; i < handsets; ++i) {
    radios.push_back({static_cast<std::uint16_t>(100 + i), 12, 5, 1});
  }
  for (std::uint64_t seed = 0; seed < handsets; ++seed) {
    toy::Cell alone(toy::config(1), {radios[0]}, seed);
    alone.run(slots);
    turns += alone.ok_bits[0] / handsets;
  }
  toy::Cell together(toy::config(handsets), radios, 9);
  together.run(slots);
  const double fair = std::accumulate(together.ok_bits.begin(), together.ok_bits.end(), 0.0);
  std::printf("proportional fair / turns: %.2f\n", fair / turns);
  EXPECT_GT(fair, 1.15 * turns);
  const auto [least, most] = std::minmax_element(together.rbs.begin(), together.rbs.end());
  EXPECT_LT(static_cast<double>(*most), 1.4 * static_cast<double>(*least));
}

TEST(Harq, LosesNothingInWalkingFades) {
  for (const double doppler_hz : {0.0, 10.0, 30.0}) {
    SCOPED_TRACE(doppler_hz);
    std::vector<toy::Radio> radios;
    for (int i = 0; i < 4; ++i) {
      radios.push_back({static_cast<std::uint16_t>(100 + i), 10.0 + 5 * i, doppler_hz, 2});
    }
    toy::Cell cell(toy::config(4), radios, 17);
    cell.run(12'000);
    EXPECT_GT(cell.mac.downlink().tb_retransmissions, 500u);
    EXPECT_EQ(cell.mac.downlink().tb_lost, 0u);
    EXPECT_EQ(cell.mac.uplink().tb_lost, 0u);
    EXPECT_EQ(cell.mac.downlink().feedback_timeouts + cell.mac.downlink().feedback_stale, 0u);
  }
}

// The number of layers that carries most is found, whatever it is, and kept.
TEST(Rank, FindsWhatCarriesMost) {
  struct Case {
    double sinr_db, mixing_db;
    int least, most;
  };
  for (const Case& c : {Case{5, 3, 1, 1}, Case{20, 3, 2, 3}, Case{38, 0.5, 4, 4}}) {
    SCOPED_TRACE(testing::Message() << c.sinr_db << " dB, mixing " << c.mixing_db << " dB");
    MacConfig config = toy::config(1);
    config.transmit_antennas = config.receive_antennas = 4;
    config.downlink_layers_max = config.uplink_layers_max = 4;
    config.handsets[0].transmit_antennas = config.handsets[0].receive_antennas = 4;
    toy::Cell cell(config, {{.rnti = 100, .sinr_db = c.sinr_db, .mixing_db = c.mixing_db}}, 5);
    cell.run(2000);
    const MacCounters before = cell.mac.downlink();
    cell.run(4000);
    const MacCounters& after = cell.mac.downlink();
    const double layers = static_cast<double>(after.layers - before.layers) /
                          static_cast<double>(after.tb_first + after.tb_retransmissions -
                                              before.tb_first - before.tb_retransmissions);
    EXPECT_GT(layers, c.least - 0.1);
    EXPECT_LT(layers, c.most + 0.1);
    EXPECT_LT(first_bler(after, before), 0.15);
    EXPECT_EQ(after.tb_lost, 0u);
  }
}

// Handsets of one antenna share blocks, so that both send more often than by turns.
TEST(Pairing, SharesBlocks) {
  std::uint64_t bits[2];
  for (const int layers : {1, 2}) {
    MacConfig config = toy::config(4);
    config.handsets_per_slot_max = 1;
    config.receive_antennas = 4;
    config.uplink_group_layers = layers;
    toy::Cell cell(config, {{100, 20}, {101, 20}, {102, 20}, {103, 20}}, 5);
    cell.run(3000);
    bits[layers - 1] = cell.mac.uplink().bits_ok;
    EXPECT_EQ(cell.mac.uplink().paired > 0, layers == 2);
  }
  EXPECT_GT(static_cast<double>(bits[1]), 1.7 * static_cast<double>(bits[0]));
}

}  // namespace
}  // namespace noroshi::mac
