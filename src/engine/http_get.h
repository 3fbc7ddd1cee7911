#pragma once

// One GET over TCP, with a deadline for the whole of it: what the keeper of an engine needs to see
// whether the engine is well. HTTP/1.0, so that the body is everything up to the end.

#include <string>

#include "base/result.h"

namespace noroshi::engine {

struct Endpoint {
  std::string host;
  int tcp_port = 0;
};

// "http://HOST[:PORT]", with "/" or "/v1" after it as OpenAI clients write it. Errors: another
// scheme (https: put a proxy before it), a path, a port that is none.
Result<Endpoint> parse_url(const std::string& url);

struct HttpAnswer {
  int status = 0;  // 0: no answer; error says why
  std::string body;
  std::string error;
};

// Returns early when wake_fd becomes readable (-1: never does). api_key: sent as bearer token when
// not empty. Bodies above 1 MiB are an error.
HttpAnswer http_get(const Endpoint& endpoint, const std::string& path, const std::string& api_key,
                    double timeout_s, int wake_fd);

}  // namespace noroshi::engine
