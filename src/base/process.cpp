#include "base/process.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/clock.h"

namespace noroshi {

int free_tcp_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool ok = bind(fd, generic, size) == 0 && getsockname(fd, generic, &size) == 0;
  close(fd);
  return ok ? ntohs(address.sin_port) : 0;
}

bool wait_or_stop(double seconds, int stop_fd, std::initializer_list<int> others) {
  std::array<pollfd, 8> fds{};
  fds[0] = {stop_fd, POLLIN, 0};
  std::size_t count = 1;
  for (const int fd : others) fds.at(count++) = {fd, POLLIN, 0};
  const int rc = poll(fds.data(), count, std::max(0, static_cast<int>(seconds * 1e3) + 1));
  return rc > 0 && fds[0].revents != 0;
}

bool has_ended(pid_t child) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid == child;
}

int open_pid_fd(pid_t child) { return static_cast<int>(syscall(SYS_pidfd_open, child, 0)); }

void ask_to_end(pid_t child, double grace_s) {
  kill(-child, SIGTERM);
  MonotonicClock clock;
  const std::int64_t until_ns = clock.now_ns() + static_cast<std::int64_t>(grace_s * 1e9);
  const int pid_fd = open_pid_fd(child);
  for (std::int64_t left_ns = until_ns - clock.now_ns(); !has_ended(child) && left_ns > 0;
       left_ns = until_ns - clock.now_ns()) {
    pollfd ended{pid_fd, POLLIN, 0};
    poll(&ended, 1, pid_fd >= 0 ? static_cast<int>(left_ns / 1'000'000) + 1 : 20);
  }
  if (pid_fd >= 0) close(pid_fd);
}

}  // namespace noroshi
