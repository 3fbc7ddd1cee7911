#pragma once

// How fast a model answers here, as the site's gateway sees it: so that gateways that have asked
// nothing yet know what to expect. A request finds `others` before it at an engine of `places`
// places, of which the radio leaves a share; rates are kept as for one request alone with the whole
// share, and told for any other load by the router's own rule (route/copy_load.h):
//
//   rate = rate alone x share / (1 + min(others, open) / open),   open = max(1, places x share)
//
// Each is tokens over seconds of late: both sums lose an eighth with each answer, so that a long
// answer counts by its length and nothing counts for ever. Reading a prompt is timed by the engine
// where it says (llama-server's timings), else by the first token's coming; writing by the tokens
// behind the first. What is too short says more of the request than of a token and is left out.
//
// A site that says of itself that it is slow is not asked, and would say so for ever: when nobody
// has asked for long, it asks itself (measure.h). What that shows takes the place of what was
// known.
//
// Thread-safe. No clock: whoever asks has one.

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace noroshi::gateway {

struct EngineLoad {
  double others = 0;  // requests beside the one that is meant
  double places = 0;  // 0: no limit known
  double share = 1;
};

// 0: not known.
struct Speeds {
  double prompt_tokens_per_s = 0;
  double tokens_per_s = 0;
  double service_s_mean = 0;  // from place to last byte, as it was
};

// What one answer took; zero where it is not known.
struct AnswerTimes {
  std::uint64_t prompt_tokens = 0;  // computed, not from the cache
  double prompt_s = 0;
  std::uint64_t tokens = 0;
  double tokens_s = 0;
  double whole_s = 0;
};

class SpeedMeter {
 public:
  static constexpr std::size_t models_max = 256;
  static constexpr std::uint64_t prompt_tokens_min = 16;
  static constexpr std::uint64_t tokens_min = 4;
  static constexpr double kept = 0.875;

  void learn(std::string_view model, const AnswerTimes& times, const EngineLoad& load) {
    const double slow = slowness(load);
    const std::lock_guard lock(mutex_);
    Model* const known = model_of(model);
    if (known == nullptr) return;
    Model& its = *known;
    ++its.answers;
    if (times.prompt_tokens >= prompt_tokens_min) {
      mix(its.prompt, static_cast<double>(times.prompt_tokens), times.prompt_s / slow);
    }
    if (times.tokens >= tokens_min) {
      mix(its.answer, static_cast<double>(times.tokens), times.tokens_s / slow);
    }
    mix(its.requests, 1, times.whole_s);
  }

  // One short answer, after a long time without any: it is worth more than what was known, but that
  // so short a prompt says only how fast prompts are read at least, and nothing of service times.
  void measured(std::string_view model, const AnswerTimes& times, const EngineLoad& load) {
    const double slow = slowness(load);
    const std::lock_guard lock(mutex_);
    Model* const known = model_of(model);
    if (known == nullptr) return;
    Sums prompt;
    if (times.prompt_tokens >= prompt_tokens_min) {
      mix(prompt, static_cast<double>(times.prompt_tokens), times.prompt_s / slow);
    }
    if (rate(prompt) > rate(known->prompt)) known->prompt = prompt;
    Sums answer;
    if (times.tokens >= tokens_min) {
      mix(answer, static_cast<double>(times.tokens), times.tokens_s / slow);
    }
    if (rate(answer) > 0) known->answer = answer;
  }

  // Answers learned of so far, those that were measured aside.
  std::uint64_t answers(std::string_view model) const {
    const std::lock_guard lock(mutex_);
    const auto found = models_.find(model);
    return found == models_.end() ? 0 : found->second.answers;
  }

  // At this load.
  Speeds speeds(std::string_view model, const EngineLoad& load) const {
    const std::lock_guard lock(mutex_);
    const auto found = models_.find(model);
    if (found == models_.end()) return {};
    const double slow = slowness(load);
    const double requests_per_s = rate(found->second.requests);
    return {.prompt_tokens_per_s = rate(found->second.prompt) / slow,
            .tokens_per_s = rate(found->second.answer) / slow,
            .service_s_mean = requests_per_s > 0 ? 1 / requests_per_s : 0};
  }

 private:
  struct Sums {
    double count = 0;
    double seconds = 0;
  };
  struct Model {
    Sums prompt, answer, requests;
    std::uint64_t answers = 0;
  };
  // Null: there are too many.
  Model* model_of(std::string_view name) {
    auto found = models_.find(name);
    if (found == models_.end()) {
      if (models_.size() >= models_max) return nullptr;
      found = models_.emplace(std::string(name), Model{}).first;
    }
    return &found->second;
  }
  static double slowness(const EngineLoad& load) {
    const double share = std::clamp(load.share, 0.01, 1.0);
    const double open = std::max(1.0, load.places * share);
    return load.places > 0 ? (1 + std::clamp(load.others, 0.0, open) / open) / share : 1 / share;
  }
  static void mix(Sums& sums, double count, double seconds) {
    if (!(seconds > 0)) return;
    sums = {kept * sums.count + count, kept * sums.seconds + seconds};
  }
  static double rate(const Sums& sums) {
    return sums.seconds > 0 ? std::min(1e9, sums.count / sums.seconds) : 0;
  }

  mutable std::mutex mutex_;
  std::map<std::string, Model, std::less<>> models_;
};

}  // namespace noroshi::gateway
