#pragma once

// Keeps a number of streaming chats going against an OpenAI-compatible server: the AI load under
// which a site is measured.

#include <cstdint>
#include <memory>
#include <string>

#include "base/histogram.h"
#include "base/result.h"
#include "gateway/route/key_pin.h"

namespace noroshi::gateway {

struct LoadConfig {
  std::string url = {};  // "http://127.0.0.1:8080"
  KeyPin pin = {};       // given: HTTPS all the same, with the server that has this key
  std::string api_key = {};
  std::string model = {};
  int concurrency = 4;
  int prompt_tokens = 64;  // about; a token is taken as four letters
  int max_tokens = 128;
  std::uint64_t seed = 1;  // of the prompts
};

struct LoadCounters {
  std::uint64_t requests = 0;          // answered whole
  std::uint64_t requests_failed = 0;   // refused, broken off; tried again after a rest
  std::uint64_t requests_refused = 0;  // of these, answered 429 or 503
  std::uint64_t tokens = 0;            // completion tokens, as the engine counts them
};

class LoadGenerator {
 public:
  // Its own thread (ordinary class) asks until the end of its life. Errors: a bad URL or model. A
  // server that is not there yet is only a failed request.
  static Result<LoadGenerator> start(LoadConfig config);
  LoadGenerator(LoadGenerator&&) noexcept;
  LoadGenerator& operator=(LoadGenerator&&) noexcept;
  ~LoadGenerator();  // stop()

  void stop();  // breaks off what is in flight
  LoadCounters counters() const;
  const Histogram& time_to_first_token_ns() const;

 private:
  LoadGenerator();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::gateway
