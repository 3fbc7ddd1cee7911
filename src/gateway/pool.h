#pragma once

// Connections to sites that wait for their next question. One pool a thread of the gateway.

#include <boost/beast/core/tcp_stream.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace noroshi::gateway {

class Pool {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Stream = boost::beast::tcp_stream;
  static constexpr std::chrono::seconds idle_max{30};   // less than a server's own limit
  static constexpr std::size_t connections_max = 4096;  // of all sites

  // One that is open as far as can be told, null if there is none: the server may close it at any
  // moment.
  std::unique_ptr<Stream> take(const std::string& host, int tcp_port, Time now);
  // One whose last answer was read to its end.
  void put(const std::string& host, int tcp_port, std::unique_ptr<Stream> stream, Time now);

  void clear() {
    idle_.clear();
    size_ = 0;
  }
  std::size_t size() const { return size_; }

 private:
  struct Idle {
    std::unique_ptr<Stream> stream;
    Time since;
  };
  std::map<std::pair<std::string, int>, std::vector<Idle>> idle_;
  std::size_t size_ = 0;
};

}  // namespace noroshi::gateway
