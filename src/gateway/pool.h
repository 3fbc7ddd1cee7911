#pragma once

// Connections to sites that wait for their next question. One pool a thread of the gateway.

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "gateway/connection.h"
#include "gateway/route/route.h"
#include "gateway/tls.h"

namespace noroshi::gateway {

class Pool {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds idle_max{30};   // less than a server's own limit
  static constexpr std::size_t connections_max = 4096;  // of all sites

  // One that is open as far as can be told, null if there is none: the server may close it at any
  // moment.
  std::unique_ptr<Connection> take(const SiteAddress& at, Time now);
  // One whose last answer was read to its end.
  void put(const SiteAddress& at, std::unique_ptr<Connection> connection, Time now);

  void clear() {
    idle_.clear();
    size_ = 0;
  }
  std::size_t size() const { return size_; }
  // Of new connections.
  TlsSessions& tls_sessions() { return tls_sessions_; }

 private:
  struct Idle {
    std::unique_ptr<Connection> connection;
    Time since;
  };
  // Also by the key that was seen there.
  using Key = std::tuple<std::string, int, KeyPin>;
  static Key key_of(const SiteAddress& at) { return {at.host, at.tcp_port, at.pin}; }
  TlsSessions tls_sessions_;  // outlives the connections
  std::map<Key, std::vector<Idle>> idle_;
  std::size_t size_ = 0;
};

}  // namespace noroshi::gateway
