#pragma once

// `noroshi conformance DIR`: every case of every component found below DIR, against our kernels.

#include <filesystem>

namespace noroshi::conformance {

struct RunOptions {
  std::filesystem::path directory;
  bool json = false;
};

// Prints a line a component, every failure, every reason for a skip, and the totals; returns the
// exit code: 0 when nothing failed, 1 when something did, 2 when there was nothing to run.
int run_conformance(const RunOptions& options);

}  // namespace noroshi::conformance
