// Catches: a transport block lost or changed anywhere between MAC and handset, a run that a seed
// does not repeat, a recording that does not replay, allocation in the slot, lateness that goes
// uncounted or stops the site, a site that takes a configuration it cannot run.

#include "site/site.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "site/cell.h"
#include "site/slot_guard.h"

namespace noroshi::site {
namespace {

struct Shape {
  int scs_khz = 30;
  int bandwidth_mhz = 5;
  const char* duplex = "DDDSU";
  const char* profile = "tdl-a";
  double snr_db = 30;
  int handsets = 2;
  int receive_antennas = 2;
};

SiteConfig small_site(const Shape& shape) {
  SiteConfig config;
  CellConfig& cell = config.cells[0];
  cell.carrier = nr::make_carrier(shape.scs_khz, shape.bandwidth_mhz).value();
  cell.pattern = nr::make_duplex_pattern(shape.duplex, shape.scs_khz).value();
  cell.receive_antennas = shape.receive_antennas;
  cell.mac.handsets_per_slot_max = 2;
  for (int i = 0; i < shape.handsets; ++i) {
    HandsetChannel channel;
    channel.rnti = static_cast<std::uint16_t>(100 + i);
    channel.profile = shape.profile;
    channel.snr_db = shape.snr_db - 4 * i;
    channel.timing_offset_ns = 100 * i;
    cell.channels.push_back(channel);
    mac::HandsetConfig handset;
    handset.rnti = channel.rnti;
    cell.mac.handsets.push_back(handset);
  }
  return config;
}

SiteOptions free_pace(double duration_s, std::uint64_t seed = 1) {
  SiteOptions options;
  options.duration_s = duration_s;
  options.pace = Pace::free;
  options.seed = seed;
  return options;
}

struct Outcome {
  std::uint64_t hash, dl_bits, ul_bits, dl_lost, ul_lost, mismatches, slots, ul_tb, ul_failed;
};

Outcome run_free(const SiteConfig& config, double duration_s, std::uint64_t seed = 1) {
  auto site = Site::make(config, free_pace(duration_s, seed));
  EXPECT_TRUE(site.ok()) << (site.ok() ? "" : site.error().message);
  if (!site.ok()) return {};
  EXPECT_TRUE(site->run().ok());
  const CellCounters& c = site->counters(0);
  EXPECT_EQ(c.refused_pdus.load(), 0u);
  EXPECT_EQ(c.dropped_reports.load(), 0u);
  EXPECT_EQ(c.lost_slots.load() + c.lost_air_slots.load(), 0u);
  return {c.result_hash.load(), c.dl_bits.load(),    c.ul_bits.load(),
          c.dl_tb_lost.load(),  c.ul_tb_lost.load(), c.payload_mismatches.load(),
          c.slots.load(),       c.ul_tb.load(),      c.ul_tb_failed.load()};
}

TEST(Site, CarriesEveryBlockOverFadingAir) {
  const Outcome outcome = run_free(small_site({}), 1.0);
  EXPECT_EQ(outcome.slots, 2000u);
  EXPECT_EQ(outcome.dl_lost, 0u);
  EXPECT_EQ(outcome.ul_lost, 0u);
  EXPECT_EQ(outcome.mismatches, 0u);
  // 11 RB with 3.7 (0.93) of 5 slots: half of what 256QAM gives at most is about 9 (3) Mb/s.
  EXPECT_GT(outcome.dl_bits, 5'000'000u);
  EXPECT_GT(outcome.ul_bits, 1'500'000u);
}

TEST(Site, ASeedRepeatsARunToTheBit) {
  const SiteConfig config = small_site({});
  const Outcome first = run_free(config, 0.2, 7);
  EXPECT_EQ(first.hash, run_free(config, 0.2, 7).hash);
  EXPECT_NE(first.hash, run_free(config, 0.2, 8).hash);
}

TEST(Site, RunsFddAndFifteenKilohertz) {
  for (const Shape& shape :
       {Shape{.scs_khz = 15, .duplex = "FDD"}, Shape{.scs_khz = 30, .duplex = "FDD"},
        Shape{.scs_khz = 15, .duplex = "DSUUD"}, Shape{.duplex = "DU", .receive_antennas = 4},
        Shape{.profile = "awgn", .handsets = 1, .receive_antennas = 1}}) {
    SCOPED_TRACE(std::string(shape.duplex) + " " + std::to_string(shape.scs_khz));
    const Outcome outcome = run_free(small_site(shape), 0.2);
    EXPECT_EQ(outcome.mismatches, 0u);
    EXPECT_EQ(outcome.dl_lost + outcome.ul_lost, 0u);
    EXPECT_GT(outcome.dl_bits, 100'000u);
    EXPECT_GT(outcome.ul_bits, 100'000u);
  }
}

struct Antennas {
  int cell = 4, handset = 4;
  int downlink_layers = 4, uplink_layers = 4, group_layers = 1, group_rbs = 0;
};

SiteConfig mimo_site(const Antennas& antennas, double snr_db, int handsets) {
  SiteConfig config =
      small_site({.snr_db = snr_db, .handsets = handsets, .receive_antennas = antennas.cell});
  CellConfig& cell = config.cells[0];
  cell.transmit_antennas = antennas.cell;
  cell.downlink_layers_max = antennas.downlink_layers;
  cell.uplink_layers_max = antennas.uplink_layers;
  cell.uplink_group_layers = antennas.group_layers;
  cell.precoding_group_rbs = antennas.group_rbs;
  for (HandsetChannel& handset : cell.channels) {
    handset.receive_antennas = antennas.handset;
    handset.transmit_antennas = std::min(antennas.handset, 4);
  }
  return config;
}

// Every block arrived, after HARQ, and as it was sent.
void expect_clean(const CellCounters& c) {
  EXPECT_EQ(c.payload_mismatches.load(), 0u);
  EXPECT_EQ(c.refused_pdus.load(), 0u);
  EXPECT_EQ(c.dl_tb_lost.load() + c.ul_tb_lost.load(), 0u);
}

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

TEST(Site, NoiseAloneLosesBlocksAndNeverFalsifiesThem) {
  const Outcome outcome = run_free(small_site({.snr_db = -15}), 0.2);
  EXPECT_GT(outcome.ul_failed, 0u);
  EXPECT_EQ(outcome.mismatches, 0u);
}

// The samples of one run, replayed under the same seed, give the same uplink.
TEST(Site, ARecordingReplaysToTheSameResult) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("noroshi_site_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  SiteConfig config = small_site({});
  config.record_path = (folder / "uplink").string();
  const Outcome recorded = run_free(config, 0.1);
  config.record_path.clear();
  config.replay_path = (folder / "uplink.sigmf-meta").string();
  const Outcome replayed = run_free(config, 0.1);
  EXPECT_GT(recorded.ul_tb, 20u);
  EXPECT_EQ(replayed.hash, recorded.hash);
  EXPECT_EQ(replayed.ul_bits, recorded.ul_bits);

  // Another cell hears nothing in it, says so by failed CRCs, and goes on.
  config.cells[0].carrier.cell_id = 77;
  const Outcome foreign = run_free(config, 0.1);
  EXPECT_EQ(foreign.ul_bits, 0u);
  EXPECT_GT(foreign.ul_failed, 0u);
  EXPECT_GT(foreign.dl_bits, 0u);

  config.cells[0].receive_antennas = 1;
  const auto refused = Site::make(config, free_pace(0.1));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("2 channels"), std::string::npos);
  std::filesystem::remove_all(folder);
}

// Sleeps as told, but at chosen sleeps wakes this much later.
class StallingClock final : public Clock {
 public:
  explicit StallingClock(std::function<std::int64_t(int)> stall_ns)
      : stall_ns_(std::move(stall_ns)) {}
  std::int64_t now_ns() override { return now_ns_; }
  void sleep_until_ns(std::int64_t deadline_ns) override {
    if (deadline_ns > now_ns_) now_ns_ = deadline_ns;
    now_ns_ += stall_ns_(sleeps_++);
  }

 private:
  std::function<std::int64_t(int)> stall_ns_;
  std::int64_t now_ns_ = 0;
  int sleeps_ = 0;
};

TEST(Site, CountsALateDownlinkOnce) {
  StallingClock clock([](int sleep) { return sleep == 50 ? 400'000 : 0; });
  SiteOptions options = free_pace(0.1);
  options.clock = &clock;
  auto site = Site::make(small_site({}), options);
  ASSERT_TRUE(site.ok());
  ASSERT_TRUE(site->run().ok());
  EXPECT_EQ(site->counters(0).late_downlink.load(), 1u);
  EXPECT_EQ(site->counters(0).late_uplink.load(), 0u);
  EXPECT_EQ(site->counters(0).late_slots.load(), 1u);
  EXPECT_EQ(site->counters(0).lost_slots.load(), 0u);
}

TEST(Site, AnUplinkThatTheAirHeldUpIsLateByTheAir) {
  // The tick of uplink slot 54 comes 4 slots late: so do its samples, and so does what reads them.
  StallingClock clock([](int sleep) { return sleep == 54 ? 4 * 500'000 + 1000 : 0; });
  SiteOptions options = free_pace(0.1);
  options.clock = &clock;
  auto site = Site::make(small_site({}), options);
  ASSERT_TRUE(site.ok());
  ASSERT_TRUE(site->run().ok());
  const CellCounters& c = site->counters(0);
  EXPECT_EQ(c.late_uplink.load(), 1u);
  EXPECT_EQ(c.late_uplink_by_air.load(), 1u);
  // Slots 55 to 57 had their downlink late too; 54 has none, yet is late by its uplink.
  EXPECT_EQ(c.late_downlink.load(), 3u);
  EXPECT_EQ(c.late_slots.load(), 4u);
  EXPECT_EQ(c.lost_slots.load(), 0u);
}

TEST(Site, ASlotLateBothWaysCountsOnce) {
  StallingClock clock([](int sleep) { return sleep == 54 ? 4 * 500'000 + 1000 : 0; });
  SiteOptions options = free_pace(0.1);
  options.clock = &clock;
  auto site = Site::make(small_site({.duplex = "FDD"}), options);
  ASSERT_TRUE(site.ok());
  ASSERT_TRUE(site->run().ok());
  const CellCounters& c = site->counters(0);
  EXPECT_EQ(c.late_downlink.load(), 4u);       // 54 to 57
  EXPECT_EQ(c.late_uplink.load(), 2u);         // 53 came in time and was read late, and 54
  EXPECT_EQ(c.late_uplink_by_air.load(), 1u);  // 54
  EXPECT_EQ(c.late_slots.load(), 5u);          // 53 to 57
}

TEST(Site, SurvivesALongStallAndLosesOnlyItsSlots) {
  StallingClock clock([](int sleep) { return sleep % 300 == 299 ? 30 * 500'000 : 0; });
  SiteOptions options = free_pace(0.5);
  options.clock = &clock;
  auto site = Site::make(small_site({}), options);
  ASSERT_TRUE(site.ok());
  ASSERT_TRUE(site->run().ok());
  const CellCounters& c = site->counters(0);
  EXPECT_EQ(c.lost_slots.load(), 3u * 30u);
  EXPECT_EQ(c.slots.load() + c.lost_slots.load(), 1000u);
  EXPECT_EQ(c.payload_mismatches.load(), 0u);
  EXPECT_EQ(c.dl_tb_lost.load() + c.ul_tb_lost.load(), 0u);
  EXPECT_GT(c.ul_bits.load(), 500'000u);
}

// Real threads on the real clock, with whatever the machine gives: nothing about speed is asserted,
// only that every slot is done or counted as lost and that nothing is falsified.
TEST(Site, RealPaceAccountsForEverySlot) {
  for (const int workers : {1, 2}) {
    SCOPED_TRACE(workers);
    SiteConfig config = small_site({.handsets = 1});
    config.realtime_priority = 0;
    config.radio_processors.assign(static_cast<std::size_t>(workers), 0);
    config.air_processors = {0};
    SiteOptions options;
    options.duration_s = 0.2;
    auto site = Site::make(config, options);
    ASSERT_TRUE(site.ok()) << site.error().message;
    ASSERT_TRUE(site->run().ok());
    const CellCounters& c = site->counters(0);
    EXPECT_GE(c.slots.load() + c.lost_slots.load(), 400u);
    EXPECT_EQ(c.payload_mismatches.load(), 0u);
  }
}

// A second cell beside it, of another spacing, changes nothing of the first.
TEST(Site, CellsDoNotDisturbOneAnother) {
  const Outcome alone = run_free(small_site({}), 0.2);
  SiteConfig config = small_site({});
  config.cells.push_back(small_site({.scs_khz = 15, .duplex = "FDD"}).cells[0]);
  config.cells[1].name = "cell1";
  config.cells.push_back(config.cells[0]);
  config.cells[2].name = "cell2";
  config.cells[2].starts = false;
  auto site = Site::make(config, free_pace(0.2));
  ASSERT_TRUE(site.ok()) << site.error().message;
  ASSERT_TRUE(site->run().ok());
  ASSERT_EQ(site->cells(), 3u);
  EXPECT_EQ(site->counters(0).result_hash.load(), alone.hash);
  EXPECT_EQ(site->counters(0).slots.load(), 400u);
  EXPECT_EQ(site->counters(1).slots.load(), 200u);
  EXPECT_EQ(site->counters(2).slots.load(), 0u);
  EXPECT_NE(site->counters(1).result_hash.load(), alone.hash);
  for (const std::size_t cell : {0, 1}) {
    EXPECT_EQ(site->counters(cell).payload_mismatches.load(), 0u);
    EXPECT_GT(site->counters(cell).ul_bits.load(), 100'000u);
  }
  EXPECT_FALSE(site->stop_cell("cell0"));  // free pace
}

void wait_for_slots(const Site& site, std::size_t cell, std::uint64_t more) {
  const std::uint64_t until = site.counters(cell).slots.load() + more;
  while (site.counters(cell).slots.load() < until) std::this_thread::yield();
}

// Real threads; nothing about speed is asserted.
TEST(Site, CellsStartAndStopWhileItRuns) {
  SiteConfig config = small_site({.handsets = 1});
  config.realtime_priority = 0;
  config.radio_processors = {0};
  config.air_processors = {0};
  config.cells.push_back(config.cells[0]);
  config.cells[1].name = "cell1";
  config.cells[1].starts = false;
  SiteOptions options;
  auto site = Site::make(config, options);
  ASSERT_TRUE(site.ok()) << site.error().message;
  EXPECT_FALSE(site->start_cell("cell1"));  // before it runs
  std::thread run([&] { EXPECT_TRUE(site->run().ok()); });
  wait_for_slots(*site, 0, 50);
  EXPECT_TRUE(site->runs(0));
  EXPECT_FALSE(site->runs(1));
  const auto unknown = site->start_cell("cell7");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("cell0, cell1"), std::string::npos);
  const auto twice = site->start_cell("cell0");
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().message.find("runs already"), std::string::npos);
  EXPECT_FALSE(site->stop_cell("cell1"));

  ASSERT_TRUE(site->start_cell("cell1"));
  wait_for_slots(*site, 1, 100);
  wait_for_slots(*site, 0, 50);  // both
  ASSERT_TRUE(site->stop_cell("cell0"));
  EXPECT_FALSE(site->runs(0));
  const std::uint64_t stopped_at = site->counters(0).slots.load();
  wait_for_slots(*site, 1, 100);
  EXPECT_EQ(site->counters(0).slots.load(), stopped_at);
  // It goes on where it was, and its HARQ mends what was on its way.
  const std::uint64_t bits = site->counters(0).ul_bits.load();
  ASSERT_TRUE(site->start_cell("cell0"));
  wait_for_slots(*site, 0, 200);
  site->stop();
  run.join();
  EXPECT_GT(site->counters(0).ul_bits.load(), bits);
  for (const std::size_t cell : {0, 1}) {
    EXPECT_EQ(site->counters(cell).payload_mismatches.load(), 0u);
    EXPECT_FALSE(site->runs(cell));
  }
  EXPECT_FALSE(site->stop_cell("cell0"));  // after the end
}

// A cost model that is not ours is said, learned anew, and replaced by a good one.
TEST(Site, ACostModelThatCannotBeTakenIsSaidAndReplaced) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                     ("noroshi_site_" + std::to_string(getpid()) + ".cost");
  const auto run = [&] {
    SiteConfig config = small_site({.handsets = 1});
    config.realtime_priority = 0;
    config.radio_processors = config.air_processors = {0};
    config.cost_model_path = path;
    SiteOptions options;
    options.duration_s = 0.1;
    auto site = Site::make(config, options);
    EXPECT_TRUE(site.ok() && site->run().ok());
    EXPECT_GE(site->counters(0).slots.load() + site->counters(0).lost_slots.load(), 200u);
    std::string text;
    for (const std::string& warning : site->warnings()) {
      if (warning.find("cost model") != std::string::npos) text += warning;
    }
    return text;
  };
  for (const char* bad : {"\x7f"
                          "ELF",
                          "noroshi cost model 2\nAnother Machine\ndownlink\n", ""}) {
    std::ofstream(path) << bad;
    const std::string said = run();
    EXPECT_NE(said.find(path.string()), std::string::npos) << bad;
    EXPECT_NE(said.find("learned anew"), std::string::npos) << said;
    EXPECT_EQ(run(), "");  // what it has written
  }
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 3);
  EXPECT_NE(run().find("learned anew"), std::string::npos);
  std::filesystem::remove(path);
}

TEST(Site, RefusesWhatItCannotRun) {
  {
    SiteConfig twins = small_site({});
    twins.cells.push_back(twins.cells[0]);
    const auto refused = Site::make(twins, free_pace(0.1));
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("name cell0"), std::string::npos);
    twins.cells[1].name = "b";
    twins.replay_path = "x.sigmf-meta";
    EXPECT_NE(Site::make(twins, free_pace(0.1)).error().message.find("radio.replay"),
              std::string::npos);
    twins.replay_path.clear();
    twins.cells[1].processors = {0, 1, 2};
    EXPECT_FALSE(Site::make(twins, free_pace(0.1)).ok());
    twins.cells.clear();
    EXPECT_FALSE(Site::make(twins, free_pace(0.1)).ok());
  }
  SiteConfig config = small_site({});
  config.radio_processors = {4000};
  auto site = Site::make(config, free_pace(0.1));
  ASSERT_FALSE(site.ok());
  EXPECT_NE(site.error().message.find("processor 4000"), std::string::npos);

  config = small_site({});
  config.cells[0].channels[1].rnti = config.cells[0].channels[0].rnti;
  config.cells[0].mac.handsets[1].rnti = config.cells[0].channels[0].rnti;
  EXPECT_FALSE(Site::make(config, free_pace(0.1)).ok());

  config = small_site({});
  config.cells[0].channels[0].profile = "tdl-q";
  EXPECT_FALSE(Site::make(config, free_pace(0.1)).ok());

  const auto says = [](const Antennas& antennas, const std::string& text) {
    const auto made = Site::make(mimo_site(antennas, 20, 1), free_pace(0.1));
    ASSERT_FALSE(made.ok()) << text;
    EXPECT_NE(made.error().message.find(text), std::string::npos) << made.error().message;
  };
  says({.downlink_layers = 5}, "downlink_layers_max is 5, allowed: 1..4");
  says({.uplink_layers = 5}, "uplink_layers_max is 5");
  says({.group_layers = 5}, "uplink_group_layers is 5");
  says({.group_rbs = 276}, "precoding_group_rbs is 276");
  says({.cell = 9}, "receive_antennas is 9");
  says({.handset = 3}, "handsets: transmit_antennas is 3");

  config = small_site({});
  config.cells[0].mac.allocation_type = 0;
  config.cells[0].mac.transform_precoding = true;
  const auto forbidden = Site::make(config, free_pace(0.1));
  ASSERT_FALSE(forbidden.ok());
  EXPECT_NE(forbidden.error().message.find("transform_precoding is 1"), std::string::npos);

  config = small_site({});
  config.replay_path = "no/such/file.sigmf-meta";
  EXPECT_FALSE(Site::make(config, free_pace(0.1)).ok());
}

}  // namespace
}  // namespace noroshi::site
