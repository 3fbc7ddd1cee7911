// Low-PAPR sequences, modulation, soft demodulation, OFDM (TS 38.211 5.1, 5.2.2, 5.3.1, 5.4).

#include <cmath>
#include <map>

#include "conformance/components.h"
#include "nr/low_papr/low_papr.h"
#include "phy/ofdm/ofdm.h"

namespace noroshi::conformance {

Outcome check_low_papr(const VectorCase& c) {
  NOROSHI_CASE_VALUE(u, c.integer("u"));
  NOROSHI_CASE_VALUE(v, c.integer("v"));
  NOROSHI_CASE_VALUE(alpha, c.number("alpha"));
  NOROSHI_CASE_VALUE(length, c.integer("Msc"));
  NOROSHI_CASE_VALUE(expected, c.array("seq"));
  if (static_cast<std::size_t>(length) != expected->complex.size())
    return failed("Msc is not seq's length");
  if (u < 0 || u > 29 || v < 0 || v > 1) return failed("no such group or number");
  std::vector<cf32> ours(expected->complex.size());
  nr::low_papr_type1(u, v, alpha, View<cf32, 1>(ours));
  const std::string wrong = difference(ours, expected->complex.data(), ours.size(), 1e-5);
  return wrong.empty() ? passed() : failed(wrong);
}

Outcome check_ofdm(const VectorCase& c) {
  NOROSHI_CASE_VALUE(scs_khz, c.integer("scs"));
  NOROSHI_CASE_VALUE(sample_rate_hz, c.number("SampleRate"));
  NOROSHI_CASE_VALUE(frequency_hz, c.number("CarrierFrequency"));
  NOROSHI_CASE_VALUE(rbs, c.integer("n_prb"));
  NOROSHI_CASE_VALUE(grid, c.array("fd_slot_data"));
  NOROSHI_CASE_VALUE(waveform, c.array("waveform"));
  if (scs_khz != 15 && scs_khz != 30) return skipped("subcarrier spacing other than 15 and 30 kHz");
  if (grid->shape.size() != 4 || waveform->shape.size() != 2)
    return failed("arrays of another form");
  if (grid->shape[1] != 1) return skipped("more than one port");

  nr::Carrier carrier;
  carrier.scs_khz = scs_khz;
  carrier.rb_count = rbs;
  carrier.fft_size = static_cast<int>(std::lround(sample_rate_hz / (1000.0 * scs_khz)));
  carrier.center_frequency_hz = frequency_hz;
  const bool power_of_two = (carrier.fft_size & (carrier.fft_size - 1)) == 0;
  if (!power_of_two || carrier.fft_size < 128 || carrier.fft_size > 4096) {
    return skipped("an FFT size that is no power of two up to 4096");
  }
  const auto subcarriers = static_cast<std::size_t>(carrier.subcarriers());
  if (grid->shape[2] != nr::symbols_per_slot || grid->shape[3] != subcarriers) {
    return failed("fd_slot_data is not [slot, port, 14, subcarrier]");
  }
  phy::OfdmPlan plan(carrier);
  const std::size_t elements = nr::symbols_per_slot * subcarriers;
  for (std::size_t i = 0; i < grid->shape[0]; ++i) {
    const int slot = i < grid->slots.size() ? grid->slots[i] : static_cast<int>(i);
    const int in_subframe = slot % (scs_khz / 15);
    const std::vector<cf32> ours_grid(
        grid->complex.begin() + static_cast<std::ptrdiff_t>(i * elements),
        grid->complex.begin() + static_cast<std::ptrdiff_t>((i + 1) * elements));
    std::vector<cf32> ours(static_cast<std::size_t>(nr::slot_samples(carrier, in_subframe)));
    if (waveform->shape[1] != ours.size() || i >= waveform->shape[0]) {
      return failed("a slot has " + std::to_string(ours.size()) + " samples, expected " +
                    std::to_string(waveform->shape[1]));
    }
    const View<const cf32, 2> grid_view(ours_grid.data(), nr::symbols_per_slot, subcarriers);
    phy::ofdm_modulate(plan, in_subframe, 1.0f, grid_view, ours);
    std::string wrong =
        difference(ours, waveform->complex.data() + i * ours.size(), ours.size(), 1e-6);
    if (!wrong.empty()) return failed("waveform: " + wrong);

    // And back: the receiver must find the grid in the expected waveform.
    for (std::size_t n = 0; n < ours.size(); ++n)
      ours[n] = cf32(waveform->complex[i * ours.size() + n]);
    std::vector<cf32> back(elements);
    phy::ofdm_demodulate(plan, in_subframe, 0, 1.0f, ours,
                         View<cf32, 2>(back.data(), nr::symbols_per_slot, subcarriers));
    wrong = difference(back, grid->complex.data() + i * elements, elements, 1e-4);
    if (!wrong.empty()) return failed("grid from the waveform: " + wrong);
  }
  return passed();
}

}  // namespace noroshi::conformance
