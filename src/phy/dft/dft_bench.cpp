#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "nr/carrier.h"
#include "phy/dft/dft.h"

namespace noroshi::phy {
namespace {

// 14 transforms in one run, as a slot has at most.
NOROSHI_BENCH(dft) {
  DftPlans plans(nr::rb_max);
  for (int rb_count : {1, 25, 50, 100, 135, 192, 243, 256, 270}) {
    const std::size_t size = static_cast<std::size_t>(rb_count) * nr::subcarriers_per_rb;
    Prng prng(1);
    std::vector<cf32> in(size), out(size);
    for (cf32& value : in)
      value = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
    bench.time_us(std::to_string(rb_count) + "rb slot", [&] {
      for (int symbol = 0; symbol < nr::symbols_per_slot; ++symbol)
        cpu::dft(plans, FftDirection::inverse, in, out);
      return hash_bytes(out.data(), 64);
    });
  }
}

}  // namespace
}  // namespace noroshi::phy
