#include "nr/low_papr/low_papr.h"

#include <cassert>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "nr/low_papr/low_papr_tables.h"

namespace noroshi::nr {
namespace {

bool is_prime(int n) {
  for (int d = 2; d * d <= n; ++d)
    if (n % d == 0) return false;
  return n >= 2;
}

int largest_prime_below(int n) {
  int prime = n - 1;
  while (!is_prime(prime)) --prime;
  return prime;
}

// The root q, in integers: floor(qbar + 1/2) = floor((2 N (u + 1) + 31) / 62).
int zadoff_chu_root(int u, int v, int prime) {
  const int doubled = 2 * prime * (u + 1);
  const int sign = (doubled / 31) % 2 == 0 ? 1 : -1;
  return (doubled + 31) / 62 + v * sign;
}

// Phase of the base sequence in radians. Integer products are reduced first, so that a long
// sequence is as exact as a short one.
class BasePhase {
 public:
  BasePhase(int u, int v, int length) : u_(u), length_(length) {
    if (length >= 36) {
      prime_ = largest_prime_below(length);
      root_ = zadoff_chu_root(u, v, prime_);
    }
  }

  double operator()(int n) const {
    constexpr double pi = std::numbers::pi;
    switch (length_) {
      case 6:
        return low_papr_phi_6[u_][n] * pi / 4;
      case 12:
        return low_papr_phi_12[u_][n] * pi / 4;
      case 18:
        return low_papr_phi_18[u_][n] * pi / 4;
      case 24:
        return low_papr_phi_24[u_][n] * pi / 4;
      case 30:
        return -pi * ((u_ + 1) * (n + 1) * (n + 2) % 62) / 31;
      default:
        break;
    }
    const std::int64_t m = n % prime_;
    return -pi * static_cast<double>(root_ * m % (2 * prime_) * (m + 1) % (2 * prime_)) / prime_;
  }

 private:
  int u_;
  int length_;
  int prime_ = 1;
  int root_ = 0;
};

template <class T>
void fill(int u, int v, double alpha, View<std::complex<T>, 1> sequence) {
  const int length = static_cast<int>(sequence.size());
  assert(length >= 6 && length <= 3300 && (length >= 36 || length % 6 == 0));
  assert(u >= 0 && u < 30);
  assert(v == 0 || (v == 1 && length >= 72));
  const BasePhase base(u, v, length);
  for (int n = 0; n < length; ++n) {
    const double phase = alpha * n + base(n);
    sequence[static_cast<std::size_t>(n)] = {static_cast<T>(std::cos(phase)),
                                             static_cast<T>(std::sin(phase))};
  }
}

}  // namespace

void low_papr_type1(int u, int v, double alpha, View<cf64, 1> sequence) {
  fill(u, v, alpha, sequence);
}

void low_papr_type1(int u, int v, double alpha, View<cf32, 1> sequence) {
  fill(u, v, alpha, sequence);
}

}  // namespace noroshi::nr
