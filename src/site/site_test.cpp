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

#include "site/slot_guard.h"
#include "site/small_site_test.h"

namespace noroshi::site {
namespace {

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
