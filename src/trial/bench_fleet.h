#pragma once

// `noroshi bench fleet`: the router's decisions and the way through a gateway (`noroshi bench
// route`, `gateway`), the faults (faults.h) and a trace (replay.h), as tables or JSON.

#include "trial/faults.h"
#include "trial/replay.h"

namespace noroshi::trial {

struct BenchFleetOptions {
  FaultOptions faults = {};
  ReplayOptions replay = {};
  bool only_replay = false;
  bool only_faults = false;
  bool json = false;
};

// Returns the exit code. Failures have been printed.
int run_bench_fleet(const BenchFleetOptions& options);

}  // namespace noroshi::trial
