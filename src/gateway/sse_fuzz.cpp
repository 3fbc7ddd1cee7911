// Any stream, cut anywhere, meters the same as in one piece.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "gateway/sse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::gateway;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  StreamMeter whole;
  whole.feed(bytes);
  StreamMeter pieces;
  std::size_t at = 0;
  std::size_t step = size == 0 ? 1 : 1 + data[0] % 7;
  while (at < size) {
    pieces.feed(bytes.substr(at, step));
    at += step;
    step = 1 + (step * 5 + 3) % 11;
  }
  if (whole.usage().completion_tokens != pieces.usage().completion_tokens ||
      whole.usage().prompt_tokens != pieces.usage().prompt_tokens ||
      whole.done() != pieces.done() || whole.between_events() != pieces.between_events()) {
    std::abort();
  }
  return 0;
}
