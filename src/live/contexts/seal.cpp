#include "live/contexts/seal.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <climits>
#include <memory>

namespace noroshi::live {
namespace {

constexpr std::string_view magic = "NRC1";
constexpr std::size_t nonce_bytes = 12;
constexpr std::size_t tag_bytes = 16;
constexpr std::size_t head_bytes = magic.size() + nonce_bytes;

using Key = std::array<unsigned char, 32>;

struct Free {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, Free>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

bool make_key(std::string_view session, Key& key) {
  const std::string text = "noroshi context " + std::string(session);
  unsigned size = 0;
  return EVP_Digest(text.data(), text.size(), key.data(), &size, EVP_sha256(), nullptr) == 1;
}

// In pieces that fit OpenSSL's int.
template <class Update>
bool update_all(Update update, EVP_CIPHER_CTX* cipher, unsigned char* to, std::string_view from) {
  for (std::size_t at = 0; at < from.size();) {
    const auto size = std::min<std::size_t>(from.size() - at, INT_MAX / 2);
    int written = 0;
    if (update(cipher, to + at, &written, bytes_of(from) + at, static_cast<int>(size)) != 1) {
      return false;
    }
    at += size;
  }
  return true;
}

}  // namespace

Result<std::string> seal(std::string_view plain, std::string_view session,
                         std::string_view associated) {
  Key key{};
  std::string out(magic);
  out.resize(head_bytes + plain.size() + tag_bytes);
  unsigned char* nonce = bytes_of(out) + magic.size();
  unsigned char* body = bytes_of(out) + head_bytes;
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  const bool sealed =
      cipher && make_key(session, key) && RAND_bytes(nonce, nonce_bytes) == 1 &&
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &size, bytes_of(associated),
                        static_cast<int>(associated.size())) == 1 &&
      update_all(EVP_EncryptUpdate, cipher.get(), body, plain) &&
      EVP_EncryptFinal_ex(cipher.get(), body + plain.size(), &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, tag_bytes, body + plain.size()) == 1;
  if (!sealed) return Error{"context: OpenSSL cannot seal it"};
  return out;
}

Result<std::string> unseal(std::string_view sealed, std::string_view session,
                           std::string_view associated) {
  if (sealed.size() < head_bytes + tag_bytes || !sealed.starts_with(magic)) {
    return Error{"context: " + std::to_string(sealed.size()) + " bytes that are no sealed context"};
  }
  const unsigned char* nonce = bytes_of(sealed) + magic.size();
  const std::string_view body = sealed.substr(head_bytes, sealed.size() - head_bytes - tag_bytes);
  std::string tag(sealed.substr(sealed.size() - tag_bytes));
  std::string out(body.size(), '\0');
  Key key{};
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  const bool opened =
      cipher && make_key(session, key) &&
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &size, bytes_of(associated),
                        static_cast<int>(associated.size())) == 1 &&
      update_all(EVP_DecryptUpdate, cipher.get(), bytes_of(out), body) &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, tag_bytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), bytes_of(out) + out.size(), &size) == 1;
  if (!opened) {
    return Error{"context: it does not open: another session's, another model's, or changed"};
  }
  return out;
}

}  // namespace noroshi::live
