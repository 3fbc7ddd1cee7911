#pragma once

// Counts of durations in logarithmic bins (1/128 octave, less than 1 % wide): one writer in the
// slot, any number of readers outside it, no allocation, no lock.

#include <array>
#include <atomic>
#include <cstdint>

namespace noroshi {

class Histogram {
 public:
  // value: any unsigned unit (the project uses nanoseconds).
  void add(std::uint64_t value);

  // The upper edge of the bin that holds the q-quantile (0 < q <= 1); 0 when empty.
  std::uint64_t quantile(double q) const;
  std::uint64_t max() const { return max_.load(std::memory_order_relaxed); }
  std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  void clear();

 private:
  static constexpr int steps = 128;  // per octave
  static constexpr int bins = 64 * steps;
  std::array<std::atomic<std::uint64_t>, bins> bins_{};
  std::atomic<std::uint64_t> max_{0};
  std::atomic<std::uint64_t> count_{0};
};

}  // namespace noroshi
