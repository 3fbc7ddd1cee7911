// Catches: stalls that are counted twice or outside their window, a radio load that is not what its
// name says, and an unknown one that is taken.

#include "live/colocate.h"

#include <gtest/gtest.h>

#include "live/colocate_loads.h"
#include "live/colocate_plot.h"
#include "live/colocate_report.h"

namespace noroshi::live {
namespace {

TEST(Colocate, StalledTimeIsWhatLiesInsideTheWindow) {
  const std::vector<site::HostStall> stalls = {{100, 200, 100}, {300, 500, 150}, {900, 1000, 100}};
  EXPECT_EQ(stalled_ns(stalls, 0, 50), 0);
  EXPECT_EQ(stalled_ns(stalls, 0, 2000), 100 + 150 + 100);
  EXPECT_EQ(stalled_ns(stalls, 150, 400), 50 + 100);
  EXPECT_EQ(stalled_ns(stalls, 350, 360), 10);
  EXPECT_EQ(stalled_ns(stalls, 500, 900), 0);
  EXPECT_EQ(stalled_ns({}, 0, 1000), 0);
}

// 100 us late each: by a stall of as much, by one of half as much, by the air.
TEST(Colocate, ALateSlotIsTheHostsOnlyWhereItsStallsExplainAllOfIt) {
  const auto late = [](std::int64_t tick_ns, bool by_air) {
    return site::LateSlot{.slot = tick_ns / 500'000,
                          .uplink = by_air,
                          .from_ns = tick_ns,
                          .deadline_ns = tick_ns + 375'000,
                          .ready_ns = tick_ns + 475'000,
                          .by_air = by_air};
  };
  Outcome outcome;
  count_late({late(10'000'000, false), late(20'000'000, false), late(30'000'000, true)},
             {{10'000'000, 10'120'000, 120'000}, {20'000'000, 20'050'000, 50'000}}, outcome);
  EXPECT_EQ(outcome.late_downlink.all, 2u);
  EXPECT_EQ(outcome.late_downlink.by_host, 1u);
  EXPECT_EQ(outcome.late_downlink.ours(), 1u);
  EXPECT_EQ(outcome.late_uplink.by_air, 1u);
  EXPECT_EQ(outcome.late_uplink.ours(), 0u);
  // Slots that were lost so are counted among the lost only.
  site::LateSlot lost = late(10'000'000, false);
  lost.lost = true;
  outcome.total.lost_slots = 3;
  count_late({lost}, {{10'000'000, 10'120'000, 120'000}}, outcome);
  lost.by_air = true;
  count_late({lost}, {}, outcome);
  EXPECT_EQ(outcome.lost_by_host, 1u);
  EXPECT_EQ(outcome.lost_by_air, 1u);
  EXPECT_EQ(outcome.lost_by_us(), 1u);
  EXPECT_EQ(outcome.late_downlink.all, 2u);
  outcome.total.slots = 1000;
  EXPECT_DOUBLE_EQ(outcome.ours_late_ratio(), 1e-3);
}

TEST(Colocate, ReportsAllThatIsPromised) {
  Outcome outcome;
  outcome.policy = "lease";
  outcome.rate.ai_cores = 0.9;
  outcome.rate.idle_cores = 0.05;
  outcome.rate.early_cores = 0.05;
  EXPECT_DOUBLE_EQ(outcome.reclaimed(), 0.9);
  const boost::json::object json = outcome_json(outcome, 100);
  for (const char* key : {"slot_us", "own_slot_us", "downlink_margin_us", "uplink_margin_us",
                          "wake_us", "freed_us", "own_freed_us", "given_us"}) {
    for (const char* quantile : {"p50", "p99", "p999", "p9999"})
      EXPECT_TRUE(json.at(key).at(quantile).is_double()) << key << ' ' << quantile;
  }
  for (const char* direction : {"downlink", "uplink"}) {
    for (const char* key : {"all", "ours", "by_host", "by_air"})
      EXPECT_TRUE(json.at("late").at(direction).at(key).is_uint64()) << direction << ' ' << key;
  }
  for (const char* key : {"slots", "by_host", "by_air", "ours"})
    EXPECT_TRUE(json.at("lost").at(key).is_uint64()) << key;
  for (const char* key : {"tokens_per_s", "share_of_ai_alone", "reclaimed"})
    EXPECT_TRUE(json.at(key).is_double()) << key;
  EXPECT_TRUE(json.at("ttft_ms").at("p99").is_double());
  EXPECT_TRUE(json.at("host").at("stalls").is_uint64());
  EXPECT_TRUE(json.at("engine_kills").is_int64());
}

TEST(Colocate, MediansAreOfEachNumberByItself) {
  std::vector<boost::json::object> reports;
  for (const double tokens : {30.0, 10.0, 20.0}) {
    Outcome outcome;
    outcome.load = "low";
    outcome.policy = "os";
    outcome.tokens_per_s = tokens;
    outcome.own_slot_us.p999 = 100 - tokens;
    outcome.total.slots = 7;
    reports.push_back(outcome_json(outcome, 100));
  }
  const boost::json::object median = median_json(reports);
  EXPECT_EQ(median.at("policy"), "os");
  EXPECT_EQ(median.at("tokens_per_s"), 20.0);
  EXPECT_EQ(median.at("own_slot_us").at("p999"), 80.0);
  EXPECT_EQ(median.at("slots"), 7.0);
  reports.pop_back();
  EXPECT_EQ(median_json(reports).at("tokens_per_s"), 20.0);
}

std::uint64_t downlink_bits(std::string_view load) {
  const auto config = colocate_site(load, 0.2);
  EXPECT_TRUE(config) << config.error().message;
  site::SiteOptions options;
  options.pace = site::Pace::free;
  options.duration_s = 0.2;
  auto site = site::Site::make(*config, options);
  EXPECT_TRUE(site) << site.error().message;
  EXPECT_TRUE(site->run());
  EXPECT_EQ(site->counters(0).refused_pdus, 0u);
  EXPECT_EQ(site->counters(0).payload_mismatches, 0u);
  EXPECT_GT(site->counters(0).ul_bits, 0u);
  return site->counters(0).dl_bits;
}

TEST(Colocate, LoadsAreWhatTheyAreCalled) {
  const double full = static_cast<double>(downlink_bits("full"));
  const double low = static_cast<double>(downlink_bits("low"));
  const double diurnal = static_cast<double>(downlink_bits("diurnal"));
  const double bursty = static_cast<double>(downlink_bits("bursty"));
  EXPECT_LT(low, 0.1 * full);
  EXPECT_GT(diurnal, 0.3 * full);
  EXPECT_LT(diurnal, 0.7 * full);
  EXPECT_GT(bursty, 0.3 * full);
  EXPECT_LT(bursty, 0.7 * full);
  EXPECT_FALSE(colocate_site("heavy", 1));
}

TEST(ColocatePlot, DrawsEveryProcessorAndRefusesNothing) {
  PlotInput input;
  input.title = "test";
  input.processors = 2;
  input.radio_processor = 1;
  for (int s = 0; s < 2100; ++s) {
    const std::int64_t tick = std::int64_t{s} * input.slot_ns;
    input.slots.push_back({s, tick, tick + 250'000, 0, s % 100 < 10});
    input.looks.push_back({tick + 10'000, {400'000.0, 200'000.0}, 50'000});
  }
  const auto svg = plot_second(input);
  ASSERT_TRUE(svg);
  EXPECT_TRUE(svg->starts_with("<svg"));
  EXPECT_TRUE(svg->ends_with("</svg>\n"));
  const auto count = [&](const std::string& text) {
    int found = 0;
    for (std::size_t at = svg->find(text); at != std::string::npos; at = svg->find(text, at + 1))
      ++found;
    return found;
  };
  EXPECT_EQ(count("<path"), 4);          // radio, air, and the engine on both
  EXPECT_EQ(count("height=\"3\""), 20);  // stretches of taken slots
  EXPECT_FALSE(plot_second({}));
}

TEST(Colocate, WrongWordsAreRefusedBeforeAnythingStarts) {
  EXPECT_EQ(run_colocate({.policies = "lease,magic"}), 1);
  EXPECT_EQ(run_colocate({.loads = "low,,full"}), 1);
  EXPECT_EQ(run_colocate({.seconds = 0}), 1);
  EXPECT_EQ(run_colocate({.rounds = 0}), 1);
  EXPECT_EQ(run_colocate({.streams = 0}), 1);
  EXPECT_EQ(run_colocate({.engine_kills = -1}), 1);
}

}  // namespace
}  // namespace noroshi::live
