#pragma once

// Time that the host took, told from the radio's own.
//
//   took      of a piece of work, on the monotonic clock
//   stalled   took - what the thread's own clock moved: the part in which it did not run
//   own       took - stalled: what the work cost
//
// Linux keeps out of a thread's clock what the hypervisor reports as stolen and what another thread
// had of its processor. Above a radio worker there is nobody but the kernel, so what is missing is
// the host's (or the kernel's own) doing. A stall that the hypervisor does not report is not seen;
// docs/decisions/0015-stalls.md says what was measured. The same thread is its own canary while it
// sleeps: with nobody above it, it wakes late only where the host or the kernel is late.
//
// One reading of the thread's clock costs 0.2 us.

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace noroshi::site {

// Less than that is an interrupt, or a clock read a little later than the other.
inline constexpr std::int64_t stall_min_ns = 20'000;
// Less than that is how a thread wakes up (p99 of a FIFO thread: 60 us on a quiet host).
inline constexpr std::int64_t late_wake_min_ns = 100'000;

struct Elapsed {
  std::int64_t took_ns = 0;
  std::int64_t stalled_ns = 0;

  std::int64_t own_ns() const { return took_ns - stalled_ns; }
  bool stalled() const { return stalled_ns >= stall_min_ns; }
};

// Reads both clocks; every call of one measurement on the same thread.
class Stopwatch {
 public:
  struct Start {
    std::int64_t wall_ns = 0, thread_ns = 0;
  };

  // thread: now_ns() is the calling thread's own clock (site/realtime.h). Both outlive this.
  Stopwatch(Clock& wall, Clock& thread) : wall_(&wall), thread_(&thread) {}

  Start start() const {
    const std::int64_t thread_ns = thread_->now_ns();
    return {wall_->now_ns(), thread_ns};
  }
  Elapsed since(const Start& start) const {
    const std::int64_t took = wall_->now_ns() - start.wall_ns;
    const std::int64_t ran = thread_->now_ns() - start.thread_ns;
    return {took, std::clamp<std::int64_t>(took - ran, 0, std::max<std::int64_t>(took, 0))};
  }

 private:
  Clock* wall_;
  Clock* thread_;
};

// A stretch of time in which a worker should have run and did not, or not all the time.
struct HostStall {
  std::int64_t from_ns = 0, to_ns = 0;  // monotonic
  std::int64_t stalled_ns = 0;          // within
};

}  // namespace noroshi::site
