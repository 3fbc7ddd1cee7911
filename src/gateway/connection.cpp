#include "gateway/connection.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "gateway/certificate.h"

namespace noroshi::gateway {

namespace net = boost::asio;

net::awaitable<void> Connection::accept_either(net::ssl::context& context,
                                               boost::system::error_code& error) {
  const auto into = [&error] { return net::redirect_error(net::use_awaitable, error); };
  co_await socket().async_wait(net::ip::tcp::socket::wait_read, into());
  char first = 0;
  if (!error) {
    socket().receive(net::buffer(&first, 1), net::ip::tcp::socket::message_peek, error);
  }
  if (error || first != tls_first_byte) co_return;
  co_await begin_tls(context).async_handshake(net::ssl::stream_base::server, into());
}

KeyPin Connection::peer_pin() {
  X509* certificate = tls_ ? SSL_get0_peer_certificate(tls_->native_handle()) : nullptr;
  if (certificate == nullptr) return {};
  const Result<PublicKeyHash> hash = public_key_hash(certificate);
  return hash ? hash->pin() : KeyPin{};
}

}  // namespace noroshi::gateway
