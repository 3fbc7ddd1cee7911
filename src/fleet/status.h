#pragma once

// The fleet as a person sees it: one JSON document, and the tables that `noroshi fleet` prints of
// it.

#include <string>
#include <string_view>

#include "base/result.h"

namespace noroshi::fleet {

// kind: "status", "sites" or "models". Errors: the document is none.
Result<std::string> status_table(std::string_view kind, std::string_view document);

}  // namespace noroshi::fleet
