#include "conformance/runner.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "conformance/components.h"

namespace noroshi::conformance {
namespace json = boost::json;
namespace {

struct Tally {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
  std::vector<std::string> failures;  // "case: why"
  std::map<std::string, int> skips;   // why -> cases
};

void add(Tally& tally, const std::string& name, const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::passed:
      ++tally.passed;
      break;
    case Outcome::Kind::skipped:
      ++tally.skipped;
      ++tally.skips[outcome.why];
      break;
    case Outcome::Kind::failed:
      ++tally.failed;
      tally.failures.push_back(name + ": " + outcome.why);
      break;
  }
}

Tally run_component(const std::filesystem::path& folder) {
  Tally tally;
  const auto component = read_component(folder);
  if (!component) {
    add(tally, folder.filename().string(), failed(component.error().message));
    return tally;
  }
  const auto* check = std::ranges::find(checks, component->name, &Check::component);
  for (const Result<VectorCase>& vector_case : component->cases) {
    if (!vector_case) {
      add(tally, component->name, failed(vector_case.error().message));
    } else if (check == std::ranges::end(checks)) {
      add(tally, vector_case->name, skipped("this version has no such component"));
    } else {
      add(tally, vector_case->name, check->run(*vector_case));
    }
  }
  return tally;
}

void print(const std::string& name, const Tally& tally) {
  std::printf("%-20s %4d passed, %d failed, %d skipped\n", name.c_str(), tally.passed, tally.failed,
              tally.skipped);
  for (const auto& [why, cases] : tally.skips)
    std::printf("    skipped %d: %s\n", cases, why.c_str());
  for (const std::string& failure : tally.failures) std::printf("    FAILED %s\n", failure.c_str());
  std::fflush(stdout);
}

json::object as_json(const std::string& name, const Tally& tally) {
  json::object out{{"component", name},
                   {"passed", tally.passed},
                   {"failed", tally.failed},
                   {"skipped", tally.skipped}};
  out["failures"] = json::array(tally.failures.begin(), tally.failures.end());
  json::object& skips = out["skips"].emplace_object();
  for (const auto& [why, cases] : tally.skips) skips[why] = cases;
  return out;
}

}  // namespace

int run_conformance(const RunOptions& options) {
  std::error_code failure;
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(options.directory, failure)) {
    if (std::filesystem::exists(entry.path() / "cases.jsonl")) folders.push_back(entry.path());
  }
  // A component's own folder may be named too.
  if (std::filesystem::exists(options.directory / "cases.jsonl")) {
    folders.push_back(std::filesystem::canonical(options.directory));
  }
  if (failure || folders.empty()) {
    std::fprintf(stderr, "noroshi conformance: %s: %s\n", options.directory.c_str(),
                 failure ? failure.message().c_str()
                         : "no folder with a cases.jsonl here; name the directory of the vectors");
    return 2;
  }
  std::ranges::sort(folders);

  Tally total;
  json::array components;
  for (const auto& folder : folders) {
    const std::string name = folder.filename().string();
    const Tally tally = run_component(folder);
    total.passed += tally.passed;
    total.failed += tally.failed;
    total.skipped += tally.skipped;
    if (options.json) {
      components.push_back(as_json(name, tally));
    } else {
      print(name, tally);
    }
  }
  if (options.json) {
    const json::object out{{"components", components},
                           {"passed", total.passed},
                           {"failed", total.failed},
                           {"skipped", total.skipped}};
    std::printf("%s\n", json::serialize(out).c_str());
  } else {
    std::printf("%d passed, %d failed, %d skipped\n", total.passed, total.failed, total.skipped);
  }
  return total.failed == 0 ? 0 : 1;
}

}  // namespace noroshi::conformance
