// Any bytes on a subject of turns: refused, or read into what can be written and read again to the
// same bytes, and within its bounds.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fleet/turns.h"
#include "gateway/route/route.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::fleet;
  const auto first = parse_turns("noroshi.turns.g", {reinterpret_cast<const char*>(data), size});
  if (!first) return 0;
  const auto& told = first->told;
  if (told.turns.size() > told_turns_max || told.places.size() > told_turns_max) std::abort();
  for (const auto& turn : told.turns) {
    if (turn.session == 0 || turn.place >= told.places.size()) std::abort();
    if (turn.tokens < 0 || turn.at_ns > 0) std::abort();
  }
  const std::string bytes = turns_bytes(*first);
  const auto again = parse_turns("noroshi.turns.g", bytes);
  if (!again || turns_bytes(*again) != bytes) std::abort();
  // Whoever hears it is not harmed.
  static noroshi::gateway::Router router({.sessions_told_max = 64});
  router.hear(told);
  return 0;
}
