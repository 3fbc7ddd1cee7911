#include "gateway/route/check_state.h"

#include <algorithm>
#include <cmath>

namespace noroshi::gateway {
namespace {

// Foreign bytes in an error stay readable.
std::string shown(std::string_view text) {
  std::string safe;
  for (const char c : text.substr(0, 64)) safe += c >= ' ' && c <= '~' ? c : '?';
  return "'" + safe + (text.size() > 64 ? "...'" : "'");
}

struct Check {
  std::string at;  // "site 'a'", "site 'a', model 'm'"
  std::string fault = {};

  void text(const char* field, std::string_view value, bool may_be_empty) {
    if (!fault.empty()) return;
    const bool printable = std::ranges::none_of(
        value, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
    if (value.size() > site_text_bytes_max || !printable || (value.empty() && !may_be_empty)) {
      fault = at + ": " + field + " " + shown(value) + " must have " + (may_be_empty ? "0" : "1") +
              ".." + std::to_string(site_text_bytes_max) + " bytes and no control character";
    }
  }
  void number(const char* field, double value, double max) {
    if (!fault.empty() || (value >= 0 && value <= max)) return;
    fault = at + ": " + field + " " + std::to_string(value) + " must be in 0.." +
            std::to_string(static_cast<std::int64_t>(max));
  }
};

}  // namespace

Result<void> check_state(const SiteState& state) {
  Check check{"site " + shown(state.name)};
  check.text("name", state.name, false);
  check.text("region", state.region, true);
  check.text("host", state.host, !state.ready);
  check.text("api_key", state.api_key, true);
  const int tcp_port_min = state.ready ? 1 : 0;  // one that is not ready may have no address yet
  if (check.fault.empty() && (state.tcp_port < tcp_port_min || state.tcp_port > 65535)) {
    check.fault =
        check.at + ": tcp_port " + std::to_string(state.tcp_port) + " must be in 1..65535";
  }
  check.number("lease_share", state.lease_share, 1);
  check.number("lease_share_forecast", state.lease_share_forecast, 1);
  check.number("rtt_ms", state.rtt_ms, 60'000);
  if (check.fault.empty() && state.models.size() > site_models_max) {
    check.fault = check.at + ": models has " + std::to_string(state.models.size()) +
                  " entries, more than " + std::to_string(site_models_max);
  }
  if (!check.fault.empty()) return Error{check.fault};
  for (const ModelAtSite& model : state.models) {
    Check its{check.at + ", model " + shown(model.name)};
    its.text("name", model.name, false);
    its.text("content_hash", model.content_hash, true);
    its.number("places", model.places, 1e6);
    its.number("requests_in_flight", model.requests_in_flight, 1e6);
    its.number("requests_queued", model.requests_queued, 1e6);
    its.number("prompt_tokens_per_s", model.prompt_tokens_per_s, 1e9);
    its.number("tokens_per_s", model.tokens_per_s, 1e9);
    its.number("service_s_mean", model.service_s_mean, 1e6);
    its.number("cache_tokens", model.cache_tokens, 2e9);
    if (its.fault.empty() && std::ranges::count(state.models, model.name, &ModelAtSite::name) > 1) {
      its.fault = its.at + ": name stands there twice";
    }
    if (!its.fault.empty()) return Error{its.fault};
  }
  return {};
}

}  // namespace noroshi::gateway
