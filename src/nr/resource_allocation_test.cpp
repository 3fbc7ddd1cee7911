// Catches: a resource indication value that is not the clause's or does not come back, a group of
// wrong size at either end, a bit that names no group.

#include "nr/resource_allocation.h"

#include <gtest/gtest.h>

#include <vector>

namespace noroshi::nr {
namespace {

TEST(ResourceAllocation, EveryRangeHasItsValue) {
  EXPECT_EQ(resource_indication_value(51, {0, 1}), 0);
  EXPECT_EQ(resource_indication_value(51, {3, 26}), 51 * 25 + 3);
  EXPECT_EQ(resource_indication_value(51, {3, 27}), 51 * 25 + 47);
  for (const int rbs : {1, 2, 3, 24, 51, 106, 273, 275}) {
    std::vector<bool> seen(static_cast<std::size_t>(rbs * (rbs + 1) / 2));
    for (int first = 0; first < rbs; ++first)
      for (int count = 1; first + count <= rbs; ++count) {
        const int value = resource_indication_value(rbs, {first, count});
        ASSERT_FALSE(seen.at(static_cast<std::size_t>(value))) << value;
        seen[static_cast<std::size_t>(value)] = true;
        const Result<RbRange> back = resource_range(rbs, value);
        ASSERT_TRUE(back.ok());
        ASSERT_EQ(back->first, first);
        ASSERT_EQ(back->count, count);
      }
    EXPECT_FALSE(resource_range(rbs, rbs * (rbs + 1) / 2).ok());
    EXPECT_FALSE(resource_range(rbs, -1).ok());
  }
  EXPECT_FALSE(resource_range(0, 0).ok());
  EXPECT_FALSE(resource_range(276, 0).ok());
}

TEST(ResourceAllocation, GroupsTileTheBandwidthPart) {
  EXPECT_EQ(rbg_size(36, 1), 2);
  EXPECT_EQ(rbg_size(37, 2), 8);
  EXPECT_EQ(rbg_size(144, 1), 8);
  EXPECT_EQ(rbg_size(145, 1), 16);
  // 5.1.2.2.1: N_RBG = ceil((N + (start mod P)) / P), first of P - start mod P.
  EXPECT_EQ(rbg_count(0, 273, 1), 18);
  EXPECT_EQ(rbg_count(5, 51, 1), 13);
  for (const int configuration : {1, 2})
    for (int start = 0; start < 20; ++start)
      for (const int rbs : {1, 7, 36, 37, 51, 106, 255}) {
        const int size = rbg_size(rbs, configuration);
        std::bitset<rb_max> all;
        for (int group = 0; group < rbg_count(start, rbs, configuration); ++group) {
          const auto blocks = rbg_blocks(start, rbs, configuration, 1u << group);
          ASSERT_TRUE(blocks.ok());
          ASSERT_TRUE(blocks->any());
          ASSERT_TRUE((*blocks & all).none());
          for (int rb = 0; rb < rbs; ++rb)
            if ((*blocks)[static_cast<std::size_t>(rb)]) {
              ASSERT_EQ((start + rb) / size, start / size + group);
            }
          all |= *blocks;
        }
        ASSERT_EQ(all.count(), static_cast<std::size_t>(rbs));
        ASSERT_FALSE(
            rbg_blocks(start, rbs, configuration, 1u << rbg_count(start, rbs, configuration)).ok());
      }
}

TEST(ResourceAllocation, HopsBetweenSlots) {
  EXPECT_EQ(hopped_first_block(51, 40, 20, 4), 40);
  EXPECT_EQ(hopped_first_block(51, 40, 20, 5), 9);
}

}  // namespace
}  // namespace noroshi::nr
