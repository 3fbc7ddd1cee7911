#include "fleet/turns_kept.h"

#include <unordered_map>

namespace noroshi::fleet {

void TurnsKept::hear(const gateway::ToldTurns& told) {
  const std::lock_guard lock(mutex_);
  if (places_.size() + told.places.size() > places_max) {
    table_.clear();
    places_.clear();
    numbers_.clear();
  }
  std::vector<std::uint32_t> numbers;
  for (const auto& place : told.places) {
    const auto next = static_cast<std::uint32_t>(places_.size());
    const auto [number, is_new] = numbers_.try_emplace({place.site, place.model}, next);
    if (is_new) places_.push_back(place);
    numbers.push_back(number->second);
  }
  for (const auto& turn : told.turns) {
    if (turn.session == 0 || turn.place >= numbers.size()) continue;
    const auto known = table_.find(turn.session);
    if (known && known->at_ns >= turn.at_ns) continue;
    table_.put(turn.session, {numbers[turn.place], turn.tokens, turn.at_ns});
  }
}

gateway::ToldTurns TurnsKept::known_turns(std::size_t& from, std::size_t turns_max,
                                          std::int64_t since_ns) const {
  gateway::ToldTurns told;
  std::unordered_map<std::uint32_t, std::uint32_t> places;  // of ours: as it is told
  const std::lock_guard lock(mutex_);
  const std::size_t all = table_.buckets();
  constexpr std::size_t ways = gateway::SessionTable<Kept>::ways;
  for (; from < all && told.turns.size() + ways <= turns_max; ++from) {
    table_.visit(from, [&](std::uint64_t session, const Kept& turn) {
      if (turn.at_ns < since_ns) return;
      const auto next = static_cast<std::uint32_t>(told.places.size());
      const auto [place, is_new] = places.try_emplace(turn.place, next);
      if (is_new) told.places.push_back(places_[turn.place]);
      told.turns.push_back({session, place->second, turn.tokens, turn.at_ns});
    });
  }
  if (from >= all) from = 0;
  return told;
}

std::uint64_t TurnsKept::sessions_known() const {
  const std::lock_guard lock(mutex_);
  return table_.size();
}

DoorsSink doors_sink_of(TurnsKept& kept) {
  return {.new_turns = [] { return gateway::ToldTurns{}; },
          .hear = [&kept](const gateway::ToldTurns& told) { kept.hear(told); },
          .known_turns =
              [&kept](std::size_t& from, std::size_t turns_max, std::int64_t since_ns) {
                return kept.known_turns(from, turns_max, since_ns);
              },
          .sessions_known = [&kept] { return kept.sessions_known(); }};
}

}  // namespace noroshi::fleet
