#include "radio/sigmf_meta.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

namespace noroshi::radio {
namespace {

namespace json = boost::json;

constexpr double rate_hz_max = 1e12;

std::string place(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, std::min(at, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  const std::size_t column =
      before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

Result<json::value> parse_json(std::string_view text) {
  json::parser parser;
  json::error_code error;
  std::size_t consumed = parser.write_some(text.data(), text.size(), error);
  if (!error && consumed < text.size()) {
    // Only white space may follow.
    consumed = std::min(text.find_first_not_of(" \t\r\n", consumed), text.size());
    if (consumed < text.size()) error = json::error::extra_data;
  }
  if (error) return Error{"not JSON at " + place(text, consumed) + ": " + error.message()};
  return parser.release();
}

// Reads one key of an object; the first fault is kept.
class Fields {
 public:
  Fields(const json::object& object, std::string where)
      : object_(object), where_(std::move(where)) {}

  const std::string& fault() const { return fault_; }

  const json::value* find(std::string_view key, bool needed = false) {
    const json::value* value = object_.if_contains({key.data(), key.size()});
    if (value == nullptr && needed) fail(key, "is missing");
    return value;
  }
  std::string text(std::string_view key, bool needed = false) {
    const json::value* value = find(key, needed);
    if (value == nullptr) return {};
    if (!value->is_string()) {
      fail(key, "is not a string");
      return {};
    }
    return std::string(value->as_string());
  }
  double number(std::string_view key, double low, double high) {
    const json::value* value = find(key);
    if (value == nullptr) return 0;
    json::error_code error;
    const double number = value->to_number<double>(error);
    if (error || !(number >= low && number <= high)) {
      fail(key, "is not a number in its range");
      return 0;
    }
    return number;
  }
  std::int64_t count(std::string_view key, std::int64_t fallback, std::int64_t low,
                     std::int64_t high) {
    const json::value* value = find(key);
    if (value == nullptr) return fallback;
    json::error_code error;
    const auto number = value->to_number<std::int64_t>(error);
    if (error || number < low || number > high) {
      fail(key,
           "is not a whole number from " + std::to_string(low) + " to " + std::to_string(high));
      return fallback;
    }
    return number;
  }
  void fail(std::string_view key, const std::string& what) {
    if (fault_.empty()) fault_ = where_ + ": \"" + std::string(key) + "\" " + what;
  }

 private:
  const json::object& object_;
  std::string where_;
  std::string fault_;
};

constexpr std::int64_t samples_max = std::int64_t{1} << 60;

std::string read_global(const json::object& object, SigmfMeta& meta) {
  Fields fields(object, "global");
  const std::string type = fields.text("core:datatype", true);
  meta.int16 = type == "ci16_le";
  if (!type.empty() && type != "cf32_le" && !meta.int16) {
    fields.fail("core:datatype",
                "is \"" + type.substr(0, 32) + "\"; cf32_le and ci16_le can be read");
  }
  fields.text("core:version", true);
  meta.info.sample_rate_hz = fields.number("core:sample_rate", 0, rate_hz_max);
  meta.info.channels =
      static_cast<int>(fields.count("core:num_channels", 1, 1, sigmf_channels_max));
  meta.info.description = fields.text("core:description");
  meta.dataset = fields.text("core:dataset");
  if (meta.dataset.find('/') != std::string::npos || meta.dataset == "..") {
    fields.fail("core:dataset", "is not the name of a file in the same folder");
  }
  const json::value* only = fields.find("core:metadata_only");
  if (only != nullptr && only->is_bool() && only->as_bool()) {
    fields.fail("core:metadata_only", "is set: there are no samples");
  }
  if (fields.count("core:trailing_bytes", 0, 0, samples_max) != 0) {
    fields.fail("core:trailing_bytes", "is set, which cannot be read");
  }
  if (fields.find("noroshi:sample_count") != nullptr) {
    meta.samples_written = fields.count("noroshi:sample_count", 0, 0, samples_max);
  }
  return fields.fault();
}

std::string read_captures(const json::array& captures, SigmfMeta& meta) {
  for (std::size_t i = 0; i < captures.size(); ++i) {
    const std::string where = "captures[" + std::to_string(i) + "]";
    if (!captures[i].is_object()) return where + " is not an object";
    Fields fields(captures[i].as_object(), where);
    fields.count("core:sample_start", 0, 0, samples_max);
    const double frequency_hz = fields.number("core:frequency", -rate_hz_max, rate_hz_max);
    const std::string datetime = fields.text("core:datetime");
    if (fields.count("core:header_bytes", 0, 0, samples_max) != 0) {
      fields.fail("core:header_bytes", "is set, which cannot be read");
    }
    if (i == 0) {
      meta.info.frequency_hz = frequency_hz;
      meta.info.datetime = datetime;
    }
    if (!fields.fault().empty()) return fields.fault();
  }
  return {};
}

std::string read_annotations(const json::array& annotations, SigmfMeta& meta) {
  for (std::size_t i = 0; i < annotations.size(); ++i) {
    const std::string where = "annotations[" + std::to_string(i) + "]";
    if (!annotations[i].is_object()) return where + " is not an object";
    Fields fields(annotations[i].as_object(), where);
    SigmfInfo::Annotation annotation;
    annotation.sample_start = fields.count("core:sample_start", 0, 0, samples_max);
    annotation.sample_count = fields.count("core:sample_count", 0, 0, samples_max);
    annotation.label = fields.text("core:label");
    if (!fields.fault().empty()) return fields.fault();
    meta.info.annotations.push_back(std::move(annotation));
  }
  return {};
}

const json::array* array_of(const json::object& root, std::string_view key, std::string& fault) {
  static const json::array empty;
  const json::value* value = root.if_contains({key.data(), key.size()});
  if (value == nullptr) return &empty;
  if (value->is_array()) return &value->as_array();
  fault = "\"" + std::string(key) + "\" is not an array";
  return &empty;
}

}  // namespace

Result<SigmfMeta> parse_sigmf_meta(std::string_view text) {
  const Result<json::value> value = parse_json(text);
  if (!value) return value.error();
  const json::object* root = value->if_object();
  const json::value* global = root == nullptr ? nullptr : root->if_contains("global");
  if (global == nullptr || !global->is_object()) {
    return Error{"not SigMF metadata: it has no object \"global\""};
  }
  SigmfMeta meta;
  std::string fault = read_global(global->as_object(), meta);
  if (fault.empty()) {
    const json::array* captures = array_of(*root, "captures", fault);
    if (fault.empty()) fault = read_captures(*captures, meta);
  }
  if (fault.empty()) {
    const json::array* annotations = array_of(*root, "annotations", fault);
    if (fault.empty()) fault = read_annotations(*annotations, meta);
  }
  if (!fault.empty()) return Error{fault};
  return meta;
}

std::string sigmf_meta_text(const SigmfMeta& meta) {
  const SigmfInfo& info = meta.info;
  json::object global = {{"core:datatype", meta.int16 ? "ci16_le" : "cf32_le"},
                         {"core:version", "1.0.0"},
                         {"core:num_channels", info.channels},
                         {"core:recorder", "noroshi"}};
  if (info.sample_rate_hz > 0) global["core:sample_rate"] = info.sample_rate_hz;
  if (!info.description.empty()) global["core:description"] = info.description;
  if (!meta.dataset.empty()) global["core:dataset"] = meta.dataset;
  if (meta.samples_written) {
    global["core:extensions"] =
        json::array{json::object{{"name", "noroshi"}, {"version", "0.1.0"}, {"optional", true}}};
    global["noroshi:sample_count"] = *meta.samples_written;
  }
  json::object capture = {{"core:sample_start", 0}, {"core:frequency", info.frequency_hz}};
  if (!info.datetime.empty()) capture["core:datetime"] = info.datetime;
  json::array annotations;
  for (const SigmfInfo::Annotation& a : info.annotations) {
    annotations.push_back(json::object{{"core:sample_start", a.sample_start},
                                       {"core:sample_count", a.sample_count},
                                       {"core:label", a.label}});
  }
  return json::serialize(json::object{{"global", std::move(global)},
                                      {"captures", json::array{std::move(capture)}},
                                      {"annotations", std::move(annotations)}}) +
         "\n";
}

}  // namespace noroshi::radio
