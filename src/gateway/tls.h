#pragma once

// TLS of the gateway's door, and of its way to a site.
//
// A door that strangers use has a certificate from files. A site's door that gateways of its fleet
// use needs none: it draws a key when it starts and says in each heartbeat what that is (KeyPin),
// on the bus, where it alone can speak for itself (docs/decisions/0022-fleet-security.md). The
// gateway accepts no other key there, and asks for no authority.

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "base/result.h"
#include "gateway/route/key_pin.h"

namespace noroshi::gateway {

class TlsServer {
 public:
  // PEM files: the certificate with those that sign it after it, and its key. Errors name the file:
  // it cannot be read, is none, or the key is not the certificate's.
  static Result<std::shared_ptr<TlsServer>> from_files(const std::string& certificate_path,
                                                       const std::string& key_path);
  // A key of its own, drawn now, and a certificate that it signs itself.
  static Result<std::shared_ptr<TlsServer>> with_own_key();

  boost::asio::ssl::context& context() { return context_; }
  const KeyPin& pin() const { return pin_; }
  // As curl --pinnedpubkey takes it; empty: the certificate is of an authority, or so it should be.
  const std::string& curl_pin() const { return curl_pin_; }

 private:
  TlsServer();
  boost::asio::ssl::context context_;
  KeyPin pin_;
  std::string curl_pin_;
};

// Of calls to sites: shows nothing, checks no authority. Whoever connects compares the pin.
boost::asio::ssl::context& tls_to_sites();

}  // namespace noroshi::gateway
