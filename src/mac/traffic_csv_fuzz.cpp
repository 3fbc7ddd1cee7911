// Catches: a traffic file that crashes the reader, or that it accepts with arrivals that do not
// ascend or are out of range.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mac/traffic.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto arrivals = noroshi::mac::parse_traffic_csv(text, "fuzz");
  if (!arrivals.ok()) {
    if (arrivals.error().message.rfind("fuzz:", 0) != 0) std::abort();
    return 0;
  }
  double before = 0;
  for (const auto& [time_s, bytes] : *arrivals) {
    if (!(time_s >= before) || bytes < 1) std::abort();
    before = time_s;
  }
  return 0;
}
