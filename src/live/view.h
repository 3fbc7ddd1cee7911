#pragma once

// A snapshot as text: a terminal picture, a JSON line, the final report.

#include <string>

#include "live/snapshot.h"

namespace noroshi::live {

// Lines of the picture, each at most columns wide, with ANSI colours when asked for.
std::string render_view(const Snapshot& snapshot, int columns, bool colours);

// One line: {"event":"status", ...}; rates since the last look.
std::string status_line(const Snapshot& snapshot);

// The report of a whole run, several lines: {"radio": {...}, "ai": {...}, "cpu": {...}}. The rates
// of the snapshot must be over the whole run.
std::string report_json(const Snapshot& snapshot);

}  // namespace noroshi::live
