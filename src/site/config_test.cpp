// Catches: a key of the demo that the reader does not know or whose documented default is not the
// default, a wrong value that is taken in silence, an error without its line and column.

#include "site/config.h"

#include <gtest/gtest.h>

#include <string>

namespace noroshi::site {
namespace {

const std::string handset = "cell:\n  handsets:\n    - {snr_db: 20}\n";

std::string error_of(const std::string& text) {
  const auto parsed = parse(text, "f.yaml", false);
  return parsed.ok() ? "no error" : parsed.error().message;
}

TEST(Config, DemoIsWhatTheIssueAsksFor) {
  const auto file = load("configs/demo.yaml");
  ASSERT_TRUE(file.ok()) << file.error().message;
  const CellConfig& cell = file->site.cell;
  EXPECT_EQ(cell.carrier.bandwidth_mhz, 20);
  EXPECT_EQ(cell.carrier.rb_count, 51);
  EXPECT_EQ(cell.carrier.scs_khz, 30);
  EXPECT_EQ(cell.pattern.period_slots, 5);
  EXPECT_EQ(cell.pattern.kind(4), nr::SlotKind::uplink);
  EXPECT_EQ(cell.receive_antennas, 2);
  EXPECT_EQ(cell.mac.mcs_table, nr::McsTable::qam256);
  ASSERT_EQ(cell.channels.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(cell.channels[i].profile, "tdl-a");
    EXPECT_EQ(cell.channels[i].rnti, cell.mac.handsets[i].rnti);
    EXPECT_EQ(cell.mac.handsets[i].downlink.kind, mac::Traffic::Kind::full_buffer);
  }
  ASSERT_TRUE(file->ai.has_value());
  EXPECT_EQ(file->ai->gateway.port, 8080);
  EXPECT_EQ(file->ai->gateway.address, "127.0.0.1");
}

TEST(Config, DocumentedDefaultsAreTheDefaults) {
  const auto demo = load("configs/demo.yaml");
  const auto bare = parse(handset + "ai:\n  engine: {}\n", "f.yaml", false);
  ASSERT_TRUE(demo.ok() && bare.ok());
  const SiteConfig& a = demo->site;
  const SiteConfig& b = bare->site;
  EXPECT_EQ(a.cell.name, b.cell.name);
  EXPECT_EQ(a.cell.carrier.sample_rate_hz(), b.cell.carrier.sample_rate_hz());
  EXPECT_EQ(a.cell.carrier.cell_id, b.cell.carrier.cell_id);
  EXPECT_EQ(a.cell.carrier.center_frequency_hz, b.cell.carrier.center_frequency_hz);
  EXPECT_EQ(a.cell.pattern.special_downlink_symbols, b.cell.pattern.special_downlink_symbols);
  EXPECT_EQ(a.cell.ldpc_iterations_max, b.cell.ldpc_iterations_max);
  EXPECT_EQ(a.cell.mac.transmissions_max, b.cell.mac.transmissions_max);
  EXPECT_EQ(a.cell.mac.target_bler, b.cell.mac.target_bler);
  EXPECT_EQ(a.cell.mac.dmrs_additional_positions, b.cell.mac.dmrs_additional_positions);
  EXPECT_EQ(a.cell.channels[0].rnti, b.cell.channels[0].rnti);
  EXPECT_EQ(a.cell.channels[0].receive_antennas, b.cell.channels[0].receive_antennas);
  EXPECT_EQ(a.realtime_priority, b.realtime_priority);
  EXPECT_EQ(a.keep_awake, b.keep_awake);
  EXPECT_EQ(a.cell.light_air, b.cell.light_air);
  EXPECT_EQ(a.downlink_deadline_us, b.downlink_deadline_us);
  EXPECT_EQ(a.uplink_deadline_slots, b.uplink_deadline_slots);
  EXPECT_EQ(a.lease.policy, b.lease.policy);
  EXPECT_EQ(a.lease.margin_ns, b.lease.margin_ns);
  EXPECT_EQ(a.lease.risk_max, b.lease.risk_max);
  EXPECT_EQ(a.lease.left_min, b.lease.left_min);
  EXPECT_EQ(a.lease_mechanism, b.lease_mechanism);
  EXPECT_EQ(a.cost_model_path, b.cost_model_path);
  EXPECT_EQ(demo->ai->engine.parallel, bare->ai->engine.parallel);
  EXPECT_EQ(demo->ai->engine.health_timeout_s, bare->ai->engine.health_timeout_s);
  EXPECT_EQ(demo->ai->gateway.body_bytes_max, bare->ai->gateway.body_bytes_max);
  EXPECT_EQ(demo->ai->load.max_tokens, bare->ai->load.max_tokens);
}

TEST(Config, SectionsAreOptionalAndTrafficIsAHandsetsOwn) {
  const auto file = parse(
      "cell:\n"
      "  duplex: FDD\n"
      "  subcarrier_spacing_khz: 15\n"
      "  traffic: {uplink: {kind: none}, downlink: {kind: poisson, mbps: 3}}\n"
      "  handsets:\n"
      "    - {}\n"
      "    - {traffic: {uplink: {kind: full_buffer}}}\n",
      "f.yaml", false);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_FALSE(file->ai.has_value());
  const auto& cell = file->site.cell;
  EXPECT_TRUE(cell.pattern.fdd);
  EXPECT_EQ(cell.carrier.rb_count, 106);
  EXPECT_NE(cell.channels[0].rnti, cell.channels[1].rnti);
  EXPECT_EQ(cell.mac.handsets[0].uplink.kind, mac::Traffic::Kind::none);
  EXPECT_EQ(cell.mac.handsets[1].uplink.kind, mac::Traffic::Kind::full_buffer);
  EXPECT_EQ(cell.mac.handsets[1].downlink.mbps, 3);
}

struct Bad {
  const char* text;
  const char* where;  // how the message begins
  const char* what;   // what it contains
};

class ConfigErrors : public testing::TestWithParam<Bad> {};

TEST_P(ConfigErrors, NameTheirPlace) {
  const std::string message = error_of(GetParam().text);
  EXPECT_TRUE(message.starts_with(GetParam().where)) << message;
  EXPECT_NE(message.find(GetParam().what), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigErrors,
    testing::Values(
        Bad{"", "f.yaml", "allowed: a map"}, Bad{"site: {name: a}\n", "f.yaml:1:1: ", "cell"},
        Bad{"cells: 1\n", "f.yaml:1:1: ", "unknown key cells"},
        Bad{"cell:\n  handsets:\n    - {snr: 3}\n", "f.yaml:3:8: ", "unknown key snr"},
        Bad{"cell:\n  handsets: []\n", "f.yaml:2:13: ", "1 to 16 handsets"},
        Bad{"cell:\n  handsets: 4\n", "f.yaml:2:13: ", "list"},
        Bad{"cell:\n  name: a\n", "f.yaml:2:3: ", "cell.handsets is missing"},
        Bad{"cell:\n  handsets: [{rnti: 5}, {rnti: 5}]\n", "f.yaml:2:25: ", "another handset"},
        Bad{"cell:\n  bandwidth_mhz: 21\n", "f.yaml:2:18: ", "cell.bandwidth_mhz"},
        Bad{"cell:\n  bandwidth_mhz: wide\n", "f.yaml:2:18: ", "not a whole number"},
        Bad{"cell:\n  bandwidth_mhz: [20]\n", "f.yaml:2:18: ", "a list"},
        Bad{"cell:\n  subcarrier_spacing_khz: 20\n", "f.yaml:2:27: ", "15, 30"},
        Bad{"cell:\n  duplex: DDX\n", "f.yaml:2:11: ", "cell.duplex"},
        Bad{"cell:\n  mcs_table: 1024qam\n", "f.yaml:2:14: ", "allowed: 64qam, 256qam"},
        Bad{"cell:\n  target_bler: 0.9\n", "f.yaml:2:16: ", "0.001 to 0.5"},
        Bad{"cell:\n  target_bler: nan\n", "f.yaml:2:16: ", "not a number"},
        Bad{"cell:\n  name: a\n  name: b\n", "f.yaml:3:3: ", "twice"},
        Bad{"cell:\n  handsets:\n    - {profile: tdl-x}\n", "f.yaml:3:17: ", "tdl-a"},
        Bad{"cell:\n  traffic: {downlink: {kind: replay}}\n", "f.yaml:2:23: ", "file is missing"},
        Bad{"cell:\n  handsets: [{}]\nradio:\n  processors: [1, 2, 3]\n",
            "f.yaml:4:15: ", "at most 2"},
        Bad{"cell:\n  handsets: [{}]\nradio:\n  processors: [x]\n", "f.yaml:4:16: ", "\"x\""},
        Bad{"cell:\n  handsets: [{}]\nradio:\n  realtime_priority: 100\n",
            "f.yaml:4:22: ", "0 to 99"},
        Bad{"cell:\n  handsets: [{}]\nai:\n  gateway: {port: 70000}\n",
            "f.yaml:4:19: ", "0 to 65535"},
        Bad{"cell:\n  handsets: [{}]\nai:\n  engine: {embeddings: maybe}\n",
            "f.yaml:4:24: ", "true, false"},
        Bad{"cell: [\n", "f.yaml:2:1: ", "not YAML"},
        Bad{"a: b: c\n", "f.yaml:1:5: ", "not YAML"}));

TEST(Config, AMissingFileIsNamed) {
  const auto file = load("configs/no-such-file.yaml");
  ASSERT_FALSE(file.ok());
  EXPECT_TRUE(file.error().message.starts_with("configs/no-such-file.yaml: cannot be read"));
}

TEST(Config, AMissingTrafficFileIsNamedWithItsPlace) {
  const auto file = parse(
      "cell:\n  traffic: {uplink: {kind: replay, file: nothing.csv}}\n"
      "  handsets: [{}]\n",
      "f.yaml", true);
  ASSERT_FALSE(file.ok());
  EXPECT_TRUE(file.error().message.starts_with("f.yaml:2:42: ")) << file.error().message;
}

}  // namespace
}  // namespace noroshi::site
