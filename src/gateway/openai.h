#pragma once

// OpenAI's HTTP API as data: which path is what, what a request must hold before it may cost the
// engine anything, and the bodies that answer it. Pure: no socket, clock or state.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace noroshi::gateway {

struct OverQuota;

enum class Endpoint : std::uint8_t {
  chat,
  completions,
  embeddings,
  models,  // the list
  model,   // /v1/models/{model}
  health,
  metrics,
  unknown,
};
inline constexpr int endpoints = 8;

struct Route {
  Endpoint endpoint = Endpoint::unknown;
  std::string model;  // Endpoint::model: the name, percent-decoded
};

// target: the request line's; a query string is ignored.
Route route_of(std::string_view target);
std::string_view endpoint_name(Endpoint endpoint);
std::string_view allowed_methods(Endpoint endpoint);  // for Allow
bool is_ai(Endpoint endpoint);                        // goes to an engine
bool needs_key(Endpoint endpoint);                    // all but /health and /metrics

// What OpenAI's clients read: status, and {"error": {message, type, param, code}}. An empty param
// or code is written as null.
struct ApiError {
  int status = 500;
  std::string message;
  std::string type;
  std::string param = {};
  std::string code = {};
  int retry_after_s = 0;  // 0: no header
};

namespace api_error {
ApiError bad_request(std::string message, std::string param = "", std::string code = "");
ApiError wrong_key();
ApiError unknown_path(std::string_view method, std::string_view target);
ApiError wrong_method(std::string_view method, std::string_view target, Endpoint endpoint);
ApiError unknown_model(std::string_view model, const std::vector<std::string>& known);
ApiError too_large(std::size_t body_bytes_max);
ApiError too_many_requests(int retry_after_s);
ApiError too_many_in_flight(int in_flight_max);
ApiError engine_busy(int retry_after_s);      // 429
ApiError engine_failed(std::string message);  // 502
// 503; of any model when its name is empty.
ApiError engine_not_ready(std::string_view model = {});
ApiError not_metered();  // 503: the answer's usage could not be stored
ApiError model_not_allowed(std::string_view tenant, std::string_view model);  // 403
ApiError over_quota(std::string_view tenant, const OverQuota& over);          // 429
}  // namespace api_error

std::string error_body(const ApiError& error);
// One SSE event that tells a client in the middle of a stream what happened.
std::string error_event(const ApiError& error);

// The engine's own 4xx or 501, in OpenAI's shape; its other failures are a 502, or a 503 when it
// says that it is loading.
ApiError from_engine(int status, std::string_view body);

std::string models_body(const std::vector<std::string>& models);
std::string model_body(std::string_view model);

// A question that passed. The body goes to the engine byte for byte as the client wrote it, so
// unknown fields reach engines that know them; only what decides about the request is read here.
struct Question {
  std::string model;
  bool stream = false;
  std::string service_tier;  // empty: not said
  // Where the body's first member may be put in, for a stream whose usage the client did not ask
  // for: the gateway asks for it, to meter, and takes it out of the stream again (resume.h).
  bool usage_asked = false;
  bool has_stream_options = false;
  bool has_seed = false;
  std::optional<int> completion_tokens_max = {};
  // Its session, as far as the client says: prompt_cache_key, else user. 0: not said.
  std::uint64_t session = 0;
  // Of the prompt (route/prefix.h): roles and contents of the messages after the tools.
  std::vector<std::uint64_t> prefix_blocks = {};
  std::size_t prompt_bytes = 0;
  // Why its stream could not go on at another site in the middle; empty: it can.
  std::string_view not_resumable = {};
};

// Refuses malformed JSON (with line and column), missing or mistyped fields (with param) and values
// out of OpenAI's range. endpoint: chat, completions or embeddings.
std::variant<Question, ApiError> parse_question(Endpoint endpoint, std::string_view body);

struct Usage {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  std::uint64_t cached_tokens = 0;  // of the prompt
};

// What an engine took for the part of a prompt that it had to compute.
struct PromptTime {
  std::uint64_t tokens = 0;
  double seconds = 0;
};

// One JSON document from an engine: a whole answer, or one data line of a stream.
struct EngineJson {
  bool json = false;           // an object; else "[DONE]" or garbage
  bool content = false;        // a stream's piece of text, of reasoning or of a tool call
  std::optional<Usage> usage;  // from "usage", else from llama-server's "timings"
  std::optional<PromptTime> prompt_time;  // llama-server's
  bool error = false;                     // the engine says that it failed
  bool usage_only = false;                // a stream's event that holds nothing but usage
  bool other_content = false;  // content that is not text: reasoning, a tool call, a refusal
  bool finish = false;         // a choice says why it ended
};
// Appends the text of a stream's first choice to text, where one is given.
EngineJson read_engine_json(std::string_view data, std::string* text = nullptr);

}  // namespace noroshi::gateway
