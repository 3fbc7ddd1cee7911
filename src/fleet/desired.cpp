#include "fleet/desired.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include "fleet/json_fields.h"
#include "fleet/report.h"

namespace noroshi::fleet {
namespace {

namespace json = boost::json;

constexpr std::size_t bytes_max = 512 << 10;
constexpr std::size_t names_max = 1000;
constexpr std::size_t rollout_sites_max = 200'000;

json::array list(const std::vector<std::string>& texts) {
  json::array out;
  for (const std::string& text : texts) out.emplace_back(text);
  return out;
}

json::array list(const std::vector<ModelFile>& files) {
  json::array out;
  for (const ModelFile& file : files) {
    out.push_back({{"name", file.name},
                   {"content_hash", file.content_hash},
                   {"memory_bytes", file.memory_bytes}});
  }
  return out;
}

void read_hash(JsonFields& fields, const char* key, std::string& hash) {
  fields.text(key, hash, 64);
  const bool sound = hash.empty() || (hash.size() == 64 && std::ranges::all_of(hash, [](char c) {
                                        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                                      }));
  if (!sound) fields.fail(key, "is '" + shown(hash) + "' (allowed: 64 hexadecimal digits)");
}

void read_files(JsonFields& parent, const char* key, std::vector<ModelFile>& files,
                std::optional<Error>& error) {
  const json::array* objects = parent.objects(key, models_max);
  if (objects == nullptr) return;
  for (std::size_t i = 0; i < objects->size() && !error; ++i) {
    ModelFile& file = files.emplace_back();
    JsonFields fields((*objects)[i].as_object(), std::string(key) + "[" + std::to_string(i) + "]",
                      error);
    fields.require("name");
    fields.text("name", file.name);
    read_hash(fields, "content_hash", file.content_hash);
    fields.natural("memory_bytes", file.memory_bytes);
    if (file.name.empty()) fields.fail("name", "is empty");
  }
}

// Reads a document's fields; the error names what the document is.
template <class T, class F>
Result<T> read(std::string_view what, std::string_view bytes, F read_fields) {
  const auto document = parse_document(bytes, bytes_max);
  if (!document) return Error{std::string(what) + ": " + document.error().message};
  std::optional<Error> error;
  JsonFields fields(*document, std::string(what), error);
  T value{};
  read_fields(fields, value, error);
  if (error) return *std::move(error);
  return value;
}

}  // namespace

bool operator==(const ModelFile& a, const ModelFile& b) {
  return a.name == b.name && a.content_hash == b.content_hash && a.memory_bytes == b.memory_bytes;
}

constexpr std::string_view bucket_prefix = "noroshi-";

std::string region_bucket(std::string_view region) {
  return std::string(bucket_prefix) + std::string(region);
}

std::string region_of_bucket(std::string_view bucket) {
  return std::string(bucket.substr(std::min(bucket.size(), bucket_prefix.size())));
}

std::string key_word(std::string_view model) {
  std::string out;
  for (const char c : model) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_';
    constexpr std::string_view digits = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    out += plain ? std::string(1, c) : std::string{'=', digits[byte >> 4], digits[byte & 15]};
  }
  return out;
}

const char* name_of(RolloutState state) {
  switch (state) {
    case RolloutState::running:
      return "running";
    case RolloutState::done:
      return "done";
    default:
      return "rolled_back";
  }
}

std::string model_text(const ModelSpec& spec) {
  return json::serialize(json::object{{"v", 1},
                                      {"name", spec.name},
                                      {"content_hash", spec.content_hash},
                                      {"previous_hash", spec.previous_hash},
                                      {"memory_bytes", spec.memory_bytes},
                                      {"copies_min", spec.copies_min},
                                      {"copies_max", spec.copies_max},
                                      {"requests_per_copy", spec.requests_per_copy},
                                      {"regions", list(spec.regions)},
                                      {"prefectures", list(spec.prefectures)},
                                      {"labels", list(spec.labels)}});
}

Result<ModelSpec> parse_model(std::string_view bytes) {
  return read<ModelSpec>("model", bytes, [](JsonFields& f, ModelSpec& spec, auto&) {
    f.require("name");
    f.text("name", spec.name);
    read_hash(f, "content_hash", spec.content_hash);
    read_hash(f, "previous_hash", spec.previous_hash);
    f.natural("memory_bytes", spec.memory_bytes);
    f.integer("copies_min", spec.copies_min, 0, 1'000'000);
    f.integer("copies_max", spec.copies_max, 0, 1'000'000);
    f.number("requests_per_copy", spec.requests_per_copy, 0.01, 1e6);
    f.texts("regions", spec.regions, names_max);
    f.texts("prefectures", spec.prefectures, names_max);
    f.texts("labels", spec.labels, names_max);
    if (spec.copies_max < spec.copies_min) {
      f.fail("copies_max", "is " + std::to_string(spec.copies_max) + ", less than copies_min " +
                               std::to_string(spec.copies_min));
    }
    if (spec.name.empty()) f.fail("name", "is empty");
  });
}

std::string facts_text(const SiteFacts& facts) {
  return json::serialize(json::object{{"v", 1},
                                      {"name", facts.name},
                                      {"region", facts.region},
                                      {"instance", facts.instance},
                                      {"prefecture", facts.prefecture},
                                      {"labels", list(facts.labels)},
                                      {"memory_bytes", facts.memory_bytes},
                                      {"processors", facts.processors},
                                      {"files", list(facts.files)},
                                      {"disk_bytes", facts.disk_bytes},
                                      {"configured", list(facts.configured)},
                                      {"version", facts.version}});
}

Result<SiteFacts> parse_facts(std::string_view bytes) {
  return read<SiteFacts>("facts", bytes, [](JsonFields& f, SiteFacts& facts, auto& error) {
    f.require("name");
    f.require("region");
    f.word("name", facts.name);
    f.word("region", facts.region);
    f.natural("instance", facts.instance);
    f.text("prefecture", facts.prefecture);
    f.texts("labels", facts.labels, 64);
    f.natural("memory_bytes", facts.memory_bytes);
    f.integer("processors", facts.processors, 0, 1'000'000);
    f.natural("disk_bytes", facts.disk_bytes);
    f.text("version", facts.version);
    f.texts("configured", facts.configured, models_max);
    read_files(f, "files", facts.files, error);
  });
}

std::string desired_text(const DesiredSite& desired) {
  json::object out{{"v", 1},
                   {"term", desired.term},
                   {"draining", desired.draining},
                   {"models", list(desired.models)}};
  if (!desired.refused_by.empty()) out["refused_by"] = desired.refused_by;
  return json::serialize(out);
}

Result<DesiredSite> parse_desired(std::string_view bytes) {
  return read<DesiredSite>("desired", bytes, [](JsonFields& f, DesiredSite& desired, auto& error) {
    f.require("term");
    f.natural("term", desired.term);
    f.boolean("draining", desired.draining);
    read_files(f, "models", desired.models, error);
    if (f.has("refused_by")) f.word("refused_by", desired.refused_by);
  });
}

std::string rollout_text(const Rollout& rollout) {
  return json::serialize(json::object{{"v", 1},
                                      {"model", rollout.model},
                                      {"from_hash", rollout.from_hash},
                                      {"to_hash", rollout.to_hash},
                                      {"site", rollout.site},
                                      {"done", list(rollout.done)},
                                      {"state", name_of(rollout.state)},
                                      {"reason", rollout.reason}});
}

Result<Rollout> parse_rollout(std::string_view bytes) {
  return read<Rollout>("rollout", bytes, [](JsonFields& f, Rollout& rollout, auto&) {
    f.require("model");
    f.require("state");
    f.text("model", rollout.model);
    read_hash(f, "from_hash", rollout.from_hash);
    read_hash(f, "to_hash", rollout.to_hash);
    f.text("site", rollout.site, 64);
    f.texts("done", rollout.done, rollout_sites_max);
    f.text("reason", rollout.reason, 4096);
    std::string state;
    f.text("state", state);
    for (const RolloutState s :
         {RolloutState::running, RolloutState::done, RolloutState::rolled_back}) {
      if (state == name_of(s)) {
        rollout.state = s;
        return;
      }
    }
    f.fail("state", "is '" + shown(state) + "' (allowed: running, done, rolled_back)");
  });
}

std::string drain_text(bool draining) {
  return json::serialize(json::object{{"v", 1}, {"draining", draining}});
}

Result<bool> parse_drain(std::string_view bytes) {
  return read<bool>("drain", bytes, [](JsonFields& f, bool& draining, auto&) {
    f.require("draining");
    f.boolean("draining", draining);
  });
}

std::string session_secret_text(const std::string& secret) {
  return json::serialize(json::object{{"v", 1}, {"secret", secret}});
}

Result<std::string> parse_session_secret(std::string_view bytes) {
  const auto document = parse_document(bytes, bytes_max);
  if (!document) return Error{"session secret: is no JSON object of version 1"};
  const json::value* secret = document->if_contains("secret");
  if (secret == nullptr || !secret->is_string()) {
    return Error{"session secret: 'secret' is no text (wanted: 64 hexadecimal digits)"};
  }
  const std::string text(secret->get_string());
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text.size() != 64 || !std::ranges::all_of(text, is_digit)) {
    return Error{"session secret: 'secret' has " + std::to_string(text.size()) +
                 " letters, not 64 hexadecimal digits"};
  }
  return text;
}

Result<std::string> file_hash(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{path + ": cannot be read: " + std::strerror(errno)};
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  if (!context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    return Error{"SHA-256 is not there (OpenSSL)"};
  }
  std::vector<char> bytes(std::size_t{1} << 20);
  while (file) {
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    EVP_DigestUpdate(context.get(), bytes.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) return Error{path + ": cannot be read: " + std::strerror(errno)};
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_DigestFinal_ex(context.get(), digest, &size);
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += digits[digest[i] >> 4];
    out += digits[digest[i] & 15];
  }
  return out;
}

}  // namespace noroshi::fleet
