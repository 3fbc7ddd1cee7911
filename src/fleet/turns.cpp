#include "fleet/turns.h"

#include <algorithm>
#include <cassert>

#include "fleet/bus.h"
#include "fleet/compact.h"
#include "fleet/json_fields.h"

namespace noroshi::fleet {
namespace {

constexpr std::string_view magic = "NRT\x01";
constexpr std::uint64_t tokens_max = 1'000'000'000;
constexpr std::uint64_t age_ms_max = 1'000'000'000;  // eleven days
constexpr std::int64_t ms = 1'000'000;

}  // namespace

std::string turns_subject(std::string_view gateway) {
  return "noroshi.turns." + std::string(gateway);
}

std::string turns_subject(std::string_view gateway, std::string_view asker) {
  return turns_subject(gateway) + ".to." + std::string(asker);
}

std::string turns_bytes(const TurnsMessage& message) {
  const gateway::ToldTurns& told = message.told;
  assert(told.turns.size() <= told_turns_max && told.places.size() <= told_turns_max);
  CompactWriter writer{std::string(magic)};
  writer.out.reserve(64 + 32 * told.places.size() + 20 * told.turns.size());
  writer.fixed(static_cast<std::uint8_t>(message.kind), 1);
  writer.fixed(message.origin, 8);
  writer.fixed(message.asker, 8);
  writer.number(message.known);
  writer.number(told.places.size());
  for (const auto& place : told.places) {
    writer.text(place.site);
    writer.fixed(place.model, 8);
  }
  writer.number(told.turns.size());
  for (const auto& turn : told.turns) {
    writer.fixed(turn.session, 8);
    writer.number(turn.place);
    writer.number(std::min(tokens_max, static_cast<std::uint64_t>(std::max(0, turn.tokens))));
    const std::int64_t age_ms = std::max<std::int64_t>(0, -turn.at_ns / ms);
    writer.number(std::min(age_ms_max, static_cast<std::uint64_t>(age_ms)));
  }
  return std::move(writer.out);
}

Result<TurnsMessage> parse_turns(std::string_view subject, std::string_view bytes) {
  const auto named = [&](const std::string& fault) {
    return Error{"turns on " + shown(subject) + ": " + fault};
  };
  if (bytes.size() > turns_bytes_max) {
    return named("has " + std::to_string(bytes.size()) +
                 " bytes (allowed: " + std::to_string(turns_bytes_max) + ")");
  }
  if (!bytes.starts_with(magic)) return named("is none of version 1: '" + shown(bytes) + "'");
  CompactReader reader{.bytes = bytes, .at = magic.size()};
  TurnsMessage message;
  const std::uint64_t kind = reader.fixed(1, "kind");
  if (kind > 2) reader.fail("kind is " + std::to_string(kind) + " (allowed: 0 to 2)");
  message.kind = static_cast<TurnsKind>(kind);
  message.origin = reader.fixed(8, "origin");
  message.asker = reader.fixed(8, "asker");
  message.known = reader.number("known", ~std::uint64_t{0});
  gateway::ToldTurns& told = message.told;
  const std::size_t places = reader.number("places", told_turns_max);
  for (std::size_t i = 0; i < places && reader.fault.empty(); ++i) {
    auto& place = told.places.emplace_back();
    place.site = reader.text("site's name", 64);
    place.model = reader.fixed(8, "model");
    if (reader.fault.empty() && !is_word(place.site)) {
      reader.fail("site's name is '" + shown(place.site) + "', which is no word");
    }
  }
  const std::size_t turns = reader.number("turns", told_turns_max);
  for (std::size_t i = 0; i < turns && reader.fault.empty(); ++i) {
    auto& turn = told.turns.emplace_back();
    turn.session = reader.fixed(8, "session");
    turn.place = static_cast<std::uint32_t>(reader.number("turn's place", told_turns_max));
    turn.tokens = static_cast<int>(reader.number("tokens", tokens_max));
    turn.at_ns = -static_cast<std::int64_t>(reader.number("age_ms", age_ms_max)) * ms;
    if (!reader.fault.empty()) break;
    if (turn.session == 0) reader.fail("session is 0");
    if (turn.place >= told.places.size()) {
      reader.fail("turn's place is " + std::to_string(turn.place) + ", of " +
                  std::to_string(told.places.size()));
    }
  }
  if (reader.fault.empty() && reader.at != bytes.size()) reader.fail("bytes follow its end");
  if (!reader.fault.empty()) return named(reader.fault);
  return message;
}

}  // namespace noroshi::fleet
