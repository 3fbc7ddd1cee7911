#pragma once

// `noroshi usage`: what was used, summed, as a table, JSON or CSV.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace noroshi::meter {

struct UsageCommand {
  std::string db = "usage.db";  // a file or a postgresql:// URL
  std::string by = "tenant";    // tenant, model, site, day
  std::string from = {};        // empty: the beginning; 2026-11-25 or 2026-11-25T13:00:00Z
  std::string to = {};          // exclusive; empty: the end
  bool aside = false;           // list what could not be counted, and why, instead
  bool json = false;
  bool csv = false;
};

// Returns the exit code. Failures have been printed.
int run_usage(const UsageCommand& command);

// What run_usage() prints.
Result<std::string> usage_text(const UsageCommand& command);

// A date or a moment in UTC as Unix time. Errors name the field and the text.
Result<std::int64_t> parse_moment(std::string_view field, std::string_view text);

}  // namespace noroshi::meter
