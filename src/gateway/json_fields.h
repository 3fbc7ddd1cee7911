#pragma once

// Looking into JSON that somebody else wrote.

#include <boost/json.hpp>
#include <string_view>

namespace noroshi::gateway {

namespace json = boost::json;

inline const json::object* object_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? nullptr : value->if_object();
}

inline std::string_view text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

}  // namespace noroshi::gateway
