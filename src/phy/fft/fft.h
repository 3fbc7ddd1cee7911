#pragma once

// Discrete Fourier transform, N a power of two.
//
//   forward: X[k] = factor * sum_n x[n] exp(-j 2 pi k n / N)
//   inverse: x[n] = factor * sum_k X[k] exp(+j 2 pi k n / N)        (no 1 / N of its own)
//
// cpu::fft sees x as a matrix of N1 rows and N2 columns, N = N1 N2, neither above 64:
//
//   X[k1 + N1 k2] = sum_n2 w_N2^(n2 k2) w_N^(n2 k1) sum_n1 w_N1^(n1 k1) x[N2 n1 + n2]
//
// so that it transforms columns twice, each time a vector of neighbouring columns in L1, and walks
// through memory three times: in, through its own, out. Bailey, "FFTs in external or hierarchical
// memory", J. Supercomputing 4, 1990.

#include <cstddef>
#include <memory>

#include "base/units.h"
#include "base/view.h"

namespace noroshi::phy {

enum class FftDirection { forward, inverse };

inline constexpr std::size_t fft_size_min = 64;
inline constexpr std::size_t fft_size_max = 4096;

// Twiddle factors and scratch memory of one size; one thread at a time.
class FftPlan {
 public:
  explicit FftPlan(std::size_t size);
  ~FftPlan();
  FftPlan(FftPlan&&) noexcept;
  FftPlan& operator=(FftPlan&&) noexcept;

  std::size_t size() const;
  std::size_t in_rows() const;   // N1; a row of the input has N2 values
  std::size_t out_rows() const;  // N2; a row of the output has N1 values

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

// The same with the matrices' rows anywhere: in[n1] is the input from N2 n1 on, out[k2] the output
// from N1 k2 on. All is read before the first value is written.
void fft_rows(FftPlan& plan, FftDirection direction, cf32 factor, View<const cf32* const, 1> in,
              View<cf32* const, 1> out);
}  // namespace cpu

}  // namespace noroshi::phy
