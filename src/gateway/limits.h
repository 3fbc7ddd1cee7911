#pragma once

// Who may ask how often: one token bucket a client. Time is an argument.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace noroshi::gateway {

class RateLimiter {
 public:
  // A bucket holds burst requests and gains requests_per_second; 0: no limit.
  RateLimiter(double requests_per_second, int burst);

  // 0: go on. Else the whole seconds after which the client will have one request again.
  int take(std::string_view client, std::int64_t now_ns);

  // Clients remembered at once; above, the ones whose bucket is full again are forgotten first.
  static constexpr std::size_t clients_max = 16'384;
  std::size_t clients() const;

 private:
  struct Bucket {
    double requests = 0;
    std::int64_t at_ns = 0;
  };
  void forget_some(std::int64_t now_ns);

  const double per_second_;
  const double burst_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;
};

// A place among the requests in flight, given back at the end of its life.
class InFlight {
 public:
  InFlight(std::atomic<std::int64_t>& count, std::int64_t max) : count_(count) {
    admitted_ = count_.fetch_add(1) < max;
  }
  ~InFlight() { count_.fetch_sub(1); }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  bool admitted() const { return admitted_; }

 private:
  std::atomic<std::int64_t>& count_;
  bool admitted_ = false;
};

// The key of "Authorization: Bearer KEY"; empty when it says something else.
std::string_view bearer_key(std::string_view authorization);
// Takes as long for a nearly right key as for a wrong one.
bool key_known(std::string_view key, const std::vector<std::string>& keys);

}  // namespace noroshi::gateway
