#include "gateway/tenants.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <yaml-cpp/yaml.h>

namespace noroshi::gateway {
namespace {

constexpr std::string_view hash_prefix = "sha256:";
constexpr std::string_view key_prefix = "noroshi-";
constexpr std::size_t tenants_max = 100'000;
constexpr std::size_t name_bytes_max = 128;
constexpr std::size_t heard_at_a_time = 256;  // requests wait for no more

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<KeyHash> read_hash(std::string_view text) {
  if (!text.starts_with(hash_prefix)) return {};
  text.remove_prefix(hash_prefix.size());
  KeyHash hash{};
  if (text.size() != 2 * hash.size()) return {};
  for (std::size_t i = 0; i < hash.size(); ++i) {
    const int high = hex_digit(text[2 * i]);
    const int low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return {};
    hash[i] = static_cast<std::uint8_t>(16 * high + low);
  }
  return hash;
}

std::uint64_t beginning(const KeyHash& hash) {
  std::uint64_t word = 0;
  std::memcpy(&word, hash.data(), sizeof word);
  return word;
}

// Reads the file's nodes; the first fault stays.
struct Reader {
  std::string file;
  std::string fault = {};

  void fail(const YAML::Node& node, const std::string& what) {
    if (!fault.empty()) return;
    fault = file;
    if (node.IsDefined() && !node.Mark().is_null()) {
      fault +=
          ":" + std::to_string(node.Mark().line + 1) + ":" + std::to_string(node.Mark().column + 1);
    }
    fault += ": " + what;
  }

  std::string text(const YAML::Node& node, const std::string& field) {
    if (!node.IsScalar() || node.Scalar().empty() || node.Scalar().size() > name_bytes_max ||
        std::ranges::any_of(node.Scalar(),
                            [](char c) { return static_cast<unsigned char>(c) < ' '; })) {
      fail(node, field + " must be a text of 1.." + std::to_string(name_bytes_max) +
                     " bytes without control characters");
      return {};
    }
    return node.Scalar();
  }

  void known_fields(const YAML::Node& map, const std::string& at,
                    std::initializer_list<std::string_view> known) {
    for (const auto& entry : map) {
      const std::string field = entry.first.IsScalar() ? entry.first.Scalar() : "?";
      if (std::ranges::find(known, field) != known.end()) continue;
      std::string list;
      for (const std::string_view name : known) list.append(list.empty() ? "" : ", ").append(name);
      fail(entry.first, at + " has no field '" + field.substr(0, 64) + "' (allowed: " + list + ")");
    }
  }

  double limit(const YAML::Node& quota, const std::string& at, const char* field, double max) {
    const YAML::Node node = quota[field];
    if (!node.IsDefined()) {
      fail(quota, at + ": quota." + field + " is missing; give a number, or unlimited");
      return 0;
    }
    if (node.IsScalar() && node.Scalar() == "unlimited") return unlimited;
    double value = 0;
    if (!node.IsScalar() || !YAML::convert<double>::decode(node, value) || !(value > 0) ||
        value > max) {
      const std::string given = node.IsScalar() ? node.Scalar().substr(0, 64) : "a list or map";
      fail(node, at + ": quota." + field + " '" + given + "' must be a number above 0 and up to " +
                     std::to_string(static_cast<std::int64_t>(max)) + ", or unlimited");
    }
    return value;
  }

  Tenant tenant(const YAML::Node& node, std::size_t index);
};

Tenant Reader::tenant(const YAML::Node& node, std::size_t index) {
  Tenant tenant;
  std::string at = "tenants[" + std::to_string(index) + "]";
  if (!node.IsMap()) {
    fail(node, at + " must be a map with name, keys and quota");
    return tenant;
  }
  if (!node["name"].IsDefined()) {
    fail(node, at + ": name is missing");
    return tenant;
  }
  tenant.name = text(node["name"], at + ".name");
  at = "tenant '" + tenant.name + "'";
  known_fields(node, at, {"name", "keys", "priority", "models", "quota"});
  if (const YAML::Node keys = node["keys"]; keys.IsDefined()) {
    if (!keys.IsSequence()) fail(keys, at + ": keys must be a list of hashes");
    for (const YAML::Node& key : keys) {
      const auto hash = key.IsScalar() ? read_hash(key.Scalar()) : std::nullopt;
      if (!hash) {
        fail(key, at +
                      ": keys holds something that is not sha256: and 64 small hexadecimal "
                      "digits; `noroshi gateway key new " +
                      tenant.name + "` makes one");
        break;
      }
      tenant.keys.push_back(*hash);
    }
  }
  if (const YAML::Node priority = node["priority"]; priority.IsDefined()) {
    const std::string name = text(priority, at + ": priority");
    if (name == "critical") tenant.priority = Priority::critical;
    if (name == "sheddable") tenant.priority = Priority::sheddable;
    if (name != "critical" && name != "sheddable" && name != "standard") {
      fail(priority, at + ": priority '" + name + "' must be critical, standard or sheddable");
    }
  }
  if (const YAML::Node models = node["models"]; models.IsDefined()) {
    if (!models.IsSequence() || models.size() == 0) {
      fail(models, at + ": models must be a list of one name at least; left out: every model");
    } else {
      for (const YAML::Node& model : models) tenant.models.push_back(text(model, at + ": models"));
    }
  }
  const YAML::Node quota = node["quota"];
  if (!quota.IsDefined() || !quota.IsMap()) {
    fail(node, at + " has no quota: give requests_per_second, tokens_per_minute and "
                    "requests_at_once, each a number or unlimited");
    return tenant;
  }
  known_fields(quota, at + ": quota",
               {"requests_per_second", "tokens_per_minute", "requests_at_once"});
  tenant.quota.requests_per_second = limit(quota, at, "requests_per_second", 1e6);
  tenant.quota.tokens_per_minute = limit(quota, at, "tokens_per_minute", 1e12);
  tenant.quota.requests_at_once = limit(quota, at, "requests_at_once", 1e6);
  return tenant;
}

void check_apart(Reader& reader, const YAML::Node& list, const std::vector<Tenant>& tenants) {
  std::unordered_map<std::string, std::size_t> names;
  std::unordered_map<std::string, std::size_t> keys;
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    if (!names.emplace(tenants[i].name, i).second) {
      reader.fail(list[i], "tenant '" + tenants[i].name + "' stands there twice");
    }
    for (const KeyHash& key : tenants[i].keys) {
      const auto [other, is_new] = keys.emplace(key_hash_text(key), i);
      if (is_new) continue;
      reader.fail(list[i], "tenant '" + tenants[i].name + "' has a key that tenant '" +
                               tenants[other->second].name + "' has too");
    }
  }
}

}  // namespace

Result<std::vector<Tenant>> parse_tenants(const std::string& text, const std::string& name) {
  Reader reader{name};
  std::vector<Tenant> tenants;
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsMap() || !root["tenants"].IsDefined() || !root["tenants"].IsSequence()) {
      return Error{name + ": must hold a list 'tenants', as configs/tenants.yaml does"};
    }
    reader.known_fields(root, "the file", {"tenants"});
    const YAML::Node list = root["tenants"];
    if (list.size() == 0) {
      reader.fail(list,
                  "'tenants' names nobody; name one tenant at least, or leave the file out "
                  "to let everybody in");
    }
    if (list.size() > tenants_max) {
      return Error{name + ": more than " + std::to_string(tenants_max) + " tenants"};
    }
    for (std::size_t i = 0; i < list.size() && reader.fault.empty(); ++i) {
      tenants.push_back(reader.tenant(list[i], i));
    }
    if (reader.fault.empty()) check_apart(reader, list, tenants);
  } catch (const YAML::Exception& failure) {
    return Error{name + ":" + std::to_string(failure.mark.line + 1) + ":" +
                 std::to_string(failure.mark.column + 1) + ": " + failure.msg};
  }
  if (!reader.fault.empty()) return Error{reader.fault};
  return tenants;
}

Result<std::vector<Tenant>> load_tenants(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return Error{path + ": cannot be read; name a file with tenants, such as configs/tenants.yaml"};
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) return Error{path + ": breaks off while it is read"};
  return parse_tenants(text, path);
}

Result<std::string> new_key() {
  std::array<std::uint8_t, 32> bits{};
  if (RAND_bytes(bits.data(), static_cast<int>(bits.size())) != 1) {
    return Error{"key: the system gives no random bits"};
  }
  constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string key(key_prefix);
  std::uint32_t word = 0;
  int held = 0;
  for (const std::uint8_t byte : bits) {
    word = word << 8 | byte;
    for (held += 8; held >= 6; held -= 6) key += letters[word >> (held - 6) & 63];
  }
  key += letters[word << (6 - held) & 63];
  return key;
}

KeyHash hash_of_key(std::string_view key) {
  KeyHash hash{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash.data());
  return hash;
}

std::string key_hash_text(const KeyHash& hash) {
  std::string text(hash_prefix);
  for (const std::uint8_t byte : hash) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::uint64_t tenant_mark(std::string_view name) { return beginning(hash_of_key(name)); }

Tenants::Tenants(std::vector<Tenant> tenants) { replace(std::move(tenants)); }

void Tenants::replace(std::vector<Tenant> tenants) {
  const std::lock_guard lock(mutex_);
  by_hash_.clear();
  for (Tenant& tenant : tenants) {
    const auto [found, is_new] = numbers_.try_emplace(tenant.name, tenants_.size());
    const std::size_t number = found->second;
    for (const KeyHash& key : tenant.keys) {
      by_hash_.emplace(beginning(key), std::pair(key, number));
    }
    if (is_new) {
      tenants_.emplace_back();
      uses_.emplace_back().untold.tenant = tenant_mark(tenant.name);
      by_mark_.emplace(uses_.back().untold.tenant, number);
    }
    tenants_[number] = std::make_shared<const Tenant>(std::move(tenant));
  }
}

bool Tenants::empty() const {
  const std::lock_guard lock(mutex_);
  return tenants_.empty();
}

std::shared_ptr<const Tenant> Tenants::at(std::size_t tenant) const {
  const std::lock_guard lock(mutex_);
  assert(tenant < tenants_.size());
  return tenants_[tenant];
}

std::optional<std::size_t> Tenants::of_key(std::string_view key) const {
  if (key.empty()) return {};
  const KeyHash hash = hash_of_key(key);
  const std::lock_guard lock(mutex_);
  const auto [first, last] = by_hash_.equal_range(beginning(hash));
  std::optional<std::size_t> tenant;
  for (auto entry = first; entry != last; ++entry) {
    if (CRYPTO_memcmp(entry->second.first.data(), hash.data(), hash.size()) == 0) {
      tenant = entry->second.second;
    }
  }
  return tenant;
}

void Tenants::Bucket::fill(double per_second, double size, std::int64_t now_ns) {
  const double s = static_cast<double>(std::max<std::int64_t>(0, now_ns - at_ns)) / 1e9;
  level = std::min(size, level + s * per_second);
  at_ns = std::max(at_ns, now_ns);
}

// What was used here may have left it lower than others' words can.
void Tenants::Bucket::owe(double used, double size) {
  level = std::max(level - used, std::min(level, -debt_buckets_max * size));
}

void Tenants::refill(std::size_t tenant, std::int64_t now_ns) {
  const Quota& quota = tenants_[tenant]->quota;
  Use& use = uses_[tenant];
  const double burst = std::max(1.0, quota.requests_per_second);
  if (!use.started) {
    use.started = true;
    use.requests = {burst, now_ns};
    use.tokens = {quota.tokens_per_minute, now_ns};
  }
  if (quota.requests_per_second < unlimited) {
    use.requests.fill(quota.requests_per_second, burst, now_ns);
  }
  if (quota.tokens_per_minute < unlimited) {
    use.tokens.fill(quota.tokens_per_minute / 60, quota.tokens_per_minute, now_ns);
  }
}

std::optional<OverQuota> Tenants::enter(std::size_t tenant, std::int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  assert(tenant < tenants_.size());
  refill(tenant, now_ns);
  const Quota& quota = tenants_[tenant]->quota;
  Use& use = uses_[tenant];
  const auto over = [](std::string_view name, double limit, double missing, double per_second) {
    const double wait_s = std::clamp(std::ceil(missing / per_second), 1.0, 3600.0);
    return OverQuota{name, limit, static_cast<int>(wait_s)};
  };
  if (use.at_once + use.at_once_elsewhere + 1 > std::max(1.0, quota.requests_at_once)) {
    return OverQuota{"requests_at_once", quota.requests_at_once, 1};
  }
  if (quota.tokens_per_minute < unlimited && use.tokens.level <= 0) {
    return over("tokens_per_minute", quota.tokens_per_minute, 1 - use.tokens.level,
                quota.tokens_per_minute / 60);
  }
  if (quota.requests_per_second < unlimited) {
    if (use.requests.level < 1) {
      return over("requests_per_second", quota.requests_per_second, 1 - use.requests.level,
                  quota.requests_per_second);
    }
    use.requests.level -= 1;
  }
  use.at_once += 1;
  use.untold.requests += 1;
  note_untold(tenant);
  return {};
}

void Tenants::leave(std::size_t tenant, std::uint64_t tokens, std::int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  assert(tenant < tenants_.size());
  refill(tenant, now_ns);
  Use& use = uses_[tenant];
  assert(use.at_once >= 1);
  use.at_once -= 1;
  if (tenants_[tenant]->quota.tokens_per_minute < unlimited) {
    use.tokens.level -= static_cast<double>(tokens);
  }
  use.untold.tokens += tokens;
  note_untold(tenant);
}

void Tenants::note_untold(std::size_t tenant) {
  if (!uses_[tenant].is_untold) untold_.push_back(tenant);
  uses_[tenant].is_untold = true;
}

std::vector<TenantUse> Tenants::new_use(std::size_t count_max) {
  std::vector<TenantUse> out;
  const std::lock_guard lock(mutex_);
  const std::size_t count = std::min(count_max, untold_.size());
  out.reserve(count);
  std::vector<std::size_t> next(untold_.begin() + static_cast<std::ptrdiff_t>(count),
                                untold_.end());
  for (std::size_t i = 0; i < count; ++i) {
    Use& use = uses_[untold_[i]];
    use.untold.at_once = static_cast<std::uint64_t>(use.at_once);
    out.push_back(use.untold);
    use.untold = {.tenant = use.untold.tenant};
    use.is_untold = use.at_once > 0;
    if (use.is_untold) next.push_back(untold_[i]);
  }
  untold_ = std::move(next);
  return out;
}

void Tenants::take(const TenantUse& used, OtherGateway& from, std::int64_t now_ns) {
  const auto found = by_mark_.find(used.tenant);
  if (found == by_mark_.end()) return;
  const std::size_t tenant = found->second;
  const Quota& quota = tenants_[tenant]->quota;
  Use& use = uses_[tenant];
  refill(tenant, now_ns);
  if (quota.requests_per_second < unlimited) {
    use.requests.owe(static_cast<double>(used.requests), std::max(1.0, quota.requests_per_second));
  }
  if (quota.tokens_per_minute < unlimited) {
    use.tokens.owe(static_cast<double>(used.tokens), quota.tokens_per_minute);
  }
  if (used.at_once == 0) return;
  Elsewhere& there = from.by_tenant[tenant];
  use.at_once_elsewhere += static_cast<double>(used.at_once) - there.at_once;
  there = {static_cast<double>(used.at_once), from.words};
}

void Tenants::hear(std::uint64_t gateway, const std::vector<TenantUse>& used, std::int64_t now_ns) {
  const std::lock_guard hearing(hearing_);
  OtherGateway& from = others_[gateway];
  ++from.words;
  for (std::size_t i = 0; i < used.size();) {
    const std::size_t end = std::min(used.size(), i + heard_at_a_time);
    const std::lock_guard lock(mutex_);
    for (; i < end; ++i) take(used[i], from, now_ns);
  }
  for (auto one = from.by_tenant.begin(); one != from.by_tenant.end();) {
    const std::lock_guard lock(mutex_);
    for (std::size_t n = 0; n < heard_at_a_time && one != from.by_tenant.end(); ++n) {
      const auto& [tenant, there] = *one;
      if (there.word == from.words) {
        ++one;
        continue;
      }
      uses_[tenant].at_once_elsewhere -= there.at_once;
      one = from.by_tenant.erase(one);
    }
  }
  if (from.by_tenant.empty()) others_.erase(gateway);
}

}  // namespace noroshi::gateway
