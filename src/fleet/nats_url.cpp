#include "fleet/nats_url.h"

#include <charconv>

namespace noroshi::fleet {

Result<HostAndPort> parse_nats_url(std::string_view what, const std::string& url,
                                   std::span<const std::string_view> schemes, int default_port) {
  std::string allowed;
  std::string_view rest = url;
  for (const std::string_view scheme : schemes) {
    allowed.append(allowed.empty() ? "" : " or ").append(scheme).append("HOST:PORT");
    if (rest.size() == url.size() && rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  }
  const Error wrong{std::string(what) + " '" + url + "' is not " + allowed};
  if (rest.size() == url.size()) return wrong;
  const std::size_t bracket = rest.find(']');
  const std::size_t colon = rest.find(':', bracket == rest.npos ? 0 : bracket);
  HostAndPort out{.port = std::to_string(default_port)};
  out.host = rest.substr(0, colon);
  if (out.host.starts_with('[') && bracket != rest.npos) out.host = rest.substr(1, bracket - 1);
  if (out.host.empty() || out.host.find_first_of(" \t\r\n/") != out.host.npos) return wrong;
  if (colon == rest.npos) return out;
  out.port = rest.substr(colon + 1);
  int number = 0;
  const char* end = out.port.data() + out.port.size();
  const auto [at, fault] = std::from_chars(out.port.data(), end, number);
  if (fault != std::errc() || at != end || number < 1 || number > 65535) return wrong;
  return out;
}

}  // namespace noroshi::fleet
