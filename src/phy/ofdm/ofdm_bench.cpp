#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "phy/ofdm/ofdm.h"

namespace noroshi::phy {
namespace {

// The carriers of 100, 40 and 20 MHz at 30 kHz.
constexpr int bandwidths_mhz[] = {20, 40, 100};

std::vector<cf32> random_values(std::size_t count) {
  Prng prng(1);
  std::vector<cf32> values(count);
  for (cf32& value : values)
    value = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
  return values;
}

std::size_t grid_size(const nr::Carrier& carrier) {
  return nr::symbols_per_slot * static_cast<std::size_t>(carrier.subcarriers());
}

// Of a slot of one antenna.
NOROSHI_BENCH(ofdm) {
  for (int bandwidth_mhz : bandwidths_mhz) {
    const nr::Carrier carrier = nr::make_carrier(30, bandwidth_mhz).value();
    OfdmPlan plan(carrier);
    const std::vector<cf32> grid = random_values(grid_size(carrier));
    std::vector<cf32> samples(static_cast<std::size_t>(nr::slot_samples(carrier, 0)));
    bench.time_us("modulate n" + std::to_string(carrier.fft_size), [&] {
      ofdm_modulate(plan, 0, 1.0f, {grid.data(), nr::symbols_per_slot, carrier.subcarriers()},
                    samples);
      return hash_bytes(samples.data(), 64);
    });
  }
  for (int bandwidth_mhz : bandwidths_mhz) {
    const nr::Carrier carrier = nr::make_carrier(30, bandwidth_mhz).value();
    OfdmPlan plan(carrier);
    const std::vector<cf32> samples =
        random_values(static_cast<std::size_t>(nr::slot_samples(carrier, 0)));
    std::vector<cf32> grid(grid_size(carrier));
    const int window_offset = nr::cyclic_prefix_samples(carrier, 0, 1) / 2;
    bench.time_us("demodulate n" + std::to_string(carrier.fft_size), [&] {
      ofdm_demodulate(plan, 0, window_offset, 1.0f, samples,
                      {grid.data(), nr::symbols_per_slot, carrier.subcarriers()});
      return hash_bytes(grid.data(), 64);
    });
  }
}

}  // namespace
}  // namespace noroshi::phy
