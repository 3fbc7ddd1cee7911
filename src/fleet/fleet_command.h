#pragma once

// `noroshi fleet`: the control plane, with a nats-server of its own or at servers that are there;
// and `noroshi fleet COMMAND`: what a person asks of it.

#include <string>
#include <vector>

#include "base/result.h"
#include "fleet/command.h"
#include "fleet/folder.h"

namespace noroshi::fleet {

struct FleetServe {
  std::string folder = "noroshi-fleet";
  std::vector<std::string> nats = {};  // servers that are there; empty: start one
  std::string key = {};                // our nkey there
  std::string ca = {};
  std::string listen = "127.0.0.1";     // of the server that we start
  int tcp_port = 4222;                  // 0: a free one
  std::vector<std::string> hosts = {};  // names under which it is reached, for its certificate
  bool secure = false;                  // TLS and keys on the loopback too
  int leaf_tcp_port = 0;                // where regions' servers connect as leaf nodes; 0: nowhere
  std::string core = {};                // ours is a leaf node of the server at this URL
  std::string core_key = {};            // the leaf's nkey there
  std::string core_ca = {};
  std::string id = "control";
  std::vector<std::string> regions = {};
  int replicas = 1;
  std::size_t sessions = std::size_t{1} << 20;  // kept for gateways that are restarted
};

// Until SIGINT or SIGTERM. Returns the exit code; every failure has been printed.
int serve_fleet(const FleetServe& options);

struct FleetAsk {
  std::string folder = "noroshi-fleet";
  std::string nats = {};  // instead of the folder's
  std::string key = {};
  std::string ca = {};
  bool json = false;
  double timeout_s = 5;
};

// kind: status, sites or models.
int show_fleet(const FleetAsk& ask, const std::string& kind);
int command_fleet(const FleetAsk& ask, Command command);

// Who may connect to the fleet of a folder. What changes is told in its audit log.
struct FleetKeys {
  std::string folder = "noroshi-fleet";
  std::string role = {}, name = {}, region = {};
  bool json = false;
};
int add_key(const FleetKeys& keys);  // prints the path of the seed
int remove_key(const FleetKeys& keys);
int list_keys(const FleetKeys& keys);

// A bus for a person, from the folder or as given.
Result<std::unique_ptr<Bus>> connect_admin(const FleetAsk& ask);

}  // namespace noroshi::fleet
