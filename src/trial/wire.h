#pragma once

// A small country on one machine: regions that are network namespaces, joined by a wire with
// distances. Each region has one address, 10.77.0.N, on a TUN device whose packets a thread of ours
// carries to their region when their time has come. So TCP sees real round trips, losses and cuts,
// whatever the kernel was built with: tc netem is not everywhere (docs/decisions/0029-wire.md).
//
// Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN), iproute2 and /dev/net/tun; says so when it has not.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace noroshi::trial {

struct WireCounters {
  std::uint64_t packets = 0;
  std::uint64_t dropped = 0;      // at a cut, or because too many were under way
  std::uint64_t late_us_max = 0;  // of our own carrying, above the distance
};

class Wire {
 public:
  // regions: how many. one_way_ms[i][j]: the distance. Errors say what is missing here.
  static Result<Wire> make(std::vector<std::vector<double>> one_way_ms);
  Wire(Wire&&) noexcept;
  Wire& operator=(Wire&&) noexcept;
  ~Wire();

  static std::string address(int region);  // "10.77.0.1" of region 0
  // Runs the work on the region's own thread and waits: sockets opened, threads started and
  // processes spawned there live in the region. The thread lives as long as the wire.
  void in(int region, const std::function<void()>& work);

  // Nothing goes in or out of the region any more, or again.
  void cut(int region, bool away);
  WireCounters counters() const;

 private:
  Wire();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::trial
