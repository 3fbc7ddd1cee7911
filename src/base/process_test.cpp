// Catches: a watcher that sleeps through a stop or a child's end, or takes a living child for dead;
// a child that is left running.

#include "base/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace noroshi {
namespace {

constexpr double long_s = 60;  // none waits it out

// A child of its own group that waits for a signal; deaf: SIGTERM does not end it.
pid_t start_child(bool deaf) {
  int ready[2];
  EXPECT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    if (deaf) signal(SIGTERM, SIG_IGN);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  close(ready[1]);
  return child;
}

int collect(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST(Process, AChildThatIsAskedEndsAndIsSeenToHaveEnded) {
  const pid_t child = start_child(false);
  EXPECT_FALSE(has_ended(child));
  ask_to_end(child, long_s);
  EXPECT_TRUE(has_ended(child));
  EXPECT_TRUE(has_ended(child)) << "its status is still there";
  EXPECT_EQ(collect(child), SIGTERM);
  EXPECT_TRUE(has_ended(child)) << "and when it is not";
}

TEST(Process, ADeafChildIsLeftAfterItsGrace) {
  const pid_t child = start_child(true);
  ask_to_end(child, 0.05);
  EXPECT_FALSE(has_ended(child));
  kill(child, SIGKILL);
  EXPECT_EQ(collect(child), SIGKILL);
}

TEST(Process, AWaitEndsAtAStopAndAtAChildsEnd) {
  const int stop_fd = eventfd(0, EFD_CLOEXEC);
  EXPECT_FALSE(wait_or_stop(0, stop_fd, {}));
  const pid_t child = start_child(false);
  const int pid_fd = open_pid_fd(child);
  kill(child, SIGTERM);
  EXPECT_FALSE(wait_or_stop(long_s, stop_fd, {-1, pid_fd})) << "the child ended, nobody stopped";
  const std::uint64_t one = 1;
  ASSERT_EQ(write(stop_fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  EXPECT_TRUE(wait_or_stop(long_s, stop_fd, {pid_fd}));
  EXPECT_EQ(collect(child), SIGTERM);
  close(pid_fd);
  close(stop_fd);
}

TEST(Process, FreePortsAreThere) {
  const int tcp_port = free_tcp_port();
  EXPECT_GT(tcp_port, 1023);
  EXPECT_LT(tcp_port, 65'536);
}

}  // namespace
}  // namespace noroshi
