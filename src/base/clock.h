#pragma once

// The world's clock, swappable: the slot loop and the engines' keeper never ask the system
// themselves, so a seed and a commit replay any run.

#include <cstdint>

namespace noroshi {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds on a monotonic scale.
  virtual std::int64_t now_ns() = 0;
  // Returns at or after the deadline; at once when it has passed.
  virtual void sleep_until_ns(std::int64_t deadline_ns) = 0;
};

// CLOCK_MONOTONIC with absolute sleeps.
class MonotonicClock final : public Clock {
 public:
  std::int64_t now_ns() override;
  void sleep_until_ns(std::int64_t deadline_ns) override;
};

// Moves only when told to or slept on.
class ManualClock final : public Clock {
 public:
  std::int64_t now_ns() override { return now_ns_; }
  void sleep_until_ns(std::int64_t deadline_ns) override {
    if (deadline_ns > now_ns_) now_ns_ = deadline_ns;
  }
  void advance_ns(std::int64_t duration_ns) { now_ns_ += duration_ns; }

 private:
  std::int64_t now_ns_ = 0;
};

}  // namespace noroshi
