// Any bytes as an HTTP request, with the gateway's limits: the parser and what reads its result.

#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "gateway/limits.h"
#include "gateway/openai.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::gateway;
  namespace http = boost::beast::http;
  http::request_parser<http::string_body> parser;
  parser.header_limit(1024);
  parser.body_limit(256);
  parser.eager(true);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(data, size), error);
  if (error || !parser.is_header_done()) return 0;
  const auto& request = parser.get();
  const Route route = route_of({request.target().data(), request.target().size()});
  const auto authorization = request[http::field::authorization];
  const std::string_view key = bearer_key({authorization.data(), authorization.size()});
  if (key_known(key, {"k"}) != (key == "k")) std::abort();
  if (parser.is_done() && is_ai(route.endpoint)) {
    if (request.body().size() > 256) std::abort();
    parse_question(route.endpoint, request.body());
  }
  return 0;
}
