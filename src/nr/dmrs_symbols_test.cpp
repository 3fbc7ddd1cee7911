// Catches: a wrong row of the DM-RS position tables, a symbol outside the allocation or the hop,
// combinations accepted that the standard does not have.

#include "nr/dmrs_symbols.h"

#include <gtest/gtest.h>

#include <bit>
#include <initializer_list>

namespace noroshi::nr {
namespace {

std::uint16_t symbols(std::initializer_list<int> list) {
  int mask = 0;
  for (int l : list) mask |= 1 << l;
  return static_cast<std::uint16_t>(mask);
}

constexpr MappingType a = MappingType::a, b = MappingType::b;

TEST(DmrsSymbols, MappingTypeA) {
  for (const auto& positions :
       {pdsch_dmrs_symbols(0, 14, {a, 2, 1, false}), pusch_dmrs_symbols(0, 14, {a, 2, 1, false})})
    EXPECT_EQ(positions, symbols({2, 11}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 14, {a, 2, 0, false}), symbols({2}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 14, {a, 2, 2, false}), symbols({2, 7, 11}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 14, {a, 2, 3, false}), symbols({2, 5, 8, 11}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 14, {a, 3, 2, false}), symbols({3, 7, 11}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 14, {a, 2, 1, true}), symbols({2, 3, 10, 11}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 10, {a, 2, 2, false}), symbols({2, 6, 9}));
  EXPECT_EQ(pdsch_dmrs_symbols(2, 8, {a, 2, 1, false}), symbols({2, 9}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 3, {a, 2, 0, false}), symbols({2}));
  EXPECT_EQ(pusch_dmrs_symbols(0, 3, {a, 2, 0, false}), 0) << "PUSCH has 4 symbols or more";
  EXPECT_EQ(pusch_dmrs_symbols(1, 13, {a, 2, 0, false}), 0) << "and begins with the slot";
  EXPECT_EQ(pdsch_dmrs_symbols(0, 13, {a, 3, 1, false}, true), symbols({3, 12}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 12, {a, 3, 1, false}, true), symbols({3, 9}));
}

TEST(DmrsSymbols, MappingTypeB) {
  EXPECT_EQ(pdsch_dmrs_symbols(5, 2, {b, 2, 3, false}), symbols({5}));
  EXPECT_EQ(pdsch_dmrs_symbols(5, 7, {b, 2, 1, false}), symbols({5, 9}));
  EXPECT_EQ(pdsch_dmrs_symbols(1, 9, {b, 2, 2, false}), symbols({1, 5, 8}));
  EXPECT_EQ(pusch_dmrs_symbols(1, 9, {b, 2, 2, false}), symbols({1, 4, 7}));
  EXPECT_EQ(pusch_dmrs_symbols(13, 1, {b, 2, 0, false}), symbols({13}));
  EXPECT_EQ(pdsch_dmrs_symbols(13, 1, {b, 2, 0, false}), 0);
  EXPECT_EQ(pusch_dmrs_symbols(0, 14, {b, 2, 3, false}), symbols({0, 3, 6, 9}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 14, {b, 2, 3, false}), 0);
  EXPECT_EQ(pusch_dmrs_symbols(0, 14, {b, 2, 1, true}), symbols({0, 1, 9, 10}));
  EXPECT_EQ(pdsch_dmrs_symbols(0, 13, {b, 2, 1, true}), symbols({0, 1, 8, 9}));
  EXPECT_EQ(pdsch_dmrs_symbols(4, 8, {b, 2, 1, true}), symbols({4, 5, 9, 10}));
}

TEST(DmrsSymbols, Hopping) {
  EXPECT_EQ(pusch_dmrs_symbols(0, 14, {a, 2, 0, false}, true), symbols({2, 7}));
  EXPECT_EQ(pusch_dmrs_symbols(0, 14, {a, 2, 1, false}, true), symbols({2, 6, 7, 11}));
  EXPECT_EQ(pusch_dmrs_symbols(0, 14, {a, 3, 1, false}, true), symbols({3, 7, 11}));
  EXPECT_EQ(pusch_dmrs_symbols(0, 14, {a, 3, 2, false}, true), symbols({3, 7, 11}));
  EXPECT_EQ(pusch_dmrs_symbols(0, 9, {a, 2, 1, false}, true), symbols({2, 4, 8}));
  EXPECT_EQ(pusch_dmrs_symbols(3, 11, {b, 2, 1, false}, true), symbols({3, 7, 8, 12}));
  EXPECT_EQ(pusch_dmrs_symbols(3, 2, {b, 2, 0, false}, true), symbols({3, 4}));
  EXPECT_EQ(pusch_dmrs_symbols(0, 7, {a, 2, 0, false}, true), 0) << "first hop of 3 symbols";
  EXPECT_EQ(pusch_dmrs_symbols(0, 14, {a, 2, 0, true}, true), 0) << "two symbols do not hop";
  EXPECT_EQ(pusch_dmrs_symbols(3, 1, {b, 2, 0, false}, true), 0);
}

TEST(DmrsSymbols, StayInsideTheAllocationAndInNumber) {
  for (int start = -1; start <= 14; ++start)
    for (int count = -1; count <= 16; ++count)
      for (const MappingType mapping : {a, b})
        for (int position = 1; position <= 4; ++position)
          for (int additional = -1; additional <= 4; ++additional)
            for (int kind = 0; kind < 6; ++kind) {
              const bool pairs = kind % 2 != 0, pdsch = kind < 2, hopping = kind >= 4;
              const DmrsPlacement placement{mapping, position, additional, pairs};
              const std::uint16_t mask = pdsch
                                             ? pdsch_dmrs_symbols(start, count, placement)
                                             : pusch_dmrs_symbols(start, count, placement, hopping);
              if (mask == 0) continue;
              ASSERT_EQ(std::countr_zero(mask), mapping == a ? position : start);
              ASSERT_LE(std::bit_width(mask), start + count);
              ASSERT_LE(std::popcount(mask),
                        (pairs ? 2 : 1) * (hopping ? 2 : 1) * (additional + 1));
            }
  EXPECT_EQ(pdsch_dmrs_symbols(0, 14, {a, 3, 3, false}), 0) << "3 more need position 2";
  EXPECT_EQ(pdsch_dmrs_symbols(0, 3, {a, 3, 0, false}), 0);
  EXPECT_EQ(pdsch_dmrs_symbols(3, 11, {a, 2, 0, false}), 0) << "starts after the first DM-RS";
  EXPECT_EQ(pdsch_dmrs_symbols(0, 14, {a, 2, 2, true}), 0) << "double has at most one more";
}

}  // namespace
}  // namespace noroshi::nr
