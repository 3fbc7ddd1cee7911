#pragma once

// A session's context on its way through the fleet's store, readable by the two sites alone:
// AES-256-GCM under a key made of the session's name, which only the gateway and these two know.
//
//   "NRC1" | nonce, 12 bytes | ciphertext | tag, 16 bytes
//
// What is associated (the hash of the model's file) is not sent, and must be the same at both ends:
// a context of another model does not open. Neither does anything that was changed or forged, so an
// engine is never given bytes of a stranger.

#include <string>
#include <string_view>

#include "base/result.h"

namespace noroshi::live {

Result<std::string> seal(std::string_view plain, std::string_view session,
                         std::string_view associated);
// Errors: it is no sealed context, or does not open.
Result<std::string> unseal(std::string_view sealed, std::string_view session,
                           std::string_view associated);

}  // namespace noroshi::live
