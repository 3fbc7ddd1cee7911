// Catches: a copy that the scan overlooks because its block's bound is stale or its lane is missed,
// one that is gone and still found, wrong order or band, on every instruction set.

#include "gateway/route/candidates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/every_target.h"
#include "base/prng.h"

namespace noroshi::gateway {
namespace {

Terms random_terms(Prng& prng) {
  return {static_cast<float>(0.1 * prng.exponential()),
          static_cast<float>(1 / (200 + 2000 * prng.uniform())),
          static_cast<float>(1 / (10 + 50 * prng.uniform())),
          prng.below(2) ? static_cast<float>(8 * prng.uniform()) : 0};
}

std::vector<Scored> best_by_cpu(const Candidates& table, const BestQuery& query, std::size_t most) {
  std::vector<float> scratch(table.bound_fixed().size());
  std::vector<Scored> best(most);
  best.resize(cpu::best_copies(table, query, scratch, best));
  return best;
}

void compare(const Candidates& table, Prng& prng) {
  const std::vector<std::uint32_t> passed_by = {static_cast<std::uint32_t>(prng.below(50)),
                                                static_cast<std::uint32_t>(prng.below(50))};
  const BestQuery query{static_cast<float>(prng.below(4000)),
                        static_cast<float>(prng.below(500)),
                        static_cast<float>(0.5 * prng.uniform()),
                        static_cast<float>(0.01 * prng.uniform()),
                        prng() >> 32,
                        passed_by,
                        static_cast<float>(6 * prng.uniform())};
  const std::size_t most = 1 + prng.below(best_copies_max);
  std::vector<Scored> expected(most);
  expected.resize(ref::best_copies(table, query, expected));
  const std::vector<Scored> best = best_by_cpu(table, query, most);
  ASSERT_EQ(best.size(), expected.size());
  for (std::size_t i = 0; i < best.size(); ++i) {
    EXPECT_EQ(best[i].copy, expected[i].copy) << i;
    EXPECT_NEAR(best[i].score_s, expected[i].score_s, 1e-5 * (1 + expected[i].score_s)) << i;
  }
}

TEST(Candidates, CpuEqualsRefThroughAnyChangesOnEveryTarget) {
  constexpr std::uint64_t seed = 31;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    for (const std::size_t copies : {1u, 3u, 63u, 64u, 65u, 700u, 3000u}) {
      Candidates table;
      std::vector<std::uint32_t> slots(copies, Candidates::absent);
      for (int round = 0; round < 60; ++round) {
        for (std::size_t change = 0; change < 1 + copies / 8; ++change) {
          const auto copy = static_cast<std::uint32_t>(prng.below(copies));
          if (prng.below(4) == 0) {
            table.remove(slots[copy]);
          } else {
            table.put(slots[copy], copy, random_terms(prng));
          }
        }
        std::size_t present = 0;
        for (const std::uint32_t slot : slots) present += slot != Candidates::absent ? 1 : 0;
        ASSERT_EQ(table.size(), present);
        compare(table, prng);
        if (round % 10 == 9) table.rebase(1.5f);
        if (HasFatalFailure()) return;
      }
      // A table that was full and is empty again gives its blocks back.
      const std::size_t blocks = table.blocks();
      for (std::uint32_t& slot : slots) table.remove(slot);
      EXPECT_EQ(table.size(), 0u);
      EXPECT_TRUE(best_by_cpu(table, {100, 100, 0.1f, 0}, 4).empty());
      for (std::uint32_t copy = 0; copy < copies; ++copy) {
        table.put(slots[copy], copy, {1, 0.001f, 0.01f});
      }
      EXPECT_LE(table.blocks(), std::max(blocks, (copies + 63) / 64));
    }
  });
}

// A fleet that starts up is all alike: gateways must not all run to the same few sites.
TEST(Candidates, AmongEqualsEachBlockComesFirstAtSomeTurn) {
  constexpr std::uint32_t copies = 4096;
  Candidates table;
  std::vector<std::uint32_t> slots(copies, Candidates::absent);
  for (std::uint32_t copy = 0; copy < copies; ++copy) {
    table.put(slots[copy], copy, {0.5f, 0.001f, 0.01f});
  }
  std::set<std::size_t> blocks;
  for (std::size_t turn = 0; turn < copies; ++turn) {
    const auto best = best_by_cpu(table, {100, 100, 0.1f, 0, turn}, 8);
    ASSERT_EQ(best.size(), 8u);
    blocks.insert(slots[best[0].copy] / Candidates::block_copies);
  }
  EXPECT_EQ(blocks.size(), copies / Candidates::block_copies);
}

TEST(Candidates, ABacklogMeltsAwayAndSurvivesANewClock) {
  Candidates table;
  std::uint32_t slots[2] = {Candidates::absent, Candidates::absent};
  table.put(slots[0], 0, {0.5f, 0, 0, 10});
  table.put(slots[1], 1, {1, 0, 0, 0});
  BestQuery query;
  query.now_s = 4;
  EXPECT_EQ(best_by_cpu(table, query, 1)[0].copy, 1u);
  query.now_s = 9.75f;
  EXPECT_EQ(best_by_cpu(table, query, 1)[0].copy, 0u);
  EXPECT_FLOAT_EQ(best_by_cpu(table, query, 1)[0].score_s, 0.75f);
  table.rebase(9);
  query.now_s = 0.75f;
  EXPECT_FLOAT_EQ(best_by_cpu(table, query, 1)[0].score_s, 0.75f);
  query.now_s = 0;
  EXPECT_EQ(best_by_cpu(table, query, 1)[0].copy, 1u);
}

TEST(Candidates, AnInfiniteOrNegativeTermIsABug) {
  Candidates table;
  std::uint32_t slot = Candidates::absent;
  EXPECT_DEATH(table.put(slot, 0, {std::numeric_limits<float>::infinity(), 0, 0}), "isfinite");
  EXPECT_DEATH(table.put(slot, 0, {0, -1, 0}), "per_prompt_token_s");
}

}  // namespace
}  // namespace noroshi::gateway
