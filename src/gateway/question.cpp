// What a client may ask, and what of it decides where it goes.

#include <algorithm>
#include <boost/json.hpp>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <limits>

#include "gateway/json_fields.h"
#include "gateway/openai.h"
#include "gateway/route/prefix.h"

namespace noroshi::gateway {
namespace {

constexpr std::size_t json_depth_max = 64;  // tool schemas nest deeper than Boost's default of 32

using Refusal = std::optional<ApiError>;

std::string_view view_of(const json::string& text) { return {text.data(), text.size()}; }

Refusal refuse(std::string_view field, std::string_view wants) {
  return api_error::bad_request("'" + std::string(field) + "' must be " + std::string(wants) + ".",
                                std::string(field), "invalid_value");
}

// As the client wrote it, for a refusal; a text's beginning.
std::string shown(const json::value& value) {
  constexpr std::size_t bytes_max = 40;
  if (value.is_array()) return "an array";
  if (value.is_object()) return "an object";
  if (value.is_double()) {
    char text[32];
    std::snprintf(text, sizeof text, "%.12g", value.get_double());
    return text;
  }
  if (!value.is_string()) return json::serialize(value);
  std::string text(value.get_string());
  if (text.size() > bytes_max) {
    std::size_t end = bytes_max;  // of a whole character
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end) + "...";
  }
  return "'" + text + "'";
}

Refusal refuse(std::string_view field, std::string_view wants, const json::value& value) {
  return refuse(field, std::string(wants) + ", and is " + shown(value));
}

Refusal missing(std::string_view field) {
  return api_error::bad_request("The required field '" + std::string(field) + "' is missing.",
                                std::string(field), "missing_required_parameter");
}

struct NumberField {
  std::string_view name;
  bool integer;
  double min;
  double max;
  std::string_view wants;
};

// The ranges of OpenAI's API reference; max_tokens counts fit the engine's int.
constexpr double int_max = std::numeric_limits<int>::max();
constexpr NumberField number_fields[] = {
    {"temperature", false, 0, 2, "a number from 0 to 2"},
    {"top_p", false, 0, 1, "a number from 0 to 1"},
    {"frequency_penalty", false, -2, 2, "a number from -2 to 2"},
    {"presence_penalty", false, -2, 2, "a number from -2 to 2"},
    {"n", true, 1, 128, "an integer from 1 to 128"},
    {"max_tokens", true, 0, int_max, "an integer of 0 or more"},
    {"max_completion_tokens", true, 0, int_max, "an integer of 0 or more"},
    {"top_logprobs", true, 0, 20, "an integer from 0 to 20"},
    {"dimensions", true, 1, int_max, "an integer of 1 or more"},
};

Refusal check_numbers(const json::object& body) {
  for (const NumberField& field : number_fields) {
    const json::value* value = body.if_contains(field.name);
    if (value == nullptr || value->is_null()) continue;
    const double number = value->is_number() ? value->to_number<double>() : 0;
    const bool fits = value->is_number() && number >= field.min && number <= field.max;
    if (!fits || (field.integer && number != std::floor(number))) {
      return refuse(field.name, field.wants, *value);
    }
  }
  return {};
}

Refusal check_message(const json::value& value, const std::string& at) {
  if (!value.is_object()) return refuse(at, "an object with role and content");
  const json::object& message = value.as_object();
  const json::value* role = message.if_contains("role");
  if (role == nullptr) return missing(at + ".role");
  constexpr std::string_view roles[] = {"system",    "developer", "user",
                                        "assistant", "tool",      "function"};
  if (!role->is_string() ||
      std::ranges::find(roles, std::string_view(role->as_string())) == std::end(roles)) {
    return refuse(at + ".role", "one of system, developer, user, assistant, tool, function");
  }
  const json::value* content = message.if_contains("content");
  const bool absent = content == nullptr || content->is_null();
  if (absent) {
    // An assistant's turn may hold only tool calls or a refusal.
    if (role->as_string() == "assistant") return {};
    return missing(at + ".content");
  }
  if (content->is_string()) return {};
  if (!content->is_array()) return refuse(at + ".content", "a string or an array of parts");
  for (std::size_t i = 0; i < content->as_array().size(); ++i) {
    const json::value& part = content->as_array()[i];
    const json::value* type = part.is_object() ? part.as_object().if_contains("type") : nullptr;
    if (type == nullptr || !type->is_string()) {
      return refuse(at + ".content[" + std::to_string(i) + "]", "an object with a type");
    }
  }
  return {};
}

Refusal check_messages(const json::object& body) {
  const json::value* messages = body.if_contains("messages");
  if (messages == nullptr) return missing("messages");
  if (!messages->is_array() || messages->as_array().empty()) {
    return refuse("messages", "an array of at least one message");
  }
  const json::array& list = messages->as_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (Refusal refusal = check_message(list[i], "messages[" + std::to_string(i) + "]")) {
      return refusal;
    }
  }
  return {};
}

// A string, an array of strings, an array of token numbers or an array of such arrays.
Refusal check_text(const json::object& body, std::string_view field) {
  constexpr std::string_view wants = "a string or a non-empty array of strings or of tokens";
  const json::value* value = body.if_contains(field);
  if (value == nullptr) return missing(field);
  if (value->is_string()) return {};
  if (!value->is_array() || value->as_array().empty()) return refuse(field, wants);
  for (const json::value& item : value->as_array()) {
    if (!item.is_string() && !item.is_int64() && !item.is_array()) return refuse(field, wants);
  }
  return {};
}

Refusal check_stream(const json::object& body, Question& question) {
  const json::value* stream = body.if_contains("stream");
  if (stream != nullptr && !stream->is_null()) {
    if (!stream->is_bool()) return refuse("stream", "true or false");
    question.stream = stream->as_bool();
  }
  const json::value* options = body.if_contains("stream_options");
  question.has_stream_options = options != nullptr;
  if (options == nullptr || options->is_null()) return {};
  if (!options->is_object()) return refuse("stream_options", "an object");
  if (!question.stream) {
    return refuse("stream_options", "left out unless 'stream' is true");
  }
  const json::value* usage = options->as_object().if_contains("include_usage");
  if (usage != nullptr && !usage->is_bool()) {
    return refuse("stream_options.include_usage", "true or false");
  }
  question.usage_asked = usage != nullptr && usage->get_bool();
  return {};
}

Refusal check_fields(Endpoint endpoint, const json::object& body, Question& question) {
  const json::value* model = body.if_contains("model");
  if (model == nullptr) return missing("model");
  if (!model->is_string() || model->as_string().empty()) return refuse("model", "a model's name");
  question.model = std::string(model->as_string());
  if (const json::value* tier = body.if_contains("service_tier");
      tier != nullptr && !tier->is_null()) {
    constexpr std::string_view tiers[] = {"auto", "default", "flex", "scale", "priority"};
    if (!tier->is_string() ||
        std::ranges::find(tiers, view_of(tier->get_string())) == std::end(tiers)) {
      return refuse("service_tier", "auto, default, flex, scale or priority", *tier);
    }
    question.service_tier = std::string(tier->as_string());
  }
  if (endpoint == Endpoint::chat) {
    if (Refusal refusal = check_messages(body)) return refusal;
  } else if (endpoint == Endpoint::completions) {
    if (Refusal refusal = check_text(body, "prompt")) return refusal;
  } else {
    if (Refusal refusal = check_text(body, "input")) return refusal;
    const json::value* format = body.if_contains("encoding_format");
    if (format != nullptr && !format->is_null() &&
        !(format->is_string() &&
          (format->as_string() == "float" || format->as_string() == "base64"))) {
      return refuse("encoding_format", "float or base64");
    }
  }
  if (Refusal refusal = check_numbers(body)) return refusal;
  return endpoint == Endpoint::embeddings ? Refusal{} : check_stream(body, question);
}

// --- What decides where a good question goes ---

void add_content(const json::value* content, PrefixHasher& hasher) {
  if (content == nullptr) return;
  if (content->is_string()) {
    hasher.add(view_of(content->get_string()));
  } else if (content->is_array()) {
    for (const json::value& part : content->get_array()) {
      const json::value* text = part.get_object().if_contains("text");
      hasher.add(text != nullptr && text->is_string() ? std::string(view_of(text->get_string()))
                                                      : json::serialize(part));
      hasher.end_piece();
    }
  }
}

void add_chat(const json::object& body, PrefixHasher& hasher) {
  // A template writes the tools before the messages.
  if (const json::value* tools = body.if_contains("tools")) hasher.add(json::serialize(*tools));
  hasher.end_piece();
  for (const json::value& message : body.at("messages").get_array()) {
    const json::object& fields = message.get_object();
    hasher.add(view_of(fields.at("role").get_string()));
    hasher.end_piece();
    add_content(fields.if_contains("content"), hasher);
    if (const json::value* calls = fields.if_contains("tool_calls")) {
      hasher.add(json::serialize(*calls));
    }
    hasher.end_piece();
  }
}

void add_prompt(const json::value& prompt, PrefixHasher& hasher) {
  if (prompt.is_string()) {
    hasher.add(view_of(prompt.get_string()));
  } else {
    hasher.add(json::serialize(prompt));
  }
}

bool is_set(const json::object& body, std::string_view field) {
  const json::value* value = body.if_contains(field);
  if (value == nullptr || value->is_null()) return false;
  if (value->is_bool()) return value->get_bool();
  if (value->is_array()) return !value->get_array().empty();
  if (value->is_number()) return value->to_number<double>() != 0;
  return true;
}

// A stream goes on elsewhere by asking again with the text so far as the beginning of the answer.
// That is honest only while the text is all there is to the answer.
std::string_view not_resumable(Endpoint endpoint, const json::object& body) {
  const json::value* n = body.if_contains("n");
  if (n != nullptr && n->is_number() && n->to_number<double>() > 1) return "n is above 1";
  if (is_set(body, "best_of") && body.at("best_of").is_number() &&
      body.at("best_of").to_number<double>() > 1) {
    return "best_of is above 1";
  }
  if (is_set(body, "logprobs") || is_set(body, "top_logprobs")) return "logprobs are asked for";
  if (is_set(body, "tools") || is_set(body, "functions")) return "tools may be called";
  const json::object* format = object_at(body, "response_format");
  if (format != nullptr && text_at(*format, "type") != "text") {
    return "response_format binds the whole answer";
  }
  for (const std::string_view field : {"grammar", "json_schema", "structured_outputs"}) {
    if (is_set(body, field)) return "a grammar binds the whole answer";
  }
  if (endpoint == Endpoint::completions) {
    if (!body.at("prompt").is_string()) return "the prompt is not one text";
    if (is_set(body, "echo")) return "the prompt is echoed";
    if (is_set(body, "suffix")) return "a suffix is asked for";
    return {};
  }
  const json::object& last = body.at("messages").get_array().back().get_object();
  const json::value* content = last.if_contains("content");
  if (view_of(last.at("role").get_string()) == "assistant" &&
      (content == nullptr || !content->is_string())) {
    return "the last message is an assistant's that is not one text";
  }
  return {};
}

void read_facts(Endpoint endpoint, const json::object& body, Question& question) {
  PrefixHasher hasher(question.model);
  if (endpoint == Endpoint::chat) {
    add_chat(body, hasher);
  } else {
    add_prompt(body.at(endpoint == Endpoint::completions ? "prompt" : "input"), hasher);
  }
  question.prefix_blocks.assign(hasher.blocks().begin(), hasher.blocks().end());
  question.prompt_bytes = hasher.bytes();
  for (const std::string_view field : {"max_tokens", "max_completion_tokens"}) {
    const json::value* most = body.if_contains(field);
    if (most != nullptr && most->is_number()) {
      question.completion_tokens_max = static_cast<int>(most->to_number<double>());
    }
  }
  const json::value* seed = body.if_contains("seed");
  question.has_seed = seed != nullptr && !seed->is_null();
  for (const std::string_view field : {"user", "prompt_cache_key"}) {
    const std::string_view session = text_at(body, field);
    if (!session.empty()) question.session = std::max<std::uint64_t>(1, hash_text(session));
  }
  if (endpoint == Endpoint::embeddings) {
    question.not_resumable = "it is no stream";
  } else {
    question.not_resumable = not_resumable(endpoint, body);
  }
}

std::string place_of(std::string_view body, std::size_t offset) {
  const std::string_view before = body.substr(0, offset);
  const auto line = 1 + std::ranges::count(before, '\n');
  const std::size_t newline = before.rfind('\n');
  const std::size_t column = newline == std::string_view::npos ? offset + 1 : offset - newline;
  return "line " + std::to_string(line) + " column " + std::to_string(column);
}

}  // namespace

std::variant<Question, ApiError> parse_question(Endpoint endpoint, std::string_view body) {
  assert(is_ai(endpoint));
  json::parse_options options;
  options.max_depth = json_depth_max;
  json::monotonic_resource memory(std::max<std::size_t>(body.size(), 1024));
  json::stream_parser parser(&memory, options);
  boost::system::error_code failure;
  const std::size_t used = parser.write_some(body.data(), body.size(), failure);
  if (!failure && used < body.size()) {
    return api_error::bad_request(
        "The body is not JSON: something follows the object at " + place_of(body, used) + ".", "",
        "invalid_json");
  }
  if (!failure) parser.finish(failure);
  if (failure) {
    return api_error::bad_request("The body is not JSON: " + failure.message() + " at " +
                                      place_of(body, std::min(used, body.size())) + ".",
                                  "", "invalid_json");
  }
  const json::value value = parser.release();
  if (!value.is_object()) {
    return api_error::bad_request("The body must be a JSON object.", "", "invalid_json");
  }
  Question question;
  if (Refusal refusal = check_fields(endpoint, value.get_object(), question)) {
    return std::move(*refusal);
  }
  read_facts(endpoint, value.get_object(), question);
  return question;
}

}  // namespace noroshi::gateway
