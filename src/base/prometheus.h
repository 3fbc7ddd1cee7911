#pragma once

// Prometheus' text format, version 0.0.4: for each metric one head, then its values.

#include <concepts>
#include <cstdio>
#include <string>
#include <string_view>

namespace noroshi::prometheus {

// A label's value, which may be anybody's word.
inline std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

// type: counter, gauge, summary, histogram.
inline void head(std::string& out, std::string_view name, std::string_view type,
                 std::string_view help) {
  out.append("# HELP ").append(name).append(" ").append(help);
  out.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
}

// labels: empty, or "{name=\"value\"}" with its value escaped.
inline void value(std::string& out, std::string_view name, std::string_view labels,
                  std::integral auto number) {
  out.append(name).append(labels).append(" ").append(std::to_string(number)).append("\n");
}
inline void value(std::string& out, std::string_view name, std::string_view labels, double number) {
  char text[40];
  std::snprintf(text, sizeof text, " %.12g\n", number);
  out.append(name).append(labels).append(text);
}

// A metric of one value without labels.
inline void one(std::string& out, std::string_view name, std::string_view type,
                std::string_view help, auto number) {
  head(out, name, type, help);
  value(out, name, "", number);
}

// The same, by Prometheus' rule for names: a counter's ends in _total, else it is a gauge.
inline void one(std::string& out, std::string_view name, std::string_view help, auto number) {
  one(out, name, name.ends_with("_total") ? "counter" : "gauge", help, number);
}

}  // namespace noroshi::prometheus
