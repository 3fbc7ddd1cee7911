// What gateways tell each other of sessions: taken out of the router, and put in.

#include "gateway/route/told_turns.h"

#include <algorithm>
#include <unordered_set>

#include "gateway/route/prefix.h"
#include "gateway/route/route_state.h"

namespace noroshi::gateway {
namespace {

// What the router does for requests must not wait for long.
constexpr std::size_t turns_a_lock = 256;
constexpr std::size_t buckets_a_lock = 256;

// Adds turns to what is told, each copy's place once.
struct Teller {
  const Router::State& s;
  ToldTurns& told;
  std::unordered_map<std::uint32_t, std::uint32_t> places = {};  // by copy

  // The copy is one that was never known by that number since.
  void add(std::uint64_t session, const Turn& turn) {
    const Copy& copy = s.copies[turn.copy];
    if (copy.born != turn.born) return;
    const auto next = static_cast<std::uint32_t>(told.places.size());
    const auto [place, is_new] = places.try_emplace(turn.copy, next);
    if (is_new) {
      told.places.push_back({s.sites[copy.site].address->name, s.contents[copy.content].mark});
    }
    told.turns.push_back({session, place->second, turn.tokens, turn.at_ns});
  }
};

}  // namespace

std::uint64_t model_mark(std::string_view model, std::string_view content_hash) {
  return hash_text(content_hash, hash_text(model));
}

// A session's last turn, of those that are at a copy which is still there.
std::optional<Turn> Router::State::last_turn(std::uint64_t session) const {
  if (session == 0) return {};
  const auto there = [this](std::optional<Turn> turn) {
    return turn && copies[turn->copy].born == turn->born ? turn : std::nullopt;
  };
  const std::optional<Turn> own = there(sessions.find(session));
  const std::optional<Turn> told = there(told_sessions.find(session));
  return told && (!own || told->at_ns > own->at_ns) ? told : own;
}

void Router::State::take_turn(std::uint64_t session, const Turn& turn) {
  sessions.put(session, turn);
  if (config.sessions_told_max == 0) return;
  if (new_turns.size() < config.turns_told_max) {
    new_turns.push_back({session, turn});
  } else {
    new_turns[turns_taken % config.turns_told_max] = {session, turn};
    ++counts.turns_untold;
  }
  ++turns_taken;
}

ToldTurns Router::new_turns() {
  State& s = *state_;
  std::vector<NewTurn> turns;
  turns.reserve(s.config.turns_told_max);
  std::size_t taken = 0;
  {
    const std::lock_guard lock(s.mutex);
    turns.swap(s.new_turns);
    taken = std::exchange(s.turns_taken, 0);
  }
  std::vector<NewTurn> newest;
  std::unordered_set<std::uint64_t> seen(turns.size());
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const NewTurn& one = turns[(taken - 1 - i) % turns.size()];
    if (seen.insert(one.session).second) newest.push_back(one);
  }
  ToldTurns told;
  Teller teller{s, told};
  for (std::size_t i = 0; i < newest.size(); i += turns_a_lock) {
    const std::lock_guard lock(s.mutex);
    for (std::size_t k = i; k < std::min(newest.size(), i + turns_a_lock); ++k) {
      teller.add(newest[k].session, newest[k].turn);
    }
  }
  return told;
}

void Router::hear(const ToldTurns& told) {
  State& s = *state_;
  if (s.config.sessions_told_max == 0) return;
  std::vector<std::optional<Turn>> places(told.places.size());
  {
    const std::lock_guard lock(s.mutex);
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto site = s.site_numbers.find(told.places[i].site);
      if (site == s.site_numbers.end()) continue;
      for (const std::uint32_t copy : s.sites[site->second].copies) {
        const Copy& one = s.copies[copy];
        if (!one.listed || s.contents[one.content].mark != told.places[i].model) continue;
        places[i] = Turn{.copy = copy, .born = one.born};
      }
    }
  }
  for (std::size_t i = 0; i < told.turns.size(); i += turns_a_lock) {
    const std::lock_guard lock(s.mutex);
    for (std::size_t k = i; k < std::min(told.turns.size(), i + turns_a_lock); ++k) {
      const ToldTurns::Turn& one = told.turns[k];
      ++s.counts.turns_heard;
      if (one.session == 0 || one.place >= places.size() || !places[one.place]) {
        ++s.counts.turns_nowhere;
        continue;
      }
      const auto known = s.told_sessions.find(one.session);
      if (known && known->at_ns >= one.at_ns) continue;
      Turn turn = *places[one.place];
      turn.tokens = one.tokens;
      turn.at_ns = one.at_ns;
      s.told_sessions.put(one.session, turn);
    }
  }
}

std::uint64_t Router::sessions_known() const {
  const std::lock_guard lock(state_->mutex);
  return state_->sessions.size() + state_->told_sessions.size();
}

ToldTurns Router::known_turns(std::size_t& from, std::size_t turns_max,
                              std::int64_t since_ns) const {
  const State& s = *state_;
  ToldTurns told;
  Teller teller{s, told};
  const std::size_t own = s.sessions.buckets();
  const std::size_t all = own + s.told_sessions.buckets();
  constexpr std::size_t most_a_lock = buckets_a_lock * Sessions::ways;
  while (from < all && (told.turns.empty() || told.turns.size() + most_a_lock <= turns_max)) {
    const std::lock_guard lock(s.mutex);
    for (std::size_t n = 0; n < buckets_a_lock && from < all; ++n, ++from) {
      const auto add = [&](std::uint64_t session, const Turn& turn) {
        if (turn.at_ns >= since_ns) teller.add(session, turn);
      };
      if (from < own) {
        s.sessions.visit(from, add);
      } else {
        s.told_sessions.visit(from - own, add);
      }
    }
  }
  if (from >= all) from = 0;
  return told;
}

}  // namespace noroshi::gateway
