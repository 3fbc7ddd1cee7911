#pragma once

// A TCP connection, with TLS over it or without. Has what Asio and Beast want of a stream that they
// read and write; a read and a write may be under way at once.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "gateway/route/key_pin.h"

namespace noroshi::gateway {

inline constexpr char tls_first_byte = 22;  // of a handshake's record (RFC 8446 5.1)

class Connection {
 public:
  using executor_type = boost::beast::tcp_stream::executor_type;
  using Tls = boost::beast::ssl_stream<boost::beast::tcp_stream&>;

  explicit Connection(const boost::asio::any_io_executor& executor) : tcp_(executor) {}
  explicit Connection(boost::asio::ip::tcp::socket socket) : tcp_(std::move(socket)) {}
  Connection(const Connection&) = delete;  // the TLS above refers to it
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    // Else OpenSSL takes a connection that just ends for a reason not to resume its session.
    if (tls_) SSL_set_shutdown(tls_->native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }

  executor_type get_executor() noexcept { return tcp_.get_executor(); }
  boost::beast::tcp_stream& tcp() { return tcp_; }
  boost::asio::ip::tcp::socket& socket() { return tcp_.socket(); }
  void expires_after(std::chrono::nanoseconds time) { tcp_.expires_after(time); }
  void expires_never() { tcp_.expires_never(); }
  void close() { tcp_.close(); }

  // From now on what is read and written is TLS's; its handshake is the caller's.
  Tls& begin_tls(boost::asio::ssl::context& context) { return tls_.emplace(tcp_, context); }
  Tls* tls() { return tls_ ? &*tls_ : nullptr; }
  // As a server that speaks TLS to whoever begins with it and plain bytes to others.
  boost::asio::awaitable<void> accept_either(boost::asio::ssl::context& context,
                                             boost::system::error_code& error);
  // Of the other side, after the handshake; none: it showed no certificate.
  KeyPin peer_pin();

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        [this](auto handler, const Buffers& into) {
          if (tls_) {
            tls_->async_read_some(into, std::move(handler));
          } else {
            tcp_.async_read_some(into, std::move(handler));
          }
        },
        token, buffers);
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        [this](auto handler, const Buffers& from) {
          if (tls_) {
            tls_->async_write_some(from, std::move(handler));
          } else {
            tcp_.async_write_some(from, std::move(handler));
          }
        },
        token, buffers);
  }

 private:
  boost::beast::tcp_stream tcp_;
  std::optional<Tls> tls_;
};

}  // namespace noroshi::gateway
