#include "gateway/tls.h"

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

std::shared_ptr<ssl::context> server_context() {
  auto made = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* context = made->native_handle();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // One ticket a connection, sealed with a key of this context's; nothing is remembered here.
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
  constexpr unsigned char scope[] = "noroshi";
  SSL_CTX_set_session_id_context(context, scope, sizeof scope - 1);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);  // a thousand clients that wait
  return made;
}

Result<void> need_file(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) return {};
  return Error{"TLS: " + path + ": " + (error ? error.message() : "is no file")};
}

}  // namespace

Result<std::shared_ptr<TlsServer>> TlsServer::from_files(const std::string& certificate_path,
                                                         const std::string& key_path) {
  std::shared_ptr<TlsServer> server(new TlsServer);
  server->certificate_path_ = certificate_path;
  server->key_path_ = key_path;
  if (const auto read = server->read_again(); !read) return read.error();
  return server;
}

Result<void> TlsServer::read_again() {
  if (!has_files()) return {};
  for (const std::string& path : {certificate_path_, key_path_}) {
    if (auto there = need_file(path); !there) return there;
  }
  const std::shared_ptr<ssl::context> made = server_context();
  SSL_CTX* context = made->native_handle();
  if (SSL_CTX_use_certificate_chain_file(context, certificate_path_.c_str()) != 1) {
    return openssl_error("TLS: " + certificate_path_ + " is no certificate in PEM");
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_path_.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return openssl_error("TLS: " + key_path_ + " is not the key of " + certificate_path_ +
                         ", in PEM and without a password");
  }
  const auto hash = shown_key(*made, "TLS: " + certificate_path_);
  if (!hash) return hash.error();
  const std::lock_guard lock(mutex_);
  context_ = made;
  pin_ = hash->pin();
  return {};
}

Result<std::shared_ptr<TlsServer>> TlsServer::with_own_key() {
  const Result<PrivateKey> key = new_private_key();
  if (!key) return key.error();
  Result<Certificate> drafted = draft_certificate(key->get(), "Noroshi site", nullptr, 10 * year_s);
  if (!drafted) return drafted.error();
  X509* certificate = drafted->get();
  std::shared_ptr<TlsServer> server(new TlsServer);
  server->context_ = server_context();
  SSL_CTX* context = server->context_->native_handle();
  if (!add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:FALSE") ||
      X509_sign(certificate, key->get(), EVP_sha256()) == 0 ||
      SSL_CTX_use_certificate(context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey(context, key->get()) != 1) {
    return openssl_error("TLS: a certificate of its own");
  }
  const auto hash = shown_key(*server->context_, "TLS: a certificate of its own");
  if (!hash) return hash.error();
  server->pin_ = hash->pin();
  server->curl_pin_ = "sha256//" + hash->base64();
  return server;
}

boost::asio::ssl::context& tls_to_sites() {
  static ssl::context context = [] {
    ssl::context made(ssl::context::tls_client);
    SSL_CTX* raw = made.native_handle();
    SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(raw, TlsSessions::keep);
    SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
    // No chain is built: the pin says more than any could.
    SSL_CTX_set_cert_verify_callback(
        raw, [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
    return made;
  }();
  return context;
}

namespace {

int sessions_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

void TlsSessions::begin(SSL* connection, const KeyPin& pin) {
  SSL_set_ex_data(connection, sessions_index(), this);
  const auto known = by_pin_.find(pin);
  if (known != by_pin_.end()) SSL_set_session(connection, known->second.get());
}

// Called by OpenSSL while the connection is read.
int TlsSessions::keep(SSL* connection, SSL_SESSION* session) {
  auto* sessions = static_cast<TlsSessions*>(SSL_get_ex_data(connection, sessions_index()));
  X509* shown = SSL_get0_peer_certificate(connection);
  if (sessions == nullptr || shown == nullptr) return 0;
  const auto hash = public_key_hash(shown);
  if (!hash) return 0;
  auto& by_pin = sessions->by_pin_;
  // Sites that restart have another key: what is no longer used must go some time.
  if (by_pin.size() >= sessions_max && !by_pin.contains(hash->pin())) by_pin.clear();
  by_pin[hash->pin()].reset(session);
  return 1;
}

}  // namespace noroshi::gateway
