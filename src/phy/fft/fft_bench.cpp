#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "phy/fft/fft.h"

namespace noroshi::phy {
namespace {

NOROSHI_BENCH(fft) {
  for (std::size_t size = 256; size <= 4096; size *= 2) {
    FftPlan plan(size);
    Prng prng(1);
    std::vector<cf32> in(size), out(size);
    for (cf32& value : in)
      value = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
    for (FftDirection direction : {FftDirection::forward, FftDirection::inverse})
      bench.time_us("n" + std::to_string(size) +
                        (direction == FftDirection::forward ? " forward" : " inverse"),
                    [&] {
                      cpu::fft(plan, direction, cf32(1), in, out);
                      return hash_bytes(out.data(), 64);
                    });
  }
}

}  // namespace
}  // namespace noroshi::phy
