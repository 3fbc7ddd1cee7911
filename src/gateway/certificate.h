#pragma once

// X.509 certificates over OpenSSL, as far as Noroshi makes them: keys of EC P-256, signed with
// SHA-256. And a key's pin, by which a gateway knows a site without any authority.

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "gateway/route/key_pin.h"

namespace noroshi::gateway {

template <class T, void (*release)(T*)>
struct OpensslRelease {
  void operator()(T* object) const { release(object); }
};
using PrivateKey = std::unique_ptr<EVP_PKEY, OpensslRelease<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, OpensslRelease<X509, X509_free>>;

constexpr long year_s = 365L * 24 * 3600;

// "WHAT: " and what OpenSSL says last; its list of errors is empty afterwards.
Error openssl_error(const std::string& what);

Result<PrivateKey> new_private_key();

// A certificate of the key, not yet signed. issuer: null for one that signs itself. seconds: how
// long it holds, from an hour ago (the other machine's clock may be behind).
Result<Certificate> draft_certificate(EVP_PKEY* key, const std::string& common_name, X509* issuer,
                                      long seconds);

// kind: OpenSSL's NID; value: in the language of its configuration.
bool add_extension(X509* certificate, X509* issuer, int kind, const std::string& value);

// SHA-256 of the certificate's public key (SubjectPublicKeyInfo in DER), as RFC 7469 pins one: it
// stays when the certificate is renewed with the same key.
struct PublicKeyHash {
  std::array<std::uint8_t, 32> bytes = {};
  KeyPin pin() const;          // its first half: 2^128 tries to forge one
  std::string base64() const;  // as curl --pinnedpubkey takes it, after "sha256//"
};
Result<PublicKeyHash> public_key_hash(X509* certificate);

}  // namespace noroshi::gateway
