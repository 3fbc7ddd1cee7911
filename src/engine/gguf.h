#pragma once

// The GGUF container, version 3 (ggml's docs/gguf.md), as far as it is written and checked here:
//
//   "GGUF" | u32 version | u64 tensors | u64 pairs | pairs | tensor table | padding | tensor data
//
// all little-endian; strings are a u64 length and bytes; tensor offsets count from the start of the
// data and are multiples of general.alignment (32 unless the file says otherwise).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/view.h"

namespace noroshi::engine {

inline constexpr std::uint64_t gguf_alignment = 32;

using GgmlType = std::uint32_t;
inline constexpr GgmlType ggml_f32 = 0;
inline constexpr GgmlType ggml_q8_0 = 8;

// Bytes of so many elements; 0 for a type that is not known here. elements: whole blocks.
std::uint64_t ggml_tensor_bytes(GgmlType type, std::uint64_t elements);

// Collects the pairs and the tensor table; bytes() is the file up to its tensor data.
class GgufHeader {
 public:
  void text(std::string_view key, std::string_view value);
  void u32(std::string_view key, std::int64_t value);
  void f32(std::string_view key, float value);
  void boolean(std::string_view key, bool value);
  void texts(std::string_view key, const std::vector<std::string>& values);
  void i32s(std::string_view key, const std::vector<std::int32_t>& values);
  // extents: the first is the length of a row.
  void tensor(std::string_view name, const std::vector<std::uint64_t>& extents, GgmlType type,
              std::uint64_t offset);
  std::string bytes() const;

 private:
  void pair(std::string_view key, std::uint32_t type);

  std::string pairs_;
  std::string tensors_;
  std::uint64_t pair_count_ = 0;
  std::uint64_t tensor_count_ = 0;
};

struct GgufCheck {
  std::string error;        // empty: nothing wrong as far as the bytes go
  bool needs_more = false;  // the header goes on after the bytes given
};

// Checks a header against the length of its file: every count, string, type and tensor extent lies
// inside. start: the first bytes of the file, at most file_bytes of them. Never reads past them,
// never allocates for a count that the file claims.
GgufCheck gguf_check(View<const std::uint8_t, 1> start, std::uint64_t file_bytes);

}  // namespace noroshi::engine
