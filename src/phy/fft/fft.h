#pragma once

// Discrete Fourier transform, N a power of two.
//
//   forward: X[k] = factor * sum_n x[n] exp(-j 2 pi k n / N)
//   inverse: x[n] = factor * sum_k X[k] exp(+j 2 pi k n / N)        (no 1 / N of its own)
//
// cpu::fft is the Stockham autosort form, radix 4 (and one radix 2 pass when log2 N is odd), real
// and imaginary parts apart: every pass reads and writes whole vectors and nothing is bit-reversed.
// Cochran et al., "What is the fast Fourier transform?", Proc. IEEE 55(10), 1967.

#include <cstddef>
#include <memory>

#include "base/units.h"
#include "base/view.h"

namespace noroshi::phy {

enum class FftDirection { forward, inverse };

inline constexpr std::size_t fft_size_min = 64;
inline constexpr std::size_t fft_size_max = 65536;

// Twiddle factors and scratch memory of one size; one thread at a time.
class FftPlan {
 public:
  explicit FftPlan(std::size_t size);
  ~FftPlan();
  FftPlan(FftPlan&&) noexcept;
  FftPlan& operator=(FftPlan&&) noexcept;

  std::size_t size() const;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// in and out: size() values each; they may be the same memory, but not overlap otherwise.
namespace ref {
void fft(FftDirection direction, cf64 factor, View<const cf64, 1> in, View<cf64, 1> out);
}
namespace cpu {
void fft(FftPlan& plan, FftDirection direction, cf32 factor, View<const cf32, 1> in,
         View<cf32, 1> out);
}

}  // namespace noroshi::phy
