#pragma once

// Whether an address is of this machine alone: what listens there is heard by nobody else.

#include <arpa/inet.h>

#include <string>
#include <string_view>

namespace noroshi {

// "localhost", 127.0.0.0/8, ::1, with or without brackets. A name that only resolves to one is
// none: nobody is asked.
inline bool is_loopback(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") return true;
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6) != 0;
}

// The same of "SCHEME://HOST:PORT".
inline bool is_loopback_url(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme != url.npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('/'));
  const std::size_t colon = url.rfind(':');
  const bool in_brackets = colon != url.npos && url.find(']', colon) != url.npos;
  if (colon != url.npos && !in_brackets) url = url.substr(0, colon);
  return is_loopback(url);
}

}  // namespace noroshi
