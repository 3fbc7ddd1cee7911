#include "fleet/folder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "fleet/bus.h"
#include "fleet/json_fields.h"
#include "fleet/keys.h"
#include "fleet/nkey.h"

namespace noroshi::fleet {
namespace {

namespace json = boost::json;

constexpr std::size_t users_max = 200'000;
constexpr std::string_view roles[] = {"control", "site", "gateway", "meter", "admin", "leaf"};

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) return Error{path + ": cannot be read: " + std::strerror(errno)};
  return text;
}

// Whole or not at all.
Result<void> write_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
  file << text << "\n";
  file.close();
  if (!file || std::rename(fresh.c_str(), path.c_str()) != 0) {
    return Error{path + ": cannot be written: " + std::strerror(errno)};
  }
  return {};
}

// bcrypt's form: nothing that could be another word of the server's file.
bool is_verifier(std::string_view text) {
  return text.size() == 60 && text.starts_with("$2b$") && std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '$' || c == '.' || c == '/';
         });
}

Result<void> check_user(const FleetUser& user) {
  if (std::ranges::find(roles, user.role) == std::end(roles)) {
    return Error{"role '" + shown(user.role) +
                 "' is none (allowed: control, site, gateway, meter, admin, leaf)"};
  }
  if (!is_word(user.name)) {
    return Error{"name '" + shown(user.name) +
                 "' is none (allowed: 1 to 64 letters, digits, '-' and '_')"};
  }
  const bool has_region = user.role == "site" || user.role == "gateway";
  if (has_region && is_word(user.region) && !may_be_region(user.region)) {
    return Error{"region '" + user.region + "' of " + user.role + " '" + user.name +
                 "' is one of the fleet's own words: take another name"};
  }
  if (has_region && !is_word(user.region)) {
    return Error{"region '" + shown(user.region) + "' of " + user.role + " '" + user.name +
                 "' is none (allowed: 1 to 64 letters, digits, '-' and '_')"};
  }
  return {};
}

}  // namespace

Result<FleetAccess> read_access(const std::string& folder) {
  const std::string path = folder + "/fleet.json";
  const Result<std::string> text = read_file(path);
  if (!text) {
    return Error{text.error().message + "; start `noroshi fleet` or `noroshi up` with this folder"};
  }
  const auto document = parse_document(*text, 64 << 10);
  if (!document) return Error{path + ": " + document.error().message};
  std::optional<Error> error;
  FleetAccess access;
  JsonFields fields(*document, path, error);
  fields.require("url");
  fields.text("url", access.url, 4096);
  fields.text("ca", access.ca, 4096);
  fields.text("admin_key", access.admin_key, 4096);
  if (error) return *std::move(error);
  return access;
}

Result<void> write_access(const std::string& folder, const FleetAccess& access) {
  return write_file(
      folder + "/fleet.json",
      json::serialize(json::object{
          {"v", 1}, {"url", access.url}, {"ca", access.ca}, {"admin_key", access.admin_key}}));
}

Result<std::vector<FleetUser>> parse_users(std::string_view bytes) {
  const auto document = parse_document(bytes, std::size_t{64} << 20);
  if (!document) return document.error();
  std::optional<Error> error;
  JsonFields fields(*document, "", error);
  std::vector<FleetUser> users;
  const json::array* list = fields.objects("users", users_max);
  for (std::size_t i = 0; list != nullptr && i < list->size() && !error; ++i) {
    const std::string path = "users[" + std::to_string(i) + "]";
    JsonFields user((*list)[i].as_object(), path, error);
    FleetUser& one = users.emplace_back();
    user.text("role", one.role);
    user.text("name", one.name);
    user.text("region", one.region);
    user.text("public_key", one.public_key);
    user.text("verifier", one.verifier);
    if (const auto sound = check_user(one); !sound && !error) {
      error = Error{path + ": " + sound.error().message};
    }
    if (!is_public_nkey(one.public_key)) {
      user.fail("public_key", "is '" + shown(one.public_key) + "' (allowed: U and 55 letters)");
    }
    if (one.role == "leaf" && !is_verifier(one.verifier)) {
      user.fail("verifier", "is '" + shown(one.verifier) +
                                "' (allowed: what `noroshi fleet keys add leaf` writes; add '" +
                                one.name + "' again)");
    }
  }
  if (error) return *std::move(error);
  return users;
}

Result<std::vector<FleetUser>> read_users(const std::string& folder) {
  const std::string path = folder + "/users.json";
  if (!std::filesystem::exists(path)) return std::vector<FleetUser>{};
  const Result<std::string> text = read_file(path);
  if (!text) return text.error();
  Result<std::vector<FleetUser>> users = parse_users(*text);
  if (!users) return Error{path + ": " + users.error().message};
  return users;
}

Result<void> write_users(const std::string& folder, const std::vector<FleetUser>& users) {
  json::array list;
  for (const FleetUser& user : users) {
    list.push_back({{"role", user.role},
                    {"name", user.name},
                    {"region", user.region},
                    {"public_key", user.public_key}});
    if (user.role == "leaf") list.back().as_object()["verifier"] = user.verifier;
  }
  return write_file(folder + "/users.json",
                    json::serialize(json::object{{"v", 1}, {"users", std::move(list)}}));
}

Result<std::string> add_user(const std::string& folder, const std::string& role,
                             const std::string& name, const std::string& region) {
  FleetUser user{.role = role, .name = name, .region = region};
  if (const auto sound = check_user(user); !sound) return sound.error();
  Result<std::vector<FleetUser>> users = read_users(folder);
  if (!users) return users.error();
  const auto same = [&](const FleetUser& u) { return u.role == role && u.name == name; };
  const auto listed = std::ranges::find_if(*users, same);
  if (listed != users->end() && listed->region != region) {
    // Whoever runs with it now would be cut off.
    return Error{role + " '" + name + "' has a key for region '" + listed->region + "', not '" +
                 shown(region) + "': remove it first (noroshi fleet keys remove " + role + " " +
                 name + "), or take another name"};
  }
  if (listed == users->end()) {
    const auto aside = set_nkey_aside(folder + "/keys", role + "-" + name);
    if (!aside) return aside.error();
  }
  const Result<NkeyFile> key = make_nkey(folder + "/keys", role + "-" + name);
  if (!key) return key.error();
  user.public_key = key->public_key;
  if (role == "leaf") {
    const Result<LeafLogin> login = leaf_login(key->path);
    if (!login) return login.error();
    const Result<std::string> verifier = leaf_verifier(*login);
    if (!verifier) return verifier.error();
    user.verifier = *verifier;
  }
  std::erase_if(*users, same);
  users->push_back(user);
  if (const auto written = write_users(folder, *users); !written) return written.error();
  return key->path;
}

Result<std::string> remove_user(const std::string& folder, const std::string& role,
                                const std::string& name) {
  Result<std::vector<FleetUser>> users = read_users(folder);
  if (!users) return users.error();
  if (std::erase_if(*users, [&](const FleetUser& u) { return u.role == role && u.name == name; }) ==
      0) {
    return Error{role + " '" + name + "' is not in " + folder + "/users.json"};
  }
  const auto aside = set_nkey_aside(folder + "/keys", role + "-" + name);
  if (!aside) return aside.error();
  if (const auto written = write_users(folder, *users); !written) {
    // Still listed, and so its seed stays where it was.
    if (!aside->empty()) {
      std::rename(aside->c_str(), (folder + "/keys/" + role + "-" + name + ".nk").c_str());
    }
    return written.error();
  }
  return aside;
}

namespace {

// What a client may publish for JetStream and KV, by the domain's name.
std::vector<std::string> in_domain(std::vector<std::string> subjects, const std::string& domain) {
  constexpr std::string_view api = "$JS.API.";
  const std::string there = "$JS." + domain + ".API.";
  for (std::string& subject : subjects) {
    if (subject.starts_with(api)) subject = there + subject.substr(api.size());
    if (subject.starts_with("$KV.")) subject = there + subject;
  }
  return subjects;
}

}  // namespace

std::vector<NatsLeaf> nats_leaves(const std::vector<FleetUser>& users) {
  std::vector<NatsLeaf> out;
  for (const FleetUser& user : users) {
    if (user.role == "leaf") out.push_back({user.name, user.public_key, user.verifier});
  }
  return out;
}

std::vector<NatsUser> nats_users(const std::vector<FleetUser>& users, const std::string& domain) {
  std::vector<NatsUser> out;
  for (const FleetUser& user : users) {
    if (user.role == "control") out.push_back(control_user(user.name, user.public_key));
    if (user.role == "site") {
      out.push_back(site_user(user.region, user.name, user.public_key));
    }
    if (user.role == "gateway") {
      out.push_back(gateway_user(user.name, user.region, user.public_key));
    }
    if (user.role == "meter") out.push_back(meter_user(user.name, user.public_key));
    if (user.role == "admin") out.push_back(admin_user(user.name, user.public_key));
  }
  if (domain.empty()) return out;
  for (NatsUser& user : out) user.publish = in_domain(std::move(user.publish), domain);
  return out;
}

}  // namespace noroshi::fleet
