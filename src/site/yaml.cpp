#include "site/yaml.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace noroshi::site {
namespace {

std::string plain(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

std::string kind(const YAML::Node& node) {
  if (!node.IsDefined() || node.IsNull()) return "nothing";
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  return "\"" + node.Scalar() + "\"";
}

template <class T>
bool parse_whole(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && stop == end;
}

}  // namespace

void YamlReader::fail(const YAML::Mark& mark, const std::string& message) {
  if (error) return;
  std::string where = file;
  if (!mark.is_null())
    where += ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
  error = Error{where + ": " + message};
}

YamlSection::YamlSection(YamlReader& reader, const YAML::Node& node, std::string path,
                         std::initializer_list<const char*> keys)
    : reader_(&reader), node_(node), path_(std::move(path)) {
  if (!node_.IsDefined() || reader.error) return;
  const std::string name = path_.empty() ? "the file" : path_;
  if (!node_.IsMap()) {
    reader.fail(node_.Mark(), name + " is " + kind(node_) + " (allowed: a map of keys)");
    return;
  }
  std::string allowed;
  for (const char* key : keys) allowed += std::string(allowed.empty() ? "" : ", ") + key;
  std::vector<std::string> seen;
  for (const auto& entry : node_) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : kind(entry.first);
    if (std::ranges::find(keys, key) == keys.end()) {
      reader.fail(entry.first.Mark(),
                  "unknown key " + key + " in " + name + " (allowed: " + allowed + ")");
      return;
    }
    if (std::ranges::find(seen, key) != seen.end()) {
      reader.fail(entry.first.Mark(), "key " + key + " stands twice in " + name);
      return;
    }
    seen.push_back(key);
  }
}

bool YamlSection::has(const char* key) const {
  return node_.IsDefined() && node_.IsMap() && node_[key].IsDefined();
}

YAML::Node YamlSection::child(const char* key) const {
  return has(key) ? node_[key] : YAML::Node(YAML::NodeType::Undefined);
}

std::string YamlSection::path_of(const char* key) const {
  return path_.empty() ? key : path_ + "." + key;
}

void YamlSection::require(const char* key) {
  if (reader_->error || has(key)) return;
  reader_->fail(node_.IsDefined() ? node_.Mark() : YAML::Mark::null_mark(),
                path_of(key) + " is missing");
}

void YamlSection::fail(const char* key, const std::string& message) {
  reader_->fail(child(key).Mark(), path_of(key) + ": " + message);
}

void YamlSection::number(const char* key, double& value, double min, double max) {
  if (reader_->error || !has(key)) return;
  const YAML::Node node = child(key);
  const std::string allowed = " (allowed: a number from " + plain(min) + " to " + plain(max) + ")";
  double parsed = 0;
  if (!node.IsScalar() || !parse_whole(node.Scalar(), parsed) || !std::isfinite(parsed))
    return fail(key, kind(node) + " is not a number" + allowed);
  if (parsed < min || parsed > max) return fail(key, node.Scalar() + " is out of range" + allowed);
  value = parsed;
}

void YamlSection::integer(const char* key, int& value, int min, int max) {
  if (reader_->error || !has(key)) return;
  const YAML::Node node = child(key);
  const std::string allowed =
      " (allowed: " + std::to_string(min) + " to " + std::to_string(max) + ")";
  std::int64_t parsed = 0;
  if (!node.IsScalar() || !parse_whole(node.Scalar(), parsed))
    return fail(key, kind(node) + " is not a whole number" + allowed);
  if (parsed < min || parsed > max) return fail(key, node.Scalar() + " is out of range" + allowed);
  value = static_cast<int>(parsed);
}

void YamlSection::boolean(const char* key, bool& value) {
  if (reader_->error || !has(key)) return;
  const YAML::Node node = child(key);
  if (node.IsScalar() && (node.Scalar() == "true" || node.Scalar() == "false")) {
    value = node.Scalar() == "true";
    return;
  }
  fail(key, kind(node) + " is not a truth value (allowed: true, false)");
}

void YamlSection::text(const char* key, std::string& value) {
  if (reader_->error || !has(key)) return;
  const YAML::Node node = child(key);
  if (!node.IsScalar()) return fail(key, "is " + kind(node) + " (allowed: a text)");
  value = node.Scalar();
}

void YamlSection::integers(const char* key, std::vector<int>& value, int min, int max,
                           std::size_t count_max) {
  if (reader_->error || !has(key)) return;
  const YAML::Node node = child(key);
  const std::string allowed = " (allowed: a list of at most " + std::to_string(count_max) +
                              " whole numbers from " + std::to_string(min) + " to " +
                              std::to_string(max) + ")";
  if (!node.IsSequence() || node.size() > count_max)
    return fail(key, kind(node) + (node.IsSequence() ? " too long" : " is not a list") + allowed);
  std::vector<int> list;
  for (const YAML::Node& item : node) {
    int parsed = 0;
    if (!item.IsScalar() || !parse_whole(item.Scalar(), parsed) || parsed < min || parsed > max) {
      return reader_->fail(item.Mark(),
                           path_of(key) + ": " + kind(item) + " does not belong here" + allowed);
    }
    list.push_back(parsed);
  }
  value = std::move(list);
}

void YamlSection::texts(const char* key, std::vector<std::string>& value, std::size_t count_max) {
  if (reader_->error || !has(key)) return;
  const YAML::Node node = child(key);
  const std::string allowed =
      " (allowed: a list of at most " + std::to_string(count_max) + " texts)";
  if (!node.IsSequence() || node.size() > count_max)
    return fail(key, kind(node) + (node.IsSequence() ? " too long" : " is not a list") + allowed);
  std::vector<std::string> list;
  for (const YAML::Node& item : node) {
    if (!item.IsScalar()) {
      return reader_->fail(item.Mark(),
                           path_of(key) + ": " + kind(item) + " does not belong here" + allowed);
    }
    list.push_back(item.Scalar());
  }
  value = std::move(list);
}

}  // namespace noroshi::site
