// Catches: a turn that the control plane keeps otherwise than it was told, an older one that
// replaces a newer, a memory without end.

#include "fleet/turns_kept.h"

#include <gtest/gtest.h>

#include "base/prng.h"

namespace noroshi::fleet {
namespace {

std::map<std::uint64_t, std::pair<std::string, std::int64_t>> all_of(const TurnsKept& kept,
                                                                     std::int64_t since_ns = 0) {
  std::map<std::uint64_t, std::pair<std::string, std::int64_t>> out;
  std::size_t from = 0;
  do {
    const gateway::ToldTurns part = kept.known_turns(from, 64, since_ns);
    EXPECT_LE(part.turns.size(), 64u);
    for (const auto& turn : part.turns) {
      const auto& place = part.places.at(turn.place);
      EXPECT_TRUE(out.emplace(turn.session, std::pair(place.site, turn.at_ns)).second);
      EXPECT_EQ(place.model, 7u);
    }
  } while (from != 0);
  return out;
}

// Against a map, in any order.
TEST(TurnsKept, TellsOfEachSessionTheLastTurnThatItWasTold) {
  constexpr std::uint64_t seed = 91;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  TurnsKept kept(1 << 14);
  std::map<std::uint64_t, std::pair<std::string, std::int64_t>> plain;
  for (int round = 0; round < 500; ++round) {
    gateway::ToldTurns told;
    for (int i = 0; i < 5; ++i) told.places.push_back({"s" + std::to_string(prng.below(20)), 7});
    for (int i = 0; i < 10; ++i) {
      const std::uint64_t session = 1 + prng.below(300);
      const auto place = static_cast<std::uint32_t>(prng.below(6));  // the last is nowhere
      const auto at_ns = static_cast<std::int64_t>(prng.below(100'000));
      told.turns.push_back({session, place, 10, at_ns});
      if (place == 5) continue;
      const auto [known, is_new] = plain.try_emplace(session, told.places[place].site, at_ns);
      if (!is_new && known->second.second < at_ns) {
        known->second = {told.places[place].site, at_ns};
      }
    }
    kept.hear(told);
  }
  EXPECT_EQ(all_of(kept), plain);
  EXPECT_EQ(kept.sessions_known(), plain.size());
  std::erase_if(plain, [](const auto& one) { return one.second.second < 50'000; });
  EXPECT_EQ(all_of(kept, 50'000), plain);
}

TEST(TurnsKept, ForgetsAllWhenItHasHeardOfTooManyPlaces) {
  TurnsKept kept(64);
  kept.hear({{{"s", 7}}, {{5, 0, 1, 1}}});
  std::uint64_t model = 100;
  gateway::ToldTurns told;
  for (std::size_t i = 0; i < 8192; ++i) told.places.push_back({"s", ++model});
  for (std::size_t n = 0; n < TurnsKept::places_max; n += 8192) {
    EXPECT_EQ(kept.sessions_known(), 1u);
    for (auto& place : told.places) place.model = ++model;
    kept.hear(told);
  }
  EXPECT_EQ(kept.sessions_known(), 0u);
  kept.hear({{{"s", 7}}, {{6, 0, 1, 1}}});
  EXPECT_EQ(all_of(kept).size(), 1u);
}

}  // namespace
}  // namespace noroshi::fleet
