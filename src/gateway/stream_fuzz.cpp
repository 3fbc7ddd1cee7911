// Any bytes as one or two sites' parts of a stream: whole events, the same however they are cut, or
// a failure; never a fault. The first byte says where the second site begins.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "gateway/stream.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::gateway;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t cut = bytes.size() * data[0] / 255;
  Stream whole(data[0] % 2 == 0);
  Stream pieces(data[0] % 2 == 0);
  std::string whole_out(whole.feed(bytes.substr(0, cut)));
  std::string pieces_out;
  for (std::size_t i = 0; i < cut; ++i) pieces_out += pieces.feed(bytes.substr(i, 1));
  if (whole.not_resumable().empty()) {
    whole.resume();
    pieces.resume();
    whole_out += whole.feed(bytes.substr(cut));
    for (std::size_t i = cut; i < bytes.size(); ++i) pieces_out += pieces.feed(bytes.substr(i, 1));
  }
  if (whole_out != pieces_out || whole.text() != pieces.text()) std::abort();
  if (whole.usage().completion_tokens != pieces.usage().completion_tokens) std::abort();
  if (whole.failure() != pieces.failure()) std::abort();
  const std::string end = whole.closing_events();
  if (!end.ends_with("data: [DONE]\n\n")) std::abort();
  return 0;
}
