#pragma once

// What a thread asks of the operating system so that it wakes on time: a processor of its own that
// stays awake, SCHED_FIFO, memory that is never paged. Each may be refused; the site then says so
// once and goes on without.

#include <pthread.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace noroshi::site {

// Processors that this process may use, ascending.
std::vector<int> usable_processors();

// A list as Linux writes it ("0-3,8"), ascending. Errors: something else, with the text.
Result<std::vector<int>> parse_processor_list(std::string_view text);

// For the calling thread. Each returns an empty string, or a plain warning with the way out.
std::string pin_thread(const std::vector<int>& processors);
std::string set_fifo_priority(int priority);  // 1..99; 0 leaves the thread as it is

// All memory that the process has now stays resident.
std::string lock_memory();

// Touches the stack that the slot's work will need, so that it is resident before the first slot.
void prefault_stack();

// While it lives, no processor enters an idle state that takes time to leave (Linux PM QoS,
// /dev/cpu_dma_latency at 0). The system idles by polling: engines get every such moment.
class AwakeHold {
 public:
  AwakeHold() = default;
  AwakeHold(const AwakeHold&) = delete;
  AwakeHold& operator=(const AwakeHold&) = delete;
  ~AwakeHold();
  std::string take();  // empty, or a plain warning, as above

 private:
  int file_ = -1;
};

// A mutex whose holder has the priority of who waits for it (POSIX priority inheritance): a slow
// thread may hold what a thread of real-time priority needs for a moment.
class InheritingMutex {
 public:
  InheritingMutex();
  ~InheritingMutex();
  InheritingMutex(const InheritingMutex&) = delete;
  InheritingMutex& operator=(const InheritingMutex&) = delete;
  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_;
};

// CLOCK_THREAD_CPUTIME_ID.
std::int64_t thread_cpu_ns();

// The calling thread's own clock: runs only while it runs. Nobody can sleep on it.
class ThreadClock final : public Clock {
 public:
  std::int64_t now_ns() override { return thread_cpu_ns(); }
  void sleep_until_ns(std::int64_t) override {}
};

}  // namespace noroshi::site
