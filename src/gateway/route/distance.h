#pragma once

// How far a site is from this gateway, by the round trips of the connections made to it:
//
//   of a site    the least of this window of time and of the one before
//   of a region  the median of its sites that were measured last, at most region_sites_max: what a
//                site of that region is taken for that was never measured itself
//
// Queues and busy machines only ever add to a round trip, so the least one is the way's; ways
// change, so after a window or two it is forgotten: a nearer way counts at once, a farther one by
// then. What was measured stays until something newer is, however old: with nobody to measure it is
// the best that is known. Pure: time is an argument.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace noroshi::gateway {

inline constexpr std::size_t region_sites_max = 32;
inline constexpr double round_trip_s_max = 60;  // longer, or none: it is no measure

class Distance {
 public:
  static constexpr std::int64_t window_ns = 120'000'000'000;

  void add(double round_trip_s, std::int64_t now_ns) {
    if (const std::int64_t window = now_ns / window_ns; window != window_) {
      before_s_ = window == window_ + 1 ? now_s_ : none;
      now_s_ = none;
      window_ = window;
    }
    now_s_ = std::min(now_s_, static_cast<float>(round_trip_s));
  }
  bool known() const { return now_s_ < none; }
  double round_trip_s() const { return std::min(now_s_, before_s_); }

 private:
  static constexpr float none = std::numeric_limits<float>::infinity();
  float now_s_ = none;        // the least of this window
  float before_s_ = none;     // and of the one before
  std::int64_t window_ = -1;  // its number
};

// The lower one of two in the middle. Precondition: there is one. Reorders them.
inline double median(std::span<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace noroshi::gateway
