#pragma once

// The file's section `fleet`: where the site joins, and what it is there. With the fields and units
// of fleet/agent.h: the site itself knows nothing of it.

#include <string>
#include <vector>

#include "site/yaml.h"

namespace noroshi::site {

struct FleetSection {
  std::vector<std::string> urls;  // of NATS servers
  std::string region = "region0";
  std::string prefecture;
  std::vector<std::string> labels;
  std::string key;  // a file with our nkey's seed; empty: none
  std::string ca;   // of the servers' certificates; empty: no TLS
  // Where gateways reach this site's gateway; must be given with a URL beyond the loopback.
  std::string host = "127.0.0.1";
  int memory_mib = 0;    // for engines; 0: three quarters of the machine's
  std::string contexts;  // a folder for contexts that move; empty: a temporary one; "off"
  struct Model {
    std::string name;
    std::string path;
  };
  std::vector<Model> models;  // files that the fleet may have run here, beside ai.engine's
  std::string models_folder;  // for files that other sites send; empty: none are taken
  std::string domain;         // of JetStream, behind a leaf node; empty: the server's own
};

void read_fleet(YamlReader& reader, const YAML::Node& node, FleetSection& fleet);

}  // namespace noroshi::site
