// Catches: a CSI-RS whose elements differ from the rows of table 7.4.1.5.3-1 (cell by cell against
// the CSV of ../shared/tables where it is), an SS/PBCH block in another place, and what neither has
// taken in silence. Without the CSV a digest of every CSI-RS, taken when all cells agreed, holds
// them.

#include "nr/reserved_signals.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "nr/tables_test.h"

namespace noroshi::nr {
namespace {

// "k0+4:l0+1" with these values: the element.
int value_of(const std::string& text, const std::vector<int>& of) {
  const std::size_t plus = text.find('+');
  return of[static_cast<std::size_t>(text[1] - '0')] +
         (plus == std::string::npos ? 0 : std::stoi(text.substr(plus + 1)));
}

TEST(ReservedSignals, CsiRsLiesWhereTheTableSays) {
  const auto rows = read_table("ts38211_csirs_locations.csv");
  if (!rows) GTEST_SKIP() << "no ts38211_csirs_locations.csv (set NOROSHI_TABLES)";
  int row = 0;
  for (const TableRow& cells : *rows) {
    ASSERT_EQ(std::stoi(cells[0]), ++row);
    SCOPED_TRACE(row);
    const auto cdm = cells[3] == "noCDM"          ? 0
                     : cells[3] == "fd-CDM2"      ? 1
                     : cells[3] == "cdm4-FD2-TD2" ? 2
                                                  : 3;
    EXPECT_EQ(csi_rs_cdm_type(row), cdm);
    const int step = row <= 2 ? 1 : row == 4 ? 4 : 2;
    const int bits = row == 1 ? 4 : row == 2 ? 12 : row == 4 ? 3 : 6;
    CsiRs csi_rs{.row = row, .symbol_0 = 3, .symbol_1 = 8, .rb_start = 5, .rb_count = 6};
    std::size_t count = 0;
    for (const std::string& at : split(cells[4], ' '))
      count = std::max(count, static_cast<std::size_t>(at[1] - '0') + 1);
    for (csi_rs.frequency = 0; csi_rs.frequency < 1 << bits; ++csi_rs.frequency) {
      ReservedElements found;
      csi_rs.density = row == 1 ? CsiRsDensity::three : CsiRsDensity::one;
      const bool fits = static_cast<std::size_t>(std::popcount(csi_rs.frequency)) == count;
      ASSERT_EQ(!find_csi_rs(csi_rs, found), fits) << csi_rs.frequency;
      if (!fits) continue;
      std::vector<int> k;
      for (int bit = 0; bit < bits; ++bit)
        if ((csi_rs.frequency >> bit & 1) != 0) k.push_back(bit * step);
      std::array<unsigned, symbols_per_slot> wanted{};
      for (const std::string& at : split(cells[4], ' ')) {
        const std::vector<std::string> pair = split(at, ':');
        for (const std::string& dl : split(cells[7], ' '))
          for (const std::string& dk : split(cells[6], ' '))
            wanted[static_cast<std::size_t>(value_of(pair[1], {3, 8}) + std::stoi(dl))] |=
                1u << (value_of(pair[0], k) + std::stoi(dk));
      }
      for (std::size_t l = 0; l < wanted.size(); ++l)
        ASSERT_EQ((found.symbol_mask >> l & 1) != 0 ? found.subcarrier_mask : 0, wanted[l]) << l;
      EXPECT_EQ(found.rbs.count(), 6u);
      EXPECT_TRUE(found.rbs[5] && found.rbs[10]);
      for (const CsiRsDensity density : {CsiRsDensity::half_even, CsiRsDensity::half_odd}) {
        csi_rs.density = density;
        const bool has = cells[2].find("0.5") != std::string::npos;
        ASSERT_EQ(!find_csi_rs(csi_rs, found), has);
        if (!has) continue;
        EXPECT_EQ(found.rbs.count(), 3u);
        EXPECT_EQ(found.rbs[6], density == CsiRsDensity::half_even);
      }
    }
  }
  EXPECT_EQ(row, 18);
}

TEST(ReservedSignals, EveryCsiRsIsTheOneThatWasChecked) {
  Digest digest;
  for (int row = 1; row <= 18; ++row) {
    digest.add(static_cast<std::uint16_t>(csi_rs_cdm_type(row)));
    for (int frequency = 0; frequency < 1 << 12; ++frequency)
      for (const auto& [symbol_0, symbol_1] : {std::pair(3, 8), std::pair(0, 5), std::pair(12, 2)})
        for (const CsiRsDensity density : {CsiRsDensity::half_even, CsiRsDensity::half_odd,
                                           CsiRsDensity::one, CsiRsDensity::three}) {
          ReservedElements found;
          const CsiRs csi_rs{.row = row,
                             .frequency = static_cast<std::uint16_t>(frequency),
                             .symbol_0 = symbol_0,
                             .symbol_1 = symbol_1,
                             .density = density,
                             .rb_start = 5,
                             .rb_count = 6};
          if (find_csi_rs(csi_rs, found)) continue;
          for (const std::size_t value :
               {std::size_t{found.subcarrier_mask}, std::size_t{found.symbol_mask},
                static_cast<std::size_t>(frequency), found.rbs.count(), std::size_t{found.rbs[6]}})
            digest.add(static_cast<std::uint16_t>(value));
        }
  }
  EXPECT_EQ(digest.value, 6851059354694186250u);
}

TEST(ReservedSignals, CsiRsByHand) {
  ReservedElements found;
  // 4 ports at k_0 = 8: 8, 9 and 10, 11.
  ASSERT_FALSE(find_csi_rs({.row = 4, .frequency = 4, .symbol_0 = 5, .rb_count = 52}, found));
  EXPECT_EQ(found.subcarrier_mask, 0xf00);
  EXPECT_EQ(found.symbol_mask, 1 << 5);
  // A tracking signal: three elements a block.
  ASSERT_FALSE(find_csi_rs(
      {.row = 1, .frequency = 2, .symbol_0 = 4, .density = CsiRsDensity::three, .rb_count = 52},
      found));
  EXPECT_EQ(found.subcarrier_mask, 0x222);
  // 32 ports on four symbols, in two pairs.
  ASSERT_FALSE(find_csi_rs(
      {.row = 17, .frequency = 0xf, .symbol_0 = 2, .symbol_1 = 9, .rb_count = 52}, found));
  EXPECT_EQ(found.subcarrier_mask, 0xff);
  EXPECT_EQ(found.symbol_mask, 3 << 2 | 3 << 9);

  const auto field = [&](const CsiRs& csi_rs) { return find_csi_rs(csi_rs, found).field; };
  EXPECT_STREQ(field({.row = 19, .rb_count = 4}), "row");
  EXPECT_STREQ(field({.row = 4, .frequency = 8, .rb_count = 4}), "frequency");
  EXPECT_STREQ(field({.row = 6, .frequency = 1, .rb_count = 4}), "frequency");
  EXPECT_STREQ(field({.row = 1, .frequency = 1, .rb_count = 4}), "density");
  EXPECT_STREQ(field({.row = 2, .frequency = 1, .density = CsiRsDensity::three, .rb_count = 4}),
               "density");
  EXPECT_STREQ(field({.row = 18, .frequency = 15, .symbol_0 = 11, .rb_count = 4}), "symbol_0");
  EXPECT_STREQ(field({.row = 16, .frequency = 15, .symbol_0 = 3, .symbol_1 = 4, .rb_count = 4}),
               "symbol_1");
  EXPECT_STREQ(field({.row = 2}), "rb_count");
  EXPECT_STREQ(field({.row = 2, .rb_start = 270, .rb_count = 6}), "rb_count");
}

// TS 38.213 4.1: A and C {2, 8} + 14 n, B {4, 8, 16, 20} + 28 n.
TEST(ReservedSignals, SsbLiesInItsSlot) {
  const Carrier carrier = make_carrier(30, 20).value();
  ReservedElements found;
  for (int index = 0; index < 8; ++index)
    for (int slot = 0; slot < 20; ++slot) {
      const Ssb ssb{.pattern = SsbCase::c, .index = index, .offset_to_point_a = 20};
      const bool here = slot % 10 == index / 2;
      ASSERT_EQ(!find_ssb(carrier, slot, ssb, found), here);
      if (!here) continue;
      EXPECT_EQ(found.symbol_mask, 0xf << (index % 2 == 0 ? 2 : 8));
      EXPECT_EQ(found.subcarrier_mask, 0xfff);
      EXPECT_EQ(found.rbs.count(), 20u);
      EXPECT_TRUE(found.rbs[10] && found.rbs[29]);
    }
  ASSERT_FALSE(find_ssb(carrier, 1, {.pattern = SsbCase::b, .index = 3}, found));
  EXPECT_EQ(found.symbol_mask, 0xf << 6);  // symbol 20
  // Between two blocks: 21 of them.
  ASSERT_FALSE(find_ssb(carrier, 0, {.offset_to_point_a = 7, .subcarrier_offset = 4}, found));
  EXPECT_EQ(found.rbs.count(), 21u);  // subcarriers 44 to 283
  EXPECT_TRUE(found.rbs[3] && found.rbs[23]);

  const auto field = [&](const Ssb& ssb) { return find_ssb(carrier, 0, ssb, found).field; };
  EXPECT_STREQ(field({.pattern = SsbCase::a}), "pattern");
  EXPECT_STREQ(field({.pattern = static_cast<SsbCase>(3)}), "pattern");
  EXPECT_STREQ(field({.index = 8}), "index");
  EXPECT_STREQ(field({.index = 2}), "index");
  EXPECT_STREQ(field({.subcarrier_offset = 3}), "subcarrier_offset");
  EXPECT_STREQ(field({.subcarrier_offset = 24}), "subcarrier_offset");
  EXPECT_STREQ(field({.offset_to_point_a = 64}), "offset_to_point_a");  // blocks 32 to 51 of 51
}

}  // namespace
}  // namespace noroshi::nr
