// The benchmarks of one room as a program: ROOM_bench [--smoke | NAME [CASE]].

#include <cstdio>
#include <string_view>

#include "base/bench.h"

int main(int argc, char** argv) {
  noroshi::BenchOptions options;
  std::string_view name;
  if (argc > 1 && std::string_view(argv[1]) == "--smoke") {
    options.stop_after_one = true;
  } else if (argc > 1) {
    name = argv[1];
    if (argc > 2) options.case_filter = argv[2];
  }
  if (noroshi::run_benches(name, options, false)) return 0;
  std::fprintf(stderr, "no such benchmark or case\n");
  return 1;
}
