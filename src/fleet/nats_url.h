#pragma once

// Where a NATS server listens, as people write it.

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace noroshi::fleet {

struct HostAndPort {
  std::string host = {};
  std::string port = {};
};

inline constexpr std::string_view client_schemes[] = {"nats://", "tls://"};
inline constexpr std::string_view leaf_schemes[] = {"nats-leaf://", "tls://"};

// "SCHEME://HOST:PORT", the port optional. Errors: anything else; the message names `what`, the URL
// and the schemes.
Result<HostAndPort> parse_nats_url(std::string_view what, const std::string& url,
                                   std::span<const std::string_view> schemes, int default_port);

}  // namespace noroshi::fleet
