#pragma once

// Bytes of compact messages: whole numbers are LEB128, texts their length and bytes, fixed widths
// little-endian.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace noroshi::fleet {

struct CompactWriter {
  std::string out = {};

  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
    out += static_cast<char>(value);
  }
  void text(std::string_view value) {
    number(value.size());
    out += value;
  }
  void fixed(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  }
};

// Reads until the first fault, which names field and value; what is read after it is zero.
struct CompactReader {
  std::string_view bytes;
  std::size_t at = 0;
  std::string fault = {};

  void fail(const std::string& what) {
    if (fault.empty()) fault = what + " at byte " + std::to_string(at);
  }
  std::uint64_t fixed(int size, const char* field) {
    if (!fault.empty() || bytes.size() - at < static_cast<std::size_t>(size)) {
      fail(std::string(field) + " is cut off");
      return 0;
    }
    std::uint64_t value = 0;
    for (int i = 0; i < size; ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(bytes[at++])} << (8 * i);
    }
    return value;
  }
  std::uint64_t number(const char* field, std::uint64_t max) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && fault.empty(); shift += 7) {
      const std::uint64_t byte = fixed(1, field);
      value |= (byte & 0x7f) << shift;
      if ((byte & 0x80) != 0) continue;
      if (value <= max) return value;
      fail(std::string(field) + " is " + std::to_string(value) + " (allowed: 0 to " +
           std::to_string(max) + ")");
    }
    fail(std::string(field) + " is no number");
    return 0;
  }
  std::string_view text(const char* field, std::size_t max) {
    const std::size_t size = number(field, max);
    if (!fault.empty() || bytes.size() - at < size) {
      fail(std::string(field) + " is cut off");
      return {};
    }
    at += size;
    return bytes.substr(at - size, size);
  }
};

}  // namespace noroshi::fleet
