// Catches: bytes of another site that crash, or that pass with a name or number out of range.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fleet/bus.h"
#include "gateway/handover/handover.h"
#include "live/contexts/messages.h"
#include "live/contexts/seal.h"

using namespace noroshi::live;

namespace {
void require(bool holds) {
  if (!holds) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto ask = parse_context_ask(text)) {
    require(noroshi::fleet::is_word(ask->session) && ask->blob.size() <= 60);
    const auto again = parse_context_ask(json_of(*ask));
    require(again && again->session == ask->session && again->blob == ask->blob);
  }
  if (const auto answer = parse_context_answer(text)) {
    require(answer->tokens >= 0 && answer->save_s >= 0 && answer->save_s <= 3600);
    require(parse_context_answer(json_of(*answer)).ok());
  }
  if (const auto site = parse_site_name(text)) {
    require(site->region + "/" + site->site == text);
  }
  if (const auto slots = noroshi::gateway::parse_slots(text)) {
    for (const auto& slot : *slots) require(slot.id >= 0 && slot.tokens >= 0);
  }
  require(!unseal(text, "session", "model").ok());
  return 0;
}
