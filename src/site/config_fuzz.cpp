// Catches: a YAML file that crashes the reader, makes it loop or throw.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "site/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 64 * 1024) return 0;
  const auto parsed = noroshi::site::parse(
      std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.yaml", false);
  if (!parsed && parsed.error().message.empty()) std::abort();
  return 0;
}
