#pragma once

// An OpenAI-compatible engine without a model, for measuring what stands before engines: it answers
// with words that follow from the prompt (stub_text.h), at the speed of an engine that it is told
// to be. It costs hardly any processor, so a whole fleet of them fits a small machine.
//
//   tokens of a text   bytes / 4, rounded up
//   cached             the longest beginning of the prompt, in blocks of 512 bytes, that is among
//                      the last cache_tokens tokens of prompts and answers
//   first token        place free (of `places`, first come first served), then prompts are read one
//                      after the other: (prompt - cached) / prompt_tokens_per_s
//   next tokens        one each 1 / tokens_per_s
//   all of it          times `slow`
//
// An assistant's last message with "continue_final_message": true is gone on with. Usage reports
// cached tokens. POST /stub/slow with a number as body changes `slow`.

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "gateway/tls.h"

namespace noroshi::trial {

struct StubConfig {
  std::string address = "127.0.0.1";
  int tcp_port = 0;                              // 0: a free one
  std::shared_ptr<gateway::TlsServer> tls = {};  // HTTPS for who begins with it; null: for nobody
  std::string model = "stub";
  int places = 8;
  double prompt_tokens_per_s = 2000;
  double tokens_per_s = 30;
  std::uint64_t cache_tokens = 1 << 17;
  int tokens_an_event = 1;  // of a stream: many in one spare processor time at high speeds
  double slow = 1;
};

struct StubCounters {
  std::uint64_t requests = 0;
  std::uint64_t answered = 0;  // whole
  std::uint64_t in_flight = 0;
  std::uint64_t queued = 0;  // of these, without a place
  std::uint64_t tokens_prompt = 0;
  std::uint64_t tokens_cached = 0;
  std::uint64_t tokens_completion = 0;
};

class StubEngine {
 public:
  // Its own thread serves until the end of its life. Errors: the address, a speed that is none.
  static Result<StubEngine> start(StubConfig config);
  StubEngine(StubEngine&&) noexcept;
  StubEngine& operator=(StubEngine&&) noexcept;
  ~StubEngine();

  int tcp_port() const;
  StubCounters counters() const;
  double slow() const;
  void set_slow(double slow);

 private:
  StubEngine();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::trial
