#pragma once

// The engines of a site, alike but for their processors: one on the processors that the radio does
// not use, and one of a single thread on each of the radio's (docs/decisions/0014).

#include <functional>
#include <memory>
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

class Engines {
 public:
  Engines(const site::AiSection::Engine& config, const std::vector<std::vector<int>>& homes);

  Result<void> start();  // of all; the first error
  Result<void> wait_ready(double timeout_s);
  // As if they were one: ready when any is, restarts and processor time of all.
  engine::EngineStatus status() const;
  std::vector<site::HeldProcess> processes() const;

  // Tells the router each engine's state, as a site of its own: it sends a request where the answer
  // is expected first. share: of the engines' places, that the radio leaves now.
  void report(gateway::Router& router, double share) const;

 private:
  struct One {
    std::unique_ptr<engine::Engine> engine;
    std::vector<int> home;
    int threads = 1;
  };
  std::vector<One> engines_;
  std::string api_key_;
  int places_ = 0;  // of one
};

}  // namespace noroshi::live
