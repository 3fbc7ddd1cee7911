#pragma once

// The agent of a site behind a leaf node: one file, and what it is wanted to run.

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "fleet/agent.h"
#include "fleet/real_server_test.h"

namespace noroshi::trial {

inline const std::string leaf_content(64, 'c');

struct LeafSite {
  fleet::Watched<fleet::DesiredSite> desired;
  std::optional<fleet::Agent> agent;

  void start(fleet::Bus& bus, Clock& clock, const std::string& name, const std::string& region,
             std::function<void(fleet::SiteReport&)> describe) {
    fleet::AgentConfig config;
    config.facts = {.name = name,
                    .region = region,
                    .instance = std::hash<std::string>()(region),
                    .memory_bytes = 1000,
                    .processors = 4,
                    .files = {{"m", leaf_content, 400}}};
    config.host = "127.0.0.1";
    config.tcp_port = 1;
    agent.emplace(bus, clock, config, std::move(describe),
                  [this](const fleet::DesiredSite& wanted) {
                    desired.change([&](fleet::DesiredSite& d) { d = wanted; });
                  });
    ASSERT_TRUE(agent->start());
  }
};

}  // namespace noroshi::trial
