#pragma once

// The public key that a site's HTTPS shows, as 128 bits of its SHA-256 (certificate.h).

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace noroshi::gateway {

struct KeyPin {
  std::array<std::uint8_t, 16> bytes = {};
  bool operator==(const KeyPin&) const = default;
  bool operator<(const KeyPin& other) const { return bytes < other.bytes; }
  // All zeros: the site speaks plain HTTP.
  bool is_none() const { return *this == KeyPin{}; }
};

// 32 hexadecimal digits; none: empty.
inline std::string pin_text(const KeyPin& pin) {
  std::string text;
  if (pin.is_none()) return text;
  for (const std::uint8_t byte : pin.bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

// Nothing: it is no pin's text.
inline std::optional<KeyPin> parse_pin(std::string_view text) {
  KeyPin pin;
  if (text.empty()) return pin;
  if (text.size() != 2 * pin.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t digit = std::string_view("0123456789abcdef").find(text[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    pin.bytes[i / 2] = static_cast<std::uint8_t>(pin.bytes[i / 2] << 4 | digit);
  }
  if (pin.is_none()) return std::nullopt;
  return pin;
}

}  // namespace noroshi::gateway
