#include "engine/http_get.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>

#include "base/clock.h"

namespace noroshi::engine {
namespace {

constexpr std::size_t body_bytes_max = 1 << 20;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// Waits until the socket is ready for events. Returns what went wrong, or nothing.
std::string wait(int fd, short events, std::int64_t deadline_ns, int wake_fd) {
  MonotonicClock clock;
  while (true) {
    const std::int64_t left_ns = deadline_ns - clock.now_ns();
    if (left_ns <= 0) return "no answer in time";
    pollfd fds[] = {{fd, events, 0}, {wake_fd, POLLIN, 0}};
    const int ready = poll(fds, 2, static_cast<int>(left_ns / 1'000'000) + 1);
    if (ready < 0 && errno != EINTR) return std::strerror(errno);
    if (ready > 0 && fds[1].revents != 0) return "interrupted";
    if (ready > 0 && fds[0].revents != 0) return {};
  }
}

// Connects to the first address that takes us. Returns what went wrong, or nothing.
std::string connect_to(const Endpoint& endpoint, std::int64_t deadline_ns, int wake_fd,
                       std::unique_ptr<Socket>& out) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(endpoint.tcp_port);
  const int rc = getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found);
  if (rc != 0) return endpoint.host + ": " + gai_strerror(rc);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, &freeaddrinfo);
  std::string error = "no address";
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    auto socket = std::make_unique<Socket>(
        ::socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket->fd() < 0) {
      error = std::strerror(errno);
      continue;
    }
    int fault = 0;
    if (connect(socket->fd(), a->ai_addr, a->ai_addrlen) != 0) {
      if (errno == EINPROGRESS) {
        error = wait(socket->fd(), POLLOUT, deadline_ns, wake_fd);
        if (!error.empty()) return error;
        socklen_t size = sizeof fault;
        getsockopt(socket->fd(), SOL_SOCKET, SO_ERROR, &fault, &size);
      } else {
        fault = errno;
      }
    }
    if (fault == 0) {
      out = std::move(socket);
      return {};
    }
    error = std::strerror(fault);
  }
  return error;
}

std::string exchange(int fd, const std::string& request, std::int64_t deadline_ns, int wake_fd,
                     std::string& answer) {
  std::size_t sent = 0;
  while (sent < request.size()) {
    const ssize_t n = send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
      return std::strerror(errno);
    } else if (std::string error = wait(fd, POLLOUT, deadline_ns, wake_fd); !error.empty()) {
      return error;
    }
  }
  char chunk[16384];
  while (true) {
    const ssize_t n = recv(fd, chunk, sizeof chunk, 0);
    if (n > 0) {
      answer.append(chunk, static_cast<std::size_t>(n));
      if (answer.size() > body_bytes_max) return "an answer of more than 1 MiB";
    } else if (n == 0) {
      return {};
    } else if (errno != EAGAIN && errno != EINTR) {
      return std::strerror(errno);
    } else if (std::string error = wait(fd, POLLIN, deadline_ns, wake_fd); !error.empty()) {
      return error;
    }
  }
}

}  // namespace

Result<Endpoint> parse_url(const std::string& url) {
  const auto fault = [&url](const std::string& what) {
    return Error{"engine url \"" + url + "\": " + what + "; write it like http://127.0.0.1:8000"};
  };
  constexpr std::string_view scheme = "http://";
  if (url.starts_with("https://")) {
    return fault("https is not spoken to engines (put a TLS-ending proxy between)");
  }
  if (!url.starts_with(scheme)) return fault("it does not start with http://");
  std::string rest = url.substr(scheme.size());
  const std::size_t slash = rest.find('/');
  if (slash != std::string::npos) {
    const std::string path = rest.substr(slash);
    if (path != "/" && path != "/v1" && path != "/v1/") return fault("it has a path");
    rest.resize(slash);
  }
  Endpoint endpoint{rest, 80};
  const std::size_t bracket = rest.find(']');
  const std::size_t colon = rest.find(':', bracket == std::string::npos ? 0 : bracket);
  if (colon != std::string::npos) {
    endpoint.host = rest.substr(0, colon);
    const char* begin = rest.data() + colon + 1;
    const char* end = rest.data() + rest.size();
    const auto parsed = std::from_chars(begin, end, endpoint.tcp_port);
    if (parsed.ptr != end || begin == end || parsed.ec != std::errc() || endpoint.tcp_port < 1 ||
        endpoint.tcp_port > 65535) {
      return fault("its port is not a number from 1 to 65535");
    }
  }
  if (endpoint.host.starts_with('[') && endpoint.host.ends_with(']')) {
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  }
  if (endpoint.host.empty() || endpoint.host.find_first_of(" \t\r\n@?#") != std::string::npos) {
    return fault("it names no host");
  }
  return endpoint;
}

HttpAnswer http_get(const Endpoint& endpoint, const std::string& path, const std::string& api_key,
                    double timeout_s, int wake_fd) {
  MonotonicClock clock;
  const std::int64_t deadline_ns = clock.now_ns() + static_cast<std::int64_t>(timeout_s * 1e9);
  HttpAnswer answer;
  std::unique_ptr<Socket> socket;
  answer.error = connect_to(endpoint, deadline_ns, wake_fd, socket);
  if (!answer.error.empty()) return answer;

  std::string request = "GET " + path + " HTTP/1.0\r\nHost: " + endpoint.host + ":" +
                        std::to_string(endpoint.tcp_port) + "\r\nConnection: close\r\n";
  if (!api_key.empty()) request += "Authorization: Bearer " + api_key + "\r\n";
  request += "\r\n";
  std::string text;
  answer.error = exchange(socket->fd(), request, deadline_ns, wake_fd, text);
  if (!answer.error.empty()) return answer;

  const std::size_t body = text.find("\r\n\r\n");
  int status = 0;
  if (text.starts_with("HTTP/1.") && text.size() > 12 && body != std::string::npos) {
    std::from_chars(text.data() + 9, text.data() + 12, status);
  }
  if (status < 100 || status > 599) {
    answer.error = "an answer that is not HTTP";
    return answer;
  }
  answer.status = status;
  answer.body = text.substr(body + 4);
  return answer;
}

}  // namespace noroshi::engine
