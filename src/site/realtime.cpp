#include "site/realtime.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>

namespace noroshi::site {

std::vector<int> usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> processors;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) processors.push_back(i);
  }
  return processors;
}

Result<std::vector<int>> parse_processor_list(std::string_view text) {
  const auto wrong = [&text] {
    return Error{"'" + std::string(text.substr(0, 60)) + "' is no list of processors (like 0-3,8)"};
  };
  std::string_view rest = text.substr(0, text.find('\n'));
  std::vector<int> processors;
  const auto number = [&rest](int& value) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return error == std::errc() && value >= 0 && value < CPU_SETSIZE;
  };
  while (!rest.empty()) {
    int first = 0;
    if (!number(first)) return wrong();
    int last = first;
    if (rest.starts_with('-')) {
      rest.remove_prefix(1);
      if (!number(last) || last < first) return wrong();
    }
    if (!processors.empty() && first <= processors.back()) return wrong();
    for (int processor = first; processor <= last; ++processor) processors.push_back(processor);
    if (rest.empty()) break;
    if (!rest.starts_with(',') || rest.size() == 1) return wrong();
    rest.remove_prefix(1);
  }
  return processors;
}

std::string pin_thread(const std::vector<int>& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string names;
  for (const int processor : processors) {
    CPU_SET(processor, &set);
    names += (names.empty() ? "" : ",") + std::to_string(processor);
  }
  const int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  if (error == 0) return {};
  return "cannot pin a worker to processor " + names + ": " + std::strerror(error) +
         "; it runs wherever the system puts it";
}

std::string set_fifo_priority(int priority) {
  if (priority == 0) return {};
  sched_param parameters{};
  parameters.sched_priority = priority;
  const int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters);
  if (error == 0) return {};
  return std::string("no permission for SCHED_FIFO: ") + std::strerror(error) +
         "; slots may be late when the machine is busy (allow it with ulimit -r 99, LimitRTPRIO=99 "
         "in a systemd unit, or CAP_SYS_NICE)";
}

std::string lock_memory() {
  if (mlockall(MCL_CURRENT) == 0) return {};
  return std::string("cannot lock memory: ") + std::strerror(errno) +
         "; a page fault may make a slot late (allow it with ulimit -l unlimited or "
         "CAP_IPC_LOCK)";
}

void prefault_stack() {
  constexpr std::size_t stack_bytes = 256 * 1024;
  unsigned char bytes[stack_bytes];
  volatile unsigned char* page = bytes;
  for (std::size_t i = 0; i < stack_bytes; i += 4096) page[i] = 0;
}

AwakeHold::~AwakeHold() {
  if (file_ >= 0) close(file_);
}

std::string AwakeHold::take() {
  constexpr const char* path = "/dev/cpu_dma_latency";
  constexpr std::int32_t latency_us = 0;  // the request stands while the file is open
  file_ = open(path, O_WRONLY | O_CLOEXEC);
  if (file_ >= 0 && write(file_, &latency_us, sizeof latency_us) == sizeof latency_us) return {};
  return std::string("cannot keep the processors awake: ") + path + ": " + std::strerror(errno) +
         "; slots may be late after idle moments (run as root, give this user the file, or set "
         "radio.keep_awake: false)";
}

InheritingMutex::InheritingMutex() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&mutex_, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

InheritingMutex::~InheritingMutex() { pthread_mutex_destroy(&mutex_); }

std::int64_t thread_cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace noroshi::site
