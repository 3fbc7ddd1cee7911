#include "fleet/json_fields.h"

#include <cmath>
#include <sstream>

#include "fleet/bus.h"

namespace noroshi::fleet {
namespace {

// A full name, never printed longer than a line.
std::string shown_value(const boost::json::value& value) {
  return value.is_string()   ? "'" + shown(value.as_string()) + "'"
         : value.is_object() ? "an object"
         : value.is_array()  ? "a list"
                             : boost::json::serialize(value);
}

}  // namespace

std::string shown(std::string_view bytes) {
  std::string out(bytes.substr(0, 80));
  for (char& c : out) c = c >= ' ' && c <= '~' ? c : '?';
  return bytes.size() > out.size() ? out + "..." : out;
}

Result<boost::json::object> parse_document(std::string_view bytes, std::size_t bytes_max) {
  if (bytes.size() > bytes_max) {
    return Error{"has " + std::to_string(bytes.size()) +
                 " bytes (allowed: " + std::to_string(bytes_max) + ")"};
  }
  boost::system::error_code error;
  boost::json::value value = boost::json::parse(bytes, error);
  if (error) return Error{"is not JSON: " + error.message() + ": '" + shown(bytes) + "'"};
  if (!value.is_object()) return Error{"is not a JSON object: '" + shown(bytes) + "'"};
  std::optional<Error> fault;
  int version = 0;
  JsonFields fields(value.as_object(), "", fault);
  fields.require("v");
  fields.integer("v", version, 1, 1);
  if (fault) return *std::move(fault);
  return std::move(value.as_object());
}

void JsonFields::fail(const char* key, const std::string& what) {
  if (!error_) error_ = Error{path_ + (path_.empty() ? "" : ".") + key + " " + what};
}

void JsonFields::require(const char* key) {
  if (!error_ && !has(key)) fail(key, "is missing");
}

void JsonFields::text(const char* key, std::string& value, std::size_t bytes_max) {
  const boost::json::value* field = find(key);
  if (field == nullptr) return;
  if (!field->is_string()) return fail(key, "is " + shown_value(*field) + " (allowed: a text)");
  if (field->as_string().size() > bytes_max) {
    return fail(key, "has " + std::to_string(field->as_string().size()) +
                         " bytes (allowed: " + std::to_string(bytes_max) + ")");
  }
  value = std::string(field->as_string());
}

void JsonFields::word(const char* key, std::string& value) {
  std::string read;
  text(key, read);
  if (error_ || !has(key)) return;
  if (!is_word(read)) {
    return fail(key, "is '" + shown(read) + "' (allowed: 1 to 64 letters, digits, '-' and '_')");
  }
  value = std::move(read);
}

void JsonFields::number(const char* key, double& value, double min, double max) {
  const boost::json::value* field = find(key);
  if (field == nullptr) return;
  boost::system::error_code error;
  const double read = field->is_number() ? field->to_number<double>(error) : 0;
  if (!field->is_number() || error || !std::isfinite(read) || read < min || read > max) {
    std::ostringstream range;
    range << "(allowed: " << min << " to " << max << ")";
    return fail(key, "is " + shown_value(*field) + " " + range.str());
  }
  value = read;
}

void JsonFields::integer(const char* key, int& value, int min, int max) {
  double read = value;
  number(key, read, min, max);
  if (error_) return;
  if (read != std::floor(read)) return fail(key, "is no whole number");
  value = static_cast<int>(read);
}

void JsonFields::natural(const char* key, std::uint64_t& value) {
  const boost::json::value* field = find(key);
  if (field == nullptr) return;
  boost::system::error_code error;
  const auto read = field->is_number() ? field->to_number<std::uint64_t>(error) : 0;
  if (!field->is_number() || error) {
    return fail(key, "is " + shown_value(*field) + " (allowed: a whole number from 0)");
  }
  value = read;
}

void JsonFields::boolean(const char* key, bool& value) {
  const boost::json::value* field = find(key);
  if (field == nullptr) return;
  if (!field->is_bool()) return fail(key, "is " + shown_value(*field) + " (allowed: true, false)");
  value = field->as_bool();
}

void JsonFields::texts(const char* key, std::vector<std::string>& value, std::size_t count_max) {
  const boost::json::value* field = find(key);
  if (field == nullptr) return;
  if (!field->is_array() || field->as_array().size() > count_max) {
    return fail(key, "is not a list of at most " + std::to_string(count_max) + " texts");
  }
  value.clear();
  for (const boost::json::value& entry : field->as_array()) {
    if (!entry.is_string() || entry.as_string().size() > text_bytes_max) {
      return fail(key, "holds " + shown_value(entry) + " (allowed: texts of at most " +
                           std::to_string(text_bytes_max) + " bytes)");
    }
    value.emplace_back(entry.as_string());
  }
}

const boost::json::array* JsonFields::objects(const char* key, std::size_t count_max) {
  const boost::json::value* field = find(key);
  if (field == nullptr) return nullptr;
  if (!field->is_array() || field->as_array().size() > count_max) {
    fail(key, "is not a list of at most " + std::to_string(count_max) + " objects");
    return nullptr;
  }
  for (const boost::json::value& entry : field->as_array()) {
    if (entry.is_object()) continue;
    fail(key, "holds " + shown_value(entry) + " (allowed: objects)");
    return nullptr;
  }
  return &field->as_array();
}

}  // namespace noroshi::fleet
