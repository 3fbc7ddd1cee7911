#include "gateway/thread.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <csignal>

namespace noroshi::gateway {

std::thread ordinary_thread(const std::string& name, std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([name, work = std::move(work)] {
    const sched_param ordinary{};
    pthread_setschedparam(pthread_self(), SCHED_OTHER, &ordinary);
    cpu_set_t processors;
    CPU_ZERO(&processors);
    if (sched_getaffinity(getpid(), sizeof processors, &processors) == 0) {
      pthread_setaffinity_np(pthread_self(), sizeof processors, &processors);
    }
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    work();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace noroshi::gateway
