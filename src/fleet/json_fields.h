#pragma once

// Reads fields of JSON that somebody else wrote: each has a type and a range, the first fault
// stands and names field and value; unknown fields are ignored, so that newer senders can be read.

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace noroshi::fleet {

inline constexpr std::size_t text_bytes_max = 256;

// Parsed with the library's limit of depth. Errors: larger than bytes_max, no JSON, no object,
// another "v" than 1.
Result<boost::json::object> parse_document(std::string_view bytes, std::size_t bytes_max);

class JsonFields {
 public:
  JsonFields(const boost::json::object& object, std::string path, std::optional<Error>& error)
      : object_(object), path_(std::move(path)), error_(error) {}

  bool has(const char* key) const { return object_.if_contains(key) != nullptr; }
  // Each leaves the target as it is when the field is absent.
  void text(const char* key, std::string& value, std::size_t bytes_max = text_bytes_max);
  void word(const char* key, std::string& value);  // is_word()
  void number(const char* key, double& value, double min, double max);
  void integer(const char* key, int& value, int min, int max);
  void natural(const char* key, std::uint64_t& value);
  void boolean(const char* key, bool& value);
  void texts(const char* key, std::vector<std::string>& value, std::size_t count_max);
  // The object's list of objects; nothing when absent or wrong.
  const boost::json::array* objects(const char* key, std::size_t count_max);
  void require(const char* key);
  void fail(const char* key, const std::string& what);

 private:
  const boost::json::value* find(const char* key) const {
    return error_ ? nullptr : object_.if_contains(key);
  }
  const boost::json::object& object_;
  std::string path_;
  std::optional<Error>& error_;
};

// At most 80 printable letters of untrusted bytes, for a message.
std::string shown(std::string_view bytes);

}  // namespace noroshi::fleet
