#pragma once

// A small country of three regions for the fault bench, every process a real one:
//
//   region 0 "east"    sites e1, e2, a gateway, a NATS server, a control plane
//   region 1 "west"    sites w1, w2, a gateway, a NATS server, a control plane
//   region 2 "south"   a NATS server, the meter with its store
//
// The NATS servers are one cluster; the usage stream has three copies. Round trips: east-west 10
// ms, to the south 30 ms, inside a region the loopback's (wire.h). Nobody tells the gateways: they
// measure them.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/process.h"
#include "fleet/bus.h"
#include "trial/role.h"
#include "trial/wire.h"

namespace noroshi::trial {

inline constexpr int east = 0;
inline constexpr int west = 1;
inline constexpr int south = 2;
inline constexpr int gateway_tcp_port = 8080;

struct CountryConfig {
  std::string folder = {};  // for all files of it; made by the caller
  StubConfig stub = {};     // of every site
};

class Country {
 public:
  // Returns once everything is up and every gateway has heard of all sites. Errors: what could not
  // be made or did not come up.
  static Result<std::unique_ptr<Country>> make(CountryConfig config);
  ~Country();
  Country(const Country&) = delete;
  Country& operator=(const Country&) = delete;

  Wire& wire() { return *wire_; }
  // kill -9. Names: e1, e2, w1, w2, gw-east, gw-west, control-east, control-west, nats-0.., meter
  void kill_now(const std::string& name);
  Result<void> start(const std::string& name);
  Result<void> set_slow(const std::string& site, double factor);
  // The number of the NATS server that leads the usage stream.
  Result<int> usage_leader();
  std::string store_path() const { return config_.folder + "/usage.db"; }
  std::string spool_path(const std::string& gateway) const {
    return config_.folder + "/spool-" + gateway;
  }
  // Waits until the store has so many records, at most so long; returns how many it has.
  std::size_t wait_stored(std::size_t records, double timeout_s);

 private:
  struct Process {
    int region = 0;
    std::vector<std::string> arguments;
    pid_t pid = 0;
  };
  explicit Country(CountryConfig config) : config_(std::move(config)) {}
  Result<void> make_all();
  Result<void> wait_stream();
  Result<void> wait_sites();
  void add_nats(int number);
  void add_role(int region, RoleCommand command);

  CountryConfig config_;
  std::unique_ptr<Wire> wire_;
  std::unique_ptr<engine::OutputLog> log_;
  std::map<std::string, Process> processes_;
  std::unique_ptr<fleet::Bus> bus_;  // in the south
};

}  // namespace noroshi::trial
