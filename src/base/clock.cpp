#include "base/clock.h"

#include <ctime>

namespace noroshi {

std::int64_t MonotonicClock::now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void MonotonicClock::sleep_until_ns(std::int64_t deadline_ns) {
  const timespec t{.tv_sec = deadline_ns / 1'000'000'000, .tv_nsec = deadline_ns % 1'000'000'000};
  // A signal may end the sleep early; the deadline is absolute, so asking again is enough.
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) != 0) {
  }
}

}  // namespace noroshi
