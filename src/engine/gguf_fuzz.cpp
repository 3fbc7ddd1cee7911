// Catches: a model file whose header makes the check read past it, overflow or loop.

#include <cstdint>

#include "engine/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const noroshi::View<const std::uint8_t, 1> bytes(data, size);
  // As a whole file, and as the start of a large one.
  static_cast<void>(noroshi::engine::gguf_check(bytes, size));
  static_cast<void>(noroshi::engine::gguf_check(bytes, size + (std::uint64_t{1} << 40)));
  return 0;
}
