// Catches: a trace file whose bytes make the reader crash or hand out requests that cannot be.

#include <cstdint>
#include <cstdlib>

#include "trial/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::trial;
  const auto trace = parse_trace({reinterpret_cast<const char*>(data), size}, 1000);
  if (!trace) return 0;
  double last_s = 0;
  for (const TraceRequest& request : *trace) {
    if (!(request.at_s >= last_s) || request.prompt_tokens < 1) std::abort();
    if (request.blocks.size() * trace_block_tokens <
        static_cast<std::size_t>(request.prompt_tokens)) {
      std::abort();
    }
    last_s = request.at_s;
  }
  if (!(ideal_cached_share(*trace) <= 1)) std::abort();
  return 0;
}
