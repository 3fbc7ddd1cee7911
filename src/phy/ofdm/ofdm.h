#pragma once

// OFDM of a slot (TS 38.211 5.3.1, 5.4), normal cyclic prefix.
//
//   x[n] = s / N * sum_k X[k] exp(j 2 pi (k - K/2) n / N) * exp(-j 2 pi f0 t_l)
//
// with N the FFT size, K the subcarriers and t_l the start of symbol l's useful part since the
// start of its subframe. The receiver does the inverse (its FFT is unscaled), so modulate then
// demodulate with s = 1 gives the grid back. f0 = 0 turns the phase compensation off.

#include <memory>

#include "base/units.h"
#include "base/view.h"
#include "nr/carrier.h"

namespace noroshi::phy {

class OfdmPlan {
 public:
  explicit OfdmPlan(const nr::Carrier& carrier);
  ~OfdmPlan();
  OfdmPlan(OfdmPlan&&) noexcept;
  OfdmPlan& operator=(OfdmPlan&&) noexcept;

  struct State;
  State& state() { return *state_; }
  const nr::Carrier& carrier() const;

 private:
  std::unique_ptr<State> state_;
};

// grid: [symbol 14, subcarrier]; samples: slot_samples(carrier, slot_in_subframe).
void ofdm_modulate(OfdmPlan& plan, int slot_in_subframe, float scale, View<const cf32, 2> grid,
                   View<cf32, 1> samples);

// window_offset: samples by which the FFT window starts early, into the cyclic prefix (0 .. its
// length); the resulting phase ramp is removed.
void ofdm_demodulate(OfdmPlan& plan, int slot_in_subframe, int window_offset, float scale,
                     View<const cf32, 1> samples, View<cf32, 2> grid);

// Double precision, from the equations.
namespace ref {
void ofdm_modulate(const nr::Carrier& carrier, int slot_in_subframe, double scale,
                   View<const cf64, 2> grid, View<cf64, 1> samples);
void ofdm_demodulate(const nr::Carrier& carrier, int slot_in_subframe, int window_offset,
                     double scale, View<const cf64, 1> samples, View<cf64, 2> grid);
}  // namespace ref

}  // namespace noroshi::phy
