#pragma once

// Reading a YAML file strictly: each section names the keys that it knows; another key, a wrong
// type and a value out of range are errors "FILE:LINE:COLUMN: what is wrong (what is allowed)". The
// first error stands, later ones are not looked for.

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace noroshi::site {

struct YamlReader {
  std::string file;
  std::optional<Error> error;

  void fail(const YAML::Mark& mark, const std::string& message);
};

// A map node whose keys are all known. Each read leaves the target as it is when the key is absent.
class YamlSection {
 public:
  YamlSection(YamlReader& reader, const YAML::Node& node, std::string path,
              std::initializer_list<const char*> keys);

  bool has(const char* key) const;
  void require(const char* key);
  YAML::Node child(const char* key) const;  // undefined when absent
  std::string path_of(const char* key) const;

  void number(const char* key, double& value, double min, double max);
  void integer(const char* key, int& value, int min, int max);
  void boolean(const char* key, bool& value);
  void text(const char* key, std::string& value);
  void integers(const char* key, std::vector<int>& value, int min, int max, std::size_t count_max);
  void texts(const char* key, std::vector<std::string>& value, std::size_t count_max);

  template <class T>
  void choice(const char* key, T& value, std::initializer_list<std::pair<const char*, T>> allowed) {
    std::string word;
    text(key, word);
    if (!has(key) || reader_->error) return;
    std::string names;
    for (const auto& [name, meaning] : allowed) {
      if (word == name) {
        value = meaning;
        return;
      }
      names += std::string(names.empty() ? "" : ", ") + name;
    }
    fail(key, "\"" + word + "\" is not known (allowed: " + names + ")");
  }

  // At the value of the key.
  void fail(const char* key, const std::string& message);

 private:
  YamlReader* reader_;
  YAML::Node node_;
  std::string path_;
};

}  // namespace noroshi::site
