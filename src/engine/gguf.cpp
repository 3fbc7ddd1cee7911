#include "engine/gguf.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace noroshi::engine {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is written as memory has it");

// The value types of a pair (ggml's docs/gguf.md).
constexpr std::uint32_t value_u32 = 4;
constexpr std::uint32_t value_i32 = 5;
constexpr std::uint32_t value_f32 = 6;
constexpr std::uint32_t value_bool = 7;
constexpr std::uint32_t value_string = 8;
constexpr std::uint32_t value_array = 9;
constexpr std::uint64_t value_bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct Block {
  GgmlType type;
  std::uint64_t elements;
  std::uint64_t bytes;
};

// Storage of ggml's tensor types (ggml.h, ggml-common.h).
constexpr Block blocks[] = {
    {0, 1, 4},      {1, 1, 2},      {2, 32, 18},   {3, 32, 20},    {6, 32, 22},    {7, 32, 24},
    {8, 32, 34},    {9, 32, 36},    {10, 256, 84}, {11, 256, 110}, {12, 256, 144}, {13, 256, 176},
    {14, 256, 210}, {15, 256, 292}, {16, 256, 66}, {17, 256, 74},  {18, 256, 98},  {19, 256, 50},
    {20, 32, 18},   {21, 256, 110}, {22, 256, 82}, {23, 256, 136}, {24, 1, 1},     {25, 1, 2},
    {26, 1, 4},     {27, 1, 8},     {28, 1, 8},    {29, 256, 56},  {30, 1, 2},     {34, 256, 54},
    {35, 256, 66},  {39, 32, 17},
};

const Block* block_of(GgmlType type) {
  const auto* found = std::find_if(std::begin(blocks), std::end(blocks),
                                   [type](const Block& block) { return block.type == type; });
  return found == std::end(blocks) ? nullptr : found;
}

template <class T>
void append(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append<std::uint64_t>(out, text.size());
  out.append(text);
}

// Reads forward; after a failure it stays failed and gives zeros.
class Reader {
 public:
  Reader(View<const std::uint8_t, 1> bytes, std::uint64_t file_bytes)
      : bytes_(bytes), file_bytes_(file_bytes) {}

  bool failed() const { return failed_; }
  bool needs_more() const { return needs_more_; }
  std::uint64_t position() const { return position_; }

  template <class T>
  T number() {
    T value{};
    if (take(sizeof value))
      std::memcpy(&value, bytes_.data() + position_ - sizeof value, sizeof value);
    return value;
  }
  std::string_view text() {
    const auto length = number<std::uint64_t>();
    if (!take(length)) return {};
    return {reinterpret_cast<const char*>(bytes_.data()) + position_ - length, length};
  }
  void skip(std::uint64_t count, std::uint64_t each) {
    if (each != 0 && count > file_bytes_ / each) {
      failed_ = true;
    } else {
      take(count * each);
    }
  }

 private:
  bool take(std::uint64_t count) {
    if (failed_) return false;
    if (count > file_bytes_ - position_) {
      failed_ = true;
      return false;
    }
    if (count > bytes_.size() - position_) {
      failed_ = needs_more_ = true;
      return false;
    }
    position_ += count;
    return true;
  }

  View<const std::uint8_t, 1> bytes_;
  std::uint64_t file_bytes_;
  std::uint64_t position_ = 0;
  bool failed_ = false;
  bool needs_more_ = false;
};

std::string printable_name(std::string_view name) {
  std::string out(name.substr(0, 64));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return out;
}

// Skips one value; returns what is wrong with it, or nothing.
std::string skip_value(Reader& reader, std::uint32_t type) {
  std::uint64_t count = 1;
  if (type == value_array) {
    type = reader.number<std::uint32_t>();
    count = reader.number<std::uint64_t>();
    if (type == value_array) return "an array of arrays";
  }
  if (type >= std::size(value_bytes)) return "a value of unknown type " + std::to_string(type);
  if (type != value_string) {
    reader.skip(count, value_bytes[type]);
    return {};
  }
  for (std::uint64_t i = 0; i < count && !reader.failed(); ++i) reader.text();
  return {};
}

struct TensorEnd {
  std::string name;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

// Reads one entry of the tensor table; returns what is wrong with it, or nothing.
std::string read_tensor(Reader& reader, std::uint64_t file_bytes, TensorEnd& tensor) {
  tensor.name = printable_name(reader.text());
  const std::string who = "tensor \"" + tensor.name + "\" ";
  const auto dimensions = reader.number<std::uint32_t>();
  if (!reader.failed() && (dimensions == 0 || dimensions > 4)) {
    return who + "has " + std::to_string(dimensions) + " dimensions; 1 to 4 are possible";
  }
  std::uint64_t elements = 1;
  std::uint64_t row = 1;
  for (std::uint32_t d = 0; d < dimensions && !reader.failed(); ++d) {
    const auto extent = reader.number<std::uint64_t>();
    if (reader.failed()) break;
    // No type has more than 32 elements in two bytes' worth of storage or so; 64 a byte is safe.
    if (extent == 0 || elements > file_bytes * 64 / extent) {
      return who + "claims more elements than the file could hold (or none)";
    }
    elements *= extent;
    if (d == 0) row = extent;
  }
  const auto type = reader.number<std::uint32_t>();
  tensor.offset = reader.number<std::uint64_t>();
  const Block* block = block_of(type);
  if (block == nullptr) {  // newer than this table: the server decides
    tensor.bytes = 1;
    return {};
  }
  if (row % block->elements != 0 && !reader.failed()) {
    return who + "has rows of " + std::to_string(row) + " elements, not whole blocks of " +
           std::to_string(block->elements);
  }
  tensor.bytes = elements / block->elements * block->bytes;
  return {};
}

// A file that ends too early is the usual fault: a download or a copy that was cut off.
std::string cut_off(std::uint64_t file_bytes, const std::string& where) {
  return "the file is cut off: it has " + std::to_string(file_bytes) + " bytes and ends " + where +
         "; copy or download it again";
}

std::string check(Reader& reader, std::uint64_t file_bytes) {
  const auto magic = reader.number<std::uint32_t>();
  if (reader.failed()) return cut_off(file_bytes, "inside the header");
  if (magic != 0x46554747) return "not a GGUF file (it does not start with \"GGUF\")";
  const auto version = reader.number<std::uint32_t>();
  if (!reader.failed() && (version < 2 || version > 3)) {
    return "GGUF version " + std::to_string(version) + "; versions 2 and 3 are known";
  }
  const auto tensors = reader.number<std::uint64_t>();
  const auto pairs = reader.number<std::uint64_t>();
  std::uint64_t alignment = gguf_alignment;
  for (std::uint64_t i = 0; i < pairs; ++i) {
    const std::string_view key = reader.text();
    const auto type = reader.number<std::uint32_t>();
    std::string fault;
    if (key == "general.alignment" && type == value_u32) {
      alignment = reader.number<std::uint32_t>();
      if (!reader.failed() && (alignment == 0 || alignment % 8 != 0)) {
        fault = "an alignment of " + std::to_string(alignment);
      }
    } else {
      fault = skip_value(reader, type);
    }
    if (reader.failed()) return cut_off(file_bytes, "inside its metadata");
    if (!fault.empty()) return "metadata key \"" + printable_name(key) + "\" has " + fault;
  }
  TensorEnd last;  // the one that reaches furthest
  std::uint64_t last_end = 0;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    TensorEnd tensor;
    std::string fault = read_tensor(reader, file_bytes, tensor);
    if (reader.failed()) return cut_off(file_bytes, "inside its tensor table");
    if (!fault.empty()) return fault;
    if (tensor.offset % alignment != 0) {
      return "tensor \"" + tensor.name + "\" is not aligned to " + std::to_string(alignment);
    }
    if (tensor.offset > ~std::uint64_t{0} / 2) {
      return "tensor \"" + tensor.name + "\" claims an offset of " + std::to_string(tensor.offset);
    }
    if (tensor.offset + tensor.bytes >= last_end) {
      last_end = tensor.offset + tensor.bytes;
      last = tensor;
    }
  }
  if (reader.failed()) return cut_off(file_bytes, "inside the header");
  if (tensors == 0) return "it has no tensors: a vocabulary only, not a model";
  const std::uint64_t data = (reader.position() + alignment - 1) / alignment * alignment;
  if (data > file_bytes || last_end > file_bytes - data) {
    return cut_off(file_bytes, "before the end of tensor \"" + last.name + "\" at byte " +
                                   std::to_string(data + last_end));
  }
  return {};
}

}  // namespace

std::uint64_t ggml_tensor_bytes(GgmlType type, std::uint64_t elements) {
  const Block* block = block_of(type);
  if (block == nullptr) return 0;
  assert(elements % block->elements == 0);
  return elements / block->elements * block->bytes;
}

void GgufHeader::pair(std::string_view key, std::uint32_t type) {
  append_text(pairs_, key);
  append(pairs_, type);
  ++pair_count_;
}

void GgufHeader::text(std::string_view key, std::string_view value) {
  pair(key, value_string);
  append_text(pairs_, value);
}

void GgufHeader::u32(std::string_view key, std::int64_t value) {
  assert(value >= 0 && value <= 0xffffffff);
  pair(key, value_u32);
  append(pairs_, static_cast<std::uint32_t>(value));
}

void GgufHeader::f32(std::string_view key, float value) {
  pair(key, value_f32);
  append(pairs_, value);
}

void GgufHeader::boolean(std::string_view key, bool value) {
  pair(key, value_bool);
  append(pairs_, static_cast<std::uint8_t>(value));
}

void GgufHeader::texts(std::string_view key, const std::vector<std::string>& values) {
  pair(key, value_array);
  append(pairs_, value_string);
  append<std::uint64_t>(pairs_, values.size());
  for (const std::string& value : values) append_text(pairs_, value);
}

void GgufHeader::i32s(std::string_view key, const std::vector<std::int32_t>& values) {
  pair(key, value_array);
  append(pairs_, value_i32);
  append<std::uint64_t>(pairs_, values.size());
  for (const std::int32_t value : values) append(pairs_, value);
}

void GgufHeader::tensor(std::string_view name, const std::vector<std::uint64_t>& extents,
                        GgmlType type, std::uint64_t offset) {
  append_text(tensors_, name);
  append(tensors_, static_cast<std::uint32_t>(extents.size()));
  for (const std::uint64_t extent : extents) append(tensors_, extent);
  append(tensors_, type);
  append(tensors_, offset);
  ++tensor_count_;
}

std::string GgufHeader::bytes() const {
  std::string out = "GGUF";
  append(out, std::uint32_t{3});
  append(out, tensor_count_);
  append(out, pair_count_);
  out += pairs_;
  out += tensors_;
  out.resize((out.size() + gguf_alignment - 1) / gguf_alignment * gguf_alignment);
  return out;
}

GgufCheck gguf_check(View<const std::uint8_t, 1> start, std::uint64_t file_bytes) {
  assert(start.size() <= file_bytes);
  Reader reader(start, file_bytes);
  GgufCheck result;
  result.error = check(reader, file_bytes);
  result.needs_more = reader.needs_more();
  return result;
}

}  // namespace noroshi::engine
