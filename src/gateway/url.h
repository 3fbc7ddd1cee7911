#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace noroshi::gateway {

// Where a plain HTTP server stands.
struct HttpUrl {
  std::string host;  // a name or an address, IPv6 without brackets
  int tcp_port = 80;
};

// "http://host[:port][/]". Errors: another scheme (TLS ends before us), a path, a bad port.
Result<HttpUrl> parse_http_url(std::string_view text);

}  // namespace noroshi::gateway
