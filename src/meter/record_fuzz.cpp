// Catches: bytes from the usage subject that make the reader crash, or pass with values that it
// promises to refuse.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "meter/record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::meter;
  const auto record = parse_record({reinterpret_cast<const char*>(data), size});
  if (!record) return 0;
  if (record->id.empty() || record->tokens_cached > record->tokens_prompt) std::abort();
  // What passed says the same when it is written and read again.
  const auto again = parse_record(encode_record(*record));
  if (!again || encode_record(*again) != encode_record(*record)) std::abort();
  return 0;
}
