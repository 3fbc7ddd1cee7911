#pragma once

// `noroshi bench handover`: a session's context moved from one llama-server to another against
// computed again, by the way that sites use (mover.h), at several lengths.

#include <string>
#include <vector>

namespace noroshi::live {

struct BenchHandoverOptions {
  std::string model_path = {};  // empty: a tiny load model, made for it
  std::vector<int> tokens = {500, 2000, 8000};
  bool json = false;
};

// Returns the exit code. Failures have been printed.
int run_bench_handover(const BenchHandoverOptions& options);

}  // namespace noroshi::live
