#include "base/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace noroshi {
namespace {

constexpr int log2_steps = 7;

// Values below 128 have a bin each; above, the seven bits after the leading one choose the bin.
int bin_of(std::uint64_t value) {
  if (value < (1u << log2_steps)) return static_cast<int>(value);
  const int octave = static_cast<int>(std::bit_width(value)) - 1;
  const int step = static_cast<int>((value >> (octave - log2_steps)) & ((1u << log2_steps) - 1));
  return (octave - log2_steps + 1) * (1 << log2_steps) + step;
}

std::uint64_t upper_edge(int bin) {
  if (bin < (1 << log2_steps)) return static_cast<std::uint64_t>(bin);
  const int octave = bin / (1 << log2_steps) - 1 + log2_steps;
  const std::uint64_t step = static_cast<std::uint64_t>(bin % (1 << log2_steps));
  return (((1u << log2_steps) + step + 1) << (octave - log2_steps)) - 1;
}

}  // namespace

void Histogram::add(std::uint64_t value) {
  bins_[bin_of(value)].fetch_add(1, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  if (value > max_.load(std::memory_order_relaxed)) max_.store(value, std::memory_order_relaxed);
}

std::uint64_t Histogram::quantile(double q) const {
  std::uint64_t total = 0;
  for (const auto& bin : bins_) total += bin.load(std::memory_order_relaxed);
  if (total == 0) return 0;
  const auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(total)));
  std::uint64_t seen = 0;
  for (int b = 0; b < bins; ++b) {
    seen += bins_[b].load(std::memory_order_relaxed);
    if (seen >= rank) return std::min(upper_edge(b), max());
  }
  return max();
}

void Histogram::clear() {
  for (auto& bin : bins_) bin.store(0, std::memory_order_relaxed);
  count_.store(0, std::memory_order_relaxed);
  max_.store(0, std::memory_order_relaxed);
}

}  // namespace noroshi
