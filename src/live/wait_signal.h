#pragma once

// Ctrl-C and its like, for commands that run until somebody ends them. Blocked from the first call
// on, in the calling thread and those that it starts.

#include <csignal>

namespace noroshi::live {

inline sigset_t block_end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// True when one came, false after the time.
inline bool wait_end_signal(const sigset_t& signals, double seconds) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = static_cast<long>((seconds - static_cast<double>(time.tv_sec)) * 1e9);
  return sigtimedwait(&signals, nullptr, &time) > 0;
}

}  // namespace noroshi::live
