#pragma once

// A thread that does nothing but wake up, on the radio's processor and above its priority: what
// makes it late is the host or the kernel, never our own work. It tells the host's stalls from our
// own lateness.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/histogram.h"

namespace noroshi::live {

struct Stall {
  std::int64_t from_ns = 0;  // when it should have woken
  std::int64_t to_ns = 0;    // when it did
};

class Canary {
 public:
  // Wakes every 250 us. Warnings of what the system refused are in warning().
  Canary(int processor, int fifo_priority);
  ~Canary();  // stop()
  Canary(const Canary&) = delete;
  Canary& operator=(const Canary&) = delete;

  void stop();
  const Histogram& late_ns() const { return late_ns_; }
  const std::string& warning() const { return warning_; }  // after stop()
  // After stop(): those of `stall_min_ns` or more, ascending.
  const std::vector<Stall>& stalls() const { return stalls_; }

  static constexpr std::int64_t stall_min_ns = 50'000;

 private:
  void run(int processor, int fifo_priority);

  Histogram late_ns_;
  std::vector<Stall> stalls_;
  std::string warning_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// How much of [from, to) the stalls cover. stalls: ascending.
std::int64_t stalled_ns(const std::vector<Stall>& stalls, std::int64_t from_ns, std::int64_t to_ns);

}  // namespace noroshi::live
