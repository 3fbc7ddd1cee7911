#include "site/config_fleet.h"

#include <algorithm>

#include "base/loopback.h"

namespace noroshi::site {
namespace {

constexpr std::size_t models_max = 64;

bool is_word(const std::string& text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

void read_models(YamlReader& reader, const YAML::Node& list, FleetSection& fleet) {
  if (!list.IsSequence() || list.size() > models_max) {
    return reader.fail(list.Mark(), "fleet.models (allowed: a list of at most " +
                                        std::to_string(models_max) + " models)");
  }
  for (std::size_t i = 0; i < list.size() && !reader.error; ++i) {
    const std::string path = "fleet.models[" + std::to_string(i) + "]";
    YamlSection section(reader, list[i], path, {"name", "path"});
    section.require("name");
    section.require("path");
    FleetSection::Model model;
    section.text("name", model.name);
    section.text("path", model.path);
    if (!reader.error && (model.name.empty() || model.path.empty())) {
      return reader.fail(list[i].Mark(), path + ": name or path is empty");
    }
    if (!reader.error &&
        std::ranges::any_of(fleet.models, [&](const auto& m) { return m.path == model.path; })) {
      return reader.fail(list[i].Mark(), path + ": the file \"" + model.path + "\" is there twice");
    }
    fleet.models.push_back(std::move(model));
  }
}

}  // namespace

void read_fleet(YamlReader& reader, const YAML::Node& node, FleetSection& fleet) {
  YamlSection section(reader, node, "fleet",
                      {"urls", "region", "prefecture", "labels", "key", "ca", "host", "memory_mib",
                       "models", "models_folder", "domain", "contexts"});
  section.require("urls");
  section.texts("urls", fleet.urls, 64);
  if (!reader.error && fleet.urls.empty()) {
    return section.fail("urls", "is empty (allowed: nats:// or tls:// URLs of servers)");
  }
  for (const std::string& url : fleet.urls) {
    if (url.starts_with("nats://") || url.starts_with("tls://")) continue;
    return section.fail("urls", "\"" + url + "\" (allowed: nats://HOST:PORT, tls://HOST:PORT)");
  }
  section.text("region", fleet.region);
  if (!reader.error && !is_word(fleet.region)) {
    return section.fail("region",
                        "\"" + fleet.region + "\" (allowed: 1 to 64 letters, digits, '-' and '_')");
  }
  section.text("prefecture", fleet.prefecture);
  section.texts("labels", fleet.labels, 64);
  section.text("key", fleet.key);
  section.text("ca", fleet.ca);
  section.text("host", fleet.host);
  if (!reader.error && fleet.host.empty()) {
    return section.fail("host", "is empty (allowed: a name or an address)");
  }
  const auto remote = std::ranges::find_if_not(fleet.urls, is_loopback_url);
  if (!reader.error && !section.has("host") && remote != fleet.urls.end()) {
    return section.fail("urls", "\"" + *remote +
                                    "\" is not of this machine, and fleet.host is not there: write "
                                    "host: and the name or address under which gateways of other "
                                    "machines reach this site's ai.gateway");
  }
  section.integer("memory_mib", fleet.memory_mib, 0, 1 << 30);
  section.text("models_folder", fleet.models_folder);
  section.text("domain", fleet.domain);
  if (!reader.error && !fleet.domain.empty() && !is_word(fleet.domain)) {
    return section.fail("domain",
                        "\"" + fleet.domain + "\" (allowed: 1 to 64 letters, digits, '-' and '_')");
  }
  section.text("contexts", fleet.contexts);
  if (section.has("models")) read_models(reader, section.child("models"), fleet);
}

}  // namespace noroshi::site
