#pragma once

// TLS of the gateway's door, and of its way to a site.
//
// A door that strangers use has a certificate from files. A site's door that gateways of its fleet
// use needs none: it draws a key when it starts and says in each heartbeat what that is (KeyPin),
// on the bus, where it alone can speak for itself (docs/decisions/0022-fleet-security.md). The
// gateway accepts no other key there, and asks for no authority.

#include <openssl/ssl.h>

#include <boost/asio/ssl/context.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "gateway/route/key_pin.h"

namespace noroshi::gateway {

// Thread-safe.
class TlsServer {
 public:
  // PEM files: the certificate with those that sign it after it, and its key. Errors name the file:
  // it cannot be read, is none, or the key is not the certificate's.
  static Result<std::shared_ptr<TlsServer>> from_files(const std::string& certificate_path,
                                                       const std::string& key_path);
  // A key of its own, drawn now, and a certificate that it signs itself.
  static Result<std::shared_ptr<TlsServer>> with_own_key();

  // The files again, which may have been renewed: for connections from now on. On errors all stays
  // as it was.
  Result<void> read_again();
  bool has_files() const { return !certificate_path_.empty(); }

  std::shared_ptr<boost::asio::ssl::context> context() const {
    const std::lock_guard lock(mutex_);
    return context_;
  }
  KeyPin pin() const {
    const std::lock_guard lock(mutex_);
    return pin_;
  }
  // As curl --pinnedpubkey takes it; empty: the certificate is of an authority, or so it should be.
  const std::string& curl_pin() const { return curl_pin_; }

 private:
  TlsServer() = default;
  std::string certificate_path_;
  std::string key_path_;
  std::string curl_pin_;
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> context_;
  KeyPin pin_;
};

// Of calls to sites: shows nothing, checks no authority. Whoever connects compares the pin.
boost::asio::ssl::context& tls_to_sites();

// What a site gave at the end of a handshake so that the next one takes 0.13 ms of this side's
// processor instead of 0.31 (RFC 8446 2.2; no early data, and each connection has keys of its own).
// Of one thread; outlives its connections.
class TlsSessions {
 public:
  static constexpr std::size_t sessions_max = 4096;

  // Before the handshake of a connection over tls_to_sites().
  void begin(SSL* connection, const KeyPin& pin);

 private:
  friend boost::asio::ssl::context& tls_to_sites();
  struct Free {
    void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
  };
  static int keep(SSL* connection, SSL_SESSION* session);
  std::map<KeyPin, std::unique_ptr<SSL_SESSION, Free>> by_pin_;
};

}  // namespace noroshi::gateway
