// The tables of DM-RS positions (TS 38.211 6.4.1.1.3-3, -4, -6; 7.4.1.1.2-3, -4), cell by cell
// against the CSV files of ../shared/tables where they are. Without them a digest of every result
// that the functions can give, taken when all cells agreed, holds them. Catches: any cell that
// changes.

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "nr/dmrs_symbols.h"
#include "nr/tables_test.h"

namespace noroshi::nr {
namespace {

// "l0 5 10" as a mask, each symbol with its neighbour if `pairs`; "-" is 0.
std::uint16_t mask_of(const std::string& cell, int l_0, bool pairs) {
  std::uint32_t mask = 0;
  std::stringstream words(cell);
  for (std::string word; words >> word;) {
    if (word == "-") return 0;
    mask |= (pairs ? 3u : 1u) << (word == "l0" ? l_0 : std::stoi(word));
  }
  return static_cast<std::uint16_t>(mask);
}

void compare(const std::string& name, bool uplink, bool pairs) {
  const auto rows = read_table(name);
  if (!rows) GTEST_SKIP() << "no " << name << " (set NOROSHI_TABLES)";
  const int columns = pairs ? 2 : 4;
  int cells = 0;
  for (const TableRow& row : *rows) {
    const int l_d = std::stoi(row[0]);
    for (int column = 0; column < 2 * columns; ++column, ++cells) {
      const bool type_a = column < columns;
      DmrsPlacement placement;
      placement.mapping = type_a ? MappingType::a : MappingType::b;
      placement.additional_positions = column % columns;
      placement.double_symbol = pairs;
      const int l_0 = type_a ? 2 : 0;
      const std::uint16_t expected = mask_of(row[static_cast<std::size_t>(1 + column)], l_0, pairs);
      EXPECT_EQ(
          uplink ? pusch_dmrs_symbols(0, l_d, placement) : pdsch_dmrs_symbols(0, l_d, placement),
          expected)
          << name << " l_d " << l_d << " column " << column;
    }
  }
  EXPECT_GE(cells, pairs ? 44 : 88);
}

TEST(DmrsTables, PuschSingle) { compare("ts38211_dmrs_pusch_single.csv", true, false); }
TEST(DmrsTables, PuschDouble) { compare("ts38211_dmrs_pusch_double.csv", true, true); }
TEST(DmrsTables, PdschSingle) { compare("ts38211_dmrs_pdsch_single.csv", false, false); }
TEST(DmrsTables, PdschDouble) { compare("ts38211_dmrs_pdsch_double.csv", false, true); }

// A hop of l_d symbols is the first of 2 l_d or 2 l_d + 1, and the second of 2 l_d or 2 l_d - 1.
TEST(DmrsTables, PuschHopping) {
  const auto rows = read_table("ts38211_dmrs_pusch_hopping.csv");
  if (!rows) GTEST_SKIP() << "no table of hops (set NOROSHI_TABLES)";
  EXPECT_EQ(rows->size(), 84u);
  for (const TableRow& row : *rows) {
    const int l_d = std::stoi(row[0]), hop = std::stoi(row[4]);
    const bool type_a = row[1] == "A";
    DmrsPlacement placement;
    placement.mapping = type_a ? MappingType::a : MappingType::b;
    placement.type_a_position = type_a ? std::stoi(row[2]) : 2;
    placement.additional_positions = std::stoi(row[3]);
    const std::uint16_t expected = mask_of(row[5], 0, false);
    const std::uint16_t got = pusch_dmrs_symbols(0, 2 * l_d, placement, true);
    const std::uint16_t first = static_cast<std::uint16_t>(got & ((1u << l_d) - 1));
    const std::uint16_t second = static_cast<std::uint16_t>(got >> l_d);
    EXPECT_EQ(hop == 1 ? first : second, expected)
        << "l_d " << l_d << " type " << row[1] << " l_0 " << row[2] << " additional " << row[3]
        << " hop " << hop;
  }
}

TEST(DmrsTables, EveryResultIsTheOneThatWasChecked) {
  Digest digest;
  for (const MappingType mapping : {MappingType::a, MappingType::b})
    for (int position = 2; position <= 3; ++position)
      for (int additional = 0; additional <= 3; ++additional)
        for (const bool pairs : {false, true})
          for (int start = 0; start < 14; ++start)
            for (int count = 1; count <= 14 - start; ++count) {
              const DmrsPlacement placement{mapping, position, additional, pairs};
              digest.add(pdsch_dmrs_symbols(start, count, placement));
              digest.add(pdsch_dmrs_symbols(start, count, placement, true));
              digest.add(pusch_dmrs_symbols(start, count, placement));
              digest.add(pusch_dmrs_symbols(start, count, placement, true));
            }
  EXPECT_EQ(digest.value, 0x8f2024fff7990375u);
}

}  // namespace
}  // namespace noroshi::nr
