#include "conformance/vectors.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

namespace noroshi::conformance {
namespace json = boost::json;
namespace {

constexpr std::size_t elements_max = std::size_t{1} << 23;

struct Dtype {
  std::size_t bytes = 0;
  bool is_complex = false;
  double (*load)(const char*) = nullptr;
};

template <class T>
double load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return static_cast<double>(value);
}

std::optional<Dtype> dtype(std::string_view name) {
  if (name == "u1") return Dtype{1, false, load<std::uint8_t>};
  if (name == "i1") return Dtype{1, false, load<std::int8_t>};
  if (name == "i2") return Dtype{2, false, load<std::int16_t>};
  if (name == "i4") return Dtype{4, false, load<std::int32_t>};
  if (name == "f4") return Dtype{4, false, load<float>};
  if (name == "c8") return Dtype{8, true, load<float>};
  return std::nullopt;
}

std::optional<std::uint64_t> unsigned_integer(const json::value* value) {
  if (value == nullptr) return std::nullopt;
  if (value->is_int64() && value->get_int64() >= 0) {
    return static_cast<std::uint64_t>(value->get_int64());
  }
  if (value->is_uint64()) return value->get_uint64();
  return std::nullopt;
}

void store(Array& array, const Dtype& type, std::size_t index, const char* bytes) {
  if (type.is_complex) {
    array.complex[index] = {type.load(bytes), type.load(bytes + 4)};
  } else {
    array.real[index] = type.load(bytes);
  }
}

Result<Array> parse_array(std::string_view key, const json::object& about, std::string_view bin) {
  const auto bad = [&](const std::string& what) {
    return Error{"array '" + std::string(key) + "': " + what};
  };
  const json::value* type_name = about.if_contains("dtype");
  const auto type = type_name != nullptr && type_name->is_string()
                        ? dtype(std::string_view(type_name->get_string()))
                        : std::nullopt;
  if (!type) return bad("dtype is none of u1, i1, i2, i4, f4, c8");

  Array array;
  array.is_complex = type->is_complex;
  const json::value* shape = about.if_contains("shape");
  if (shape == nullptr || !shape->is_array()) return bad("no shape");
  std::size_t count = 1;
  for (const json::value& extent : shape->get_array()) {
    const auto size = unsigned_integer(&extent);
    if (!size || *size > elements_max || (*size != 0 && count > elements_max / *size)) {
      return bad("a shape of over 2^23 elements or not of whole numbers");
    }
    array.shape.push_back(*size);
    count *= *size;
  }
  if (const json::value* slots = about.if_contains("slots");
      slots != nullptr && slots->is_array()) {
    for (const json::value& slot : slots->get_array()) {
      const auto number = unsigned_integer(&slot);
      if (!number || *number > 1'000'000) return bad("slots are not slot numbers");
      array.slots.push_back(static_cast<int>(*number));
    }
  }

  const auto offset = unsigned_integer(about.if_contains("offset"));
  if (!offset || *offset > bin.size()) return bad("offset lies outside cases.bin");
  const char* bytes = bin.data() + *offset;
  const std::size_t left = bin.size() - *offset;
  const json::value* encoding = about.if_contains("encoding");
  const bool sparse = encoding != nullptr;
  if (sparse && (!encoding->is_string() || encoding->get_string() != "sparse")) {
    return bad("encoding is not 'sparse'");
  }
  const auto nnz = sparse ? unsigned_integer(about.if_contains("nnz")) : count;
  if (!nnz || *nnz > count) return bad("nnz is missing or above the number of elements");
  const std::size_t need = *nnz * type->bytes + (sparse ? *nnz * 4 : 0);
  if (need > left) {
    return bad("needs " + std::to_string(need) + " bytes at offset " + std::to_string(*offset) +
               " and cases.bin ends after " + std::to_string(left) + ": the file is truncated");
  }
  (array.is_complex ? array.complex.resize(count) : array.real.resize(count));
  for (std::size_t i = 0; i < *nnz; ++i) {
    std::size_t index = i;
    if (sparse) {
      std::int32_t flat = 0;
      std::memcpy(&flat, bytes + 4 * i, 4);
      if (flat < 0 || static_cast<std::size_t>(flat) >= count) {
        return bad("sparse index " + std::to_string(flat) + " lies outside the shape");
      }
      index = static_cast<std::size_t>(flat);
    }
    store(array, *type, index, bytes + (sparse ? 4 * *nnz : 0) + i * type->bytes);
  }
  return array;
}

Result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{path.string() + ": cannot be opened"};
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) return Error{path.string() + ": cannot be read"};
  return text;
}

}  // namespace

Result<double> VectorCase::number(std::string_view key) const {
  const json::value* value = params.if_contains(key);
  if (value != nullptr && value->is_bool()) return value->get_bool() ? 1.0 : 0.0;
  if (value == nullptr || !value->is_number()) {
    return Error{"no number '" + std::string(key) + "' in params or implied"};
  }
  return value->to_number<double>();
}

Result<int> VectorCase::integer(std::string_view key) const {
  const auto value = number(key);
  if (!value) return value.error();
  if (*value != std::round(*value) || std::abs(*value) > 2e9) {
    return Error{"'" + std::string(key) + "' is not a whole number of 32 bits"};
  }
  return static_cast<int>(*value);
}

Result<std::string> VectorCase::text(std::string_view key) const {
  const json::value* value = params.if_contains(key);
  if (value == nullptr || !value->is_string()) {
    return Error{"no text '" + std::string(key) + "' in params or implied"};
  }
  return std::string(std::string_view(value->get_string()));
}

Result<std::vector<double>> VectorCase::numbers(std::string_view key) const {
  const json::value* value = params.if_contains(key);
  if (value == nullptr || !value->is_array()) {
    const auto one = number(key);
    if (!one) return one.error();
    return std::vector<double>{*one};
  }
  std::vector<double> list;
  for (const json::value& element : value->get_array()) {
    if (!element.is_number())
      return Error{"'" + std::string(key) + "' holds something not a number"};
    list.push_back(element.to_number<double>());
  }
  return list;
}

Result<const Array*> VectorCase::array(std::string_view key) const {
  const auto found = arrays.find(key);
  if (found == arrays.end()) return Error{"no array '" + std::string(key) + "'"};
  return &found->second;
}

Result<VectorCase> parse_case(std::string_view line, std::string_view bin) {
  json::error_code failure;
  const json::value parsed = json::parse(line, failure);
  if (failure) return Error{"not JSON: " + failure.message()};
  if (!parsed.is_object()) return Error{"not a JSON object"};
  const json::object& object = parsed.get_object();

  VectorCase vector_case;
  const json::value* name = object.if_contains("name");
  if (name == nullptr || !name->is_string()) return Error{"a case without a name"};
  vector_case.name = std::string_view(name->get_string());
  for (const char* part : {"implied", "params"}) {
    const json::value* facts = object.if_contains(part);
    if (facts == nullptr) continue;
    if (!facts->is_object()) return Error{vector_case.name + ": '" + part + "' is not an object"};
    for (const auto& [key, value] : facts->get_object()) vector_case.params[key] = value;
  }
  const json::value* arrays = object.if_contains("arrays");
  if (arrays == nullptr || !arrays->is_object()) return Error{vector_case.name + ": no arrays"};
  for (const auto& [key, about] : arrays->get_object()) {
    if (!about.is_object()) return Error{vector_case.name + ": an array that is not an object"};
    auto array = parse_array(key, about.get_object(), bin);
    if (!array) return Error{vector_case.name + ": " + array.error().message};
    vector_case.arrays.emplace(key, *std::move(array));
  }
  return vector_case;
}

Result<Component> read_component(const std::filesystem::path& folder) {
  const auto lines = read_file(folder / "cases.jsonl");
  if (!lines) return lines.error();
  const auto bin = read_file(folder / "cases.bin");
  if (!bin) return bin.error();

  Component component{folder.filename().string(), {}};
  std::string_view rest = *lines;
  for (int number = 1; !rest.empty(); ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto parsed = parse_case(line, *bin);
    if (!parsed) {
      parsed = Error{"cases.jsonl:" + std::to_string(number) + ": " + parsed.error().message};
    }
    component.cases.push_back(std::move(parsed));
  }
  return component;
}

}  // namespace noroshi::conformance
