#pragma once

// Who asked what when, from a real service's trace or made up.
//
//   Mooncake    a JSON object a line: timestamp (ms), input_length, output_length, hash_ids: one a
//               block of 512 prompt tokens, equal where prompts begin alike
//   Azure       CSV with a head line TIMESTAMP,ContextTokens,GeneratedTokens; no prompt is like
//               another
//   made up     sessions of several turns, each turn's prompt being the last one's with its answer
//               and something new behind; sessions share the beginnings of a few applications

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace noroshi::trial {

inline constexpr int trace_block_tokens = 512;

struct TraceRequest {
  double at_s = 0;  // since the first
  int prompt_tokens = 0;
  int completion_tokens = 0;
  std::vector<std::uint32_t> blocks = {};  // of the prompt; the last may be partly used
};

// text: the whole file. requests_max: of its beginning. Errors name the line and the field.
Result<std::vector<TraceRequest>> parse_trace(std::string_view text, std::size_t requests_max);
Result<std::vector<TraceRequest>> read_trace(const std::string& path, std::size_t requests_max);

struct MadeUpTrace {
  std::size_t requests = 1500;
  double requests_per_s = 3.4;
  int applications = 8;
  int application_blocks = 4;  // that all prompts of an application begin with
  double turns_mean = 4;       // of a session, geometric
  int turn_blocks_mean = 4;    // new prompt blocks a turn, exponential
  int completion_tokens_mean = 340;
  double think_s_mean = 60;
  std::uint64_t seed = 1;
};
std::vector<TraceRequest> make_trace(const MadeUpTrace& how);

// Cached share of one engine that forgets nothing: what no routing can exceed.
double ideal_cached_share(const std::vector<TraceRequest>& trace);

// The prompt of a request: four letters a token, equal where blocks are equal.
std::string trace_prompt(const TraceRequest& request);

}  // namespace noroshi::trial
