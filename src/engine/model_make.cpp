#include "engine/model_make.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

#include "base/prng.h"
#include "engine/gguf.h"

namespace noroshi::engine {
namespace {

// The vocabulary: the 256 bytes, then three control tokens (the ChatML pair and an end of text).
constexpr int byte_tokens = 256;
constexpr int token_message_start = 256;
constexpr int token_message_end = 257;
constexpr int token_end_of_text = 258;
constexpr int vocabulary = 259;

constexpr const char* chat_template =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

bool printable(int token) { return token >= 0x20 && token < 0x7f; }

std::string utf8(int code_point) {
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xc0 | (code_point >> 6)),
          static_cast<char>(0x80 | (code_point & 0x3f))};
}

// GPT-2's spelling of bytes as visible characters: those that print in Latin-1 stand for
// themselves, the others take code points from 256 on, in order.
std::array<std::string, byte_tokens> byte_spellings() {
  std::array<std::string, byte_tokens> spelling;
  int next = 256;
  for (int byte = 0; byte < byte_tokens; ++byte) {
    const bool visible = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    spelling[byte] = utf8(visible ? byte : next++);
  }
  return spelling;
}

// IEEE half of a positive number below 65504, rounded to nearest; below 2^-14 it is subnormal.
std::uint16_t half_bits(float value) {
  if (value < 0x1p-14f) return static_cast<std::uint16_t>(std::lround(value * 0x1p24f));
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value) + 0x1000;
  return static_cast<std::uint16_t>((bits >> 13) - ((127 - 15) << 10));
}

enum class Fill { ones, embedding, head, matrix };

struct Tensor {
  std::string name;
  std::uint64_t columns = 0;  // of a row: GGUF's first dimension
  std::uint64_t rows = 0;     // 0: a vector
  Fill fill = Fill::matrix;
  double deviation = 0;  // standard, of a matrix

  std::uint64_t elements() const { return columns * (rows == 0 ? 1 : rows); }
  GgmlType type() const { return fill == Fill::matrix ? ggml_q8_0 : ggml_f32; }
  std::uint64_t bytes() const { return ggml_tensor_bytes(type(), elements()); }
};

std::vector<Tensor> tensors_of(const ModelShape& shape) {
  const auto e = static_cast<std::uint64_t>(shape.embedding);
  const auto f = static_cast<std::uint64_t>(shape.feed_forward);
  const auto kv = static_cast<std::uint64_t>(shape.embedding / shape.heads * shape.heads_kv);
  const double in = 1.0 / std::sqrt(static_cast<double>(e));
  // What a layer adds to the residual stream shrinks with depth, so that the embedding still
  // dominates at the head (Fill::head needs its first dimension).
  const double out = 0.5 / std::sqrt(2.0 * shape.layers);
  const double out_e = out * in;
  const double out_f = out / std::sqrt(static_cast<double>(f));

  std::vector<Tensor> tensors;
  tensors.push_back({"token_embd.weight", e, vocabulary, Fill::embedding, 0});
  for (int layer = 0; layer < shape.layers; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    tensors.push_back({block + "attn_norm.weight", e, 0, Fill::ones, 0});
    tensors.push_back({block + "attn_q.weight", e, e, Fill::matrix, in});
    tensors.push_back({block + "attn_k.weight", e, kv, Fill::matrix, in});
    tensors.push_back({block + "attn_v.weight", e, kv, Fill::matrix, in});
    tensors.push_back({block + "attn_output.weight", e, e, Fill::matrix, out_e});
    tensors.push_back({block + "ffn_norm.weight", e, 0, Fill::ones, 0});
    tensors.push_back({block + "ffn_gate.weight", e, f, Fill::matrix, in});
    tensors.push_back({block + "ffn_up.weight", e, f, Fill::matrix, in});
    tensors.push_back({block + "ffn_down.weight", f, e, Fill::matrix, out_f});
  }
  tensors.push_back({"output_norm.weight", e, 0, Fill::ones, 0});
  tensors.push_back({"output.weight", e, vocabulary, Fill::head, 0});
  return tensors;
}

std::string header_of(const ModelShape& shape, std::uint64_t seed,
                      const std::vector<Tensor>& tensors) {
  GgufHeader header;
  header.text("general.architecture", "llama");
  header.text("general.type", "model");
  header.text("general.name", "Noroshi load model");
  header.text("general.description",
              "Random weights, seed " + std::to_string(seed) + ": a load model that speaks noise");
  header.u32("general.quantization_version", 2);
  header.u32("general.file_type", 7);  // mostly q8_0
  header.u32("llama.block_count", shape.layers);
  header.u32("llama.context_length", shape.context);
  header.u32("llama.embedding_length", shape.embedding);
  header.u32("llama.feed_forward_length", shape.feed_forward);
  header.u32("llama.attention.head_count", shape.heads);
  header.u32("llama.attention.head_count_kv", shape.heads_kv);
  header.u32("llama.rope.dimension_count", shape.embedding / shape.heads);
  header.u32("llama.vocab_size", vocabulary);
  header.f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  header.f32("llama.rope.freq_base", 10000.0f);

  std::vector<std::string> tokens;
  for (const std::string& spelling : byte_spellings()) tokens.push_back(spelling);
  tokens.insert(tokens.end(), {"<|im_start|>", "<|im_end|>", "<|endoftext|>"});
  std::vector<std::int32_t> types(vocabulary, 1);                               // normal
  for (int token = byte_tokens; token < vocabulary; ++token) types[token] = 3;  // control
  header.text("tokenizer.ggml.model", "gpt2");
  header.text("tokenizer.ggml.pre", "gpt-2");
  header.texts("tokenizer.ggml.tokens", tokens);
  header.i32s("tokenizer.ggml.token_type", types);
  header.texts("tokenizer.ggml.merges", {});  // none: every byte stays a token of its own
  header.u32("tokenizer.ggml.bos_token_id", token_end_of_text);
  header.u32("tokenizer.ggml.eos_token_id", token_message_end);
  header.u32("tokenizer.ggml.padding_token_id", token_end_of_text);
  header.boolean("tokenizer.ggml.add_bos_token", false);
  header.text("tokenizer.chat_template", chat_template);
  static_assert(token_message_start == byte_tokens);

  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors) {
    std::vector<std::uint64_t> extents = {tensor.columns};
    if (tensor.rows != 0) extents.push_back(tensor.rows);
    header.tensor(tensor.name, extents, tensor.type(), offset);
    offset += (tensor.bytes() + gguf_alignment - 1) / gguf_alignment * gguf_alignment;
  }
  return header.bytes();
}

// A file that is written whole or not at all.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path)
      : path_(path), partial_(path.string() + ".partial") {
    file_ = std::fopen(partial_.c_str(), "wb");
    if (file_ == nullptr) error_ = errno;
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() {
    if (file_ != nullptr) std::fclose(file_);
    std::error_code ignored;
    if (!done_) std::filesystem::remove(partial_, ignored);
  }

  bool write(const void* data, std::size_t bytes) {
    if (error_ == 0 && std::fwrite(data, 1, bytes, file_) != bytes) error_ = errno;
    return error_ == 0;
  }
  Result<void> finish() {
    if (error_ == 0 && std::fclose(file_) != 0) error_ = errno;
    file_ = error_ == 0 ? nullptr : file_;
    if (error_ == 0 && std::rename(partial_.c_str(), path_.c_str()) != 0) error_ = errno;
    done_ = error_ == 0;
    if (done_) return {};
    return Error{path_.string() + ": cannot write the model: " + std::strerror(error_)};
  }

 private:
  std::filesystem::path path_;
  std::filesystem::path partial_;
  std::FILE* file_ = nullptr;
  int error_ = 0;
  bool done_ = false;
};

// The embedding has a large constant in its first dimension, which survives to the head; there it
// pushes the logits of everything but printable ASCII far down. So the noise is valid UTF-8, which
// servers stream token by token (they hold back the bytes of an unfinished character), and the
// length of an answer is what the request asks for (max_tokens), not chance.
float float_element(const ModelShape& shape, const Tensor& tensor, std::uint64_t index,
                    Prng& prng) {
  const auto root = std::sqrt(static_cast<float>(shape.embedding));
  const std::uint64_t column = index % tensor.columns;
  const auto noise = static_cast<float>((prng.uniform() * 2 - 1) * std::sqrt(3.0));
  if (tensor.fill == Fill::ones) return 1.0f;
  if (tensor.fill == Fill::embedding) return column == 0 ? root : noise;
  const int token = static_cast<int>(index / tensor.columns);
  if (column == 0) return printable(token) ? 0.0f : -56.0f / root;
  return noise * 2.1f / root;  // logits of deviation about 1.5
}

bool write_tensor(const ModelShape& shape, const Tensor& tensor, Prng& prng, OutputFile& file) {
  constexpr std::uint64_t chunk_elements = 1 << 20;
  std::vector<std::uint8_t> chunk;
  for (std::uint64_t first = 0; first < tensor.elements(); first += chunk_elements) {
    const std::uint64_t count = std::min(chunk_elements, tensor.elements() - first);
    chunk.resize(ggml_tensor_bytes(tensor.type(), count));
    std::uint8_t* out = chunk.data();
    if (tensor.fill != Fill::matrix) {
      for (std::uint64_t i = 0; i < count; ++i, out += sizeof(float)) {
        const float value = float_element(shape, tensor, first + i, prng);
        std::memcpy(out, &value, sizeof value);
      }
    } else {
      // q8_0: a half-precision scale, then 32 signed bytes. The odd bytes are uniform over -127,
      // -125 .. 127, with mean 0 and deviation 127/sqrt(3).
      const std::uint16_t scale =
          half_bits(static_cast<float>(tensor.deviation * std::sqrt(3.0) / 127.0));
      for (std::uint64_t i = 0; i < count; i += 32) {
        std::memcpy(out, &scale, sizeof scale);
        out += sizeof scale;
        for (int word = 0; word < 4; ++word, out += 8) {
          const std::uint64_t bits = prng() | 0x0101010101010101u;
          std::memcpy(out, &bits, sizeof bits);
        }
      }
    }
    if (!file.write(chunk.data(), chunk.size())) return false;
  }
  return true;
}

}  // namespace

Result<ModelShape> model_preset(std::string_view name) {
  // Widths of known small models (heads of 64, a quarter to a half of them for keys and values).
  if (name == "tiny") return ModelShape{4, 256, 704, 4, 2, 4096};
  if (name == "small") return ModelShape{17, 1024, 2816, 16, 4, 4096};
  if (name == "medium") return ModelShape{22, 2048, 5632, 32, 8, 4096};
  return Error{"no model preset \"" + std::string(name) + "\": there are tiny, small and medium"};
}

std::uint64_t model_parameters(const ModelShape& shape) {
  std::uint64_t count = 0;
  for (const Tensor& tensor : tensors_of(shape)) count += tensor.elements();
  return count;
}

Result<void> model_make(const ModelShape& shape, std::uint64_t seed,
                        const std::filesystem::path& out, void (*progress)(double)) {
  assert(shape.layers > 0 && shape.heads > 0 && shape.heads_kv > 0 && shape.context > 0);
  assert(shape.embedding % 32 == 0 && shape.feed_forward % 32 == 0);
  assert(shape.embedding % shape.heads == 0 && shape.heads % shape.heads_kv == 0);
  const std::vector<Tensor> tensors = tensors_of(shape);
  const std::string header = header_of(shape, seed, tensors);
  OutputFile file(out);
  file.write(header.data(), header.size());

  Prng prng(seed);
  const std::array<char, gguf_alignment> zeros{};
  const auto total = static_cast<double>(model_parameters(shape));
  std::uint64_t written = 0;
  for (const Tensor& tensor : tensors) {
    if (!write_tensor(shape, tensor, prng, file)) break;
    const std::uint64_t past = tensor.bytes() % gguf_alignment;
    if (past != 0 && !file.write(zeros.data(), gguf_alignment - past)) break;
    written += tensor.elements();
    if (progress != nullptr) progress(static_cast<double>(written) / total);
  }
  return file.finish();
}

}  // namespace noroshi::engine
