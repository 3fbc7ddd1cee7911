#pragma once

// The engines of a site. Those of one model are alike but for their processors: one on the
// processors that the radio does not use, and one of a single thread on each of the radio's
// (docs/decisions/0014). A site runs the model of its configuration, until a fleet says which.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "gateway/route/route.h"
#include "site/config.h"
#include "site/lease/mechanism.h"

namespace noroshi::live {

// Where engines run, one list each. split: as above, where there are processors for it; else one
// engine, anywhere (an empty list).
std::vector<std::vector<int>> engine_homes(const std::vector<int>& usable,
                                           const std::vector<int>& radio, site::LeasePolicy policy,
                                           bool split);

// A model that a site can run, and where its file lies.
struct ModelToRun {
  std::string name = {};
  std::string path = {};
};

// Thread-safe; run() and end_retired() belong to one thread.
class Engines {
 public:
  static constexpr std::int64_t retire_ns = 10'000'000'000;

  // context_folder: where their contexts are saved and restored; empty: nowhere.
  Engines(const site::AiSection::Engine& config, const std::vector<std::vector<int>>& homes,
          std::string context_folder = {});

  Result<void> start();  // of all; the first error
  Result<void> wait_ready(double timeout_s);
  // As if they were one: ready when any is, restarts and processor time of all.
  engine::EngineStatus status() const;
  std::vector<site::HeldProcess> processes() const;

  // Tells the router each engine's state, as a site of its own: it sends a request where the answer
  // is expected first. share: of the engines' places, that the radio leaves now.
  void report(gateway::Router& router, double share) const;

  // From now on these: the others take nothing new, and end after retire_ns; who is still answered
  // by them then goes on elsewhere. Returns what could not be started, in words; empty: all could.
  std::string run(const std::vector<ModelToRun>& models, std::int64_t now_ns);
  // Ends those whose time is over.
  void end_retired(gateway::Router& router, std::int64_t now_ns);

  struct Running {
    ModelToRun model = {};
    bool ready = false;
    int places = 0;  // of its engines that are ready; 0: no limit known
    std::string error = {};
  };
  std::vector<Running> running() const;
  // The file of the model that answers at this port; empty: none does.
  std::string model_path_at(int tcp_port) const;

 private:
  struct One {
    std::unique_ptr<engine::Engine> engine;
    std::vector<int> home;
    int threads = 1;
    std::string name;  // for the router
  };
  struct Group {  // of one model
    ModelToRun model;
    std::vector<One> engines;
    std::int64_t retired_ns = -1;
  };
  Group make_group(const site::AiSection::Engine& config);
  static engine::EngineStatus status_of(const Group& group);

  const site::AiSection::Engine config_;
  const std::vector<std::vector<int>> homes_;
  const int places_;  // of one
  const std::string context_folder_;
  mutable std::mutex mutex_;
  std::vector<Group> groups_;  // under mutex_
  int names_ = 0;
};

}  // namespace noroshi::live
