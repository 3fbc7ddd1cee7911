#include "gateway/url.h"

#include <charconv>

namespace noroshi::gateway {

Result<HttpUrl> parse_http_url(std::string_view text) {
  const auto wrong = [&](const char* what) {
    return Error{"URL '" + std::string(text.substr(0, 200)) + "': " + what +
                 "; it must look like http://127.0.0.1:8000"};
  };
  constexpr std::string_view scheme = "http://";
  if (!text.starts_with(scheme)) return wrong("only http:// is spoken");
  std::string_view rest = text.substr(scheme.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#@ ") != std::string_view::npos) {
    return wrong("it has more than host and port");
  }
  HttpUrl url;
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return wrong("the bracket is not closed");
    url.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && rest[0] != ':') return wrong("something follows the bracket");
    if (!rest.empty()) port = rest.substr(1);
    if (!rest.empty() && port.empty()) return wrong("the port is missing");
  } else {
    const std::size_t colon = rest.find(':');
    url.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) {
      port = rest.substr(colon + 1);
      if (port.empty()) return wrong("the port is missing");
    }
  }
  if (url.host.empty()) return wrong("the host is missing");
  if (!port.empty()) {
    const auto [end, failure] =
        std::from_chars(port.data(), port.data() + port.size(), url.tcp_port);
    if (failure != std::errc{} || end != port.data() + port.size() || url.tcp_port < 1 ||
        url.tcp_port > 65535) {
      return wrong("the port is not in 1..65535");
    }
  }
  return url;
}

}  // namespace noroshi::gateway
