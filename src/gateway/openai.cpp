#include "gateway/openai.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>

#include "gateway/tenants.h"

namespace noroshi::gateway {
namespace json = boost::json;
namespace {

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

ApiError engine_not_ready(std::string_view model) {
  return {
      503,
      (model.empty() ? "No engine is ready now"
                     : "No site has model '" + std::string(model.substr(0, 200)) + "' ready now") +
          std::string(": it is loading, its sites are drained or lost, or it is placed nowhere; "
                      "try again in a moment."),
      "server_error",
      "",
      "engine_not_ready",
      2};
}

ApiError not_metered() {
  return {503,
          "The answer's usage could not be recorded, so it is not given; try again in a moment.",
          "server_error",
          "",
          "usage_not_recorded",
          2};
}

ApiError model_not_allowed(std::string_view tenant, std::string_view model) {
  return {403,
          "Tenant '" + std::string(tenant) + "' may not use model '" +
              std::string(model.substr(0, 200)) + "'.",
          invalid, "model", "model_not_allowed"};
}

ApiError over_quota(std::string_view tenant, const OverQuota& over) {
  char limit[32];
  std::snprintf(limit, sizeof limit, "%g", over.limit);
  return {429,
          "Tenant '" + std::string(tenant) + "' is above its quota " + std::string(over.quota) +
              " of " + limit + "; try again in " + std::to_string(over.retry_after_s) + " s.",
          over.quota == "tokens_per_minute" ? "tokens" : "requests",
          "",
          "rate_limit_exceeded",
          over.retry_after_s};
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
    // A site's gateway has said so already of its own engine.
    const std::string said = text("message");
    if (said.starts_with(message)) {
      message = said;
    } else if (!said.empty()) {
      message += ": " + said;
    }
    if (!text("type").empty()) type = text("type");
    code = text("code");
    param = text("param");
  }
  message = message.substr(0, 2000);
  if (status == 503) {
    ApiError not_ready = api_error::engine_not_ready();
    not_ready.message = "The engine is not ready; try again in a moment. (" + message + ")";
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

}  // namespace noroshi::gateway
