// Catches: a wrong number of coded bits, DM-RS at other symbols than the table's, the parts of CSI
// in the wrong symbols or in the wrong order.

#include "fec/uci/pucch_uci.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/prng.h"

namespace noroshi::fec {
namespace {

PucchUciConfig random_pucch(Prng& prng) {
  constexpr int sizes[] = {1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16};
  PucchUciConfig config;
  config.format = 3 + static_cast<int>(prng.below(2));
  config.symbols = 4 + static_cast<int>(prng.below(11));
  config.rbs = config.format == 4 ? 1 : sizes[prng.below(12)];
  config.bits_per_symbol = 1 + static_cast<int>(prng.below(2));
  config.spreading = 2 << prng.below(2);
  config.additional_dmrs = prng.below(2) == 0;
  config.hopping = prng.below(2) == 0;
  config.bits = 3 + static_cast<int>(prng.below(prng.below(2) == 0 ? 12 : 60));
  config.csi2_bits = 1 + static_cast<int>(prng.below(30));
  constexpr int rates[] = {8, 15, 25, 35, 45, 60, 80};
  config.max_code_rate_x100 = rates[prng.below(7)];
  return config;
}

std::string describe(const PucchUciConfig& config) {
  return "format " + std::to_string(config.format) + " symbols " + std::to_string(config.symbols) +
         " rbs " + std::to_string(config.rbs) + " Qm " + std::to_string(config.bits_per_symbol) +
         " more DM-RS " + std::to_string(config.additional_dmrs) + " hopping " +
         std::to_string(config.hopping) + " bits " + std::to_string(config.bits) + " R " +
         std::to_string(config.max_code_rate_x100);
}

using Sets = std::vector<std::set<int>>;

// TS 38.212 table 6.3.1.6-1: the sets S of UCI symbols by number of symbols and of DM-RS symbols.
const std::map<std::pair<int, int>, Sets> sets_of_the_table = {
    {{4, 1}, {{0, 2}, {3}}},
    {{4, 2}, {{1, 3}}},
    {{5, 2}, {{1, 2, 4}}},
    {{6, 2}, {{0, 2, 3, 5}}},
    {{7, 2}, {{0, 2, 3, 5}, {6}}},
    {{8, 2}, {{0, 2, 4, 6}, {3, 7}}},
    {{9, 2}, {{0, 2, 5, 7}, {3, 4, 8}}},
    {{10, 2}, {{1, 3, 6, 8}, {0, 4, 5, 9}}},
    {{10, 4}, {{0, 2, 4, 5, 7, 9}}},
    {{11, 2}, {{1, 3, 6, 8}, {0, 4, 5, 9}, {10}}},
    {{11, 4}, {{0, 2, 4, 5, 7, 8, 10}}},
    {{12, 2}, {{1, 3, 7, 9}, {0, 4, 6, 10}, {5, 11}}},
    {{12, 4}, {{0, 2, 3, 5, 6, 8, 9, 11}}},
    {{13, 2}, {{1, 3, 8, 10}, {0, 4, 7, 11}, {5, 6, 12}}},
    {{13, 4}, {{0, 2, 3, 5, 6, 8, 10, 12}, {9}}},
    {{14, 2}, {{2, 4, 9, 11}, {1, 5, 8, 12}, {0, 6, 7, 13}}},
    {{14, 4}, {{0, 2, 4, 6, 7, 9, 11, 13}, {3, 10}}},
};

// The clause with its own counters: which part each coded bit is of, in order of the codeword.
std::vector<int> parts_by_the_clause(const PucchUciLayout& layout, const Sets& sets) {
  std::vector<int> uci_symbols;
  for (int l = 0; l < 14; ++l) {
    for (const auto& set : sets) {
      if (set.contains(l)) uci_symbols.push_back(l);
    }
  }
  const int qm = layout.bits_per_symbol;
  const int g1 = layout.parts[0].coded_bits;
  int before = 0;  // bits of the sets 1 ... j - 1
  std::size_t j = 0;
  while (before + static_cast<int>(sets[j].size()) * layout.symbol_elements * qm < g1) {
    before += static_cast<int>(sets[j++].size()) * layout.symbol_elements * qm;
  }
  const int members = static_cast<int>(sets[j].size());
  const int each = (g1 - before) / (members * qm);
  int m = (g1 - before) / qm % members;
  std::vector<int> parts;
  for (const int symbol : uci_symbols) {
    int of_part1 = 0;
    for (std::size_t i = 0; i < j; ++i) {
      if (sets[i].contains(symbol)) of_part1 = layout.symbol_elements;
    }
    if (sets[j].contains(symbol)) {
      of_part1 = each + (m > 0 ? 1 : 0);
      --m;
    }
    for (int k = 0; k < layout.symbol_elements * qm; ++k)
      parts.push_back(k < of_part1 * qm ? 0 : 1);
  }
  return parts;
}

TEST(PucchUci, PartsLieWhereTheClauseSays) {
  constexpr std::uint64_t seed = 91;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  int seen = 0;
  for (int round = 0; round < 3000; ++round) {
    const PucchUciConfig config = random_pucch(prng);
    SCOPED_TRACE(describe(config));
    const auto layout = make_pucch_uci_layout(config);
    if (!layout) continue;
    ++seen;
    const int dmrs_symbols = config.symbols - layout->symbols;
    const auto expected =
        parts_by_the_clause(*layout, sets_of_the_table.at({config.symbols, dmrs_symbols}));
    ASSERT_EQ(static_cast<int>(expected.size()), layout->coded_bits());
    // Part 1 is all ones here, part 2 all zeros; then both random, there and back.
    const auto bits1 = static_cast<std::size_t>(layout->parts[0].coded_bits);
    const auto bits2 = static_cast<std::size_t>(layout->parts[1].coded_bits);
    const auto all = static_cast<std::size_t>(layout->coded_bits());
    std::vector<std::uint8_t> part1(bytes_for_bits(bits1), 0xff);
    std::vector<std::uint8_t> part2(bytes_for_bits(bits2), 0);
    std::vector<std::uint8_t> codeword(bytes_for_bits(all), 0xaa);
    pucch_uci_multiplex(*layout, part1, part2, codeword);
    for (std::size_t i = 0; i < all; ++i) {
      ASSERT_EQ(bit_at(codeword.data(), i), expected[i] == 0) << "bit " << i;
    }
    for (auto& byte : part1) byte = static_cast<std::uint8_t>(prng());
    for (auto& byte : part2) byte = static_cast<std::uint8_t>(prng());
    pucch_uci_multiplex(*layout, part1, part2, codeword);
    std::vector<SoftBit> soft_bits(all);
    for (std::size_t i = 0; i < all; ++i) soft_bits[i] = bit_at(codeword.data(), i) ? -3 : 3;
    std::vector<SoftBit> soft1(bits1);
    std::vector<SoftBit> soft2(bits2);
    pucch_uci_demultiplex(*layout, soft_bits, soft1, soft2);
    for (std::size_t i = 0; i < bits1; ++i) ASSERT_EQ(soft1[i] < 0, bit_at(part1.data(), i));
    for (std::size_t i = 0; i < bits2; ++i) ASSERT_EQ(soft2[i] < 0, bit_at(part2.data(), i));
  }
  EXPECT_GT(seen, 1000);
}

TEST(PucchUci, DmrsIsWhereNoSetIs) {
  for (const bool additional : {false, true}) {
    for (const bool hopping : {false, true}) {
      for (int symbols = 4; symbols <= 14; ++symbols) {
        const int mask = pucch_dmrs_mask(symbols, additional, hopping);
        int others = (1 << symbols) - 1;
        for (const auto& set : sets_of_the_table.at({symbols, std::popcount(unsigned(mask))})) {
          for (const int l : set) others &= ~(1 << l);
        }
        EXPECT_EQ(mask, others) << symbols;
      }
    }
  }
}

TEST(PucchUci, CodedBitsOfTheTables) {
  const auto coded = [](const PucchUciConfig& config) {
    return make_pucch_uci_layout(config)->coded_bits();
  };
  EXPECT_EQ(coded({.format = 2, .symbols = 1, .rbs = 1, .bits = 4}), 16);
  EXPECT_EQ(coded({.format = 2, .symbols = 2, .rbs = 16, .bits = 4}), 512);
  EXPECT_EQ(coded({.format = 3, .symbols = 14, .rbs = 16, .bits = 4}), 24 * 12 * 16);
  EXPECT_EQ(coded({.format = 3, .symbols = 4, .rbs = 1, .bits_per_symbol = 1, .bits = 4}), 36);
  EXPECT_EQ(coded({.format = 3, .symbols = 4, .rbs = 1, .hopping = true, .bits = 4}), 48);
  EXPECT_EQ(coded({.format = 4, .symbols = 10, .spreading = 4, .additional_dmrs = true, .bits = 4}),
            6 * 6);
  EXPECT_EQ(coded({.format = 4, .symbols = 9, .bits_per_symbol = 1, .bits = 4}), 6 * 7);
  // TS 38.212 table 6.3.1.4.1-1: (20 + 11) / 0.25 = 124; (13 + 6) / 0.35 = 54.3, to whole symbols.
  PucchUciConfig config{.format = 3, .symbols = 14, .rbs = 1, .bits = 20, .csi2_bits = 2};
  config.max_code_rate_x100 = 25;
  EXPECT_EQ(make_pucch_uci_layout(config)->parts[0].coded_bits, 124);
  EXPECT_EQ(make_pucch_uci_layout(config)->parts[1].coded_bits, 288 - 124);
  EXPECT_EQ(make_pucch_uci_layout(config)->parts[1].bits, 3);
  config.bits = 13;
  config.max_code_rate_x100 = 35;
  EXPECT_EQ(make_pucch_uci_layout(config)->parts[0].coded_bits, 56);
}

TEST(PucchUci, RefusesWithTheFieldAndItsValue) {
  PucchUciConfig good{.format = 3, .symbols = 14, .rbs = 2, .bits = 20, .csi2_bits = 10};
  ASSERT_TRUE(make_pucch_uci_layout(good).ok());
  const auto expect = [&](const char* text, auto change) {
    PucchUciConfig config = good;
    change(config);
    const auto made = make_pucch_uci_layout(config);
    ASSERT_FALSE(made.ok()) << text;
    EXPECT_NE(made.error().message.find(text), std::string::npos) << made.error().message;
  };
  expect("format 1", [](auto& c) { c.format = 1; });
  expect("symbols 3", [](auto& c) { c.symbols = 3; });
  expect("symbols 4", [](auto& c) { c.format = 2, c.symbols = 4; });
  expect("rbs 7", [](auto& c) { c.rbs = 7; });
  expect("rbs 17", [](auto& c) { c.rbs = 17; });
  expect("rbs 2", [](auto& c) { c.format = 4; });
  expect("bits_per_symbol 4", [](auto& c) { c.bits_per_symbol = 4; });
  expect("spreading 3", [](auto& c) { c.format = 4, c.rbs = 1, c.spreading = 3; });
  expect("bits 0", [](auto& c) { c.bits = 0; });
  expect("csi2_bits 1707", [](auto& c) { c.csi2_bits = 1707; });
  expect("csi2_bits 10 on format 2", [](auto& c) { c.format = 2, c.symbols = 2; });
  expect("max_code_rate_x100 0", [](auto& c) { c.max_code_rate_x100 = 0; });
  expect("csi2_bits 10 have no room", [](auto& c) { c.bits = 500; });
}

}  // namespace
}  // namespace noroshi::fec
