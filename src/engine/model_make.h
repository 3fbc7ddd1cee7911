#pragma once

// Writes a GGUF of the llama architecture with seeded random weights (q8_0), byte tokenizer and
// chat template: a load model. It has the size, the speed and the file format of a real one and
// speaks noise: printable ASCII, a byte a token, as many as max_tokens asks for. The same shape and
// seed give the same bytes.

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace noroshi::engine {

struct ModelShape {
  int layers = 0;
  int embedding = 0;
  int feed_forward = 0;
  int heads = 0;
  int heads_kv = 0;
  int context = 4096;
};

// tiny (about 3 M parameters), small (190 M), medium (1 B). Errors: another name.
Result<ModelShape> model_preset(std::string_view name);
std::uint64_t model_parameters(const ModelShape& shape);

// progress: called with 0..1 now and then. Errors: the file cannot be written (disk full, path); a
// partial file is removed.
Result<void> model_make(const ModelShape& shape, std::uint64_t seed,
                        const std::filesystem::path& out, void (*progress)(double));

// Header, tensor table and length of a GGUF agree with the file. Errors say what is wrong where.
Result<void> model_check(const std::filesystem::path& path);

}  // namespace noroshi::engine
