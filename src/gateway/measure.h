#pragma once

// A model that nobody has asked for long is asked by its own gateway, a short question, so that
// what the site tells of its speed (speeds.h) is of now: one that was slow for a while would never
// be asked again, and nobody would find out that it is well. Nobody pays for it: no tenant, no
// usage record, no queue. Inside the gateway room only.

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "gateway/session.h"

namespace noroshi::gateway {

// When to ask which model. Pure.
class IdleWatch {
 public:
  explicit IdleWatch(double idle_s) : idle_s_(idle_s) {}

  // answers: whole ones so far; busy: requests are there now. True: it has had neither for idle_s,
  // nor been due in that time.
  bool due(std::string_view model, std::uint64_t answers, bool busy, Time now) {
    auto found = models_.find(model);
    if (found == models_.end()) {
      models_.emplace(std::string(model), Seen{answers, now});
      return false;
    }
    Seen& seen = found->second;
    const bool quiet = !busy && answers == seen.answers;
    if (quiet && std::chrono::duration<double>(now - seen.since).count() < idle_s_) return false;
    seen = {answers, now};
    return quiet;
  }

 private:
  struct Seen {
    std::uint64_t answers = 0;
    Time since;
  };
  const double idle_s_;
  std::map<std::string, Seen, std::less<>> models_;
};

// Until the executor stops. Precondition: shared.config.measure_idle_s > 0.
net::awaitable<void> measure_idle_models(Shared& shared, Local& local);

}  // namespace noroshi::gateway
