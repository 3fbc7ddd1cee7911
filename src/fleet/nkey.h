#pragma once

// NATS's keys: Ed25519, written as base32 of (type, key, CRC-16). A user's public key starts with
// U and stands in the server's configuration; its seed starts with SU and never leaves the machine
// that it was made on.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace noroshi::fleet {

struct Nkey {
  std::string seed;        // "SU..." 58 letters
  std::string public_key;  // "U..." 56 letters
};

// A user's key from 32 secret bytes.
Nkey nkey_from(const std::array<std::uint8_t, 32>& secret);

// A new one, from the system's random numbers.
Result<Nkey> nkey_new();

// The key that a seed stands for; white space around it is ignored. Errors: no seed of a user.
Result<Nkey> nkey_of_seed(std::string_view seed);

// Whether this is a user's public key: letters, type and checksum.
bool is_public_nkey(std::string_view text);

// Errors name the path.
Result<Nkey> read_nkey(const std::string& path);
// With mode 0600. Errors: the file is there already, or cannot be written.
Result<void> write_nkey(const Nkey& key, const std::string& path);

}  // namespace noroshi::fleet
