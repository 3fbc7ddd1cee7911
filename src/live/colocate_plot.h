#pragma once

// One second of a site in a picture: for every slot, how much of each processor the radio, the
// emulated air and the engine had, and when the radio had taken its processor back.

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "site/site.h"

namespace noroshi::live {

// Looks at an engine's threads every half millisecond: what each had since the last look counts for
// the processor that it is on.
class EngineSampler {
 public:
  struct Look {
    std::int64_t at_ns = 0;
    std::vector<double> processor_ns;  // [processor], since the look before
    double air_ns = 0;                 // of the emulated air, likewise
  };

  EngineSampler(std::vector<site::HeldProcess> engines, int processors,
                const site::CellCounters& counters);
  ~EngineSampler();  // stop()
  EngineSampler(const EngineSampler&) = delete;
  EngineSampler& operator=(const EngineSampler&) = delete;
  void stop();
  const std::vector<Look>& looks() const { return looks_; }  // after stop()

 private:
  void run(const std::vector<site::HeldProcess>& engines, int processors,
           const site::CellCounters& counters);

  std::vector<Look> looks_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

struct PlotInput {
  std::string title;
  int processors = 1;
  int radio_processor = 0;
  int air_processor = 0;
  std::int64_t slot_ns = 500'000;
  std::vector<site::SlotTrace> slots;
  std::vector<EngineSampler::Look> looks;
};

// The last second of the input as SVG. Errors: nothing to draw.
Result<std::string> plot_second(const PlotInput& input);

}  // namespace noroshi::live
