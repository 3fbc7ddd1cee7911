#include "site/config.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "air/channel.h"
#include "base/loopback.h"
#include "site/lease/board.h"
#include "site/yaml.h"

namespace noroshi::site {
namespace {

constexpr std::size_t handsets_max = fapi::pdus_per_slot_max;
constexpr int processor_max = 1023;

struct Parser {
  YamlReader reader;
  bool read_files = false;
  SiteFile file;

  void root(const YAML::Node& node);
  void cells(const YAML::Node& node);
  void cell(const YAML::Node& node, const std::string& path, CellConfig& cell);
  void carrier(YamlSection& section, CellConfig& cell);
  void antennas(YamlSection& section, CellConfig& cell);
  void waveform(YamlSection& section, CellConfig& cell);
  void handsets(YamlSection& section, const std::string& path, const mac::HandsetConfig& common,
                CellConfig& cell);
  void handset(const YAML::Node& node, const std::string& path, const mac::HandsetConfig& common,
               CellConfig& cell);
  void traffic(const YAML::Node& node, const std::string& path, mac::HandsetConfig& handset);
  void offered(const YAML::Node& node, const std::string& path, mac::Traffic& traffic);
  void radio(const YAML::Node& node);
  void lease(const YAML::Node& node);
  void ai(const YAML::Node& node);
  void engine(const YAML::Node& node, AiSection::Engine& engine);
  void gateway(const YAML::Node& node, AiSection::Gateway& gateway);
  void tls(YamlSection& section, AiSection::Gateway& gateway);
};

void Parser::root(const YAML::Node& node) {
  YamlSection section(reader, node, "", {"site", "cell", "cells", "radio", "lease", "ai", "fleet"});
  YamlSection site(reader, section.child("site"), "site", {"name", "control"});
  site.text("name", file.site.name);
  site.text("control", file.control_path);
  if (section.has("cells")) {
    if (section.has("cell")) return section.fail("cell", "beside cells (one of the two)");
    cells(section.child("cells"));
  } else {
    section.require("cell");
    cell(section.child("cell"), "cell", file.site.cells[0]);
  }
  radio(section.child("radio"));
  lease(section.child("lease"));
  if (section.has("fleet")) read_fleet(reader, section.child("fleet"), file.fleet.emplace());
  if (section.has("ai")) ai(section.child("ai"));
}

void Parser::cells(const YAML::Node& node) {
  if (!node.IsSequence() || node.size() == 0 || node.size() > LeaseBoard::cells_max) {
    return reader.fail(node.Mark(), "cells (allowed: a list of 1 to " +
                                        std::to_string(LeaseBoard::cells_max) + " cells)");
  }
  file.site.cells.assign(node.size(), CellConfig());
  for (std::size_t i = 0; i < node.size() && !reader.error; ++i) {
    CellConfig& one = file.site.cells[i];
    one.name = "cell" + std::to_string(i);
    one.carrier.cell_id = static_cast<int>(i) + 1;
    cell(node[i], "cells[" + std::to_string(i) + "]", one);
    for (std::size_t k = 0; k < i && !reader.error; ++k) {
      if (file.site.cells[k].name == one.name) {
        reader.fail(node[i].Mark(), "cells[" + std::to_string(i) + "]: name \"" + one.name +
                                        "\" is another cell's");
      }
    }
  }
}

void Parser::cell(const YAML::Node& node, const std::string& path, CellConfig& cell) {
  YamlSection section(reader, node, path,
                      {"name",
                       "start",
                       "processors",
                       "bandwidth_mhz",
                       "subcarrier_spacing_khz",
                       "frequency_mhz",
                       "physical_cell_id",
                       "duplex",
                       "special_downlink_symbols",
                       "special_uplink_symbols",
                       "receive_antennas",
                       "transmit_antennas",
                       "downlink_layers_max",
                       "uplink_layers_max",
                       "uplink_group_layers",
                       "precoding_group_rbs",
                       "uci_on_pusch",
                       "allocation_type",
                       "frequency_hopping",
                       "hopping_offset_rbs",
                       "transform_precoding",
                       "ptrs",
                       "ptrs_time_density",
                       "ptrs_frequency_density",
                       "equalizer",
                       "mcs_table",
                       "dmrs_additional_positions",
                       "ldpc_iterations_max",
                       "harq_transmissions_max",
                       "target_bler",
                       "handsets_per_slot_max",
                       "traffic",
                       "handsets"});
  section.text("name", cell.name);
  section.boolean("start", cell.starts);
  section.integers("processors", cell.processors, 0, processor_max, 2);
  carrier(section, cell);
  antennas(section, cell);
  waveform(section, cell);
  section.choice<nr::McsTable>("mcs_table", cell.mac.mcs_table,
                               {{"64qam", nr::McsTable::qam64},
                                {"256qam", nr::McsTable::qam256},
                                {"64qam_low_se", nr::McsTable::qam64_low_se}});
  section.integer("dmrs_additional_positions", cell.mac.dmrs_additional_positions, 0, 3);
  section.integer("ldpc_iterations_max", cell.ldpc_iterations_max, 1, 50);
  section.integer("harq_transmissions_max", cell.mac.transmissions_max, 1, 16);
  section.number("target_bler", cell.mac.target_bler, 0.001, 0.5);
  section.integer("handsets_per_slot_max", cell.mac.handsets_per_slot_max, 1,
                  fapi::pdus_per_slot_max);
  mac::HandsetConfig common;
  if (section.has("traffic")) traffic(section.child("traffic"), path + ".traffic", common);
  handsets(section, path, common, cell);
}

void Parser::antennas(YamlSection& section, CellConfig& cell) {
  section.integer("receive_antennas", cell.receive_antennas, 1, nr::receive_antennas_max);
  section.integer("transmit_antennas", cell.transmit_antennas, 1, fapi::ports_max);
  section.integer("downlink_layers_max", cell.downlink_layers_max, 1, cell.transmit_antennas);
  // DM-RS of one symbol, as the MAC sends them, have 4 ports.
  const int uplink_most = std::min(cell.receive_antennas, nr::codeword_layers_max);
  section.integer("uplink_layers_max", cell.uplink_layers_max, 1, uplink_most);
  section.integer("uplink_group_layers", cell.uplink_group_layers, 1, uplink_most);
  section.integer("precoding_group_rbs", cell.precoding_group_rbs, 0, nr::rb_max);
  section.boolean("uci_on_pusch", cell.uci_on_pusch);
  section.choice<phy::Equalizer>("equalizer", cell.equalizer,
                                 {{"zf", phy::Equalizer::zero_forcing},
                                  {"mmse", phy::Equalizer::mmse},
                                  {"mmse_irc", phy::Equalizer::mmse_irc}});
}

void Parser::waveform(YamlSection& section, CellConfig& cell) {
  using mac::Hopping;
  section.integer("allocation_type", cell.mac.allocation_type, 0, 1);
  section.choice<Hopping>("frequency_hopping", cell.mac.hopping,
                          {{"none", Hopping::none},
                           {"intra_slot", Hopping::intra_slot},
                           {"inter_slot", Hopping::inter_slot}});
  section.integer("hopping_offset_rbs", cell.mac.hopping_offset_rbs, 0, nr::rb_max);
  section.boolean("transform_precoding", cell.mac.transform_precoding);
  int ptrs = 0;
  section.choice<int>("ptrs", ptrs, {{"none", 0}, {"downlink", 1}, {"uplink", 2}, {"both", 3}});
  cell.mac.downlink_ptrs = (ptrs & 1) != 0;
  cell.mac.uplink_ptrs = (ptrs & 2) != 0;
  section.integer("ptrs_time_density", cell.mac.ptrs_time_density, 1, 4);
  section.integer("ptrs_frequency_density", cell.mac.ptrs_frequency_density, 2, 4);
  if (const Refusal no = mac::refuse_combination(mac_config_of(cell)); no && !reader.error)
    section.fail(no.field, words_of(no));
}

void Parser::carrier(YamlSection& section, CellConfig& cell) {
  int scs_khz = 30;
  int bandwidth_mhz = 20;
  int cell_id = cell.carrier.cell_id;
  double frequency_mhz = cell.carrier.center_frequency_hz / 1e6;
  std::string duplex = "DDDSU";
  section.integer("subcarrier_spacing_khz", scs_khz, 15, 30);
  if (scs_khz != 15 && scs_khz != 30)
    section.fail("subcarrier_spacing_khz", "is neither (allowed: 15, 30)");
  section.integer("bandwidth_mhz", bandwidth_mhz, 5, 100);
  section.integer("physical_cell_id", cell_id, 0, 1007);
  section.number("frequency_mhz", frequency_mhz, 410, 7125);  // FR1, TS 38.104 5.1
  section.text("duplex", duplex);
  if (reader.error) return;
  const Result<nr::Carrier> carrier = nr::make_carrier(scs_khz, bandwidth_mhz);
  if (!carrier) return section.fail("bandwidth_mhz", carrier.error().message);
  cell.carrier = *carrier;
  cell.carrier.cell_id = cell_id;
  cell.carrier.center_frequency_hz = frequency_mhz * 1e6;
  const Result<nr::DuplexPattern> pattern = nr::make_duplex_pattern(duplex.c_str(), scs_khz);
  if (!pattern) return section.fail("duplex", pattern.error().message);
  cell.pattern = *pattern;
  section.integer("special_downlink_symbols", cell.pattern.special_downlink_symbols, 0,
                  nr::symbols_per_slot);
  section.integer("special_uplink_symbols", cell.pattern.special_uplink_symbols, 0,
                  nr::symbols_per_slot - cell.pattern.special_downlink_symbols);
}

void Parser::handsets(YamlSection& section, const std::string& path,
                      const mac::HandsetConfig& common, CellConfig& cell) {
  section.require("handsets");
  if (reader.error) return;
  const YAML::Node list = section.child("handsets");
  if (!list.IsSequence() || list.size() == 0 || list.size() > handsets_max) {
    return section.fail("handsets",
                        "(allowed: a list of 1 to " + std::to_string(handsets_max) + " handsets)");
  }
  for (std::size_t i = 0; i < list.size() && !reader.error; ++i)
    handset(list[i], path + ".handsets[" + std::to_string(i) + "]", common, cell);
}

void Parser::handset(const YAML::Node& node, const std::string& path,
                     const mac::HandsetConfig& common, CellConfig& cell) {
  YamlSection section(reader, node, path,
                      {"rnti", "profile", "delay_spread_ns", "doppler_hz", "snr_db",
                       "timing_offset_ns", "receive_antennas", "transmit_antennas", "traffic"});
  HandsetChannel channel;
  int rnti = 0x4601 + static_cast<int>(cell.channels.size());
  section.integer("rnti", rnti, 1, 65519);  // C-RNTI: TS 38.321 table 7.1-1
  channel.rnti = static_cast<std::uint16_t>(rnti);
  for (const HandsetChannel& other : cell.channels) {
    if (other.rnti == channel.rnti && !reader.error)
      reader.fail(node.Mark(), path + ": rnti " + std::to_string(rnti) + " is another handset's");
  }
  section.number("delay_spread_ns", channel.delay_spread_ns, 0, 2000);
  section.text("profile", channel.profile);
  if (reader.error) return;
  const auto profile = air::channel_profile(channel.profile, channel.delay_spread_ns * 1e-9);
  if (!profile) return section.fail("profile", profile.error().message);
  section.number("doppler_hz", channel.doppler_hz, 0, 1000);
  section.number("snr_db", channel.snr_db, -20, 60);
  section.number("timing_offset_ns", channel.timing_offset_ns, 0, 2000);
  section.integer("receive_antennas", channel.receive_antennas, 1, nr::receive_antennas_max);
  section.integer("transmit_antennas", channel.transmit_antennas, 1, 4);
  if (channel.transmit_antennas == 3)
    section.fail("transmit_antennas", "has no codebook (allowed: 1, 2, 4)");
  mac::HandsetConfig config = common;
  config.rnti = channel.rnti;
  if (section.has("traffic")) traffic(section.child("traffic"), path + ".traffic", config);
  cell.channels.push_back(std::move(channel));
  cell.mac.handsets.push_back(std::move(config));
}

void Parser::traffic(const YAML::Node& node, const std::string& path, mac::HandsetConfig& handset) {
  YamlSection section(reader, node, path, {"downlink", "uplink"});
  if (section.has("downlink"))
    offered(section.child("downlink"), path + ".downlink", handset.downlink);
  if (section.has("uplink")) offered(section.child("uplink"), path + ".uplink", handset.uplink);
}

void Parser::offered(const YAML::Node& node, const std::string& path, mac::Traffic& traffic) {
  using Kind = mac::Traffic::Kind;
  YamlSection section(reader, node, path, {"kind", "mbps", "packet_bytes", "file", "loop"});
  std::string csv;
  section.choice<Kind>("kind", traffic.kind,
                       {{"none", Kind::none},
                        {"full_buffer", Kind::full_buffer},
                        {"poisson", Kind::poisson},
                        {"replay", Kind::replay}});
  section.number("mbps", traffic.mbps, 0.001, 10'000);
  section.integer("packet_bytes", traffic.packet_bytes, 1, 65'535);
  section.text("file", csv);
  section.boolean("loop", traffic.loop);
  if (reader.error || traffic.kind != Kind::replay) return;
  section.require("file");
  if (reader.error || !read_files) return;
  auto arrivals = mac::read_traffic_csv(csv);
  if (!arrivals) return section.fail("file", arrivals.error().message);
  traffic.arrivals = *std::move(arrivals);
}

void Parser::radio(const YAML::Node& node) {
  YamlSection section(reader, node, "radio",
                      {"processors", "air_processors", "realtime_priority", "keep_awake", "air",
                       "downlink_deadline_us", "uplink_deadline_slots", "record", "replay"});
  SiteConfig& site = file.site;
  // A single cell has one worker or two.
  section.integers("processors", site.radio_processors, 0, processor_max,
                   site.cells.size() == 1 ? 2 : Lease::processors_max);
  section.integers("air_processors", site.air_processors, 0, processor_max, 64);
  section.integer("realtime_priority", site.realtime_priority, 0, 99);
  section.boolean("keep_awake", site.keep_awake);
  bool light_air = false;
  section.choice<bool>("air", light_air, {{"emulated", false}, {"light", true}});
  for (CellConfig& cell : site.cells) cell.light_air = light_air;
  section.integer("downlink_deadline_us", site.downlink_deadline_us, 1, 10'000);
  section.integer("uplink_deadline_slots", site.uplink_deadline_slots, 1, 16);
  section.text("record", site.record_path);
  section.text("replay", site.replay_path);
}

void Parser::lease(const YAML::Node& node) {
  YamlSection section(reader, node, "lease",
                      {"policy", "early_us", "early_min_us", "margin_us", "risk_max", "left_min",
                       "mechanism", "cache_share", "bandwidth_share", "cost_model"});
  SiteConfig& site = file.site;
  section.choice<LeasePolicy>("policy", site.lease.policy,
                              {{"off", LeasePolicy::off},
                               {"static", LeasePolicy::fixed_split},
                               {"os", LeasePolicy::os},
                               {"lease", LeasePolicy::lease}});
  const auto microseconds = [&](const char* key, std::int64_t& value_ns, int max) {
    int value_us = static_cast<int>(value_ns / 1000);
    section.integer(key, value_us, 0, max);
    value_ns = std::int64_t{value_us} * 1000;
  };
  microseconds("early_us", site.lease.early_ns, 200);
  microseconds("early_min_us", site.lease.early_min_ns, 10'000);
  microseconds("margin_us", site.lease.margin_ns, 10'000);
  section.number("risk_max", site.lease.risk_max, 0, 1);
  section.number("left_min", site.lease.left_min, 0, 1);
  section.choice<std::string>("mechanism", site.lease_mechanism,
                              {{"auto", "auto"}, {"affinity", "affinity"}, {"cpuset", "cpuset"}});
  section.number("cache_share", site.resctrl.cache_share, 0, 1);
  section.number("bandwidth_share", site.resctrl.bandwidth_share, 0, 1);
  section.text("cost_model", site.cost_model_path);
}

void Parser::ai(const YAML::Node& node) {
  AiSection& ai = file.ai.emplace();
  YamlSection section(reader, node, "ai", {"engine", "gateway", "load"});
  engine(section.child("engine"), ai.engine);
  gateway(section.child("gateway"), ai.gateway);
  YamlSection load(reader, section.child("load"), "ai.load",
                   {"concurrency", "prompt_tokens", "max_tokens"});
  load.integer("concurrency", ai.load.concurrency, 0, 1024);
  load.integer("prompt_tokens", ai.load.prompt_tokens, 1, 100'000);
  load.integer("max_tokens", ai.load.max_tokens, 1, 100'000);
}

void Parser::engine(const YAML::Node& node, AiSection::Engine& engine) {
  YamlSection section(reader, node, "ai.engine",
                      {"name",
                       "url",
                       "api_key",
                       "executable",
                       "model_path",
                       "model_name",
                       "threads",
                       "context_tokens",
                       "parallel",
                       "embeddings",
                       "split",
                       "arguments",
                       "processors",
                       "idle_class",
                       "memory_mib",
                       "start_timeout_s",
                       "health_interval_s",
                       "health_timeout_s",
                       "backoff_first_s",
                       "backoff_max_s"});
  section.text("name", engine.name);
  section.text("url", engine.url);
  section.text("api_key", engine.api_key);
  section.text("executable", engine.executable);
  section.text("model_path", engine.model_path);
  section.text("model_name", engine.model_name);
  section.integer("threads", engine.threads, 0, 1024);
  section.integer("context_tokens", engine.context_tokens, 64, 10'000'000);
  section.integer("parallel", engine.parallel, 1, 1024);
  section.boolean("embeddings", engine.embeddings);
  section.boolean("split", engine.split);
  section.texts("arguments", engine.arguments, 64);
  section.integers("processors", engine.processors, 0, processor_max, 1024);
  section.boolean("idle_class", engine.idle_class);
  section.integer("memory_mib", engine.memory_mib, 0, 1 << 30);
  section.number("start_timeout_s", engine.start_timeout_s, 1, 3600);
  section.number("health_interval_s", engine.health_interval_s, 0.1, 3600);
  section.number("health_timeout_s", engine.health_timeout_s, 0.1, 3600);
  section.number("backoff_first_s", engine.backoff_first_s, 0.01, 3600);
  section.number("backoff_max_s", engine.backoff_max_s, 0.01, 3600);
}

void Parser::tls(YamlSection& section, AiSection::Gateway& gateway) {
  enum class Use : std::uint8_t { automatic, on, off };
  Use use = Use::automatic;
  section.choice("tls", use, {{"auto", Use::automatic}, {"on", Use::on}, {"off", Use::off}});
  section.text("tls_certificate", gateway.tls_certificate);
  section.text("tls_key", gateway.tls_key);
  if (reader.error) return;
  const bool has_files = !gateway.tls_certificate.empty();
  if (has_files == gateway.tls_key.empty()) {
    return section.fail(has_files ? "tls_certificate" : "tls_key",
                        has_files ? "is there without ai.gateway.tls_key"
                                  : "is there without ai.gateway.tls_certificate");
  }
  if (use == Use::off && has_files) {
    return section.fail("tls", "\"off\", and there is a tls_certificate");
  }
  const bool by_itself = has_files || (file.fleet && !is_loopback(gateway.address));
  gateway.tls = use == Use::on || (use == Use::automatic && by_itself);
}

void Parser::gateway(const YAML::Node& node, AiSection::Gateway& gateway) {
  YamlSection section(
      reader, node, "ai.gateway",
      {"address", "port", "threads", "open", "tls", "tls_certificate", "tls_key", "api_keys",
       "tenants", "body_bytes_max", "requests_per_second", "burst", "requests_in_flight_max",
       "queue_wait_max_s", "upstream_timeout_s", "header_timeout_s", "measure_idle_s"});
  section.text("address", gateway.address);
  section.integer("port", gateway.port, 0, 65'535);
  section.integer("threads", gateway.threads, 1, 64);
  section.boolean("open", gateway.open);
  tls(section, gateway);
  section.texts("api_keys", gateway.api_keys, 10'000);
  section.text("tenants", gateway.tenants);
  section.integer("body_bytes_max", gateway.body_bytes_max, 1024, 1 << 30);
  section.number("requests_per_second", gateway.requests_per_second, 0, 1e6);
  section.integer("burst", gateway.burst, 1, 1'000'000);
  section.integer("requests_in_flight_max", gateway.requests_in_flight_max, 1, 100'000);
  section.number("queue_wait_max_s", gateway.queue_wait_max_s, 0, 3600);
  section.number("upstream_timeout_s", gateway.upstream_timeout_s, 0.1, 86'400);
  section.number("header_timeout_s", gateway.header_timeout_s, 0.1, 3600);
  section.number("measure_idle_s", gateway.measure_idle_s, 0, 86'400);
}

}  // namespace

Result<SiteFile> parse(std::string_view text, const std::string& name, bool read_files) {
  Parser parser{.reader = {.file = name, .error = {}}, .read_files = read_files, .file = {}};
  try {
    parser.root(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& exception) {
    parser.reader.fail(exception.mark, "not YAML: " + exception.msg);
  }
  if (parser.reader.error) return *std::move(parser.reader.error);
  return std::move(parser.file);
}

Result<SiteFile> load(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(stream)),
                         std::istreambuf_iterator<char>());
  if (!stream) return Error{path + ": cannot be read: " + std::strerror(errno)};
  return parse(text, path, true);
}

}  // namespace noroshi::site
