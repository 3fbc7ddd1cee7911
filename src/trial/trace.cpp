#include "trial/trace.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <limits>
#include <unordered_set>

#include "base/prng.h"
#include "trial/stub_text.h"

namespace noroshi::trial {
namespace json = boost::json;
namespace {

constexpr int tokens_max = 1 << 20;
constexpr std::size_t file_bytes_max = std::size_t{1} << 30;

Error at_line(std::size_t line, const std::string& what) {
  return Error{"trace: line " + std::to_string(line) + ": " + what};
}

Result<double> number_of(const json::object& object, const char* field, double min, double max) {
  const json::value* value = object.if_contains(field);
  boost::system::error_code error;
  const double number =
      value != nullptr && value->is_number() ? value->to_number<double>(error) : min - 1;
  if (error || !(number >= min) || !(number <= max)) {
    return Error{std::string(field) + " " + (value != nullptr ? json::serialize(*value) : "none") +
                 " is no number from " + std::to_string(min) + " to " + std::to_string(max)};
  }
  return number;
}

Result<TraceRequest> mooncake_line(std::string_view line) {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 4;
  const json::value value = json::parse({line.data(), line.size()}, error, {}, options);
  if (error || !value.is_object()) return Error{"no JSON object"};
  const json::object& object = value.get_object();
  const auto at_ms = number_of(object, "timestamp", 0, 1e12);
  if (!at_ms) return at_ms.error();
  const auto prompt = number_of(object, "input_length", 1, tokens_max);
  if (!prompt) return prompt.error();
  const auto completion = number_of(object, "output_length", 1, tokens_max);
  if (!completion) return completion.error();
  TraceRequest request{*at_ms / 1e3, static_cast<int>(*prompt), static_cast<int>(*completion), {}};
  const json::value* ids = object.if_contains("hash_ids");
  if (ids == nullptr || !ids->is_array()) return Error{"hash_ids is no list"};
  for (const json::value& id : ids->get_array()) {
    const auto number = id.is_number() ? id.to_number<std::uint32_t>(error) : 0;
    if (!id.is_number() || error) return Error{"hash_ids: " + json::serialize(id)};
    request.blocks.push_back(number);
  }
  const auto blocks = static_cast<int>(request.blocks.size());
  if (blocks * trace_block_tokens < request.prompt_tokens) {
    return Error{"input_length " + std::to_string(request.prompt_tokens) + " is more than " +
                 std::to_string(blocks) + " hash_ids hold"};
  }
  return request;
}

// "2023-11-16 18:15:46.6805900,374,44": the day is not looked at.
Result<TraceRequest> azure_line(const std::string& line, std::uint32_t& next_block) {
  int hour = 0, minute = 0, prompt = 0, completion = 0, read = 0;
  double second = 0;
  if (std::sscanf(line.c_str(), "%*4d-%*2d-%*2d %2d:%2d:%lf,%7d,%7d%n", &hour, &minute, &second,
                  &prompt, &completion, &read) != 5 ||
      static_cast<std::size_t>(read) != line.size()) {
    return Error{"not TIMESTAMP,ContextTokens,GeneratedTokens"};
  }
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || !(second >= 0) || second >= 61 ||
      prompt < 1 || prompt > tokens_max || completion < 1 || completion > tokens_max) {
    return Error{"a number is out of its range"};
  }
  TraceRequest request{hour * 3600.0 + minute * 60.0 + second, prompt, completion, {}};
  for (int tokens = 0; tokens < prompt; tokens += trace_block_tokens) {
    request.blocks.push_back(next_block++);
  }
  return request;
}

}  // namespace

Result<std::vector<TraceRequest>> parse_trace(std::string_view text, std::size_t requests_max) {
  constexpr std::string_view azure_head = "TIMESTAMP,ContextTokens,GeneratedTokens";
  const bool azure = text.starts_with(azure_head);
  std::vector<TraceRequest> trace;
  std::uint32_t next_block = 0;
  for (std::size_t number = 1; !text.empty() && trace.size() < requests_max; ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (azure && number == 1)) continue;
    auto request = azure ? azure_line(std::string(line), next_block) : mooncake_line(line);
    if (!request) return at_line(number, request.error().message);
    if (!trace.empty() && request->at_s < trace.back().at_s) {
      return at_line(number, "it is earlier than the line before");
    }
    trace.push_back(*std::move(request));
  }
  if (trace.empty()) return Error{"trace: no request in it"};
  const double from_s = trace.front().at_s;
  for (TraceRequest& request : trace) request.at_s -= from_s;
  return trace;
}

Result<std::vector<TraceRequest>> read_trace(const std::string& path, std::size_t requests_max) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return Error{"trace: cannot open " + path};
  const auto size = static_cast<std::size_t>(std::max<std::streamoff>(0, file.tellg()));
  if (size > file_bytes_max) return Error{"trace: " + path + " is larger than 1 GiB"};
  std::string text(size, '\0');
  file.seekg(0);
  file.read(text.data(), static_cast<std::streamsize>(size));
  if (!file) return Error{"trace: cannot read " + path};
  auto trace = parse_trace(text, requests_max);
  if (!trace) return Error{trace.error().message + " of " + path};
  return trace;
}

std::vector<TraceRequest> make_trace(const MadeUpTrace& how) {
  Prng prng(how.seed);
  std::vector<TraceRequest> trace;
  auto next_block = static_cast<std::uint32_t>(how.applications * how.application_blocks);
  const double sessions_per_s = how.requests_per_s / how.turns_mean;
  // More than are wanted, so that the first `requests` of all are there once sorted.
  double at_s = 0;
  while (trace.size() < 2 * how.requests) {
    at_s += prng.exponential() / sessions_per_s;
    const auto application =
        static_cast<int>(prng.below(static_cast<std::uint64_t>(how.applications)));
    std::vector<std::uint32_t> blocks;
    for (int i = 0; i < how.application_blocks; ++i) {
      blocks.push_back(static_cast<std::uint32_t>(application * how.application_blocks + i));
    }
    double turn_s = at_s;
    do {
      const int fresh = 1 + static_cast<int>(prng.exponential() * (how.turn_blocks_mean - 1));
      for (int i = 0; i < fresh; ++i) blocks.push_back(next_block++);
      const int completion = 1 + static_cast<int>(prng.exponential() * how.completion_tokens_mean);
      trace.push_back(
          {turn_s, static_cast<int>(blocks.size()) * trace_block_tokens, completion, blocks});
      turn_s += prng.exponential() * how.think_s_mean;
    } while (prng.uniform() > 1 / how.turns_mean);
  }
  std::ranges::sort(trace, {}, &TraceRequest::at_s);
  trace.resize(how.requests);
  const double from_s = trace.front().at_s;
  for (TraceRequest& request : trace) request.at_s -= from_s;
  return trace;
}

double ideal_cached_share(const std::vector<TraceRequest>& trace) {
  std::unordered_set<std::uint32_t> seen;
  double cached = 0;
  double all = 0;
  for (const TraceRequest& request : trace) {
    int held = 0;
    for (const std::uint32_t block : request.blocks) {
      if (!seen.contains(block)) break;
      ++held;
    }
    cached += std::min(held * trace_block_tokens, request.prompt_tokens);
    all += request.prompt_tokens;
    seen.insert(request.blocks.begin(), request.blocks.end());
  }
  return all > 0 ? cached / all : 0;
}

std::string trace_prompt(const TraceRequest& request) {
  std::string prompt;
  prompt.reserve(static_cast<std::size_t>(request.prompt_tokens) * token_bytes);
  for (int token = 0; token < request.prompt_tokens; ++token) {
    const auto block = static_cast<std::size_t>(token / trace_block_tokens);
    append_token(prompt, request.blocks[block] * 0x9e3779b97f4a7c15u,
                 static_cast<std::uint64_t>(token % trace_block_tokens));
  }
  return prompt;
}

}  // namespace noroshi::trial
