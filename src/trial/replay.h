#pragma once

// `noroshi bench fleet`, its trace: the requests of a service through the gateway to four sites,
// and to one site with the same processors together, in time that runs faster.
//
// Engines are stubs (stub_engine.h) with the cost of one large accelerator a site. Everything in
// one process: the gateway's own time counts `speed` times in the figures, which are in the trace's
// time. The one site has four times the places, the speed of reading prompts and the cache.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "trial/stub_engine.h"
#include "trial/trace.h"

namespace noroshi::trial {

struct ReplayOptions {
  std::string trace_path = {};  // empty: a made-up trace
  std::size_t requests = 1500;
  double speed = 40;  // trace seconds a second
  // Of one site of four.
  StubConfig site = {.model = "stub",
                     .places = 24,
                     .prompt_tokens_per_s = 12'000,
                     .tokens_per_s = 40,
                     .cache_tokens = 2'000'000,
                     .tokens_an_event = 32};
};

struct ReplayOutcome {
  int sites = 0;
  std::uint64_t requests = 0;
  std::uint64_t whole = 0;
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;  // all others
  double seconds = 0;        // of the trace, from the first request to the last answer's end
  double tokens_per_s = 0;   // completion tokens, in the trace's time
  double first_token_s_p50 = 0;
  double first_token_s_p99 = 0;
  double answer_s_p50 = 0;
  double answer_s_p99 = 0;
  double cached_share = 0;
  double ideal_cached_share = 0;
  std::vector<double> share_of_site = {};  // of the requests
};

// Four sites, then one. Errors: the trace's.
Result<std::vector<ReplayOutcome>> run_replay(const ReplayOptions& options);

}  // namespace noroshi::trial
