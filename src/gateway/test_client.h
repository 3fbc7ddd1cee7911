#pragma once

// A blocking HTTP client for tests, which gives up after 20 s.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <string>
#include <string_view>

namespace noroshi::gateway {

using TestResponse = boost::beast::http::response<boost::beast::http::string_body>;

struct TestClient {
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket{io};
  boost::beast::flat_buffer buffer;

  explicit TestClient(int port) {
    socket.connect({boost::asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)});
    const timeval limit{20, 0};
    setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  void send(std::string_view bytes) {
    boost::system::error_code ignored;  // the gateway may have closed already
    boost::asio::write(socket, boost::asio::buffer(bytes), ignored);
  }
  TestResponse read(bool head = false) {
    boost::beast::http::response_parser<boost::beast::http::string_body> parser;
    parser.skip(head);
    boost::system::error_code error;
    boost::beast::http::read(socket, buffer, parser, error);
    if (error) ADD_FAILURE() << "no answer: " << error.message();
    return parser.release();
  }
  // Until the text was seen, or the end.
  std::string read_until(std::string_view text) {
    std::string seen(static_cast<const char*>(buffer.data().data()), buffer.size());
    buffer.clear();
    char bytes[4096];
    boost::system::error_code error;
    while (seen.find(text) == std::string::npos && !error) {
      seen.append(bytes, socket.read_some(boost::asio::buffer(bytes), error));
    }
    return seen;
  }
  std::string read_to_end() { return read_until(std::string_view("\0never\0", 7)); }
};

inline std::string test_request(std::string_view method, std::string_view target,
                                std::string_view body = "", std::string_view headers = "") {
  std::string text(method);
  text.append(" ").append(target).append(" HTTP/1.1\r\nHost: x\r\n").append(headers);
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return text.append("\r\n").append(body);
}

}  // namespace noroshi::gateway
