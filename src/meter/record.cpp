#include "meter/record.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <limits>

namespace noroshi::meter {
namespace json = boost::json;
namespace {

constexpr std::uint64_t tokens_max = 1'000'000'000;
constexpr std::size_t value_shown_max = 64;
constexpr std::int64_t year_2020_ns = 1'577'836'800'000'000'000;
// Durations come from one clock, so an end before the beginning is a clock that was set in between.
constexpr std::int64_t day_ns = 86'400'000'000'000;

constexpr std::array<std::string_view, 3> outcome_names = {"answered", "client_left", "cut"};

Error wrong(std::string_view field, const std::string& value, std::string_view must) {
  std::string shown = value.substr(0, value_shown_max);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return Error{"usage record: " + std::string(field) + " " + shown + " " + std::string(must)};
}

// The fields of one object, and the first thing that is wrong with them.
struct Reader {
  const json::object& object;
  Result<void> state = {};

  const json::value* find(std::string_view field) {
    const json::value* value = object.if_contains(json::string_view(field.data(), field.size()));
    if (value == nullptr && state) state = Error{"usage record: no " + std::string(field)};
    return state ? value : nullptr;
  }
  void name(std::string_view field, std::size_t min, std::size_t max, std::string& to) {
    const json::value* value = find(field);
    if (value == nullptr) return;
    if (!value->is_string()) {
      state = wrong(field, json::serialize(*value), "is no text");
      return;
    }
    to = std::string(value->get_string());
    if (to.size() < min || to.size() > max) {
      state = wrong(field, "of " + std::to_string(to.size()) + " bytes",
                    "must have " + std::to_string(min) + " to " + std::to_string(max));
      return;
    }
    for (const char c : to) {
      if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) continue;
      state = wrong(field, to, "holds a control character");
      return;
    }
  }
  template <class T>
  void number(std::string_view field, T min, T max, T& to) {
    const json::value* value = find(field);
    if (value == nullptr) return;
    boost::system::error_code error;
    to = value->is_number() ? value->to_number<T>(error) : T{};
    if (!value->is_number() || error || to < min || to > max) {
      state = wrong(
          field, json::serialize(*value),
          "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
    }
  }
  void flag(std::string_view field, bool& to) {
    const json::value* value = find(field);
    if (value == nullptr) return;
    if (!value->is_bool()) {
      state = wrong(field, json::serialize(*value), "must be true or false");
      return;
    }
    to = value->get_bool();
  }
};

Result<void> check_together(const UsageRecord& record) {
  if (record.tokens_cached > record.tokens_prompt) {
    return wrong("cached", std::to_string(record.tokens_cached),
                 "is more than the prompt's " + std::to_string(record.tokens_prompt));
  }
  if (record.done_ns < record.received_ns - day_ns) {
    return wrong("done_ns", std::to_string(record.done_ns),
                 "is long before received_ns " + std::to_string(record.received_ns));
  }
  return {};
}

}  // namespace

std::string_view outcome_name(Outcome outcome) {
  return outcome_names[static_cast<std::size_t>(outcome)];
}

std::string encode_record(const UsageRecord& record) {
  json::object object;
  object["v"] = 1;
  object["id"] = record.id;
  object["tenant"] = record.tenant;
  object["model"] = record.model;
  object["site"] = record.site;
  object["endpoint"] = record.endpoint;
  object["prompt"] = record.tokens_prompt;
  object["completion"] = record.tokens_completion;
  object["cached"] = record.tokens_cached;
  object["counted_here"] = record.tokens_counted_here;
  object["received_ns"] = record.received_ns;
  object["first_byte_ns"] = record.first_byte_ns;
  object["done_ns"] = record.done_ns;
  const std::string_view outcome = outcome_name(record.outcome);
  object["outcome"] = json::string_view(outcome.data(), outcome.size());
  object["resumed"] = record.resumed;
  return json::serialize(object);
}

Result<UsageRecord> parse_record(std::string_view bytes) {
  if (bytes.size() > 1 << 16) {
    return Error{"usage record: " + std::to_string(bytes.size()) + " bytes are too many"};
  }
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 4;
  const json::value value =
      json::parse(json::string_view(bytes.data(), bytes.size()), error, {}, options);
  if (error) return Error{"usage record: not JSON: " + error.message()};
  if (!value.is_object()) return Error{"usage record: not a JSON object"};

  UsageRecord record;
  Reader read{value.get_object()};
  int version = 0;
  std::string outcome;
  read.number("v", 1, 1, version);
  read.name("id", 1, 128, record.id);
  read.name("tenant", 0, 128, record.tenant);
  read.name("model", 1, 256, record.model);
  read.name("site", 0, 128, record.site);
  read.name("endpoint", 1, 32, record.endpoint);
  read.number<std::uint64_t>("prompt", 0, tokens_max, record.tokens_prompt);
  read.number<std::uint64_t>("completion", 0, tokens_max, record.tokens_completion);
  read.number<std::uint64_t>("cached", 0, tokens_max, record.tokens_cached);
  read.flag("counted_here", record.tokens_counted_here);
  constexpr std::int64_t ns_max = std::numeric_limits<std::int64_t>::max();
  read.number<std::int64_t>("received_ns", year_2020_ns, ns_max, record.received_ns);
  read.number<std::int64_t>("first_byte_ns", 0, ns_max, record.first_byte_ns);
  read.number<std::int64_t>("done_ns", year_2020_ns, ns_max, record.done_ns);
  read.name("outcome", 1, 32, outcome);
  read.number("resumed", 0, 1'000'000, record.resumed);
  if (!read.state) return read.state.error();
  const auto* known = std::find(outcome_names.begin(), outcome_names.end(), outcome);
  if (known == outcome_names.end()) {
    return wrong("outcome", outcome, "is not answered, client_left or cut");
  }
  record.outcome = static_cast<Outcome>(known - outcome_names.begin());
  if (auto together = check_together(record); !together) return together.error();
  return record;
}

}  // namespace noroshi::meter
