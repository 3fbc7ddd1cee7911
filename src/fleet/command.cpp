#include "fleet/command.h"

#include <algorithm>

#include "fleet/json_fields.h"

namespace noroshi::fleet {
namespace {

constexpr CommandKind kinds[] = {CommandKind::drain, CommandKind::undrain, CommandKind::place,
                                 CommandKind::remove, CommandKind::forget};

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

Result<std::vector<KvWrite>> place_writes(ModelSpec spec, const Planner& planner) {
  const std::string key = key_word(spec.name);
  const Result<ModelFile> file = file_of(spec.name, spec.content_hash, planner);
  if (!file) return file.error();
  spec.content_hash = file->content_hash;
  if (spec.memory_bytes == 0) spec.memory_bytes = file->memory_bytes;
  const auto known = planner.models().find(key);
  std::uint64_t revision = 0;
  spec.previous_hash.clear();
  if (known != planner.models().end()) {
    revision = known->second.revision;
    const ModelSpec& now = known->second.value;
    if (!now.previous_hash.empty() && now.content_hash != spec.content_hash) {
      return Error{"model '" + spec.name + "': a roll-out of " + now.content_hash.substr(0, 12) +
                   "... is under way; wait for its end"};
    }
    spec.previous_hash =
        now.content_hash != spec.content_hash ? now.content_hash : now.previous_hash;
  }
  return std::vector<KvWrite>{{fleet_bucket, "model." + key, model_text(spec), revision,
                               "place " + spec.name + " with content " +
                                   spec.content_hash.substr(0, 12) + ", " +
                                   std::to_string(spec.copies_min) + " copies at least"}};
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
    default:
      return "forget";
  }
}

std::string command_text(const Command& command) {
  boost::json::object out{
      {"v", 1}, {"command", name_of(command.kind)}, {"by", command.by}, {"site", command.site}};
  if (!command.model.name.empty()) out["model"] = model_text(command.model);
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
                "is '" + shown(kind) + "' (allowed: drain, undrain, place, remove, forget)");
  } else {
    command.kind = *known;
  }
  std::string model;
  fields.text("model", model, 200 << 10);
  if (!error && !model.empty()) {
    const Result<ModelSpec> spec = parse_model(model);
    if (!spec) return spec.error();
    command.model = *spec;
  }
  const bool of_model = command.kind == CommandKind::place || command.kind == CommandKind::remove;
  if (of_model && command.model.name.empty()) fields.fail("model", "is missing");
  if (!of_model && !is_word(command.site)) {
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
  const auto facts = planner.facts().find(command.site);
  const Member* member = planner.membership().find(command.site);
  if (facts == planner.facts().end() && member == nullptr) {
    return Error{"site '" + command.site + "': the fleet does not know it"};
  }
  if (command.kind == CommandKind::forget) {
    if (member != nullptr && member->alive) {
      return Error{"site '" + command.site + "' is alive: drain it, stop it, then forget it"};
    }
    const std::string bucket = region_bucket(
        facts != planner.facts().end() ? facts->second.value->region : member->report.site.region);
    return std::vector<KvWrite>{
        {bucket, "facts." + command.site, "", KvWrite::erase, "forget " + command.site},
        {bucket, "desired." + command.site, "", KvWrite::erase, "forget " + command.site},
        {fleet_bucket, "drain." + command.site, "", KvWrite::erase, "forget " + command.site}};
  }
  const bool draining = command.kind == CommandKind::drain;
  return std::vector<KvWrite>{{fleet_bucket, "drain." + command.site, drain_text(draining),
                               planner.drain_revision(command.site),
                               std::string(name_of(command.kind)) + " " + command.site}};
}

}  // namespace noroshi::fleet
