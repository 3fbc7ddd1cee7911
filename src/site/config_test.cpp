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
  const CellConfig& cell = file->site.cells[0];
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
  EXPECT_EQ(a.cells[0].name, b.cells[0].name);
  EXPECT_EQ(a.cells[0].carrier.sample_rate_hz(), b.cells[0].carrier.sample_rate_hz());
  EXPECT_EQ(a.cells[0].carrier.cell_id, b.cells[0].carrier.cell_id);
  EXPECT_EQ(a.cells[0].carrier.center_frequency_hz, b.cells[0].carrier.center_frequency_hz);
  EXPECT_EQ(a.cells[0].pattern.special_downlink_symbols,
            b.cells[0].pattern.special_downlink_symbols);
  EXPECT_EQ(a.cells[0].ldpc_iterations_max, b.cells[0].ldpc_iterations_max);
  EXPECT_EQ(a.cells[0].mac.transmissions_max, b.cells[0].mac.transmissions_max);
  EXPECT_EQ(a.cells[0].mac.target_bler, b.cells[0].mac.target_bler);
  EXPECT_EQ(a.cells[0].mac.dmrs_additional_positions, b.cells[0].mac.dmrs_additional_positions);
  EXPECT_EQ(a.cells[0].channels[0].rnti, b.cells[0].channels[0].rnti);
  EXPECT_EQ(a.cells[0].channels[0].receive_antennas, b.cells[0].channels[0].receive_antennas);
  EXPECT_EQ(a.cells[0].channels[0].transmit_antennas, b.cells[0].channels[0].transmit_antennas);
  EXPECT_EQ(a.cells[0].receive_antennas, b.cells[0].receive_antennas);
  EXPECT_EQ(a.cells[0].transmit_antennas, b.cells[0].transmit_antennas);
  EXPECT_EQ(a.cells[0].downlink_layers_max, b.cells[0].downlink_layers_max);
  EXPECT_EQ(a.cells[0].uplink_layers_max, b.cells[0].uplink_layers_max);
  EXPECT_EQ(a.cells[0].uplink_group_layers, b.cells[0].uplink_group_layers);
  EXPECT_EQ(a.cells[0].precoding_group_rbs, b.cells[0].precoding_group_rbs);
  EXPECT_EQ(a.cells[0].uci_on_pusch, b.cells[0].uci_on_pusch);
  EXPECT_EQ(a.cells[0].equalizer, b.cells[0].equalizer);
  EXPECT_EQ(a.cells[0].mac.allocation_type, b.cells[0].mac.allocation_type);
  EXPECT_EQ(a.cells[0].mac.hopping, b.cells[0].mac.hopping);
  EXPECT_EQ(a.cells[0].mac.hopping_offset_rbs, b.cells[0].mac.hopping_offset_rbs);
  EXPECT_EQ(a.cells[0].mac.transform_precoding, b.cells[0].mac.transform_precoding);
  EXPECT_EQ(a.cells[0].mac.downlink_ptrs, b.cells[0].mac.downlink_ptrs);
  EXPECT_EQ(a.cells[0].mac.uplink_ptrs, b.cells[0].mac.uplink_ptrs);
  EXPECT_EQ(a.cells[0].mac.ptrs_time_density, b.cells[0].mac.ptrs_time_density);
  EXPECT_EQ(a.cells[0].mac.ptrs_frequency_density, b.cells[0].mac.ptrs_frequency_density);
  EXPECT_EQ(a.realtime_priority, b.realtime_priority);
  EXPECT_EQ(a.keep_awake, b.keep_awake);
  EXPECT_EQ(a.cells[0].light_air, b.cells[0].light_air);
  EXPECT_EQ(a.downlink_deadline_us, b.downlink_deadline_us);
  EXPECT_EQ(a.uplink_deadline_slots, b.uplink_deadline_slots);
  EXPECT_EQ(a.lease.policy, b.lease.policy);
  EXPECT_EQ(a.lease.early_ns, b.lease.early_ns);
  EXPECT_EQ(a.lease.early_min_ns, b.lease.early_min_ns);
  EXPECT_EQ(a.lease.margin_ns, b.lease.margin_ns);
  EXPECT_EQ(demo->control_path, bare->control_path);
  EXPECT_EQ(a.cells[0].starts, b.cells[0].starts);
  EXPECT_EQ(a.cells[0].processors, b.cells[0].processors);
  EXPECT_EQ(a.lease.risk_max, b.lease.risk_max);
  EXPECT_EQ(a.lease.left_min, b.lease.left_min);
  EXPECT_EQ(a.lease_mechanism, b.lease_mechanism);
  EXPECT_EQ(a.resctrl.cache_share, b.resctrl.cache_share);
  EXPECT_EQ(a.resctrl.bandwidth_share, b.resctrl.bandwidth_share);
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
  const auto& cell = file->site.cells[0];
  EXPECT_TRUE(cell.pattern.fdd);
  EXPECT_EQ(cell.carrier.rb_count, 106);
  EXPECT_NE(cell.channels[0].rnti, cell.channels[1].rnti);
  EXPECT_EQ(cell.mac.handsets[0].uplink.kind, mac::Traffic::Kind::none);
  EXPECT_EQ(cell.mac.handsets[1].uplink.kind, mac::Traffic::Kind::full_buffer);
  EXPECT_EQ(cell.mac.handsets[1].downlink.mbps, 3);
}

TEST(Config, AntennasAndLayersAreReadAndLimited) {
  const auto file = parse(
      "cell: {receive_antennas: 4, transmit_antennas: 8, downlink_layers_max: 8,\n"
      "  uplink_layers_max: 2, uplink_group_layers: 4, precoding_group_rbs: 4,\n"
      "  uci_on_pusch: true, equalizer: mmse_irc,\n"
      "  handsets: [{transmit_antennas: 2, receive_antennas: 8}]}\n",
      "f.yaml", false);
  ASSERT_TRUE(file.ok()) << file.error().message;
  const CellConfig& cell = file->site.cells[0];
  EXPECT_EQ(cell.transmit_antennas, 8);
  EXPECT_EQ(cell.downlink_layers_max, 8);
  EXPECT_EQ(cell.uplink_layers_max, 2);
  EXPECT_EQ(cell.uplink_group_layers, 4);
  EXPECT_EQ(cell.precoding_group_rbs, 4);
  EXPECT_TRUE(cell.uci_on_pusch);
  EXPECT_EQ(cell.equalizer, phy::Equalizer::mmse_irc);
  EXPECT_EQ(cell.channels[0].transmit_antennas, 2);
  const auto says = [](const char* keys, const char* text) {
    const std::string error = error_of("cell:\n  " + std::string(keys) + "\n  handsets: [{}]\n");
    EXPECT_NE(error.find(text), std::string::npos) << error;
    EXPECT_NE(error.find("f.yaml:2:"), std::string::npos) << error;
  };
  says("downlink_layers_max: 2", "downlink_layers_max");  // of one antenna
  says("uplink_layers_max: 3", "uplink_layers_max");      // of two
  says("uplink_group_layers: 5", "uplink_group_layers");
  says("transmit_antennas: 9", "transmit_antennas");
  says("equalizer: best", "equalizer");
  EXPECT_NE(error_of("cell:\n  handsets: [{transmit_antennas: 3}]\n").find("transmit_antennas"),
            std::string::npos);
  EXPECT_TRUE(load("configs/mimo.yaml").ok());
}

TEST(Config, WaveformsAreReadAndWhatTheStandardForbidsIsSaid) {
  const auto file = parse(
      "cell: {frequency_hopping: intra_slot, hopping_offset_rbs: 20, transform_precoding: true,\n"
      "  ptrs: both, ptrs_time_density: 2, ptrs_frequency_density: 4, handsets: [{}]}\n",
      "f.yaml", false);
  ASSERT_TRUE(file.ok()) << file.error().message;
  const mac::MacConfig& mac = file->site.cells[0].mac;
  EXPECT_EQ(mac.hopping, mac::Hopping::intra_slot);
  EXPECT_EQ(mac.hopping_offset_rbs, 20);
  EXPECT_TRUE(mac.transform_precoding && mac.downlink_ptrs && mac.uplink_ptrs);
  EXPECT_EQ(mac.ptrs_time_density, 2);
  EXPECT_EQ(mac.ptrs_frequency_density, 4);
  const auto says = [](const char* keys, const char* text) {
    const std::string error = error_of("cell: {" + std::string(keys) + ", handsets: [{}]}\n");
    EXPECT_NE(error.find(text), std::string::npos) << error;
    EXPECT_TRUE(error.starts_with("f.yaml:1:")) << error;
  };
  says("allocation_type: 2", "allocation_type");
  says("frequency_hopping: often", "allowed: none, intra_slot, inter_slot");
  says("allocation_type: 0, frequency_hopping: inter_slot",
       "frequency_hopping is 2, allowed: none");
  says("hopping_offset_rbs: 51", "hopping_offset_rbs is 51");
  says("allocation_type: 0, transform_precoding: true", "transform_precoding is 1, allowed: false");
  says("uplink_layers_max: 2, transform_precoding: true", "with uplink_layers_max above 1");
  says("uplink_group_layers: 2, transform_precoding: true", "with uplink_group_layers above 1");
  says("uplink_group_layers: 2, ptrs: uplink", "ptrs is 1");
  says("transmit_antennas: 8, downlink_layers_max: 5, ptrs: downlink",
       "downlink_layers_max above 4");
  says("ptrs: up", "allowed: none, downlink, uplink, both");
  says("ptrs_time_density: 3", "ptrs_time_density is 3");
  says("ptrs: uplink, transform_precoding: true, ptrs_time_density: 4", "ptrs_time_density is 4");
  says("ptrs_frequency_density: 3", "ptrs_frequency_density is 3");
  EXPECT_TRUE(load("configs/waveforms.yaml").ok());
}

TEST(Config, SeveralCellsHaveNamesAndIdentitiesOfTheirOwn) {
  const auto file = parse(
      "site: {control: /run/noroshi.sock}\n"
      "cells:\n"
      "  - handsets: [{}]\n"
      "  - {name: roof, start: false, processors: [3, 2], bandwidth_mhz: 40, handsets: [{}, {}]}\n"
      "radio: {air: light, processors: [1, 2, 3]}\n"
      "lease: {early_us: 20, early_min_us: 80}\n",
      "f.yaml", false);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->control_path, "/run/noroshi.sock");
  const auto& cells = file->site.cells;
  ASSERT_EQ(cells.size(), 2u);
  EXPECT_EQ(cells[0].name, "cell0");
  EXPECT_EQ(cells[0].carrier.cell_id, 1);
  EXPECT_TRUE(cells[0].starts);
  EXPECT_EQ(cells[1].name, "roof");
  EXPECT_EQ(cells[1].carrier.cell_id, 2);
  EXPECT_FALSE(cells[1].starts);
  EXPECT_EQ(cells[1].processors, (std::vector<int>{3, 2}));
  EXPECT_EQ(cells[1].carrier.rb_count, 106);
  EXPECT_EQ(cells[1].channels.size(), 2u);
  EXPECT_TRUE(cells[0].light_air && cells[1].light_air);
  EXPECT_EQ(file->site.radio_processors.size(), 3u);
  EXPECT_EQ(file->site.lease.early_ns, 20'000);
  EXPECT_EQ(file->site.lease.early_min_ns, 80'000);
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
        Bad{"cells: 1\n", "f.yaml:1:8: ", "a list of 1 to 16 cells"},
        Bad{"cellz: 1\n", "f.yaml:1:1: ", "unknown key cellz"},
        Bad{"cells: []\n", "f.yaml:1:8: ", "a list of 1 to 16 cells"},
        Bad{"cells: [{handsets: [{}]}]\ncell: {handsets: [{}]}\n", "f.yaml:2:7: ", "beside cells"},
        Bad{"cells:\n  - {handsets: [{}], name: a}\n  - {handsets: [{}], name: a}\n",
            "f.yaml:3:5: ", "\"a\" is another cell's"},
        Bad{"cells:\n  - {handsets: [{}]}\n  - {handsets: [{snr_db: 99}]}\n",
            "f.yaml:3:26: ", "cells[1].handsets[0].snr_db"},
        Bad{"cell:\n  handsets: [{}]\n  processors: [0, 1, 2]\n", "f.yaml:3:15: ", "at most 2"},
        Bad{"cell:\n  handsets: [{}]\n  start: perhaps\n", "f.yaml:3:10: ", "true, false"},
        Bad{"cell:\n  handsets: [{}]\nlease: {early_us: 500}\n", "f.yaml:3:19: ", "0 to 200"},
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
        Bad{"cell:\n  handsets: [{}]\nfleet:\n  urls: [\"nats://localhost\", "
            "\"tls://n.example:1\"]\n",
            "f.yaml:4:9: ", "\"tls://n.example:1\" is not of this machine, and fleet.host is not"},
        Bad{"cell:\n  handsets: [{}]\nfleet:\n  urls: [\"nats://localhost\"]\n  host: \"\"\n",
            "f.yaml:5:9: ", "fleet.host: is empty"},
        Bad{"cell:\n  handsets: [{}]\nai:\n  gateway: {tls: maybe}\n",
            "f.yaml:4:18: ", "allowed: auto, on, off"},
        Bad{"cell:\n  handsets: [{}]\nai:\n  gateway: {tls_certificate: a.pem}\n",
            "f.yaml:4:30: ", "is there without ai.gateway.tls_key"},
        Bad{"cell:\n  handsets: [{}]\nai:\n  gateway: {tls_key: a.key}\n",
            "f.yaml:4:22: ", "is there without ai.gateway.tls_certificate"},
        Bad{"cell:\n  handsets: [{}]\nai:\n  gateway: {tls: off, tls_certificate: a, tls_key: b}\n",
            "f.yaml:4:18: ", "\"off\", and there is a tls_certificate"},
        Bad{"cell: [\n", "f.yaml:2:1: ", "not YAML"},
        Bad{"a: b: c\n", "f.yaml:1:5: ", "not YAML"}));

TEST(Config, AFleetIsReachedAndReaches) {
  const auto own = parse(handset + "fleet: {urls: [\"nats://127.0.0.1:4222\"]}\n", "f.yaml", false);
  ASSERT_TRUE(own.ok()) << own.error().message;
  EXPECT_EQ(own->fleet->host, "127.0.0.1");
  // Said, the loopback is meant: a tunnel may end there.
  for (const char* host : {"site7.example.net", "127.0.0.1"}) {
    const auto far =
        parse(handset + "fleet: {urls: [\"tls://core.example.net\"], host: " + host + "}\n",
              "f.yaml", false);
    ASSERT_TRUE(far.ok()) << far.error().message;
    EXPECT_EQ(far->fleet->host, host);
  }
  const auto open = parse(handset + "ai: {engine: {}, gateway: {open: true}}\n", "f.yaml", false);
  ASSERT_TRUE(open.ok()) << open.error().message;
  EXPECT_TRUE(open->ai->gateway.open);
  EXPECT_FALSE(AiSection().gateway.open);
}

// In a fleet nobody must ask for HTTPS beyond the loopback; who says "off" means it.
TEST(Config, HttpsIsWhereWordsLeaveTheMachine) {
  const std::string in_fleet = "fleet: {urls: [\"nats://127.0.0.1:4222\"]}\n";
  const auto tls = [&](const std::string& gateway, const std::string& fleet) {
    const auto file =
        parse(handset + "ai: {engine: {}, gateway: {" + gateway + "}}\n" + fleet, "f.yaml", false);
    EXPECT_TRUE(file.ok()) << file.error().message;
    return file.ok() && file->ai->gateway.tls;
  };
  EXPECT_FALSE(tls("address: 127.0.0.1", in_fleet));
  EXPECT_TRUE(tls("address: 0.0.0.0", in_fleet));
  EXPECT_TRUE(tls("address: 0.0.0.0, tls: auto", in_fleet));
  EXPECT_FALSE(tls("address: 0.0.0.0, tls: off", in_fleet));
  EXPECT_FALSE(tls("address: 0.0.0.0", "")) << "no gateway would know its key";
  EXPECT_TRUE(tls("tls_certificate: a.pem, tls_key: a.key", ""));
  EXPECT_TRUE(tls("tls: on", ""));
}

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
