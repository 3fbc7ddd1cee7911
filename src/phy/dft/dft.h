#pragma once

// The discrete Fourier transform of transform precoding (TS 38.211 6.3.1.4), M = 12 M_RB values:
//
//   forward (handset):  y[k] = 1 / sqrt(M) * sum_i x[i] exp(-j 2 pi i k / M)
//   inverse (receiver): x[i] = 1 / sqrt(M) * sum_k y[k] exp(+j 2 pi i k / M)
//
// M_RB = 2^a 3^b 5^c (TS 38.211 6.3.1.4), so M has no other prime factors either. cpu::dft is the
// Stockham form of phy/fft with passes of radix 2 to 6 and the first of radix 4: then strides are
// multiples of 4, and a vector may begin anywhere.

#include <cstddef>
#include <memory>

#include "base/units.h"
#include "base/view.h"
#include "phy/fft/fft.h"

namespace noroshi::phy {

// Whether transform precoding may have this many resource blocks: 2^a 3^b 5^c, 1 to nr::rb_max.
bool is_dft_rb_count(int rb_count);

// Twiddle factors of every valid number of resource blocks up to that of a carrier (about 1 MiB for
// 273), and scratch memory; one thread at a time.
class DftPlans {
 public:
  explicit DftPlans(int rb_count_max);  // 1 to nr::rb_max
  ~DftPlans();
  DftPlans(DftPlans&&) noexcept;
  DftPlans& operator=(DftPlans&&) noexcept;

  int rb_count_max() const;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// in and out: M values each, M / 12 valid and (cpu::) at most plans.rb_count_max(); they may be the
// same memory, but not overlap otherwise.
namespace ref {
void dft(FftDirection direction, View<const cf64, 1> in, View<cf64, 1> out);
}
namespace cpu {
void dft(DftPlans& plans, FftDirection direction, View<const cf32, 1> in, View<cf32, 1> out);
}

}  // namespace noroshi::phy
