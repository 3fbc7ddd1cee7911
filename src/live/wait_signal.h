#pragma once

// Ctrl-C and its like, for commands that run until somebody ends them. Blocked from the first call
// on, in the calling thread and those that it starts. SIGHUP says two things: from the kernel, that
// the terminal is gone; from a person or a program, that files shall be read again, which is the
// end, too, for whoever has none.

#include <csignal>
#include <initializer_list>

namespace noroshi::live {

inline sigset_t block_end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

enum class Came { nothing, end, read_again };

inline Came wait_signal(const sigset_t& signals, double seconds) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = static_cast<long>((seconds - static_cast<double>(time.tv_sec)) * 1e9);
  siginfo_t info{};
  const int signal = sigtimedwait(&signals, &info, &time);
  if (signal <= 0) return Came::nothing;
  return signal == SIGHUP && info.si_code != SI_KERNEL ? Came::read_again : Came::end;
}

// True when one came, false after the time.
inline bool wait_end_signal(const sigset_t& signals, double seconds) {
  return wait_signal(signals, seconds) != Came::nothing;
}

}  // namespace noroshi::live
