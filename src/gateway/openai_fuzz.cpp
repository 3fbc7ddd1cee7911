// Any bytes as a question or an engine's answer: refused or read, never a fault. The first byte
// chooses which.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "gateway/openai.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::gateway;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const int choice = data[0] % 4;
  if (choice == 3) {
    const ApiError error = from_engine(400 + static_cast<int>(size % 110), body);
    if (error.status < 400 || !read_engine_json(error_body(error)).json) std::abort();
    read_engine_json(body);
    route_of(body);
    return 0;
  }
  const auto parsed = parse_question(static_cast<Endpoint>(choice), body);
  if (const auto* error = std::get_if<ApiError>(&parsed)) {
    // Whatever a client wrote, the answer is one JSON object.
    if (error->status != 400 || !read_engine_json(error_body(*error)).json) std::abort();
  } else if (std::get<Question>(parsed).model.empty()) {
    std::abort();
  }
  return 0;
}
