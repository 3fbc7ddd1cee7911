// Catches: rates from the wrong difference, a division by nothing, a report that lacks a promised
// key or is not JSON, a view that breaks the terminal's width or loses cells of its bar.

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <sstream>

#include "live/radio_metrics.h"
#include "live/snapshot.h"
#include "live/view.h"

namespace noroshi::live {
namespace {

namespace json = boost::json;

Snapshot example() {
  Snapshot s;
  s.site = "site0";
  s.cells.resize(2);
  s.cells[0].name = "cell0";
  s.cells[1].name = "cell1";
  s.cells[1].runs = false;
  s.processors = 2;
  s.elapsed_s = 60;
  Totals start;
  start.time_s = 100;
  s.total.time_s = 160;
  s.total.slots = 120'000;
  s.total.late_slots = 12;
  s.total.dl_bits = 6'000'000'000;
  s.total.dl_tb = 1000;
  s.total.dl_tb_failed = 100;
  s.total.radio_cpu_s = 30;
  s.total.air_cpu_s = 30;
  s.total.ai_cpu_s = 42;
  s.total.machine_idle_s = 12;
  s.total.tokens = 600;
  s.total.requests = 7;
  s.rate = rates(start, s.total, s.processors);
  s.cells[0].slot_us_p50 = 120;
  s.cells[0].slot_us_p999 = 300.123;
  s.has_engine = true;
  s.engine.state = engine::EngineState::ready;
  s.engine.model_name = "tiny";
  return s;
}

TEST(Rates, AreDifferencesOverTime) {
  const Rates r = example().rate;
  EXPECT_DOUBLE_EQ(r.dl_mbps, 100);
  EXPECT_DOUBLE_EQ(r.dl_bler_first, 0.1);
  EXPECT_DOUBLE_EQ(r.dl_bler, 0);
  EXPECT_DOUBLE_EQ(r.tokens_per_s, 10);
  EXPECT_DOUBLE_EQ(r.radio_cores, 0.5);
  EXPECT_DOUBLE_EQ(r.idle_cores, 0.2);
  EXPECT_NEAR(r.other_cores, 2 - 0.5 - 0.5 - 0.7 - 0.2, 1e-9);
  const Totals same;
  EXPECT_EQ(rates(same, same, 2).dl_bler, 0);  // nothing happened, in no time
}

TEST(Report, HoldsWhatIsPromised) {
  const json::value report = json::parse(report_json(example()));
  const json::object& radio = report.at("radio").as_object();
  for (const char* key :
       {"slots", "late_slots", "late_ratio", "dl_mbps", "ul_mbps", "dl_bler", "ul_bler"}) {
    EXPECT_TRUE(radio.at(key).is_number()) << key;
  }
  for (const char* key : {"p50", "p99", "p999", "max"}) {
    EXPECT_TRUE(radio.at("slot_us").at(key).is_number()) << key;
  }
  for (const char* key : {"requests", "tokens", "tokens_per_s"}) {
    EXPECT_TRUE(report.at("ai").at(key).is_number()) << key;
  }
  EXPECT_TRUE(report.at("ai").at("ttft_ms").at("p99").is_number());
  for (const char* key : {"radio_cores", "air_cores", "ai_cores", "idle_cores"}) {
    EXPECT_TRUE(report.at("cpu").at(key).is_number()) << key;
  }
  EXPECT_EQ(radio.at("late_slots").to_number<int>(), 12);
  EXPECT_DOUBLE_EQ(radio.at("slot_us").at("p999").as_double(), 300.1);
}

TEST(StatusLine, IsOneLineOfJson) {
  const std::string line = status_line(example());
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(json::parse(line).at("event").as_string(), "status");
  EXPECT_FALSE(json::parse(line).as_object().contains("fleet")) << "a site of its own";
}

TEST(Fleet, WhyASiteIsNotInItIsShownEverywhere) {
  Snapshot s = example();
  s.fleet = {.member = true, .trouble = {}};
  EXPECT_TRUE(json::parse(status_line(s)).at("fleet").at("connected").as_bool());
  EXPECT_NE(radio_metrics(s).find("\nnoroshi_fleet_connected 1\n"), std::string::npos);
  EXPECT_NE(render_view(s, 80, false).find("\nfleet      in\n"), std::string::npos);
  s.fleet.trouble = "Permissions Violation for Publish to \"noroshi.west.site1.beat\"";
  for (const std::string& text : {status_line(s), report_json(s)}) {
    const json::value fleet = json::parse(text).at("fleet");
    EXPECT_FALSE(fleet.at("connected").as_bool());
    EXPECT_EQ(fleet.at("error").as_string(), s.fleet.trouble);
  }
  EXPECT_NE(radio_metrics(s).find("\nnoroshi_fleet_connected 0\n"), std::string::npos);
  const std::string view = render_view(s, 40, false);
  const std::size_t at = view.find("\nfleet      not in: Permissions");
  ASSERT_NE(at, std::string::npos) << view;
  EXPECT_LE(view.find('\n', at + 1) - at - 1, 40u);
}

TEST(View, FitsTheTerminalAndDrawsAllProcessors) {
  for (const int columns : {40, 80, 200}) {
    const std::string view = render_view(example(), columns, false);
    const std::size_t open = view.find('[');
    const std::size_t close = view.find(']');
    ASSERT_NE(open, std::string::npos);
    ASSERT_NE(close, std::string::npos);
    const std::string bar = view.substr(open + 1, close - open - 1);
    EXPECT_EQ(bar.size(), static_cast<std::size_t>(std::clamp(columns - 14, 10, 100)));
    // Radio has a quarter of the machine.
    EXPECT_NEAR(static_cast<double>(std::ranges::count(bar, 'R')),
                0.25 * static_cast<double>(bar.size()), 1);
    EXPECT_EQ(view.find('\033'), std::string::npos);
  }
}

}  // namespace
}  // namespace noroshi::live
