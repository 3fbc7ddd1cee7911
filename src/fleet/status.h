#pragma once

// The fleet as a person sees it: one JSON document, and the tables that `noroshi fleet` prints of
// it. A message holds a megabyte, so it is asked for page by page on noroshi.control.status:
//
//   ask     {"v": 1, "sites_after": NAME, "models_after": NAME}   lists that are not named are not
//           told; "": from the start; no bytes at all: both, from the start
//   answer  {"v": 1, ..., "sites": [...], "sites_next": NAME, "models": ...}  in the order of
//           names; next: ask again after that one, there are more

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace noroshi::fleet {

struct StatusAsk {
  std::optional<std::string> sites_after = {};
  std::optional<std::string> models_after = {};
};
std::string status_ask_text(const StatusAsk& ask);
// Errors name the field.
Result<StatusAsk> parse_status_ask(std::string_view bytes);

// All pages as one document. kind: "status", "sites" or "models", whose list alone is asked for;
// empty: everything. Errors: of asking, a page that is none, pages that do not end.
Result<std::string> whole_status(std::string_view kind,
                                 const std::function<Result<std::string>(const std::string&)>& ask);

// kind: "status", "sites" or "models". Errors: the document is none.
Result<std::string> status_table(std::string_view kind, std::string_view document);

// Rows of cells, the first row's are titles; columns as wide as they must be.
std::string text_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace noroshi::fleet
