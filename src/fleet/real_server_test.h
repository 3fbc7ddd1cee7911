#pragma once

// A nats-server for a test: on a port that it finds, its files in a folder of its own that goes
// with it.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>

#include "fleet/nats_bus.h"
#include "fleet/nats_server.h"

namespace noroshi::fleet {

inline constexpr double wait_s = 20;  // what any wait may take on a slow machine; none waits it out

struct TemporaryFolder {
  std::filesystem::path path;
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "noroshi-fleet-XXXXXX").string();
    const char* made = mkdtemp(name.data());
    EXPECT_NE(made, nullptr);
    path = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

inline NatsServer start_server(NatsServerConfig config) {
  auto server = NatsServer::start(std::move(config), wait_s);
  EXPECT_TRUE(server.ok()) << (server.ok() ? "" : server.error().message);
  return *std::move(server);
}

inline std::unique_ptr<Bus> connect_to(const std::string& url, const std::string& name) {
  auto bus = connect_nats({.urls = {url}, .name = name}, wait_s);
  EXPECT_TRUE(bus.ok()) << (bus.ok() ? "" : bus.error().message);
  return *std::move(bus);
}

// A value that threads of the bus change and the test waits for.
template <class T>
class Watched {
 public:
  template <class F>
  void change(F f) {
    const std::lock_guard lock(mutex_);
    f(value_);
    changed_.notify_all();
  }
  template <class F>
  bool wait(F condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::duration<double>(wait_s),
                             [&] { return condition(value_); });
  }
  T get() {
    const std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

// Asks over and over until it is so, or until a slow machine has had its time: an answer that comes
// at once (a connection that is just being made anew) must not use up the tries.
template <class F>
bool becomes_so(F is_so) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(wait_s);
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// A listening socket on a loopback port of the system's choice.
struct Listener {
  int fd = -1;
  int tcp_port = 0;
};
inline Listener listen_on_loopback(int backlog) {
  Listener out;
  out.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  setsockopt(out.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(out.fd, generic, size), 0);
  EXPECT_EQ(getsockname(out.fd, generic, &size), 0);
  EXPECT_EQ(listen(out.fd, backlog), 0);
  out.tcp_port = ntohs(address.sin_port);
  return out;
}

}  // namespace noroshi::fleet
