#include "meter/meter_command.h"

#include <boost/json.hpp>
#include <csignal>
#include <cstdio>
#include <ctime>

#include "base/clock.h"
#include "fleet/nats_bus.h"
#include "fleet/standing.h"

namespace noroshi::meter {
namespace {

std::string line_of(const MeterCounters& c, const std::string& trouble) {
  return boost::json::serialize(boost::json::object{{"stored", c.store.inserted},
                                                    {"duplicates", c.store.duplicates},
                                                    {"conflicts", c.store.conflicts},
                                                    {"malformed", c.malformed},
                                                    {"unknown_tenant", c.unknown_tenant},
                                                    {"from_the_future", c.from_the_future},
                                                    {"skewed_gateways", c.skew_s.size()},
                                                    {"failures", c.failures},
                                                    {"working", c.working},
                                                    {"fleet_error", trouble},
                                                    {"last_error", c.last_error}});
}

}  // namespace

int run_meter(const MeterCommand& command) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // for the threads that follow, too

  auto bus = fleet::connect_nats({.urls = command.nats_urls,
                                  .name = "noroshi meter",
                                  .nkey_seed_path = command.nkey_seed_path,
                                  .ca_path = command.ca_path,
                                  .role = "meter",
                                  .domain = command.domain},
                                 2);
  if (!bus) {
    std::fprintf(stderr, "noroshi meter: %s\n", bus.error().message.c_str());
    return 1;
  }
  auto meter = Meter::start(**bus, command.config);
  if (!meter) {
    std::fprintf(stderr, "noroshi meter: %s\n", meter.error().message.c_str());
    return 1;
  }
  MonotonicClock clock;
  const std::int64_t from_ns = clock.now_ns();
  std::string last;
  fleet::Standing standing(**bus,
                           "--nats, --ca, and --nkey, which must be a meter's (noroshi fleet keys "
                           "add meter NAME)");
  for (;;) {
    if (const std::string news = standing.news(); !news.empty()) {
      std::fprintf(stderr, "noroshi meter: warning: %s\n", news.c_str());
    }
    const std::string line = line_of(meter->counters(), (*bus)->trouble());
    if (line != last) {
      std::printf("%s\n", line.c_str());
      std::fflush(stdout);
      last = line;
    }
    const timespec second{1, 0};
    if (sigtimedwait(&signals, nullptr, &second) > 0) return 0;
    const double ran_s = static_cast<double>(clock.now_ns() - from_ns) / 1e9;
    if (command.duration_s > 0 && ran_s >= command.duration_s) return 0;
  }
}

}  // namespace noroshi::meter
