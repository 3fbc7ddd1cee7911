// Catches: recording metadata that crashes its reader, or that reads and then writes as something
// else.

#include <cassert>
#include <cstdint>
#include <string_view>

#include "radio/sigmf_meta.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using noroshi::radio::parse_sigmf_meta;
  const auto meta = parse_sigmf_meta({reinterpret_cast<const char*>(data), size});
  if (!meta) return 0;
  const auto again = parse_sigmf_meta(noroshi::radio::sigmf_meta_text(*meta));
  assert(again.ok());
  assert(again->info.channels == meta->info.channels && again->int16 == meta->int16);
  assert(again->info.description == meta->info.description);
  assert(again->info.annotations.size() == meta->info.annotations.size());
  return 0;
}
