#pragma once

// `noroshi gateway`: the door to all sites of a fleet, wherever it stands. It hears the sites
// (fleet/feed.h) and the other doors (fleet/doors.h), routes (gateway/route/route.h), and meters
// what was answered (meter/).

#include <string>
#include <vector>

#include "gateway/gateway.h"

namespace noroshi::live {

struct GatewayCommand {
  gateway::GatewayConfig config = {};
  std::string tenants_path = {};
  std::vector<std::string> nats = {"nats://127.0.0.1:4222"};
  std::string key = {};
  std::string ca = {};
  std::string domain = {};  // of JetStream, behind a leaf node; empty: the server's own
  std::string id = "gateway";
  std::string region = "region0";
  std::string tls_certificate = {};  // PEM files of the door; empty: plain HTTP
  std::string tls_key = {};
  bool plain_sites = false;       // beyond the loopback are asked, too
  std::string site_key = {};      // the API key that sites' gateways want to see
  std::string usage_folder = {};  // where usage records wait for the meter; empty: not metered
  // Whose last turn other gateways told, 32 bytes each; 0: none, and others are not told of ours.
  std::size_t sessions = std::size_t{1} << 20;
  double rtt_ms_own = 1;  // until it is measured, as the next
  double rtt_ms_other = 20;
};

// Until SIGINT or SIGTERM. Returns the exit code; every failure has been printed.
int run_gateway(const GatewayCommand& command);

}  // namespace noroshi::live
