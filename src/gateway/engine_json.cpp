// What an engine says, as far as the gateway must understand it.

#include <algorithm>
#include <boost/json.hpp>

#include "gateway/json_fields.h"
#include "gateway/openai.h"

namespace noroshi::gateway {

namespace {

std::optional<std::uint64_t> count_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_int64() || value->get_int64() < 0) return {};
  return static_cast<std::uint64_t>(value->get_int64());
}

std::optional<Usage> usage_in(const json::object& object) {
  if (const json::value* usage = object.if_contains("usage"); usage && usage->is_object()) {
    const auto prompt = count_at(usage->get_object(), "prompt_tokens");
    const auto completion = count_at(usage->get_object(), "completion_tokens");
    const json::value* details = usage->get_object().if_contains("prompt_tokens_details");
    std::optional<std::uint64_t> cached;
    if (details != nullptr && details->is_object()) {
      cached = count_at(details->get_object(), "cached_tokens");
    }
    if (prompt || completion) {
      return Usage{prompt.value_or(0), completion.value_or(0), cached.value_or(0)};
    }
  }
  // llama-server closes every stream with these, asked or not; cache_n are prompt tokens that it
  // had from before.
  if (const json::value* timings = object.if_contains("timings"); timings && timings->is_object()) {
    const json::object& counts = timings->get_object();
    const auto predicted = count_at(counts, "predicted_n");
    if (predicted) {
      const std::uint64_t cached = count_at(counts, "cache_n").value_or(0);
      return Usage{count_at(counts, "prompt_n").value_or(0) + cached, *predicted, cached};
    }
  }
  return {};
}

std::optional<PromptTime> prompt_time_in(const json::object& object) {
  const json::object* timings = object_at(object, "timings");
  if (timings == nullptr) return {};
  const auto tokens = count_at(*timings, "prompt_n");
  const json::value* ms = timings->if_contains("prompt_ms");
  if (!tokens || ms == nullptr || !ms->is_number()) return {};
  const double seconds = ms->to_number<double>() / 1e3;
  if (!(seconds > 0 && seconds < 1e6)) return {};
  return PromptTime{*tokens, seconds};
}

void read_choice(const json::object& choice, EngineJson& event, std::string* text) {
  std::string_view piece = text_at(choice, "text");
  if (const json::object* delta = object_at(choice, "delta")) {
    piece = text_at(*delta, "content");
    const json::value* calls = delta->if_contains("tool_calls");
    event.other_content = event.other_content || !text_at(*delta, "reasoning_content").empty() ||
                          !text_at(*delta, "reasoning").empty() ||
                          !text_at(*delta, "refusal").empty() ||
                          (calls != nullptr && !calls->is_null());
  }
  event.content = event.content || event.other_content || !piece.empty();
  event.finish = event.finish || !text_at(choice, "finish_reason").empty();
  if (text != nullptr) text->append(piece);
}

}  // namespace

EngineJson read_engine_json(std::string_view data, std::string* text) {
  EngineJson event;
  unsigned char scratch[4096];
  json::monotonic_resource memory(scratch, sizeof scratch);
  boost::system::error_code failure;
  const json::value value = json::parse(data, failure, &memory);
  if (failure || !value.is_object()) return event;
  const json::object& object = value.get_object();
  event.json = true;
  event.usage = usage_in(object);
  event.prompt_time = prompt_time_in(object);
  const json::value* choices = object.if_contains("choices");
  if (choices != nullptr && choices->is_array()) {
    for (const json::value& choice : choices->get_array()) {
      if (choice.is_object()) read_choice(choice.get_object(), event, text);
    }
    event.usage_only = choices->get_array().empty() && event.usage.has_value();
  }
  const json::value* error = object.if_contains("error");
  event.error = choices == nullptr && error != nullptr && !error->is_null();
  return event;
}

}  // namespace noroshi::gateway
