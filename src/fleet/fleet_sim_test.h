#pragma once

// A whole fleet in memory under a manual clock: sites, control planes and gateways as they are,
// over the bus in memory.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fleet/agent.h"
#include "fleet/control.h"
#include "fleet/feed.h"
#include "fleet/memory_bus.h"
#include "fleet/status.h"

namespace noroshi::fleet {

inline constexpr std::int64_t ms = 1'000'000;
inline const std::string hash_a(64, 'a');
inline const std::string hash_b(64, 'b');

// A site's clock is off by a minute, and its engine does what it is told a second later.
struct SimSite {
  ManualClock clock;
  std::unique_ptr<Bus> bus;
  std::unique_ptr<Agent> agent;
  std::vector<ModelFile> models;
  std::vector<ModelFile> loading;
  std::int64_t loaded_ns = 0;
  int requests = 0;
  double tokens_per_s = 0;
  bool breaks_with_b = false;

  SimSite(MemoryNetwork& network, const std::string& name, const std::string& region,
          std::uint64_t instance, std::int64_t offset_ns, const std::string& node = "")
      : bus(network.join(node.empty() ? name : node)) {
    clock.advance_ns(offset_ns);
    AgentConfig config;
    config.facts = {.name = name,
                    .region = region,
                    .instance = instance,
                    .prefecture = region + "-p",
                    .memory_bytes = 1000,
                    .processors = 4,
                    .files = {{"m", hash_a, 400}, {"m", hash_b, 400}}};
    config.host = "10.0.0.1";
    config.tcp_port = 8080;
    config.pin = [instance] { return gateway::KeyPin{{1, static_cast<std::uint8_t>(instance)}}; };
    agent = std::make_unique<Agent>(
        *bus, clock, config, [this](SiteReport& report) { describe(report); },
        [this](const DesiredSite& desired) {
          loading = desired.models;
          loaded_ns = clock.now_ns() + 1000 * ms;
        });
    EXPECT_TRUE(agent->start());
  }
  void describe(SiteReport& report) {
    if (clock.now_ns() >= loaded_ns) models = loading;
    report.site.ready = !models.empty() && models.size() == loading.size();
    report.site.lease_share = 0.7;
    report.site.lease_share_forecast = 0.7;
    for (const ModelFile& file : models) {
      if (breaks_with_b && file.content_hash == hash_b) report.fault = "the engine died twice";
      report.site.models.push_back({.name = file.name,
                                    .content_hash = file.content_hash,
                                    .places = 4,
                                    .requests_in_flight = requests,
                                    .prompt_tokens_per_s = 20 * tokens_per_s,
                                    .tokens_per_s = tokens_per_s});
    }
  }
};

struct SimGateway {
  std::unique_ptr<Bus> bus;
  std::map<std::string, gateway::SiteState> sites;
  std::vector<std::string> lost;
  std::map<std::string, std::vector<std::string>> allowed;
  std::unique_ptr<Feed> feed;

  SimGateway(MemoryNetwork& network, Clock& clock, const std::string& region)
      : bus(network.join("gw-" + region)) {
    feed = std::make_unique<Feed>(
        *bus, clock, FeedConfig{.region = region, .id = "gw-" + region},
        FeedSink{.update =
                     [this](const gateway::SiteState& site) {
                       sites[site.name] = site;
                       return Result<void>();
                     },
                 .lost =
                     [this](const std::string& site) {
                       sites.erase(site);
                       lost.push_back(site);
                     },
                 .allow = [this](const std::string& model,
                                 std::vector<std::string> hashes) { allowed[model] = hashes; }});
    EXPECT_TRUE(feed->start());
  }
};

struct SimControl {
  std::unique_ptr<Bus> bus;
  std::unique_ptr<Control> control;
  std::vector<std::string> audit;
  bool dead = false;
  int secrets = 0;  // made

  SimControl(MemoryNetwork& network, Clock& clock, const std::string& id) : bus(network.join(id)) {
    ControlConfig config{.id = id, .instance = std::hash<std::string>()(id)};
    config.new_session_secret = [this]() -> Result<std::string> {
      return std::string(63, '0') + "0123456789abcdef"[++secrets % 16];
    };
    config.audit = [this](const std::string& line) { audit.push_back(line); };
    control = std::make_unique<Control>(*bus, clock, config);
    EXPECT_TRUE(control->start());
  }
};

class FleetSim : public testing::Test {
 protected:
  MemoryNetwork network;
  ManualClock clock;
  std::map<std::string, std::unique_ptr<SimSite>> sites;
  std::vector<std::unique_ptr<SimControl>> controls;
  std::vector<std::unique_ptr<SimGateway>> gateways;
  std::unique_ptr<Bus> admin = network.join("admin");
  SiteReport stranger;

  void add(const std::string& name, const std::string& region, std::uint64_t instance) {
    sites[name] = std::make_unique<SimSite>(network, name, region, instance,
                                            instance % 2 == 0 ? 60'000 * ms : 3600'000 * ms);
  }
  void SetUp() override {
    for (const auto& [name, region] :
         {std::pair{"a1", "east"}, {"a2", "east"}, {"b1", "west"}, {"b2", "west"}}) {
      add(name, region, sites.size() + 1);
    }
    controls.push_back(std::make_unique<SimControl>(network, clock, "c1"));
    controls.push_back(std::make_unique<SimControl>(network, clock, "c2"));
    gateways.push_back(std::make_unique<SimGateway>(network, clock, "east"));
    gateways.push_back(std::make_unique<SimGateway>(network, clock, "west"));
    run_ms(6000);
  }
  int leaders() {
    int count = 0;
    for (auto& c : controls) count += !c->dead && c->control->leads() ? 1 : 0;
    return count;
  }
  void run_ms(int duration) {
    for (int t = 0; t < duration; t += 25) {
      clock.advance_ns(25 * ms);
      network.set_now_ns(clock.now_ns());
      for (auto& [name, site] : sites) {
        site->clock.advance_ns(25 * ms);
        site->agent->step();
        site->agent->step_desired();
        site->agent->step_slow();
      }
      for (auto& c : controls) {
        if (c->dead) continue;
        c->control->step();
        c->control->step_slow();
        c->control->step_plan();
      }
      for (auto& g : gateways) g->feed->step();
      network.deliver();
      EXPECT_LE(leaders(), 1);
    }
  }
  // Somebody who asks nobody beats for a1 from a region of his own, and says that he is the elder.
  void stranger_beats(int times, int between_ms = 200) {
    for (int i = 0; i < times; ++i) {
      stranger.site = {.name = "a1", .instance = 98, .region = "north", .host = "h", .tcp_port = 1};
      stranger.uptime_s = 1e6;
      ++stranger.sequence;
      network.send({"noroshi.north.a1.beat", "", report_text(stranger)});
      run_ms(between_ms);
    }
  }
  CommandAnswer ask(const Command& command) {
    CommandAnswer answer;
    bool answered = false;
    const auto inbox = admin->subscribe("_INBOX.admin", "", [&](const Message& m) {
      const auto parsed = parse_answer(m.data);
      EXPECT_TRUE(parsed);
      answer = *parsed;
      answered = true;
    });
    network.send({command_subject, "_INBOX.admin", command_text(command)});
    run_ms(500);
    EXPECT_TRUE(answered);
    return answer;
  }
  static Command placing(const std::string& hash, int copies) {
    Command command{.kind = CommandKind::place, .by = "test"};
    command.model = {.name = "m", .content_hash = hash, .copies_min = copies};
    return command;
  }
  int running(const std::string& hash) {
    int count = 0;
    for (auto& [name, site] : sites) {
      count += static_cast<int>(std::ranges::count(site->models, hash, &ModelFile::content_hash));
    }
    return count;
  }
};

}  // namespace noroshi::fleet
