#pragma once

// Seeded chance. Every random stream is a Prng that somebody passed in; nothing asks the system.
// xoshiro256++ (Blackman, Vigna 2019), seeded through splitmix64.

#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace noroshi {

class Prng {
 public:
  using result_type = std::uint64_t;

  explicit Prng(std::uint64_t seed, std::uint64_t stream = 0) {
    std::uint64_t x = seed ^ (stream * 0xd1342543de82ef95u);
    for (auto& word : state_) {
      x += 0x9e3779b97f4a7c15u;
      std::uint64_t z = x;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      word = z ^ (z >> 31);
    }
  }

  static constexpr std::uint64_t min() { return 0; }
  static constexpr std::uint64_t max() { return ~std::uint64_t{0}; }

  std::uint64_t operator()() {
    const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound). bound > 0; the bias is below 2^-32 for bounds below 2^32.
  std::uint64_t below(std::uint64_t bound) { return (*this)() % bound; }

  // Uniform in [0, 1).
  double uniform() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

  // Exponential with mean 1.
  double exponential() { return -std::log1p(-uniform()); }

  // Standard normal (Box-Muller, one of the pair).
  double normal() {
    const double radius = std::sqrt(2.0 * exponential());
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t state_[4];
};

}  // namespace noroshi
