#pragma once

// What a person asks of the fleet (noroshi fleet drain SITE, ...): one JSON message to the leader
// on noroshi.control.command, who answers {"v": 1, "ok": ..., "message": ...}. Who may publish
// there is the server's business (keys.h). Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fleet/planner.h"

namespace noroshi::fleet {

inline constexpr const char* command_subject = "noroshi.control.command";
inline constexpr const char* status_subject = "noroshi.control.status";

enum class CommandKind : std::uint8_t { drain, undrain, place, remove, forget, renew };

// How a model is to be placed. What is not named stays as it is with a model that is placed
// already, and is as in ModelSpec with a new one.
struct ModelWish {
  std::string name = {};
  // Not named and new: the one that all sites' files have.
  std::string content_hash = {};
  std::optional<std::uint64_t> memory_bytes = {};  // 0 or not named: as the file with the content
  std::optional<int> copies_min = {};
  std::optional<int> copies_max = {};
  std::optional<double> requests_per_copy = {};
  // Constraints; "any" alone lifts one.
  std::optional<std::vector<std::string>> regions = {};
  std::optional<std::vector<std::string>> prefectures = {};
  std::optional<std::vector<std::string>> labels = {};
  bool force = false;  // also where no site that is known fulfils them
};
inline constexpr const char* any_place = "any";

struct Command {
  CommandKind kind = CommandKind::drain;
  std::string by = {};    // as the asker calls himself, for the log
  std::string site = {};  // drain, undrain, forget
  ModelWish model = {};   // place; remove: its name
};

const char* name_of(CommandKind kind);
std::string command_text(const Command& command);
Result<Command> parse_command(std::string_view bytes);

struct CommandAnswer {
  bool ok = false;
  std::string message = {};
};
std::string answer_text(const CommandAnswer& answer);
Result<CommandAnswer> parse_answer(std::string_view bytes);

// The writes that carry it out. Errors: no such site or model, sites whose files differ, a
// constraint that no known site fulfils, another content that a site which runs the model lacks.
Result<std::vector<KvWrite>> writes_of(const Command& command, const Planner& planner);

}  // namespace noroshi::fleet
