// noroshi: one binary, a subcommand a job. Wiring only.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/bench.h"

int main(int argc, char** argv) {
  CLI::App app{"Noroshi: a 5G cell and an AI server on the same processors"};
  app.require_subcommand(1);
  app.set_version_flag("--version", NOROSHI_VERSION);

  auto* version = app.add_subcommand("version", "print the version");
  version->callback([] { std::printf("noroshi %s\n", NOROSHI_VERSION); });

  auto* bench = app.add_subcommand("bench", "measure a part of this binary on this machine");
  std::string bench_name;
  noroshi::BenchOptions bench_options;
  bool bench_json = false;
  bool bench_list = false;
  bench->add_option("name", bench_name, "one benchmark; all when left out");
  bench->add_option("--case", bench_options.case_filter,
                    "only cases whose name contains this text");
  bench->add_option("--seconds", bench_options.seconds_per_case, "measured seconds a case");
  bench->add_flag("--json", bench_json, "one JSON array instead of a table");
  bench->add_flag("--list", bench_list, "print the names and stop");
  int exit_code = 0;
  bench->callback([&] {
    if (bench_list) {
      for (const auto& entry : noroshi::bench_registry()) std::printf("%s\n", entry.name);
      return;
    }
    if (!noroshi::run_benches(bench_name, bench_options, bench_json)) {
      std::fprintf(stderr,
                   "noroshi bench: no benchmark '%s' with a case that contains '%s'; see noroshi "
                   "bench --list\n",
                   bench_name.c_str(), bench_options.case_filter.c_str());
      exit_code = 1;
    }
  });

  CLI11_PARSE(app, argc, argv);
  return exit_code;
}
