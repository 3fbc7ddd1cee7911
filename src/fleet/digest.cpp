#include "fleet/digest.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <map>
#include <span>

#include "fleet/bus.h"
#include "fleet/compact.h"
#include "fleet/json_fields.h"
#include "fleet/report.h"

namespace noroshi::fleet {
namespace {

constexpr std::string_view magic = "NRD\x01";
constexpr std::uint64_t count_max = 1'000'000'000;

struct Writer : CompactWriter {
  void count(int value) { number(static_cast<std::uint64_t>(std::max(0, value))); }
  void real(double value) { fixed(std::bit_cast<std::uint32_t>(static_cast<float>(value)), 4); }
  void share(double value) {
    fixed(static_cast<std::uint64_t>(std::lround(std::clamp(value, 0.0, 1.0) * 255)), 1);
  }
};

struct Reader : CompactReader {
  int count(const char* field, std::uint64_t max = count_max) {
    return static_cast<int>(number(field, max));
  }
  double real(const char* field) {
    const double value = std::bit_cast<float>(static_cast<std::uint32_t>(fixed(4, field)));
    if (fault.empty() && !(value >= 0 && value <= 1e9)) {
      fail(std::string(field) + " is no number from 0 to 1e9");
    }
    return fault.empty() ? value : 0;
  }
  double share(const char* field) { return static_cast<double>(fixed(1, field)) / 255; }
};

using ModelKey = std::pair<std::string, std::string>;  // name, content hash
using ModelNumbers = std::map<std::pair<std::string_view, std::string_view>, int>;

void write_site(Writer& writer, const DigestSite& entry, const ModelNumbers& models) {
  const gateway::SiteState& site = entry.site;
  writer.text(site.name);
  writer.fixed(site.instance, 8);
  writer.text(site.host);
  writer.count(site.tcp_port);
  const bool has_pin = !site.pin.is_none();
  writer.fixed((site.ready ? 1u : 0u) | (site.draining ? 2u : 0u) | (has_pin ? 4u : 0u), 1);
  if (has_pin) {
    for (const std::uint8_t byte : site.pin.bytes) writer.fixed(byte, 1);
  }
  writer.count(entry.age_ms);
  writer.share(site.lease_share);
  writer.share(site.lease_share_forecast);
  writer.number(site.models.size());
  for (const gateway::ModelAtSite& model : site.models) {
    writer.count(models.at({model.name, model.content_hash}));
    writer.count(model.places);
    writer.count(model.requests_in_flight);
    writer.count(model.requests_queued);
    writer.real(model.prompt_tokens_per_s);
    writer.real(model.tokens_per_s);
    writer.real(model.service_s_mean);
    writer.count(model.cache_tokens);
  }
}

void read_site(Reader& reader, const std::vector<ModelKey>& models, DigestSite& entry) {
  gateway::SiteState& site = entry.site;
  site.name = reader.text("site's name", 64);
  site.instance = reader.fixed(8, "instance");
  site.host = reader.text("host", 255);
  site.tcp_port = reader.count("tcp_port", 65'535);
  const std::uint64_t flags = reader.fixed(1, "flags");
  site.ready = (flags & 1) != 0;
  site.draining = (flags & 2) != 0;
  if ((flags & 4) != 0) {
    for (std::uint8_t& byte : site.pin.bytes) {
      byte = static_cast<std::uint8_t>(reader.fixed(1, "pin"));
    }
  }
  entry.age_ms = reader.count("age_ms");
  site.lease_share = reader.share("lease share");
  site.lease_share_forecast = reader.share("lease share's forecast");
  const std::size_t count = reader.number("site's models", models_max);
  site.models.reserve(count);
  for (std::size_t i = 0; i < count && reader.fault.empty(); ++i) {
    gateway::ModelAtSite& model = site.models.emplace_back();
    const std::size_t index = reader.number("model's index", models.size());
    if (index >= models.size()) return reader.fail("model's index is not in the table");
    model.name = models[index].first;
    model.content_hash = models[index].second;
    model.places = reader.count("places");
    model.requests_in_flight = reader.count("requests in flight");
    model.requests_queued = reader.count("requests queued");
    model.prompt_tokens_per_s = reader.real("prompt tokens/s");
    model.tokens_per_s = reader.real("tokens/s");
    model.service_s_mean = reader.real("service time");
    model.cache_tokens = reader.count("cache tokens");
  }
  if (reader.fault.empty() && (!is_word(site.name) || site.tcp_port == 0 || site.host.empty())) {
    reader.fail("site '" + shown(site.name) + "' has no name, host or port");
  }
}

}  // namespace

std::string digest_subject(std::string_view region) {
  return "noroshi.digest." + std::string(region);
}

namespace {

// The digest with these sites in place of its own.
std::string part_bytes(const Digest& digest, std::span<const DigestSite> sites) {
  ModelNumbers models;
  for (const DigestSite& entry : sites) {
    for (const gateway::ModelAtSite& model : entry.site.models) {
      models.try_emplace({model.name, model.content_hash}, 0);
    }
  }
  Writer writer{{std::string(magic)}};
  writer.out.reserve(256 + 128 * sites.size());
  writer.text(digest.region);
  writer.fixed(digest.origin, 8);
  writer.number(digest.sequence);
  writer.count(digest.part);
  writer.count(digest.parts);
  writer.number(models.size());
  int index = 0;
  for (auto& [key, place] : models) {
    place = index++;
    writer.text(key.first);
    writer.text(key.second);
  }
  writer.number(sites.size());
  for (const DigestSite& entry : sites) write_site(writer, entry, models);
  return std::move(writer.out);
}

}  // namespace

std::string digest_bytes(const Digest& digest) {
  assert(digest.sites.size() <= digest_sites_max);
  return part_bytes(digest, digest.sites);
}

std::vector<std::string> digest_messages(const std::string& region, std::uint64_t origin,
                                         std::uint64_t sequence,
                                         const std::vector<DigestSite>& sites) {
  // Halved until each part fits: a site with many models and long names takes kilobytes.
  for (std::size_t part_sites = digest_sites_max;; part_sites /= 2) {
    const std::size_t parts =
        std::max<std::size_t>(1, (sites.size() + part_sites - 1) / part_sites);
    std::vector<std::string> out;
    bool fits = true;
    for (std::size_t part = 0; part < parts && fits; ++part) {
      const Digest digest{.region = region,
                          .origin = origin,
                          .sequence = sequence,
                          .part = static_cast<int>(part),
                          .parts = static_cast<int>(parts)};
      const std::size_t from = part * part_sites;
      const std::size_t to = std::min(sites.size(), from + part_sites);
      out.push_back(part_bytes(digest, std::span(sites).subspan(from, to - from)));
      fits = out.back().size() <= digest_bytes_max;
    }
    if (fits || part_sites == 1) return out;
  }
}

Result<Digest> parse_digest(std::string_view subject, std::string_view bytes) {
  const auto named = [&](const std::string& fault) {
    return Error{"digest on " + shown(subject) + ": " + fault};
  };
  if (bytes.size() > digest_bytes_max) {
    return named("has " + std::to_string(bytes.size()) +
                 " bytes (allowed: " + std::to_string(digest_bytes_max) + ")");
  }
  if (!bytes.starts_with(magic)) return named("is none of version 1: '" + shown(bytes) + "'");
  Reader reader{{.bytes = bytes, .at = magic.size()}};
  Digest digest;
  digest.region = reader.text("region", 64);
  digest.origin = reader.fixed(8, "origin");
  digest.sequence = reader.number("sequence", ~std::uint64_t{0});
  digest.part = reader.count("part", digest_parts_max);
  digest.parts = reader.count("parts", digest_parts_max);
  // Each takes two bytes at least: no count may make us take more memory than the message is long.
  std::vector<ModelKey> models(reader.number("models", bytes.size() / 2));
  for (ModelKey& key : models) {
    if (!reader.fault.empty()) break;
    key.first = reader.text("model's name", text_bytes_max);
    key.second = reader.text("model's hash", 64);
    if (reader.fault.empty() && key.first.empty()) reader.fail("model's name is empty");
  }
  const std::size_t count = reader.number("sites", digest_sites_max);
  for (std::size_t i = 0; i < count && reader.fault.empty(); ++i) {
    DigestSite& entry = digest.sites.emplace_back();
    read_site(reader, models, entry);
    entry.site.region = digest.region;
  }
  if (reader.fault.empty() && digest_subject(digest.region) != subject) {
    reader.fail("region is '" + shown(digest.region) + "', which is not the subject's");
  }
  if (reader.fault.empty() && digest.part >= digest.parts) reader.fail("part is beyond parts");
  if (reader.fault.empty() && reader.at != bytes.size()) reader.fail("bytes follow its end");
  if (!reader.fault.empty()) return named(reader.fault);
  return digest;
}

}  // namespace noroshi::fleet
