#pragma once

// What gateways tell each other of tenants' quotas (quotas.h), compact:
//
//   "NRQ" 1 | origin u64 | number | uses: n x (tenant's mark u64, requests, tokens, at_once)
//
// (bytes: compact.h). A tenant takes 11 to 24 bytes. Requests and tokens are those since the
// sender's last word, at_once is what it has now: none of tenants that are not named.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gateway/tenants.h"

namespace noroshi::fleet {

inline constexpr std::size_t told_tenants_max = 16'384;  // of a message
inline constexpr std::size_t use_bytes_max = 512 << 10;
inline constexpr std::uint64_t told_requests_max = 1'000'000'000;  // of a tenant, in a message
inline constexpr std::uint64_t told_tokens_max = 1'000'000'000'000'000;
inline constexpr std::uint64_t told_at_once_max = 1'000'000;

struct UseMessage {
  std::uint64_t origin = 0;  // of the process that made it
  std::uint64_t number = 0;  // greater than of its last
  std::vector<gateway::TenantUse> used = {};
};

std::string quotas_subject(std::string_view gateway);

// Precondition: at most told_tenants_max tenants. Counts above the bounds are told as these.
std::string use_bytes(const UseMessage& message);

// Errors name subject, field and place: too long or cut off, another version, a count out of range.
Result<UseMessage> parse_use(std::string_view subject, std::string_view bytes);

}  // namespace noroshi::fleet
