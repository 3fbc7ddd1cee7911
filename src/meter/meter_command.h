#pragma once

// `noroshi meter`: takes usage records out of the fleet's stream into a database until it is told
// to stop (SIGINT, SIGTERM).

#include <string>
#include <vector>

#include "meter/meter.h"

namespace noroshi::meter {

struct MeterCommand {
  std::vector<std::string> nats_urls = {};
  std::string nkey_seed_path = {};  // empty: no key
  std::string ca_path = {};         // empty: no TLS
  std::string domain = {};          // of JetStream, behind a leaf node; empty: the server's own
  MeterConfig config = {};
  double duration_s = 0;  // 0: until a signal
};

// Returns the exit code. Failures have been printed; one JSON object a second that changed.
int run_meter(const MeterCommand& command);

}  // namespace noroshi::meter
