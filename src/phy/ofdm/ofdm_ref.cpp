#include <cassert>
#include <vector>

#include "phy/fft/fft.h"
#include "phy/ofdm/ofdm.h"
#include "phy/ofdm/symbol_times.h"

namespace noroshi::phy::ref {

void ofdm_modulate(const nr::Carrier& carrier, int slot_in_subframe, double scale,
                   View<const cf64, 2> grid, View<cf64, 1> samples) {
  const std::size_t size = static_cast<std::size_t>(carrier.fft_size);
  const std::size_t subcarriers = static_cast<std::size_t>(carrier.subcarriers());
  assert(grid.extent(0) == nr::symbols_per_slot && grid.extent(1) == subcarriers);
  assert(samples.size() == static_cast<std::size_t>(nr::slot_samples(carrier, slot_in_subframe)));
  const SymbolTimes times = symbol_times(carrier, slot_in_subframe);
  for (std::size_t l = 0; l < nr::symbols_per_slot; ++l) {
    std::vector<cf64> spectrum(size), useful(size);
    for (std::size_t k = 0; k < subcarriers; ++k)
      spectrum[(k + size - subcarriers / 2) % size] = grid(l, k);
    fft(FftDirection::inverse, scale / static_cast<double>(size) * times.phase[l], spectrum,
        useful);
    const std::size_t first = times.start[l] - times.prefix[l];
    for (std::size_t n = 0; n < size + times.prefix[l]; ++n)
      samples[first + n] = useful[(n + size - times.prefix[l]) % size];
  }
}

void ofdm_demodulate(const nr::Carrier& carrier, int slot_in_subframe, int window_offset,
                     double scale, View<const cf64, 1> samples, View<cf64, 2> grid) {
  const std::size_t size = static_cast<std::size_t>(carrier.fft_size);
  const std::size_t subcarriers = static_cast<std::size_t>(carrier.subcarriers());
  const std::size_t half = subcarriers / 2;
  const std::size_t early = static_cast<std::size_t>(window_offset);
  assert(grid.extent(0) == nr::symbols_per_slot && grid.extent(1) == subcarriers);
  assert(samples.size() == static_cast<std::size_t>(nr::slot_samples(carrier, slot_in_subframe)));
  const SymbolTimes times = symbol_times(carrier, slot_in_subframe);
  for (std::size_t l = 0; l < nr::symbols_per_slot; ++l) {
    assert(window_offset >= 0 && early <= times.prefix[l]);
    std::vector<cf64> spectrum(size);
    fft(FftDirection::forward, scale * std::conj(times.phase[l]),
        samples.subview(times.start[l] - early, size), spectrum);
    for (std::size_t k = 0; k < subcarriers; ++k) {
      const double cycles = (static_cast<double>(k) - static_cast<double>(half)) * window_offset /
                            static_cast<double>(size);
      grid(l, k) =
          spectrum[(k + size - half) % size] * std::polar(1.0, 2 * std::numbers::pi * cycles);
    }
  }
}

}  // namespace noroshi::phy::ref
