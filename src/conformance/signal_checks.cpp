// Low-PAPR sequences, modulation, soft demodulation, OFDM (TS 38.211 5.1, 5.2.2, 5.3.1, 5.4).

#include <algorithm>
#include <cmath>
#include <map>

#include "conformance/components.h"
#include "nr/low_papr/low_papr.h"
#include "phy/demap/demap.h"
#include "phy/modulation/modulation.h"
#include "phy/ofdm/ofdm.h"

namespace noroshi::conformance {
namespace {

Result<nr::Modulation> modulation_of(const VectorCase& c) {
  static const std::map<std::string, nr::Modulation> names = {
      {"BPSK", nr::Modulation::bpsk},      {"pi/2-BPSK", nr::Modulation::pi2_bpsk},
      {"QPSK", nr::Modulation::qpsk},      {"16QAM", nr::Modulation::qam16},
      {"64QAM", nr::Modulation::qam64},    {"256QAM", nr::Modulation::qam256},
      {"1024QAM", nr::Modulation::qam1024}};
  const auto name = c.text("modtype");
  if (!name) return name.error();
  const auto found = names.find(*name);
  if (found == names.end()) return Error{"no modulation '" + *name + "' in TS 38.211 5.1"};
  return found->second;
}

}  // namespace

Outcome check_modulation(const VectorCase& c) {
  NOROSHI_CASE_VALUE(modulation, modulation_of(c));
  NOROSHI_CASE_VALUE(in, c.array("b"));
  NOROSHI_CASE_VALUE(expected, c.array("mod_data"));
  const std::size_t symbols = expected->complex.size();
  const auto qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
  if (in->size() != symbols * qm) return failed("b has not Qm bits a symbol");
  const std::vector<std::uint8_t> bits = packed(bits_of(*in, 0, in->size()));
  std::vector<cf64> exact(symbols);
  std::vector<cf32> fast(symbols);
  phy::ref::modulate(modulation, bits, 1.0, exact);
  phy::cpu::modulate(modulation, bits, 1.0f, fast);
  const std::vector<cf32> ref(exact.begin(), exact.end());
  std::string wrong = difference(ref, expected->complex.data(), symbols, 1e-6);
  if (!wrong.empty()) return failed("ref: " + wrong);
  wrong = difference(fast, expected->complex.data(), symbols, 1e-6);
  return wrong.empty() ? passed() : failed("cpu: " + wrong);
}

Outcome check_demodulation(const VectorCase& c) {
  NOROSHI_CASE_VALUE(modulation, modulation_of(c));
  NOROSHI_CASE_VALUE(noise_power, c.number("noise_power"));
  NOROSHI_CASE_VALUE(in, c.array("demod_data"));
  NOROSHI_CASE_VALUE(expected, c.array("LLR"));
  const std::size_t symbols = in->complex.size();
  const auto qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
  if (expected->real.size() != symbols * qm) return failed("LLR has not Qm values a symbol");
  if (!(noise_power > 0)) return failed("noise_power is not above 0");

  std::vector<double> llr(symbols * qm);
  phy::ref::demap(modulation, in->complex, noise_power, llr);
  const std::vector<cf32> received(in->complex.begin(), in->complex.end());
  const std::vector<float> inverse_noise(symbols, static_cast<float>(1 / noise_power));
  std::vector<SoftBit> soft_bits(symbols * qm);
  phy::cpu::demap(modulation, received, inverse_noise, soft_bits);
  for (std::size_t i = 0; i < llr.size(); ++i) {
    const double want = expected->real[i];
    const double tolerance = 1e-3 * std::abs(want) + 2e-3;
    const std::string where = "soft bit " + std::to_string(i) + " of " + std::to_string(llr.size());
    if (!(std::abs(llr[i] - want) <= tolerance)) {
      return failed("ref: " + where + " is " + std::to_string(llr[i]) + ", expected " +
                    std::to_string(want));
    }
    const double quantised =
        std::clamp(phy::llr_scale * want, -1.0 * soft_bit_max, 1.0 * soft_bit_max);
    if (!(std::abs(soft_bits[i] - quantised) <= 0.5 + phy::llr_scale * tolerance)) {
      return failed("cpu: " + where + " is " + std::to_string(soft_bits[i]) + ", expected " +
                    std::to_string(quantised));
    }
  }
  return passed();
}

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
