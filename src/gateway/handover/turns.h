#pragma once

// What a site's gateway remembers so that a session's context can be found in an engine: where its
// last turn went. And how fast each engine reads prompts. Thread-safe.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "gateway/gateway.h"
#include "gateway/handover/prompt_times.h"
#include "gateway/route/sessions.h"

namespace noroshi::gateway {

class Turns {
 public:
  static constexpr std::size_t sessions_max = 1 << 14;
  static constexpr std::size_t engines_max = 4096;

  void put(std::uint64_t session, TurnPlace turn) {
    const std::lock_guard lock(mutex_);
    if (!sessions_) sessions_.emplace(sessions_max);  // only where contexts move
    sessions_->put(session, std::move(turn));
  }
  std::optional<TurnPlace> find(std::uint64_t session) const {
    const std::lock_guard lock(mutex_);
    return sessions_ ? sessions_->find(session) : std::nullopt;
  }

  void learn(std::uint32_t engine, std::size_t bytes, std::uint64_t tokens, std::uint64_t computed,
             double seconds) {
    const std::lock_guard lock(mutex_);
    if (times_.size() >= engines_max && !times_.contains(engine)) return;
    times_[engine].learn(bytes, tokens, computed, seconds);
  }
  PromptTimes times(std::uint32_t engine) const {
    const std::lock_guard lock(mutex_);
    const auto found = times_.find(engine);
    return found == times_.end() ? PromptTimes{} : found->second;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<SessionTable<TurnPlace>> sessions_;
  std::map<std::uint32_t, PromptTimes> times_;
};

}  // namespace noroshi::gateway
