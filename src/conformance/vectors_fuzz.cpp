// Any line with any bytes behind it: parse_case returns a case or an error, and reads nothing that
// is not there. The first newline parts the two.

#include <string_view>

#include "conformance/vectors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t end = all.find('\n');
  const std::string_view line = all.substr(0, end);
  const std::string_view bin = end == std::string_view::npos ? "" : all.substr(end + 1);
  const auto parsed = noroshi::conformance::parse_case(line, bin);
  if (parsed.ok()) {
    for (const auto& [name, array] : parsed->arrays) {
      if (array.size() > (std::size_t{1} << 23)) __builtin_trap();
    }
  }
  return 0;
}
