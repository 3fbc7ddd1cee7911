// Catches: stalls that are counted twice or outside their window, a radio load that is not what its
// name says, and an unknown one that is taken.

#include "live/colocate.h"

#include <gtest/gtest.h>

#include "live/canary.h"
#include "live/colocate_loads.h"
#include "live/colocate_plot.h"

namespace noroshi::live {
namespace {

TEST(Canary, StalledTimeIsWhatLiesInsideTheWindow) {
  const std::vector<Stall> stalls = {{100, 200}, {300, 500}, {900, 1000}};
  EXPECT_EQ(stalled_ns(stalls, 0, 50), 0);
  EXPECT_EQ(stalled_ns(stalls, 0, 2000), 100 + 200 + 100);
  EXPECT_EQ(stalled_ns(stalls, 150, 400), 50 + 100);
  EXPECT_EQ(stalled_ns(stalls, 350, 360), 10);
  EXPECT_EQ(stalled_ns(stalls, 500, 900), 0);
  EXPECT_EQ(stalled_ns({}, 0, 1000), 0);
}

TEST(Canary, WakesAndStops) {
  Canary canary(0, 0);
  while (canary.late_ns().count() < 3) std::this_thread::yield();
  canary.stop();
  EXPECT_EQ(canary.warning(), "");
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
  EXPECT_EQ(site->counters().refused_pdus, 0u);
  EXPECT_EQ(site->counters().payload_mismatches, 0u);
  EXPECT_GT(site->counters().ul_bits, 0u);
  return site->counters().dl_bits;
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
    input.slots.push_back({s, tick, tick + 250'000, s % 100 < 10});
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
}

}  // namespace
}  // namespace noroshi::live
