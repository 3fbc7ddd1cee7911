#include "fleet/command.h"

#include <algorithm>
#include <set>

#include "fleet/json_fields.h"
#include "fleet/placement.h"

namespace noroshi::fleet {
namespace {

constexpr CommandKind kinds[] = {CommandKind::drain,  CommandKind::undrain, CommandKind::place,
                                 CommandKind::remove, CommandKind::forget,  CommandKind::renew};

// The content that the sites' files of the model have. Errors: none has one, or they differ.
Result<ModelFile> file_of(const std::string& model, const std::string& hash,
                          const Planner& planner) {
  std::map<std::string, std::vector<std::string>> sites;  // by hash
  ModelFile found;
  for (const auto& [name, facts] : planner.facts()) {
    for (const ModelFile& file : facts.value->files) {
      if (file.name != model) continue;
      sites[file.content_hash].push_back(name);
      if (hash.empty() || file.content_hash == hash) found = file;
    }
  }
  if (sites.empty()) return Error{"model '" + model + "': no site has a file of it"};
  std::string listed;
  for (const auto& [content, names] : sites) {
    listed += (listed.empty() ? "" : "; ") + content.substr(0, 12) + "... at " + names[0] +
              (names.size() > 1 ? " and " + std::to_string(names.size() - 1) + " more" : "");
  }
  if (hash.empty() && sites.size() > 1) {
    return Error{"model '" + model + "': the sites' files differ (" + listed +
                 "): say which with --hash"};
  }
  if (!hash.empty() && sites.count(hash) == 0) {
    return Error{"model '" + model + "': no site has content " + hash.substr(0, 12) + "... (" +
                 listed + ")"};
  }
  return found;
}

// Names that others wrote, as many as a person reads.
std::string listed(const auto& names) {
  constexpr std::size_t names_max = 50;
  std::string out;
  std::size_t count = 0;
  for (const std::string& name : names) {
    if (count++ < names_max) out += (out.empty() ? "" : ", ") + shown(name);
  }
  if (count > names_max) out += " and " + std::to_string(count - names_max) + " more";
  return out.empty() ? "none" : out;
}

// A constraint and what the known sites offer for it.
struct Constraint {
  const char* name;
  const std::optional<std::vector<std::string>>& wished;
  std::vector<std::string>& of_model;
  std::set<std::string> known = {};
};

// Takes what was wished. Errors: a name that no known site has, names that no site has together.
Result<void> take_constraints(const ModelWish& wish, ModelSpec& spec, const Planner& planner) {
  Constraint constraints[] = {{"region", wish.regions, spec.regions},
                              {"prefecture", wish.prefectures, spec.prefectures},
                              {"label", wish.labels, spec.labels}};
  for (const auto& [name, facts] : planner.facts()) {
    constraints[0].known.insert(facts.value->region);
    if (!facts.value->prefecture.empty()) constraints[1].known.insert(facts.value->prefecture);
    constraints[2].known.insert(facts.value->labels.begin(), facts.value->labels.end());
  }
  bool named = false;
  for (const Constraint& one : constraints) {
    if (!one.wished) continue;
    named = true;
    one.of_model = *one.wished;
    if (one.of_model == std::vector<std::string>{any_place}) one.of_model.clear();
    for (const std::string& text : one.of_model) {
      const std::string what = "model '" + spec.name + "': " + one.name + " '" + shown(text) + "' ";
      if (text == any_place) return Error{what + "lifts the constraint: name no other beside it"};
      if (wish.force || one.known.count(text) > 0) continue;
      return Error{what + "is no known site's (known: " + listed(one.known) +
                   "); --force places it for sites that come later"};
    }
  }
  if (!named || wish.force) return {};
  const bool possible = std::ranges::any_of(planner.facts(), [&](const auto& site) {
    return is_where(spec, site.second.value->region, site.second.value->prefecture,
                    site.second.value->labels);
  });
  if (possible) return {};
  std::string all;
  for (const Constraint& one : constraints) {
    if (one.of_model.empty()) continue;
    all += (all.empty() ? "" : "; ") + std::string(one.name) + " " + listed(one.of_model);
  }
  return Error{"model '" + spec.name + "': no known site fulfils all of: " + all +
               " (--force places it for sites that come later; 'any' lifts a constraint)"};
}

// A roll-out goes back at the first site without the new file (rollout.h): better said at once.
Result<void> check_rollout(const ModelSpec& next, const Planner& planner) {
  std::vector<std::string> without;
  std::size_t running = 0;
  for (const auto& [name, desired] : planner.desired()) {
    const auto facts = planner.facts().find(name);
    const Member* member = planner.membership().find(name);
    if (facts == planner.facts().end() || member == nullptr || !member->alive ||
        planner.drains(name)) {
      continue;
    }
    const auto& models = desired.value->models;
    const SiteFacts& site = *facts->second.value;
    if (std::ranges::find(models, next.name, &ModelFile::name) == models.end() ||
        !is_where(next, site.region, site.prefecture, site.labels)) {
      continue;
    }
    ++running;
    const bool has_file = std::ranges::any_of(site.files, [&](const ModelFile& file) {
      return file.name == next.name && file.content_hash == next.content_hash;
    });
    if (!has_file) without.push_back(name);
  }
  if (without.empty()) return {};
  return Error{"model '" + next.name + "': " + std::to_string(without.size()) + " of the " +
               std::to_string(running) + " sites that run it have no file with content " +
               next.content_hash.substr(0, 12) + "... (" + listed(without) +
               "): a roll-out would go back at once; put the file there first, or place the model "
               "elsewhere (--region, --label)"};
}

// The model as it is to be: what was wished over what is.
Result<ModelSpec> wished_model(const ModelWish& wish, const ModelSpec* now,
                               const Planner& planner) {
  ModelSpec spec = now != nullptr ? *now : ModelSpec{.name = wish.name};
  if (!wish.content_hash.empty()) spec.content_hash = wish.content_hash;
  const Result<ModelFile> file = file_of(spec.name, spec.content_hash, planner);
  if (!file) return file.error();
  spec.content_hash = file->content_hash;
  const bool same_content = now != nullptr && now->content_hash == spec.content_hash;
  if (wish.memory_bytes || !same_content) spec.memory_bytes = wish.memory_bytes.value_or(0);
  if (spec.memory_bytes == 0) spec.memory_bytes = file->memory_bytes;
  spec.copies_min = wish.copies_min.value_or(spec.copies_min);
  spec.copies_max = wish.copies_max.value_or(spec.copies_max);
  spec.requests_per_copy = wish.requests_per_copy.value_or(spec.requests_per_copy);
  if (spec.copies_max < spec.copies_min) {
    return Error{"model '" + spec.name + "': copies_max is " + std::to_string(spec.copies_max) +
                 (wish.copies_max ? "" : " since it was placed") + ", less than copies_min " +
                 std::to_string(spec.copies_min) +
                 (wish.copies_min ? "" : ", which it was placed with")};
  }
  if (const auto taken = take_constraints(wish, spec, planner); !taken) return taken.error();
  if (now == nullptr || same_content) return spec;
  if (!now->previous_hash.empty()) {
    return Error{"model '" + spec.name + "': a roll-out of " + now->content_hash.substr(0, 12) +
                 "... is under way; wait for its end"};
  }
  if (const auto possible = check_rollout(spec, planner); !possible) return possible.error();
  spec.previous_hash = now->content_hash;
  return spec;
}

Result<std::vector<KvWrite>> place_writes(const ModelWish& wish, const Planner& planner) {
  const std::string key = key_word(wish.name);
  const auto known = planner.models().find(key);
  const bool placed = known != planner.models().end();
  const Result<ModelSpec> spec =
      wished_model(wish, placed ? &known->second.value : nullptr, planner);
  if (!spec) return spec.error();
  return std::vector<KvWrite>{
      {fleet_bucket, "model." + key, model_text(*spec), placed ? known->second.revision : 0,
       "place " + spec->name + " with content " + spec->content_hash.substr(0, 12) + ", " +
           std::to_string(spec->copies_min) + " copies at least, " + shown(where_text(*spec))}};
}

// All that the buckets hold of the name where nobody lives under it. A living site's own stays.
Result<std::vector<KvWrite>> forget_writes(const std::string& site, const Planner& planner) {
  const auto facts = planner.facts().find(site);
  const Member* member = planner.membership().find(site);
  const bool alive = member != nullptr && member->alive;
  std::vector<std::string> regions = planner.claims(site);
  if (!alive) {
    regions.push_back(facts != planner.facts().end() ? facts->second.value->region
                                                     : member->report.site.region);
  } else if (member->heard_ns - member->rival_heard_ns <= lost_after_ns) {
    // The stranger beats on.
    std::erase(regions, member->rival_region);
  }
  if (regions.empty()) {
    const bool rival = alive && !planner.claims(site).empty();
    return Error{"site '" + site + "' is alive" +
                 (rival ? ", and so is the one of region '" + member->rival_region +
                              "' with its name: stop that one first"
                        : ": drain it, stop it, then forget it")};
  }
  std::vector<KvWrite> writes;
  for (const std::string& region : regions) {
    const std::string why = "forget " + site + " of region " + region;
    for (const char* kind : {"facts.", "desired."}) {
      writes.push_back({region_bucket(region), kind + site, "", KvWrite::erase, why});
    }
  }
  if (!alive) {
    writes.push_back({fleet_bucket, "drain." + site, "", KvWrite::erase, "forget " + site});
  }
  return writes;
}

std::string wish_text(const ModelWish& wish) {
  boost::json::object out{{"v", 1}, {"name", wish.name}};
  if (!wish.content_hash.empty()) out["content_hash"] = wish.content_hash;
  const auto add = [&](const char* key, const auto& value) {
    if (value) out[key] = boost::json::value_from(*value);
  };
  add("memory_bytes", wish.memory_bytes);
  add("copies_min", wish.copies_min);
  add("copies_max", wish.copies_max);
  add("requests_per_copy", wish.requests_per_copy);
  add("regions", wish.regions);
  add("prefectures", wish.prefectures);
  add("labels", wish.labels);
  if (wish.force) out["force"] = true;
  return boost::json::serialize(out);
}

// A model's document in which fields may be missing: the checks are the model's own.
Result<ModelWish> parse_wish(std::string_view bytes) {
  const auto document = parse_document(bytes, 200 << 10);
  if (!document) return Error{"model: " + document.error().message};
  const auto has = [&](const char* key) { return document->if_contains(key) != nullptr; };
  boost::json::object whole = *document;
  // Alone a least or a most is right or wrong by what the model has: place_writes() looks.
  if (has("copies_min") != has("copies_max")) {
    whole[has("copies_min") ? "copies_max" : "copies_min"] = has("copies_min") ? 1'000'000 : 0;
  }
  const Result<ModelSpec> spec = parse_model(boost::json::serialize(whole));
  if (!spec) return spec.error();
  ModelWish wish{.name = spec->name, .content_hash = spec->content_hash};
  if (has("memory_bytes")) wish.memory_bytes = spec->memory_bytes;
  if (has("copies_min")) wish.copies_min = spec->copies_min;
  if (has("copies_max")) wish.copies_max = spec->copies_max;
  if (has("requests_per_copy")) wish.requests_per_copy = spec->requests_per_copy;
  if (has("regions")) wish.regions = spec->regions;
  if (has("prefectures")) wish.prefectures = spec->prefectures;
  if (has("labels")) wish.labels = spec->labels;
  std::optional<Error> error;
  JsonFields(*document, "model", error).boolean("force", wish.force);
  if (error) return *std::move(error);
  return wish;
}

}  // namespace

const char* name_of(CommandKind kind) {
  switch (kind) {
    case CommandKind::drain:
      return "drain";
    case CommandKind::undrain:
      return "undrain";
    case CommandKind::place:
      return "place";
    case CommandKind::remove:
      return "remove";
    case CommandKind::forget:
      return "forget";
    default:
      return "renew";
  }
}

std::string command_text(const Command& command) {
  boost::json::object out{
      {"v", 1}, {"command", name_of(command.kind)}, {"by", command.by}, {"site", command.site}};
  if (!command.model.name.empty()) out["model"] = wish_text(command.model);
  return boost::json::serialize(out);
}

Result<Command> parse_command(std::string_view bytes) {
  const auto document = parse_document(bytes, 256 << 10);
  if (!document) return Error{"command: " + document.error().message};
  std::optional<Error> error;
  JsonFields fields(*document, "command", error);
  Command command;
  std::string kind;
  fields.require("command");
  fields.text("command", kind);
  fields.text("by", command.by);
  fields.text("site", command.site, 64);
  const auto* known = std::ranges::find(kinds, kind, [](CommandKind k) { return name_of(k); });
  if (known == std::end(kinds)) {
    fields.fail("command",
                "is '" + shown(kind) + "' (allowed: drain, undrain, place, remove, forget, renew)");
  } else {
    command.kind = *known;
  }
  std::string model;
  fields.text("model", model, 200 << 10);
  if (!error && !model.empty()) {
    const Result<ModelWish> wish = parse_wish(model);
    if (!wish) return wish.error();
    command.model = *wish;
  }
  const bool of_model = command.kind == CommandKind::place || command.kind == CommandKind::remove;
  if (of_model && command.model.name.empty()) fields.fail("model", "is missing");
  const bool of_site = !of_model && command.kind != CommandKind::renew;
  if (of_site && !is_word(command.site)) {
    fields.fail("site", "is '" + shown(command.site) + "' (allowed: a site's name)");
  }
  if (error) return *std::move(error);
  return command;
}

std::string answer_text(const CommandAnswer& answer) {
  return boost::json::serialize(
      boost::json::object{{"v", 1}, {"ok", answer.ok}, {"message", answer.message}});
}

Result<CommandAnswer> parse_answer(std::string_view bytes) {
  const auto document = parse_document(bytes, 64 << 10);
  if (!document) return Error{"answer: " + document.error().message};
  std::optional<Error> error;
  JsonFields fields(*document, "answer", error);
  CommandAnswer answer;
  fields.require("ok");
  fields.boolean("ok", answer.ok);
  fields.text("message", answer.message, 32 << 10);
  if (error) return *std::move(error);
  return answer;
}

Result<std::vector<KvWrite>> writes_of(const Command& command, const Planner& planner) {
  if (command.kind == CommandKind::place) return place_writes(command.model, planner);
  if (command.kind == CommandKind::remove) {
    const std::string key = key_word(command.model.name);
    const auto known = planner.models().find(key);
    if (known == planner.models().end()) {
      return Error{"model '" + command.model.name + "': the fleet does not have it"};
    }
    std::vector<KvWrite> writes = {
        {fleet_bucket, "model." + key, "", KvWrite::erase, "remove " + command.model.name}};
    if (planner.rollouts().count(key) > 0) {
      writes.push_back({fleet_bucket, "rollout." + key, "", KvWrite::erase, writes[0].why});
    }
    return writes;
  }
  if (command.kind == CommandKind::renew) {  // the leader makes another
    return std::vector<KvWrite>{{fleet_bucket, session_secret_key, "", KvWrite::erase,
                                 "renew the gateways' session secret"}};
  }
  const auto facts = planner.facts().find(command.site);
  const Member* member = planner.membership().find(command.site);
  if (facts == planner.facts().end() && member == nullptr) {
    return Error{"site '" + command.site + "': the fleet does not know it"};
  }
  if (command.kind == CommandKind::forget) return forget_writes(command.site, planner);
  const bool draining = command.kind == CommandKind::drain;
  return std::vector<KvWrite>{{fleet_bucket, "drain." + command.site, drain_text(draining),
                               planner.drain_revision(command.site),
                               std::string(name_of(command.kind)) + " " + command.site}};
}

}  // namespace noroshi::fleet
