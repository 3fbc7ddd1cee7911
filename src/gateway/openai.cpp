#include "gateway/openai.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cassert>
#include <cmath>
#include <limits>

namespace noroshi::gateway {
namespace json = boost::json;
namespace {

constexpr std::size_t json_depth_max = 64;  // tool schemas nest deeper than Boost's default of 32

json::value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return json::value(json::string(text));
}

std::string percent_decoded(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 &&
        digit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

}  // namespace

Route route_of(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  if (path == "/v1/chat/completions") return {Endpoint::chat, {}};
  if (path == "/v1/completions") return {Endpoint::completions, {}};
  if (path == "/v1/embeddings") return {Endpoint::embeddings, {}};
  if (path == "/v1/models") return {Endpoint::models, {}};
  if (path == "/health") return {Endpoint::health, {}};
  if (path == "/metrics") return {Endpoint::metrics, {}};
  constexpr std::string_view model_prefix = "/v1/models/";
  if (path.starts_with(model_prefix) && path.size() > model_prefix.size()) {
    return {Endpoint::model, percent_decoded(path.substr(model_prefix.size()))};
  }
  return {};
}

std::string_view endpoint_name(Endpoint endpoint) {
  constexpr std::array<std::string_view, endpoints> names = {
      "chat", "completions", "embeddings", "models", "model", "health", "metrics", "unknown"};
  return names[static_cast<std::size_t>(endpoint)];
}

bool is_ai(Endpoint endpoint) {
  return endpoint == Endpoint::chat || endpoint == Endpoint::completions ||
         endpoint == Endpoint::embeddings;
}

bool needs_key(Endpoint endpoint) {
  return endpoint != Endpoint::health && endpoint != Endpoint::metrics;
}

std::string_view allowed_methods(Endpoint endpoint) {
  return is_ai(endpoint) ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

namespace api_error {

constexpr const char* invalid = "invalid_request_error";

ApiError bad_request(std::string message, std::string param, std::string code) {
  return {400, std::move(message), invalid, std::move(param), std::move(code)};
}

ApiError wrong_key() {
  return {401, "No valid API key: send \"Authorization: Bearer KEY\" with a key of this site.",
          invalid, "", "invalid_api_key"};
}

ApiError unknown_path(std::string_view method, std::string_view target) {
  return {404,
          "Nothing answers " + std::string(method) + " " + std::string(target.substr(0, 200)) +
              "; this gateway has /v1/chat/completions, /v1/completions, /v1/embeddings, "
              "/v1/models, /health and /metrics.",
          invalid, "", "unknown_url"};
}

ApiError wrong_method(std::string_view method, std::string_view target, Endpoint endpoint) {
  return {405,
          std::string(target.substr(0, 200)) + " does not take " + std::string(method) + ", only " +
              std::string(allowed_methods(endpoint)) + ".",
          invalid, "", "method_not_supported"};
}

ApiError unknown_model(std::string_view model, const std::vector<std::string>& known) {
  std::string message = "No model '" + std::string(model.substr(0, 200)) + "' here; there is";
  for (const std::string& name : known) message += " '" + name + "'";
  if (known.empty()) message += " none";
  return {404, message + ".", invalid, "model", "model_not_found"};
}

ApiError too_large(std::size_t body_bytes_max) {
  return {413,
          "The body is larger than this gateway's " + std::to_string(body_bytes_max) + " bytes.",
          invalid, "", "request_too_large"};
}

ApiError too_many_requests(int retry_after_s) {
  return {429,
          "Too many requests; try again in " + std::to_string(retry_after_s) + " s.",
          "requests",
          "",
          "rate_limit_exceeded",
          retry_after_s};
}

ApiError too_many_in_flight(int in_flight_max) {
  return {429,
          "This site already answers " + std::to_string(in_flight_max) +
              " requests; try again in a second.",
          "requests",
          "",
          "rate_limit_exceeded",
          1};
}

ApiError engine_busy(int retry_after_s) {
  return {429,
          "The engine has more to do than it has processors for now; try again in " +
              std::to_string(retry_after_s) + " s.",
          "requests",
          "",
          "engine_busy",
          retry_after_s};
}

ApiError engine_failed(std::string message) {
  return {502, std::move(message), "server_error", "", "engine_failed"};
}

ApiError engine_not_ready() {
  return {503,
          "The engine is not ready yet; try again in a moment.",
          "server_error",
          "",
          "engine_not_ready",
          2};
}

}  // namespace api_error

std::string error_body(const ApiError& error) {
  const json::value body = {{"error",
                             {{"message", json::string(error.message)},
                              {"type", json::string(error.type)},
                              {"param", text_or_null(error.param)},
                              {"code", text_or_null(error.code)}}}};
  return json::serialize(body);
}

std::string error_event(const ApiError& error) { return "data: " + error_body(error) + "\n\n"; }

ApiError from_engine(int status, std::string_view body) {
  std::string message = "The engine answered " + std::to_string(status);
  std::string type = "invalid_request_error";
  std::string code;
  std::string param;
  boost::system::error_code failure;
  const json::value parsed = json::parse(body, failure);
  const json::object* object = failure ? nullptr : parsed.if_object();
  const json::value* error = object == nullptr ? nullptr : object->if_contains("error");
  if (error != nullptr && error->is_object()) {
    const auto text = [&](const char* key) -> std::string {
      const json::value* field = error->as_object().if_contains(key);
      return field != nullptr && field->is_string() ? std::string(field->as_string()) : "";
    };
    if (!text("message").empty()) message += ": " + text("message");
    if (!text("type").empty()) type = text("type");
    code = text("code");
    param = text("param");
  }
  message = message.substr(0, 2000);
  if (status == 503) {
    ApiError not_ready = api_error::engine_not_ready();
    not_ready.message += " (" + message + ")";
    return not_ready;
  }
  // 401, 403 and 407 speak of our key at the engine, which the client can do nothing about.
  const bool clients_fault =
      (status >= 400 && status < 500 && status != 401 && status != 403 && status != 407);
  if (!clients_fault && status != 501) return api_error::engine_failed(message + ".");
  return {status, message, type, param, code, status == 429 ? 1 : 0};
}

namespace {

json::value model_object(std::string_view model) {
  // created: OpenAI's clients want a number; when a model was made is not known to its server.
  return {{"id", json::string_view(model.data(), model.size())},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "noroshi"}};
}

}  // namespace

std::string models_body(const std::vector<std::string>& models) {
  json::array data;
  for (const std::string& model : models) data.push_back(model_object(model));
  return json::serialize(json::value{{"object", "list"}, {"data", std::move(data)}});
}

std::string model_body(std::string_view model) { return json::serialize(model_object(model)); }

// --- Questions ---

namespace {

using Refusal = std::optional<ApiError>;

Refusal refuse(std::string_view field, std::string_view wants) {
  return api_error::bad_request("'" + std::string(field) + "' must be " + std::string(wants) + ".",
                                std::string(field), "invalid_value");
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
    if (!value->is_number()) return refuse(field.name, field.wants);
    const double number = value->to_number<double>();
    if (field.integer && number != std::floor(number)) return refuse(field.name, field.wants);
    if (!(number >= field.min && number <= field.max)) return refuse(field.name, field.wants);
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
  if (options == nullptr || options->is_null()) return {};
  if (!options->is_object()) return refuse("stream_options", "an object");
  if (!question.stream) {
    return refuse("stream_options", "left out unless 'stream' is true");
  }
  const json::value* usage = options->as_object().if_contains("include_usage");
  if (usage != nullptr && !usage->is_bool()) {
    return refuse("stream_options.include_usage", "true or false");
  }
  return {};
}

Refusal check_fields(Endpoint endpoint, const json::object& body, Question& question) {
  const json::value* model = body.if_contains("model");
  if (model == nullptr) return missing("model");
  if (!model->is_string() || model->as_string().empty()) return refuse("model", "a model's name");
  question.model = std::string(model->as_string());
  if (const json::value* tier = body.if_contains("service_tier");
      tier != nullptr && !tier->is_null()) {
    if (!tier->is_string()) return refuse("service_tier", "auto, default, flex or priority");
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
  return question;
}

// --- Usage ---

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
    if (prompt || completion) return Usage{prompt.value_or(0), completion.value_or(0)};
  }
  // llama-server closes every stream with these, asked or not; cache_n are prompt tokens that it
  // had from before.
  if (const json::value* timings = object.if_contains("timings"); timings && timings->is_object()) {
    const json::object& counts = timings->get_object();
    const auto predicted = count_at(counts, "predicted_n");
    if (predicted) {
      return Usage{
          count_at(counts, "prompt_n").value_or(0) + count_at(counts, "cache_n").value_or(0),
          *predicted};
    }
  }
  return {};
}

bool has_text(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() && !value->get_string().empty();
}

bool has_content(const json::object& event) {
  const json::value* choices = event.if_contains("choices");
  if (choices == nullptr || !choices->is_array()) return false;
  return std::ranges::any_of(choices->get_array(), [](const json::value& choice) {
    if (!choice.is_object()) return false;
    if (has_text(choice.get_object(), "text")) return true;
    const json::value* delta = choice.get_object().if_contains("delta");
    if (delta == nullptr || !delta->is_object()) return false;
    const json::object& piece = delta->get_object();
    return has_text(piece, "content") || has_text(piece, "reasoning_content") ||
           has_text(piece, "reasoning") || piece.contains("tool_calls");
  });
}

}  // namespace

EngineJson read_engine_json(std::string_view data) {
  EngineJson event;
  unsigned char scratch[2048];
  json::monotonic_resource memory(scratch, sizeof scratch);
  boost::system::error_code failure;
  const json::value value = json::parse(data, failure, &memory);
  if (failure || !value.is_object()) return event;
  event.json = true;
  event.content = has_content(value.get_object());
  event.usage = usage_in(value.get_object());
  return event;
}

}  // namespace noroshi::gateway
