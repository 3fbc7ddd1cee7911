#include "gateway/limits.h"

#include <algorithm>
#include <cassert>
#include <cctype>
#include <cmath>

namespace noroshi::gateway {

RateLimiter::RateLimiter(double requests_per_second, int burst)
    : per_second_(requests_per_second), burst_(std::max(1, burst)) {
  assert(requests_per_second >= 0);
}

int RateLimiter::take(std::string_view client, std::int64_t now_ns) {
  if (per_second_ <= 0) return 0;
  const std::lock_guard lock(mutex_);
  auto found = buckets_.find(std::string(client));
  if (found == buckets_.end()) {
    if (buckets_.size() >= clients_max) forget_some(now_ns);
    found = buckets_.emplace(std::string(client), Bucket{burst_, now_ns}).first;
  }
  Bucket& bucket = found->second;
  const double elapsed_s =
      static_cast<double>(std::max<std::int64_t>(0, now_ns - bucket.at_ns)) / 1e9;
  bucket.requests = std::min(burst_, bucket.requests + elapsed_s * per_second_);
  bucket.at_ns = now_ns;
  if (bucket.requests >= 1) {
    bucket.requests -= 1;
    return 0;
  }
  return std::max(
      1, static_cast<int>(std::ceil(std::min(3600.0, (1 - bucket.requests) / per_second_))));
}

void RateLimiter::forget_some(std::int64_t now_ns) {
  const auto refill_ns = static_cast<std::int64_t>(std::min(1e15, burst_ / per_second_ * 1e9));
  std::erase_if(buckets_,
                [&](const auto& entry) { return now_ns - entry.second.at_ns >= refill_ns; });
  // All are busy: an eighth goes, so that the next sweep is far away.
  std::size_t surplus = buckets_.size() >= clients_max ? clients_max / 8 : 0;
  while (surplus-- > 0) buckets_.erase(buckets_.begin());
}

std::size_t RateLimiter::clients() const {
  const std::lock_guard lock(mutex_);
  return buckets_.size();
}

std::string_view bearer_key(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (authorization.size() <= scheme.size()) return {};
  for (std::size_t i = 0; i < scheme.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(authorization[i])) != scheme[i]) return {};
  }
  std::string_view key = authorization.substr(scheme.size());
  while (key.starts_with(' ')) key.remove_prefix(1);
  while (key.ends_with(' ')) key.remove_suffix(1);
  return key;
}

bool key_known(std::string_view key, const std::vector<std::string>& keys) {
  bool known = false;
  for (const std::string& candidate : keys) {
    unsigned difference = candidate.size() == key.size() ? 0 : 1;
    for (std::size_t i = 0; i < candidate.size(); ++i) {
      const char given = key.empty() ? '\0' : key[i % key.size()];
      difference |= static_cast<unsigned char>(given ^ candidate[i]);
    }
    known |= difference == 0;
  }
  return known && !key.empty();
}

}  // namespace noroshi::gateway
