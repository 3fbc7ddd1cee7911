#include "fleet/report.h"

#include <algorithm>

#include "fleet/json_fields.h"

namespace noroshi::fleet {
namespace {

constexpr double rate_max = 1e9;
constexpr int count_max = 1'000'000'000;

boost::json::object model_object(const gateway::ModelAtSite& model) {
  return {{"name", model.name},
          {"content_hash", model.content_hash},
          {"places", model.places},
          {"requests_in_flight", model.requests_in_flight},
          {"requests_queued", model.requests_queued},
          {"prompt_tokens_per_s", model.prompt_tokens_per_s},
          {"tokens_per_s", model.tokens_per_s},
          {"service_s_mean", model.service_s_mean},
          {"cache_tokens", model.cache_tokens}};
}

gateway::ModelAtSite read_model(const boost::json::object& object, const std::string& path,
                                std::optional<Error>& error) {
  gateway::ModelAtSite model;
  JsonFields fields(object, path, error);
  fields.require("name");
  fields.text("name", model.name);
  fields.text("content_hash", model.content_hash, 64);
  fields.integer("places", model.places, 0, count_max);
  fields.integer("requests_in_flight", model.requests_in_flight, 0, count_max);
  fields.integer("requests_queued", model.requests_queued, 0, count_max);
  fields.number("prompt_tokens_per_s", model.prompt_tokens_per_s, 0, rate_max);
  fields.number("tokens_per_s", model.tokens_per_s, 0, rate_max);
  fields.number("service_s_mean", model.service_s_mean, 0, rate_max);
  fields.integer("cache_tokens", model.cache_tokens, 0, count_max);
  if (model.name.empty()) fields.fail("name", "is empty");
  return model;
}

// A name or an address, nothing that could leave a URL or a header.
bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == ':' || c == '_';
  });
}

}  // namespace

std::string beat_subject(std::string_view region, std::string_view site) {
  return "noroshi." + std::string(region) + "." + std::string(site) + ".beat";
}

std::string wanted_subject(std::string_view region, std::string_view site) {
  return "noroshi." + std::string(region) + "." + std::string(site) + ".wanted";
}

std::string report_text(const SiteReport& report) {
  const gateway::SiteState& site = report.site;
  boost::json::array models;
  for (const gateway::ModelAtSite& model : site.models) models.push_back(model_object(model));
  return boost::json::serialize(
      boost::json::object{{"v", 1},
                          {"name", site.name},
                          {"region", site.region},
                          {"instance", site.instance},
                          {"sequence", report.sequence},
                          {"uptime_s", report.uptime_s},
                          {"host", site.host},
                          {"tcp_port", site.tcp_port},
                          {"pin", gateway::pin_text(site.pin)},
                          {"ready", site.ready},
                          {"draining", site.draining},
                          {"lease_share", site.lease_share},
                          {"lease_share_forecast", site.lease_share_forecast},
                          {"desired_revision", report.desired_revision},
                          {"fault", report.fault.substr(0, text_bytes_max)},
                          {"fetching", report.fetching.substr(0, text_bytes_max)},
                          {"fetched_percent", report.fetched_percent},
                          {"models", std::move(models)}});
}

Result<SiteReport> parse_report(std::string_view subject, std::string_view bytes) {
  const auto named = [&](const std::string& fault) {
    return Error{"heartbeat on " + shown(subject) + ": " + fault};
  };
  const auto document = parse_document(bytes, report_bytes_max);
  if (!document) return named(document.error().message);
  std::optional<Error> error;
  JsonFields fields(*document, "", error);
  SiteReport report;
  gateway::SiteState& site = report.site;
  for (const char* key : {"name", "region", "instance", "sequence", "host", "tcp_port"}) {
    fields.require(key);
  }
  fields.word("name", site.name);
  fields.word("region", site.region);
  fields.natural("instance", site.instance);
  fields.natural("sequence", report.sequence);
  fields.number("uptime_s", report.uptime_s, 0, 1e12);
  fields.text("host", site.host);
  fields.integer("tcp_port", site.tcp_port, 1, 65'535);
  std::string pin;
  fields.text("pin", pin, 32);
  fields.boolean("ready", site.ready);
  fields.boolean("draining", site.draining);
  fields.number("lease_share", site.lease_share, 0, 1);
  fields.number("lease_share_forecast", site.lease_share_forecast, 0, 1);
  fields.natural("desired_revision", report.desired_revision);
  fields.text("fault", report.fault);
  fields.text("fetching", report.fetching);
  fields.integer("fetched_percent", report.fetched_percent, 0, 100);
  if (const boost::json::array* models = fields.objects("models", models_max)) {
    for (std::size_t i = 0; i < models->size() && !error; ++i) {
      site.models.push_back(
          read_model((*models)[i].as_object(), "models[" + std::to_string(i) + "]", error));
      for (std::size_t other = 0; other < i; ++other) {
        if (site.models[other].name == site.models[i].name) {
          fields.fail("models", "names '" + shown(site.models[i].name) + "' twice");
        }
      }
    }
  }
  if (const auto parsed = gateway::parse_pin(pin)) {
    site.pin = *parsed;
  } else {
    fields.fail("pin", "is '" + shown(pin) + "' (allowed: 32 hexadecimal digits, or none)");
  }
  if (!error && !is_host(site.host)) {
    fields.fail("host", "is '" + shown(site.host) + "' (allowed: a name or an address)");
  }
  if (!error && beat_subject(site.region, site.name) != subject) {
    fields.fail("name", "is '" + site.name + "' of region '" + site.region +
                            "', which is not the subject's");
  }
  if (error) return named(error->message);
  return report;
}

}  // namespace noroshi::fleet
