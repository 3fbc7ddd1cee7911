#pragma once

// `noroshi up`: a whole small fleet on this machine, each part a process of its own that can be
// killed by itself: the control plane with its nats-server, sites (a light 5 MHz cell with one
// handset and an engine each, in two regions), a gateway, the meter. What dies is started again;
// Ctrl-C ends all. A part that cannot start at all ends all too, with what it said. The folder is
// one fleet's: a second one in it is refused.

#include <string>

namespace noroshi::live {

struct UpCommand {
  int sites = 4;
  std::string folder = "noroshi-up";  // configurations, logs, keys
  std::string model_path = {};        // empty: a tiny load model, made in the folder
  int port = 8080;                    // of the gateway; 0: a free one
  int context_tokens = 4096;          // of each site's engine
  bool cells = true;
  bool secure = false;    // TLS and keys, though everything is on the loopback
  bool restart = true;    // what dies
  double duration_s = 0;  // 0: until a signal
};

int run_up(const UpCommand& command);

}  // namespace noroshi::live
