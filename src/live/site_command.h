#pragma once

// `noroshi site`: a cell, its engine and its gateway in one process, until the duration is over or
// somebody presses Ctrl-C.

#include <cstdint>
#include <optional>
#include <string>

namespace noroshi::live {

struct SiteCommand {
  std::string config_path;
  double duration_s = 0;  // 0: until a signal
  bool free_pace = false;
  std::uint64_t seed = 1;
  std::string report_path;     // empty: none
  std::string model_path;      // instead of the configuration's; empty: as configured
  std::optional<int> ai_load;  // concurrent requests instead of the configuration's
  bool no_ai = false;          // the cell alone, whatever the configuration says
};

// Returns the exit code: 0 for a run that ended as asked, 1 for one that could not start or broke,
// 2 for a wrong configuration. Every failure has been printed.
int run_site(const SiteCommand& command);

}  // namespace noroshi::live
