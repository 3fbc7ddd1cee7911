#pragma once

// The standard's tables as CSV files, for tests that compare cell by cell. They are not part of the
// repository: a test says that it was skipped where they are not, and holds a digest besides.

#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace noroshi::nr {

using TableRow = std::vector<std::string>;

inline std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

// Rows without comment and header; nothing where there is no such file.
inline std::optional<std::vector<TableRow>> read_table(const std::string& name) {
  const char* named = std::getenv("NOROSHI_TABLES");
  std::ifstream file(std::string(named != nullptr ? named : "../shared/tables") + "/" + name);
  if (!file) return std::nullopt;
  std::vector<TableRow> rows;
  bool header = true;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (!std::exchange(header, false)) rows.push_back(split(line, ','));
  }
  return rows;
}

// FNV-1a of 16-bit results, in order.
struct Digest {
  std::uint64_t value = 0xcbf29ce484222325u;
  void add(std::uint16_t result) {
    for (const unsigned byte : {result & 0xffu, result >> 8 & 0xffu})
      value = (value ^ byte) * 0x100000001b3u;
  }
};

}  // namespace noroshi::nr
