// Catches: a symbol or cyclic prefix in the wrong place (the longer prefixes move everything after
// them), a subcarrier in the wrong bin, a phase of TS 38.211 5.4 of the wrong sign or time, a
// window whose ramp stays, stale bins from an earlier symbol.

#include "phy/ofdm/ofdm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"
#include "base/slot.h"

namespace noroshi::phy {
namespace {

nr::Carrier carrier_of(int scs_khz, int bandwidth_mhz, double center_hz) {
  nr::Carrier carrier = nr::make_carrier(scs_khz, bandwidth_mhz).value();
  carrier.center_frequency_hz = center_hz;
  return carrier;
}

struct Slot {
  explicit Slot(const nr::Carrier& carrier, int slot_in_subframe)
      : subcarriers(static_cast<std::size_t>(carrier.subcarriers())),
        grid(nr::symbols_per_slot * subcarriers),
        samples(static_cast<std::size_t>(nr::slot_samples(carrier, slot_in_subframe))) {}

  void randomise(Prng& prng) {
    for (cf64& element : grid) element = {prng.normal() / 2, prng.normal() / 2};
  }
  View<cf64, 2> view() { return {grid.data(), std::size_t{nr::symbols_per_slot}, subcarriers}; }

  std::size_t subcarriers;
  std::vector<cf64> grid, samples;
};

double worst(const std::vector<cf32>& a, const std::vector<cf64>& b) {
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = std::max(difference, std::abs(cf64(a[i]) - b[i]));
  return difference;
}

// The equation itself, sample by sample: one element alone in the grid.
TEST(Ofdm, ReferenceIsTheEquation) {
  const nr::Carrier carrier = carrier_of(30, 5, 3.5001e9);
  constexpr double pi = std::numbers::pi;
  for (int slot_in_subframe : {0, 1})
    for (std::size_t symbol : {0u, 1u, 7u, 13u})
      for (std::size_t k : {0u, 66u, 131u}) {
        Slot slot(carrier, slot_in_subframe);
        const cf64 element(0.3, -1.1);
        slot.view()(symbol, k) = element;
        ref::ofdm_modulate(carrier, slot_in_subframe, 2.0, slot.view(), slot.samples);
        double sample = 0;  // first one of the symbol's useful part, in the subframe
        for (int l = 0; l < slot_in_subframe * 14 + static_cast<int>(symbol); ++l)
          sample += carrier.fft_size + nr::cyclic_prefix_samples(carrier, l / 14, l % 14);
        const int prefix =
            nr::cyclic_prefix_samples(carrier, slot_in_subframe, static_cast<int>(symbol));
        sample += prefix;
        const double in_slot = sample - (slot_in_subframe == 0 ? 0 : nr::slot_samples(carrier, 0));
        const double start_s = sample / carrier.sample_rate_hz();
        for (int n = -prefix; n < carrier.fft_size; ++n) {
          const double cycles = (static_cast<double>(k) - 66) * n / carrier.fft_size -
                                std::fmod(carrier.center_frequency_hz * start_s, 1.0);
          const cf64 expected = 2.0 / carrier.fft_size * element * std::polar(1.0, 2 * pi * cycles);
          ASSERT_LT(std::abs(slot.samples[static_cast<std::size_t>(in_slot + n)] - expected), 1e-9)
              << "symbol " << symbol << " subcarrier " << k << " sample " << n;
        }
      }
}

TEST(Ofdm, ModulatesLikeTheReference) {
  constexpr std::uint64_t seed = 3;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (const auto& [scs, bandwidth] : {std::pair{15, 5}, {30, 5}, {30, 20}, {30, 100}}) {
      const nr::Carrier carrier = carrier_of(scs, bandwidth, 3.7e9 + 5000);
      OfdmPlan plan(carrier);
      for (int s = 0; s < slots_per_subframe(scs); ++s) {
        Slot slot(carrier, s);
        slot.randomise(prng);
        const double scale = 10;
        ref::ofdm_modulate(carrier, s, scale, slot.view(), slot.samples);
        const std::vector<cf32> narrow(slot.grid.begin(), slot.grid.end());
        std::vector<cf32> samples(slot.samples.size());
        ofdm_modulate(plan, s, static_cast<float>(scale),
                      {narrow.data(), std::size_t{nr::symbols_per_slot}, slot.subcarriers},
                      samples);
        EXPECT_LT(worst(samples, slot.samples), 2e-6) << scs << " kHz " << bandwidth << " MHz";
      }
    }
  });
}

TEST(Ofdm, DemodulatesLikeTheReferenceAndUndoesModulation) {
  constexpr std::uint64_t seed = 4;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (const auto& [scs, bandwidth] : {std::pair{15, 5}, {30, 5}, {30, 20}, {30, 100}}) {
      const nr::Carrier carrier = carrier_of(scs, bandwidth, 2.1e9 - 15000);
      OfdmPlan plan(carrier);
      const int shortest = nr::cyclic_prefix_samples(carrier, 0, 1);
      for (int window_offset : {0, 1, shortest / 2, shortest, 0}) {
        const int s = slots_per_subframe(scs) - 1;
        Slot slot(carrier, s);
        slot.randomise(prng);
        const std::vector<cf64> sent = slot.grid;
        ref::ofdm_modulate(carrier, s, 1.0, slot.view(), slot.samples);
        const std::vector<cf32> narrow(slot.samples.begin(), slot.samples.end());
        std::vector<cf32> grid(slot.grid.size());
        ofdm_demodulate(plan, s, window_offset, 1.0f, narrow,
                        {grid.data(), std::size_t{nr::symbols_per_slot}, slot.subcarriers});
        EXPECT_LT(worst(grid, sent), 5e-6) << bandwidth << " MHz, offset " << window_offset;
        ref::ofdm_demodulate(carrier, s, window_offset, 1.0, slot.samples, slot.view());
        EXPECT_LT(worst(grid, slot.grid), 5e-6) << bandwidth << " MHz, offset " << window_offset;
      }
    }
  });
}

}  // namespace
}  // namespace noroshi::phy
