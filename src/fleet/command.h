#pragma once

// What a person asks of the fleet (noroshi fleet drain SITE, ...): one JSON message to the leader
// on noroshi.control.command, who answers {"v": 1, "ok": ..., "message": ...}. Who may publish
// there is the server's business (keys.h). Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fleet/planner.h"

namespace noroshi::fleet {

inline constexpr const char* command_subject = "noroshi.control.command";
inline constexpr const char* status_subject = "noroshi.control.status";

enum class CommandKind : std::uint8_t { drain, undrain, place, remove, forget };

struct Command {
  CommandKind kind = CommandKind::drain;
  std::string by = {};    // as the asker calls himself, for the log
  std::string site = {};  // drain, undrain, forget
  // place: the model, with content_hash empty: the one that all sites' files have. remove: its
  // name.
  ModelSpec model = {};
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

// The writes that carry it out. Errors: no such site or model, sites whose files differ.
Result<std::vector<KvWrite>> writes_of(const Command& command, const Planner& planner);

}  // namespace noroshi::fleet
