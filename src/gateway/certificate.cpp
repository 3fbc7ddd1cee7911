#include "gateway/certificate.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>

namespace noroshi::gateway {

Error openssl_error(const std::string& what) {
  char text[200] = "no reason given";
  if (const unsigned long code = ERR_peek_last_error(); code != 0) {
    ERR_error_string_n(code, text, sizeof text);
  }
  ERR_clear_error();
  return Error{what + ": " + text};
}

Result<PrivateKey> new_private_key() {
  PrivateKey key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("key");
  return key;
}

Result<Certificate> draft_certificate(EVP_PKEY* key, const std::string& common_name, X509* issuer,
                                      long seconds) {
  Certificate certificate(X509_new());
  std::uint64_t serial = 0;
  const bool random = RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1;
  X509* draft = certificate.get();
  if (draft == nullptr || !random) return openssl_error("certificate");
  X509_set_version(draft, 2);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(draft), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(draft), -3600);
  X509_gmtime_adj(X509_getm_notAfter(draft), seconds);
  X509_set_pubkey(draft, key);
  X509_NAME* subject = X509_get_subject_name(draft);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(draft, issuer != nullptr ? X509_get_subject_name(issuer) : subject);
  return certificate;
}

bool add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

KeyPin PublicKeyHash::pin() const {
  KeyPin out;
  std::copy_n(bytes.begin(), out.bytes.size(), out.bytes.begin());
  return out;
}

std::string PublicKeyHash::base64() const {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(),
                  static_cast<int>(bytes.size()));
  text.pop_back();
  return text;
}

Result<PublicKeyHash> public_key_hash(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return openssl_error("public key of a certificate");
  PublicKeyHash hash;
  SHA256(der, static_cast<std::size_t>(size), hash.bytes.data());
  OPENSSL_free(der);
  return hash;
}

}  // namespace noroshi::gateway
