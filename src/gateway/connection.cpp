#include "gateway/connection.h"

#include "gateway/certificate.h"

namespace noroshi::gateway {

KeyPin Connection::peer_pin() {
  X509* certificate = tls_ ? SSL_get0_peer_certificate(tls_->native_handle()) : nullptr;
  if (certificate == nullptr) return {};
  const Result<PublicKeyHash> hash = public_key_hash(certificate);
  return hash ? hash->pin() : KeyPin{};
}

}  // namespace noroshi::gateway
