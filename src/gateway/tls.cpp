#include "gateway/tls.h"

#include <openssl/ssl.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "gateway/certificate.h"

namespace noroshi::gateway {
namespace {

namespace ssl = boost::asio::ssl;

Result<PublicKeyHash> shown_key(ssl::context& context, const std::string& what) {
  X509* certificate = SSL_CTX_get0_certificate(context.native_handle());
  if (certificate == nullptr) return openssl_error(what);
  return public_key_hash(certificate);
}

Result<void> need_file(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) return {};
  return Error{"TLS: " + path + ": " + (error ? error.message() : "is no file")};
}

}  // namespace

TlsServer::TlsServer() : context_(ssl::context::tls_server) {
  SSL_CTX* context = context_.native_handle();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // No tickets after the handshake: a kept connection that has something to read is not kept
  // (pool.h).
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);  // a thousand clients that wait
}

Result<std::shared_ptr<TlsServer>> TlsServer::from_files(const std::string& certificate_path,
                                                         const std::string& key_path) {
  for (const std::string& path : {certificate_path, key_path}) {
    if (const auto there = need_file(path); !there) return there.error();
  }
  std::shared_ptr<TlsServer> server(new TlsServer);
  SSL_CTX* context = server->context_.native_handle();
  if (SSL_CTX_use_certificate_chain_file(context, certificate_path.c_str()) != 1) {
    return openssl_error("TLS: " + certificate_path + " is no certificate in PEM");
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_path.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return openssl_error("TLS: " + key_path + " is not the key of " + certificate_path +
                         ", in PEM and without a password");
  }
  const auto hash = shown_key(server->context_, "TLS: " + certificate_path);
  if (!hash) return hash.error();
  server->pin_ = hash->pin();
  return server;
}

Result<std::shared_ptr<TlsServer>> TlsServer::with_own_key() {
  const Result<PrivateKey> key = new_private_key();
  if (!key) return key.error();
  Result<Certificate> drafted = draft_certificate(key->get(), "Noroshi site", nullptr, 10 * year_s);
  if (!drafted) return drafted.error();
  X509* certificate = drafted->get();
  std::shared_ptr<TlsServer> server(new TlsServer);
  SSL_CTX* context = server->context_.native_handle();
  if (!add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:FALSE") ||
      X509_sign(certificate, key->get(), EVP_sha256()) == 0 ||
      SSL_CTX_use_certificate(context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey(context, key->get()) != 1) {
    return openssl_error("TLS: a certificate of its own");
  }
  const auto hash = shown_key(server->context_, "TLS: a certificate of its own");
  if (!hash) return hash.error();
  server->pin_ = hash->pin();
  server->curl_pin_ = "sha256//" + hash->base64();
  return server;
}

boost::asio::ssl::context& tls_to_sites() {
  static ssl::context context = [] {
    ssl::context made(ssl::context::tls_client);
    SSL_CTX_set_min_proto_version(made.native_handle(), TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(made.native_handle(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(made.native_handle(), SSL_MODE_RELEASE_BUFFERS);
    made.set_verify_mode(ssl::verify_none);
    return made;
  }();
  return context;
}

}  // namespace noroshi::gateway
