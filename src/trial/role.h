#pragma once

// One process of the small country that the fault bench makes: `noroshi trial ROLE`, not for
// people. Each runs the product's own parts; only engines are stubs, and sites have no radio.
//
//   site      a stub engine and the fleet's agent (fleet/agent.h)
//   gateway   router, feed, gateway, spool and shipper
//   control   the fleet's control plane, for the regions' digests

#include <string>
#include <vector>

#include "trial/stub_engine.h"

namespace noroshi::trial {

struct RoleCommand {
  std::string role = {};
  std::string name = {};
  std::string region = {};
  std::string host = {};
  int tcp_port = 0;
  std::vector<std::string> nats_urls = {};
  std::string spool = {};  // gateway: its folder
  std::uint64_t spool_segment_bytes = 32 << 10;
  std::uint64_t spool_reserve_bytes = 24 << 10;
  StubConfig stub = {};
};

// Runs until it is killed. Returns the exit code of a start that failed; it has been printed.
int run_role(const RoleCommand& command);

// As arguments of `noroshi trial`.
std::vector<std::string> arguments_of(const RoleCommand& command);

// The model that all stub sites have.
std::string stub_content_hash();

}  // namespace noroshi::trial
