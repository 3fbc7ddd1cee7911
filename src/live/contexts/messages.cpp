#include "live/contexts/messages.h"

#include <boost/json.hpp>
#include <cmath>
#include <limits>

#include "fleet/bus.h"

namespace noroshi::live {
namespace {

namespace json = boost::json;

constexpr std::size_t message_bytes_max = 4096;
constexpr std::size_t blob_name_max = 60;
constexpr double seconds_max = 3600;

Result<json::object> parse(std::string_view text, const std::string& what) {
  if (text.size() > message_bytes_max) {
    return Error{what + ": " + std::to_string(text.size()) +
                 " bytes (allowed: " + std::to_string(message_bytes_max) + ")"};
  }
  boost::system::error_code failure;
  json::value value = json::parse({text.data(), text.size()}, failure);
  if (failure || !value.is_object()) return Error{what + ": is no JSON object"};
  return std::move(value.get_object());
}

Result<std::string> word_at(const json::object& object, const char* field, std::size_t size_max,
                            const std::string& what) {
  const json::value* value = object.if_contains(field);
  if (value == nullptr || !value->is_string()) return Error{what + "." + field + " is no text"};
  std::string text(value->get_string());
  if (!fleet::is_word(text) || text.size() > size_max) {
    return Error{what + "." + field + " is \"" + text.substr(0, 80) + "\" (allowed: 1 to " +
                 std::to_string(size_max) + " letters, digits, '-' and '_')"};
  }
  return text;
}

Result<double> number_at(const json::object& object, const char* field, double most,
                         const std::string& what) {
  const json::value* value = object.if_contains(field);
  if (value == nullptr || !value->is_number()) return Error{what + "." + field + " is no number"};
  const double number = value->to_number<double>();
  if (!(number >= 0 && number <= most)) {
    return Error{what + "." + field + " is " + std::to_string(number) + " (allowed: 0 to " +
                 std::to_string(most) + ")"};
  }
  return number;
}

}  // namespace

std::string context_subject(std::string_view region, std::string_view site) {
  return "noroshi.context." + std::string(region) + "." + std::string(site);
}

std::string json_of(const ContextAsk& ask) {
  return json::serialize(json::object{{"session", ask.session}, {"blob", ask.blob}});
}

std::string json_of(const ContextAnswer& answer) {
  if (!answer.error.empty()) {
    return json::serialize(json::object{{"error", answer.error.substr(0, 300)}});
  }
  return json::serialize(json::object{{"tokens", answer.tokens},
                                      {"bytes", answer.bytes},
                                      {"save_s", answer.save_s},
                                      {"put_s", answer.put_s}});
}

Result<ContextAsk> parse_context_ask(std::string_view text) {
  const auto object = parse(text, "context ask");
  if (!object) return object.error();
  auto session = word_at(*object, "session", 64, "context ask");
  if (!session) return session.error();
  auto blob = word_at(*object, "blob", blob_name_max, "context ask");
  if (!blob) return blob.error();
  return ContextAsk{*std::move(session), *std::move(blob)};
}

Result<ContextAnswer> parse_context_answer(std::string_view text) {
  const auto object = parse(text, "context answer");
  if (!object) return object.error();
  ContextAnswer answer;
  if (const json::value* error = object->if_contains("error"); error != nullptr) {
    if (!error->is_string() || error->get_string().empty()) {
      return Error{"context answer.error is no text"};
    }
    answer.error = std::string(error->get_string()).substr(0, 300);
    return answer;
  }
  const auto tokens = number_at(*object, "tokens", 1e9, "context answer");
  if (!tokens) return tokens.error();
  const auto bytes = number_at(*object, "bytes", 1e12, "context answer");
  if (!bytes) return bytes.error();
  const auto save = number_at(*object, "save_s", seconds_max, "context answer");
  if (!save) return save.error();
  const auto put = number_at(*object, "put_s", seconds_max, "context answer");
  if (!put) return put.error();
  answer.tokens = static_cast<int>(*tokens);
  answer.bytes = static_cast<std::uint64_t>(*bytes);
  answer.save_s = *save;
  answer.put_s = *put;
  return answer;
}

Result<SiteName> parse_site_name(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash != std::string_view::npos && fleet::is_word(text.substr(0, slash)) &&
      fleet::is_word(text.substr(slash + 1))) {
    return SiteName{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
  }
  return Error{"site \"" + std::string(text.substr(0, 140)) + "\" (allowed: REGION/SITE)"};
}

}  // namespace noroshi::live
