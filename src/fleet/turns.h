#pragma once

// What gateways tell each other of sessions (doors.h), compact, for there may be 10^5 turns a
// second in a fleet:
//
//   "NRT" 1 | kind u8 | origin u64 | asker u64 | known
//   | places: n x (site, model mark u64) | turns: n x (session u64, place, tokens, age_ms)
//
// (bytes: compact.h). A turn takes 13 bytes, and a place, once a message, as many and its site's
// name. Clocks differ, so a turn has its age when the message was made.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "gateway/route/told_turns.h"

namespace noroshi::fleet {

inline constexpr std::size_t told_turns_max = 8192;  // of a message
inline constexpr std::size_t turns_bytes_max = 768 << 10;

enum class TurnsKind : std::uint8_t {
  told,     // turns that happened, to all; or that are known, to who asked
  asks,     // origin wants to be told what is known: it has just started
  answers,  // origin will tell the asker, and knows of so many sessions
};

struct TurnsMessage {
  TurnsKind kind = TurnsKind::told;
  std::uint64_t origin = 0;  // of the process that made it
  std::uint64_t asker = 0;   // the origin that is answered
  std::uint64_t known = 0;
  gateway::ToldTurns told = {};  // at_ns: 0 or less, when the message was made being 0
};

std::string turns_subject(std::string_view gateway);                          // to all
std::string turns_subject(std::string_view gateway, std::string_view asker);  // to one that asked

// Precondition: at most told_turns_max turns and places, of sites whose names are words. Ages are
// told in whole ms.
std::string turns_bytes(const TurnsMessage& message);

// Errors name subject, field and place: cut off, another version, a kind, count, name or number out
// of range, a turn at no place.
Result<TurnsMessage> parse_turns(std::string_view subject, std::string_view bytes);

}  // namespace noroshi::fleet
