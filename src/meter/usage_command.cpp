#include "meter/usage_command.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>

#include "meter/store/store.h"

namespace noroshi::meter {
namespace json = boost::json;
namespace {

constexpr std::size_t aside_rows_max = 1000;

struct Column {
  const char* name;
  std::uint64_t UsageSum::*value;
};
constexpr std::array<Column, 7> columns = {{{"requests", &UsageSum::requests},
                                            {"prompt", &UsageSum::tokens_prompt},
                                            {"cached", &UsageSum::tokens_cached},
                                            {"completion", &UsageSum::tokens_completion},
                                            {"client_left", &UsageSum::client_left},
                                            {"cut", &UsageSum::cut},
                                            {"resumed", &UsageSum::resumed}}};

Result<GroupBy> group_of(const std::string& by) {
  if (by == "tenant") return GroupBy::tenant;
  if (by == "model") return GroupBy::model;
  if (by == "site") return GroupBy::site;
  if (by == "day") return GroupBy::day;
  return Error{"--by '" + by + "' is not tenant, model, site or day"};
}

UsageSum total_of(const std::vector<UsageSum>& sums) {
  UsageSum total{.key = "total"};
  for (const UsageSum& sum : sums) {
    for (const Column& column : columns) total.*column.value += sum.*column.value;
  }
  return total;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string as_csv(const std::string& by, const std::vector<UsageSum>& sums) {
  std::string text = by;
  for (const Column& column : columns) text += std::string(",") + column.name;
  text += "\n";
  for (const UsageSum& sum : sums) {
    text += csv_field(sum.key);
    for (const Column& column : columns) text += "," + std::to_string(sum.*column.value);
    text += "\n";
  }
  return text;
}

json::object as_object(const UsageSum& sum) {
  json::object object;
  for (const Column& column : columns) object[column.name] = sum.*column.value;
  return object;
}

std::string as_json(const std::string& by, const std::vector<UsageSum>& sums) {
  json::array rows;
  for (const UsageSum& sum : sums) {
    json::object row{{by, sum.key}};
    for (auto& [name, value] : as_object(sum)) row[name] = value;
    rows.push_back(std::move(row));
  }
  return json::serialize(
             json::object{{"by", by}, {"rows", rows}, {"total", as_object(total_of(sums))}}) +
         "\n";
}

// Letters of other alphabets are several bytes wide and one column.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<std::uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string as_table(const std::string& by, std::vector<UsageSum> sums) {
  sums.push_back(total_of(sums));
  std::vector<std::vector<std::string>> rows(1);
  rows[0].push_back(by);
  for (const Column& column : columns) rows[0].emplace_back(column.name);
  for (const UsageSum& sum : sums) {
    auto& row = rows.emplace_back();
    row.push_back(sum.key.empty() ? "-" : sum.key);
    for (const Column& column : columns) row.push_back(std::to_string(sum.*column.value));
  }
  std::string text;
  std::vector<std::size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - width_of(row[i]), ' ');
      text += i == 0 ? row[i] + space : "  " + space + row[i];
    }
    text += "\n";
  }
  return text;
}

Result<std::string> aside_text(Store& store, const UsageCommand& command) {
  const auto rows = store.aside(aside_rows_max);
  if (!rows) return rows.error();
  std::string text = command.csv ? "id,subject,reason,data\n" : "";
  json::array array;
  for (const Aside& row : *rows) {
    if (command.json) {
      array.push_back(json::object{
          {"id", row.id}, {"subject", row.subject}, {"reason", row.reason}, {"data", row.data}});
    } else if (command.csv) {
      text += csv_field(row.id) + "," + csv_field(row.subject) + "," + csv_field(row.reason) + "," +
              csv_field(row.data) + "\n";
    } else {
      text += row.id + ": " + row.reason + "\n    " + row.data + "\n";
    }
  }
  if (command.json) return json::serialize(array) + "\n";
  if (text.empty()) return std::string("Nothing was put aside.\n");
  return text;
}

}  // namespace

Result<std::int64_t> parse_moment(std::string_view field, std::string_view text) {
  using namespace std::chrono;
  const auto wrong = [&] {
    return Error{std::string(field) + " '" + std::string(text) +
                 "' is no date: write 2026-11-25 or 2026-11-25T13:00:00Z (UTC)"};
  };
  int y = 0, hour = 0, minute = 0, second = 0;
  unsigned month = 0, d = 0;
  int read = 0;
  const std::string copy(text);
  const auto digits_and_marks = text.find_first_not_of("0123456789-:TZ") == std::string_view::npos;
  if (!digits_and_marks || std::sscanf(copy.c_str(), "%4d-%2u-%2u%n", &y, &month, &d, &read) != 3 ||
      read != 10) {
    return wrong();
  }
  if (text.size() > 10) {
    read = 0;
    const int got =
        std::sscanf(copy.c_str() + 10, "T%2d:%2d:%2dZ%n", &hour, &minute, &second, &read);
    if (got != 3 || read != 10 || text.size() != 20) return wrong();
  }
  const year_month_day day{year{y}, std::chrono::month{month}, std::chrono::day{d}};
  // Nanoseconds in 64 bits reach from 1677 to 2262.
  if (!day.ok() || y < 1970 || y > 2261 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 59) {
    return wrong();
  }
  return nanoseconds(sys_days(day).time_since_epoch() + hours(hour) + minutes(minute) +
                     seconds(second))
      .count();
}

Result<std::string> usage_text(const UsageCommand& command) {
  UsageQuery query;
  const auto by = group_of(command.by);
  if (!by) return by.error();
  query.by = *by;
  if (command.json && command.csv) return Error{"--json and --csv: choose one"};
  if (!command.from.empty()) {
    const auto from = parse_moment("--from", command.from);
    if (!from) return from.error();
    query.from_ns = *from;
  }
  if (!command.to.empty()) {
    const auto to = parse_moment("--to", command.to);
    if (!to) return to.error();
    query.to_ns = *to;
  }
  if (query.from_ns && query.to_ns && *query.from_ns >= *query.to_ns) {
    return Error{"--from " + command.from + " is not before --to " + command.to};
  }
  auto store = Store::open(command.db, Access::read);
  if (!store) return store.error();
  if (command.aside) return aside_text(*store, command);
  const auto sums = store->sum(query);
  if (!sums) return sums.error();
  if (command.json) return as_json(command.by, *sums);
  if (command.csv) return as_csv(command.by, *sums);
  return as_table(command.by, *sums);
}

int run_usage(const UsageCommand& command) {
  const auto text = usage_text(command);
  if (!text) {
    std::fprintf(stderr, "noroshi usage: %s\n", text.error().message.c_str());
    return 1;
  }
  std::fputs(text->c_str(), stdout);
  return 0;
}

}  // namespace noroshi::meter
