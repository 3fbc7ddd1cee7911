#pragma once

// The model files that a site is sent (file_share.h): one at a time, on a thread of its own, into
// FOLDER/MODEL.HASH.gguf. What fails is tried again, later each time, for as long as it is wanted.

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fleet/bus.h"
#include "fleet/desired.h"

namespace noroshi::fleet {

struct Fetched {
  ModelFile file = {};
  std::string path = {};
};

struct FetchStatus {
  std::string model = {};  // that is on its way; empty: none
  int percent = 0;
  std::string fault = {};  // why the last one that is still wanted did not come
};

class Fetcher {
 public:
  static constexpr double retry_first_s = 1;
  static constexpr double retry_max_s = 60;

  // The bus outlives it.
  Fetcher(Bus& bus, std::string folder);
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;
  ~Fetcher();  // within the time limit of one chunk

  // These and no others, from now on.
  void want(std::vector<ModelFile> files);
  FetchStatus status() const;
  // Those that came since the last call.
  std::vector<Fetched> take();

 private:
  struct Failure {
    double retry_s = 0;
    std::chrono::steady_clock::time_point not_before = {};
    std::string why = {};
  };
  void run();
  std::optional<ModelFile> next_one() const;
  bool wanted(const ModelFile& file) const;

  Bus& bus_;
  const std::string folder_;
  mutable std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  bool stopping_ = false;
  std::vector<ModelFile> wanted_;
  std::map<std::string, Failure> failures_;  // by content
  std::vector<Fetched> came_;
  FetchStatus status_;
  std::thread thread_;
};

std::string fetched_name(const ModelFile& file);  // MODEL.HASH.gguf
// Model and content of such a name; nothing when it is none.
std::optional<ModelFile> parse_fetched_name(const std::string& name);

}  // namespace noroshi::fleet
