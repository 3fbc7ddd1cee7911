#pragma once

// What the stub engine says: a word of three letters and a space for each token, that follows from
// the prompt alone. So whoever knows the prompt knows the whole answer, and a stream that lost,
// doubled or mixed up tokens on its way over several sites shows it.

#include <cstdint>
#include <string>
#include <string_view>

namespace noroshi::trial {

inline constexpr std::size_t token_bytes = 4;

// FNV-1a over the prompt's pieces, a mark between two.
inline std::uint64_t prompt_hash_add(std::uint64_t hash, std::string_view piece) {
  for (const char c : piece) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3u;
  return (hash ^ 0x1ff) * 0x100000001b3u;
}
inline constexpr std::uint64_t prompt_hash_start = 0xcbf29ce484222325u;

inline void append_token(std::string& to, std::uint64_t prompt_hash, std::uint64_t index) {
  std::uint64_t z = prompt_hash + (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z ^= z >> 27;
  for (int letter = 0; letter < 3; ++letter, z /= 26) {
    to += static_cast<char>('a' + static_cast<char>(z % 26));
  }
  to += ' ';
}

}  // namespace noroshi::trial
