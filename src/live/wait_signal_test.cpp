// Catches: a terminal that closes and leaves the program behind, a wish to read files again that
// ends it.

#include "live/wait_signal.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace noroshi::live {
namespace {

// To this thread alone: another one of the program, which does not block them, would be killed.
TEST(WaitSignal, TellsAPersonsHangUpFromTheTerminals) {
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  const sigset_t signals = block_end_signals();
  EXPECT_EQ(wait_signal(signals, 0), Came::nothing);
  EXPECT_FALSE(wait_end_signal(signals, 0));
  ASSERT_EQ(pthread_kill(pthread_self(), SIGHUP), 0);
  EXPECT_EQ(wait_signal(signals, 10), Came::read_again);
  for (const int signal : {SIGINT, SIGTERM}) {
    ASSERT_EQ(pthread_kill(pthread_self(), signal), 0);
    EXPECT_EQ(wait_signal(signals, 10), Came::end) << signal;
  }
  siginfo_t gone{};  // as the kernel says it when a terminal closes
  gone.si_signo = SIGHUP;
  gone.si_code = SI_KERNEL;
  ASSERT_EQ(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGHUP, &gone), 0);
  EXPECT_EQ(wait_signal(signals, 10), Came::end);
  // Who reads nothing again ends at either.
  ASSERT_EQ(pthread_kill(pthread_self(), SIGHUP), 0);
  EXPECT_TRUE(wait_end_signal(signals, 10));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace noroshi::live
