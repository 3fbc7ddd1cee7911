// Catches: layers, codewords, pairs, UCI on PUSCH or a waveform that MAC, cell and handset do not
// take the same way; first transmissions that fail more often than their target.

#include <gtest/gtest.h>

#include <cstdio>
#include <functional>

#include "site/small_site_test.h"

namespace noroshi::site {
namespace {

TEST(Site, CarriesFourLayersEachWay) {
  for (const int group_rbs : {0, 4}) {
    SCOPED_TRACE(group_rbs);
    auto site = Site::make(mimo_site({.group_rbs = group_rbs}, 36, 1), free_pace(0.5));
    ASSERT_TRUE(site.ok()) << site.error().message;
    ASSERT_TRUE(site->run().ok());
    const CellCounters& c = site->counters(0);
    expect_clean(c);
    // A layer alone gives 4.5 and 1.5 Mb at most.
    EXPECT_GT(c.dl_bits.load(), 8'000'000u);
    EXPECT_GT(c.ul_bits.load(), 2'500'000u);
    EXPECT_GT(c.dl_layers.load(), 5 * c.dl_tb.load() / 2);
  }
}

TEST(Site, ReceivesWithEachEqualizer) {
  for (const phy::Equalizer equalizer :
       {phy::Equalizer::zero_forcing, phy::Equalizer::mmse, phy::Equalizer::mmse_irc}) {
    SCOPED_TRACE(static_cast<int>(equalizer));
    SiteConfig config = mimo_site({.downlink_layers = 1, .uplink_layers = 2}, 30, 1);
    config.cells[0].equalizer = equalizer;
    const Outcome outcome = run_free(config, 0.2);
    EXPECT_EQ(outcome.mismatches, 0u);
    EXPECT_EQ(outcome.ul_lost, 0u);
    EXPECT_GT(outcome.ul_bits, 300'000u);
  }
}

TEST(Site, CarriesTwoCodewords) {
  auto site =
      Site::make(mimo_site({.cell = 8, .handset = 8, .downlink_layers = 8}, 40, 1), free_pace(0.3));
  ASSERT_TRUE(site.ok()) << site.error().message;
  ASSERT_TRUE(site->run().ok());
  const CellCounters& c = site->counters(0);
  expect_clean(c);
  EXPECT_GT(c.dl_layers.load(), 9 * c.dl_tb.load() / 2);
}

TEST(Site, PairsHandsetsOnTheSameBlocks) {
  for (const bool light : {false, true}) {
    SCOPED_TRACE(light);
    SiteConfig config = mimo_site(
        {.handset = 1, .downlink_layers = 1, .uplink_layers = 1, .group_layers = 2}, 30, 4);
    config.cells[0].mac.handsets_per_slot_max = 1;
    config.cells[0].light_air = light;
    auto site = Site::make(config, free_pace(0.5));
    ASSERT_TRUE(site.ok()) << site.error().message;
    ASSERT_TRUE(site->run().ok());
    const CellCounters& c = site->counters(0);
    EXPECT_EQ(c.payload_mismatches.load(), 0u);
    EXPECT_EQ(c.refused_pdus.load(), 0u);
    EXPECT_EQ(c.ul_tb_lost.load(), 0u);
    EXPECT_GT(c.ul_paired.load(), 60u);  // of 200 uplink slots
  }
}

// HARQ-ACK over the air: beside data, and alone where a handset has none to send.
TEST(Site, BringsHarqAckOnPusch) {
  for (const bool data : {true, false}) {
    SCOPED_TRACE(data);
    SiteConfig config = mimo_site({.downlink_layers = 2, .uplink_layers = 2}, 30, 2);
    config.cells[0].uci_on_pusch = true;
    if (!data)
      for (auto& handset : config.cells[0].mac.handsets)
        handset.uplink.kind = mac::Traffic::Kind::none;
    auto site = Site::make(config, free_pace(0.5));
    ASSERT_TRUE(site.ok()) << site.error().message;
    ASSERT_TRUE(site->run().ok());
    const CellCounters& c = site->counters(0);
    expect_clean(c);
    EXPECT_GT(c.dl_bits.load(), 4'000'000u);
    EXPECT_GT(c.ul_uci.load(), 80u);  // of 200 uplink slots
    EXPECT_LE(c.ul_uci_lost.load(), c.ul_uci.load() / 50);
    EXPECT_EQ(c.ul_bits.load() > 0, data);
  }
}

// Every waveform that the MAC can be told to ask for. Over air without fading and little noise the
// first transmission of every block arrives; of two layers that fade, all do after HARQ.
TEST(Site, CarriesEveryWaveform) {
  struct Case {
    const char* name;
    std::function<void(CellConfig&)> change;
  };
  using mac::Hopping;
  const auto two_layers = [](CellConfig& c) {
    c.transmit_antennas = c.downlink_layers_max = c.uplink_layers_max = 2;
    for (HandsetChannel& handset : c.channels) {
      handset.profile = "tdl-a";
      handset.transmit_antennas = handset.receive_antennas = 2;
    }
  };
  const Case cases[] = {
      {"bitmaps", [](CellConfig& c) { c.mac.allocation_type = 0; }},
      {"bitmaps, two layers, matrices by groups",
       [&](CellConfig& c) {
         c.mac.allocation_type = 0;
         two_layers(c);
         c.precoding_group_rbs = 2;
       }},
      {"hopping in the slot", [](CellConfig& c) { c.mac.hopping = Hopping::intra_slot; }},
      {"hopping by 3 blocks, one additional DM-RS, UCI",
       [](CellConfig& c) {
         c.mac.hopping = Hopping::intra_slot;
         c.mac.hopping_offset_rbs = 3;
         c.uci_on_pusch = true;
       }},
      {"hopping from slot to slot", [](CellConfig& c) { c.mac.hopping = Hopping::inter_slot; }},
      {"transform precoding", [](CellConfig& c) { c.mac.transform_precoding = true; }},
      {"transform precoding, 64QAM, hopping, PT-RS, UCI",
       [](CellConfig& c) {
         c.mac.transform_precoding = true;
         c.mac.mcs_table = nr::McsTable::qam64;
         c.mac.hopping = Hopping::intra_slot;
         c.mac.uplink_ptrs = true;
         c.uci_on_pusch = true;
       }},
      {"PT-RS", [](CellConfig& c) { c.mac.downlink_ptrs = c.mac.uplink_ptrs = true; }},
      {"PT-RS, sparse, two layers, bitmaps",
       [&](CellConfig& c) {
         c.mac.downlink_ptrs = c.mac.uplink_ptrs = true;
         c.mac.ptrs_time_density = 4;
         c.mac.ptrs_frequency_density = 4;
         c.mac.allocation_type = 0;
         two_layers(c);
       }},
      {"low spectral efficiency, transform precoding",
       [](CellConfig& c) {
         c.mac.transform_precoding = true;
         c.mac.mcs_table = nr::McsTable::qam64_low_se;
       }},
  };
  for (const int bandwidth_mhz : {5, 10}) {
    for (const Case& one : cases) {
      SCOPED_TRACE(testing::Message() << one.name << ", " << bandwidth_mhz << " MHz");
      SiteConfig config = small_site(
          {.bandwidth_mhz = bandwidth_mhz, .profile = "awgn", .snr_db = 50, .handsets = 3});
      CellConfig& cell = config.cells[0];
      one.change(cell);
      auto site = Site::make(config, free_pace(0.1));
      ASSERT_TRUE(site.ok()) << site.error().message;
      ASSERT_TRUE(site->run().ok());
      const CellCounters& c = site->counters(0);
      expect_clean(c);
      EXPECT_GT(c.dl_tb.load(), 150u);
      EXPECT_GT(c.ul_tb.load(), 30u);
      const std::uint64_t failed = c.dl_tb_failed.load() + c.ul_tb_failed.load();
      std::printf("%s, %d MHz: %llu of %llu\n", one.name, bandwidth_mhz,
                  static_cast<unsigned long long>(failed),
                  static_cast<unsigned long long>(c.dl_tb.load() + c.ul_tb.load()));
      if (cell.transmit_antennas == 1) {
        EXPECT_EQ(failed, 0u);
      }
      EXPECT_EQ(c.ul_uci_lost.load(), 0u);
    }
  }
}

// Links that nobody has measured yet are tried with care: layers each way, pairs, one handset with
// two antennas only.
TEST(Site, FirstTransmissionsStartBelowTwiceTheirTarget) {
  constexpr double target = 0.02;
  std::uint64_t first[2] = {}, failed[2] = {};
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    SiteConfig config = mimo_site({.group_layers = 4}, 38, 4);
    CellConfig& cell = config.cells[0];
    cell.uci_on_pusch = true;
    cell.mac.target_bler = target;
    for (HandsetChannel& handset : cell.channels) handset.doppler_hz = 5;
    cell.channels[2].receive_antennas = cell.channels[2].transmit_antennas = 2;
    auto site = Site::make(config, free_pace(0.15, seed));
    ASSERT_TRUE(site.ok()) << site.error().message;
    ASSERT_TRUE(site->run().ok());
    const CellCounters& c = site->counters(0);
    expect_clean(c);
    first[0] += c.dl_tb.load(), failed[0] += c.dl_tb_failed.load();
    first[1] += c.ul_tb.load(), failed[1] += c.ul_tb_failed.load();
  }
  for (const int up : {0, 1}) {
    std::printf("%s %llu of %llu\n", up == 1 ? "up" : "down",
                static_cast<unsigned long long>(failed[up]),
                static_cast<unsigned long long>(first[up]));
    EXPECT_GT(first[up], 600u);
    EXPECT_LT(static_cast<double>(failed[up]), 2 * target * static_cast<double>(first[up]));
  }
}

}  // namespace
}  // namespace noroshi::site
