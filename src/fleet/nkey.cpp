#include "fleet/nkey.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

namespace noroshi::fleet {
namespace {

constexpr std::uint8_t type_seed = 18 << 3;  // 'S' in base32
constexpr std::uint8_t type_user = 20 << 3;  // 'U'
constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

// CRC-16/XMODEM: polynomial 0x1021, no reflection, from 0.
std::uint16_t crc16(const std::vector<std::uint8_t>& bytes) {
  unsigned crc = 0;
  for (const std::uint8_t byte : bytes) {
    crc ^= static_cast<unsigned>(byte) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
  }
  return static_cast<std::uint16_t>(crc);
}

std::string encode(std::vector<std::uint8_t> bytes) {
  const std::uint16_t crc = crc16(bytes);
  bytes.push_back(static_cast<std::uint8_t>(crc & 0xff));
  bytes.push_back(static_cast<std::uint8_t>(crc >> 8));
  std::string out;
  unsigned bits = 0;
  int held = 0;
  for (const std::uint8_t byte : bytes) {
    bits = (bits << 8) | byte;
    for (held += 8; held >= 5; held -= 5) out += alphabet[(bits >> (held - 5)) & 31];
  }
  if (held > 0) out += alphabet[(bits << (5 - held)) & 31];
  return out;
}

// The bytes before the checksum; nothing when letters or checksum are wrong.
std::optional<std::vector<std::uint8_t>> decode(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  unsigned bits = 0;
  int held = 0;
  for (const char letter : text) {
    const std::size_t value = alphabet.find(letter);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 5) | static_cast<unsigned>(value);
    held += 5;
    if (held >= 8) {
      held -= 8;
      bytes.push_back(static_cast<std::uint8_t>(bits >> held));
    }
  }
  if (bytes.size() < 3) return std::nullopt;
  const unsigned crc = bytes[bytes.size() - 2] | unsigned{bytes[bytes.size() - 1]} << 8;
  bytes.resize(bytes.size() - 2);
  if (crc16(bytes) != crc) return std::nullopt;
  return bytes;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t from = text.find_first_not_of(space);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(space) - from + 1);
}

}  // namespace

Nkey nkey_from(const std::array<std::uint8_t, 32>& secret) {
  EVP_PKEY* pair =
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, secret.data(), secret.size());
  assert(pair != nullptr);
  std::array<std::uint8_t, 32> open{};
  std::size_t size = open.size();
  const bool known = EVP_PKEY_get_raw_public_key(pair, open.data(), &size) == 1;
  EVP_PKEY_free(pair);
  assert(known && size == open.size());

  std::vector<std::uint8_t> seed = {type_seed | (type_user >> 5),
                                    static_cast<std::uint8_t>((type_user & 31) << 3)};
  seed.insert(seed.end(), secret.begin(), secret.end());
  std::vector<std::uint8_t> user = {type_user};
  user.insert(user.end(), open.begin(), open.end());
  return {.seed = encode(std::move(seed)), .public_key = encode(std::move(user))};
}

Result<Nkey> nkey_new() {
  std::array<std::uint8_t, 32> secret{};
  if (RAND_priv_bytes(secret.data(), secret.size()) != 1) {
    return Error{"nkey: the system gives no random numbers"};
  }
  return nkey_from(secret);
}

Result<Nkey> nkey_of_seed(std::string_view seed) {
  const auto bytes = decode(trimmed(seed));
  if (!bytes || bytes->size() != 34) return Error{"is not the seed of a key (SU and 56 letters)"};
  const unsigned kind = (*bytes)[0] & 0xf8;
  const unsigned type = ((*bytes)[0] & 7) << 5 | ((*bytes)[1] & 0xf8) >> 3;
  if (kind != type_seed || type != type_user) {
    return Error{"is a key of another kind than a user's (SU and 56 letters)"};
  }
  std::array<std::uint8_t, 32> secret{};
  std::memcpy(secret.data(), bytes->data() + 2, secret.size());
  return nkey_from(secret);
}

bool is_public_nkey(std::string_view text) {
  const auto bytes = decode(text);
  return text.size() == 56 && bytes && bytes->size() == 33 && (*bytes)[0] == type_user;
}

Result<Nkey> read_nkey(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char bytes[256];
  file.read(bytes, sizeof bytes);
  const std::string_view text(bytes, static_cast<std::size_t>(file.gcount()));
  if (file.bad() || text.empty()) {
    return Error{path + ": cannot be read: " + std::strerror(errno)};
  }
  Result<Nkey> key = nkey_of_seed(text);
  if (!key) return Error{path + ": " + key.error().message};
  return key;
}

Result<void> write_nkey(const Nkey& key, const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return Error{path + ": cannot be written: " + std::strerror(errno)};
  const std::string text = key.seed + "\n";
  const bool whole = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int fault = errno;
  if (close(fd) != 0 || !whole) {
    unlink(path.c_str());
    return Error{path + ": cannot be written: " + std::strerror(fault)};
  }
  return {};
}

}  // namespace noroshi::fleet
