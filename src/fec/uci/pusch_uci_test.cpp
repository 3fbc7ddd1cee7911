// Catches: a rate formula with a wrong limit, an element that two parts claim or none, a part in
// the wrong order or at the wrong spacing, a hop that takes the other's elements, soft bits that
// HARQ-ACK overwrote and that are not forgotten, placeholders at the wrong bits.

#include "fec/uci/pusch_uci.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/prng.h"
#include "fec/uci/pusch_uci_test_configs.h"
#include "fec/uci/uci.h"

namespace noroshi::fec {
namespace {

constexpr PuschPart all_parts[] = {PuschPart::ul_sch, PuschPart::harq, PuschPart::csi1,
                                   PuschPart::csi2};

std::vector<int> elements_of(const PuschUciLayout& layout, PuschPart part) {
  std::vector<int> elements;
  for (const ElementRun& run : layout.runs(part)) {
    for (int i = 0; i < run.count; ++i) elements.push_back(run.first + i);
  }
  return elements;
}

TEST(PuschUci, LayoutIsTheClause) {
  constexpr std::uint64_t seed = 81;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PuschUciLayout layout;
  int accepted = 0;
  for (int round = 0; round < 1500; ++round) {
    const PuschUciConfig config = random_pusch_uci(prng);
    SCOPED_TRACE(describe(config));
    if (!make_pusch_uci_layout(config, layout)) continue;
    ++accepted;
    const auto expected = ref::pusch_uci_elements(config);
    for (const PuschPart part : all_parts) {
      const auto i = static_cast<std::size_t>(part);
      ASSERT_EQ(elements_of(layout, part), expected[i]) << "part " << i;
      ASSERT_EQ(layout.elements(part), static_cast<int>(expected[i].size()));
      std::vector<int> punctured;
      for (std::size_t n = 0; n < expected[i].size() && part != PuschPart::harq; ++n) {
        if (std::ranges::count(expected[1], expected[i][n]) > 0) {
          punctured.push_back(static_cast<int>(n));
        }
      }
      const View<const int, 1> got = layout.punctured(part);
      ASSERT_EQ(std::vector<int>(got.begin(), got.end()), punctured);
    }
  }
  EXPECT_GT(accepted, 1000);
}

TEST(PuschUci, EveryElementHasOneOwnerBesidesPunctures) {
  constexpr std::uint64_t seed = 82;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PuschUciLayout layout;
  for (int round = 0; round < 500; ++round) {
    const PuschUciConfig config = random_pusch_uci(prng);
    SCOPED_TRACE(describe(config));
    if (!make_pusch_uci_layout(config, layout)) continue;
    std::vector<int> owners(static_cast<std::size_t>(layout.elements()));
    for (const PuschPart part : {PuschPart::ul_sch, PuschPart::csi1, PuschPart::csi2}) {
      for (const int element : elements_of(layout, part))
        ++owners[static_cast<std::size_t>(element)];
    }
    for (const int element : elements_of(layout, PuschPart::harq)) {
      int& owner = owners[static_cast<std::size_t>(element)];
      ASSERT_EQ(owner == 0 || config.harq_bits <= 2, true);
      owner = 1;
    }
    // With UL-SCH everything is filled; without it the last CSI part fills what is for UCI, but for
    // reserved elements when it is part 1.
    const auto filled = std::ranges::count(owners, 1);
    ASSERT_EQ(std::ranges::count(owners, 0) + filled, layout.elements());
    if (config.code_block_bits > 0) {
      ASSERT_EQ(filled, layout.elements());
    }
    if (config.code_block_bits == 0 && config.csi2_bits > 0) {
      int for_uci = 0;
      for (int l = 0; l < config.symbols; ++l) {
        const bool dmrs = (config.dmrs_mask >> l & 1) != 0;
        for_uci += dmrs ? 0 : config.data_elements[static_cast<std::size_t>(l)];
      }
      ASSERT_EQ(filled, for_uci);
    }
  }
}

// The clause in floating point, for cases whose result is no whole number before the ceiling.
TEST(PuschUci, RatesAreTheFormulas) {
  PuschUciLayout layout;
  PuschUciConfig config = full_pusch(21, 0b00000000000100);
  config.code_block_bits = 9152;
  config.bits_per_symbol = 4;
  config.harq_bits = 5;
  config.harq_beta_x8 = 101;
  config.csi1_bits = 20;
  config.csi1_beta_x8 = 20;
  config.csi2_bits = 40;
  config.csi2_beta_x8 = 13;
  config.alpha_x100 = 65;
  const double m = 13 * 252;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(layout.elements(PuschPart::harq), std::ceil(5 * 12.625 * m / 9152));
  EXPECT_EQ(layout.elements(PuschPart::csi1), std::ceil((20 + 11) * 2.5 * m / 9152));
  EXPECT_EQ(layout.elements(PuschPart::csi2), std::ceil((40 + 11) * 1.625 * m / 9152));
  EXPECT_EQ(layout.elements(PuschPart::ul_sch) + layout.elements(PuschPart::harq) +
                layout.elements(PuschPart::csi1) + layout.elements(PuschPart::csi2),
            layout.elements());
  // The limit: 11 symbols lie behind the DM-RS.
  config.harq_bits = 500;
  config.csi2_bits = 1000;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(layout.elements(PuschPart::harq), std::ceil(0.65 * 11 * 252));
  EXPECT_EQ(layout.elements(PuschPart::csi1), std::ceil((20 + 11) * 2.5 * m / 9152));
  EXPECT_EQ(layout.elements(PuschPart::csi2),
            std::ceil(0.65 * m) - std::ceil(0.65 * 11 * 252) - std::ceil(31 * 2.5 * m / 9152));
  // Without UL-SCH.
  config.harq_bits = 15;
  config.csi2_bits = 40;
  config.code_block_bits = 0;
  config.code_rate_x10240 = 6020;
  const int harq = static_cast<int>(std::ceil((15 + 6) * 12.625 / (0.587890625 * 4)));
  const int csi1 = static_cast<int>(std::ceil((20 + 11) * 2.5 / (0.587890625 * 4)));
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(layout.elements(PuschPart::harq), harq);
  EXPECT_EQ(layout.elements(PuschPart::csi1), csi1);
  EXPECT_EQ(layout.elements(PuschPart::csi2), m - harq - csi1);
  config.csi2_bits = 0;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(layout.elements(PuschPart::csi1), m - harq);
  // One bit of HARQ-ACK takes half of what is reserved for two.
  config.harq_bits = 1;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(layout.elements(PuschPart::harq), std::ceil(12.625 / (0.587890625 * 4)));
  EXPECT_EQ(layout.elements(PuschPart::csi1), m - std::ceil(2 * 12.625 / (0.587890625 * 4)));
}

// A small PUSCH by hand: 3 symbols of 12 elements, DM-RS on the first.
TEST(PuschUci, PlacesBySymbolAndSpacing) {
  PuschUciConfig config = full_pusch(1, 0b001);
  config.symbols = 3;
  config.code_block_bits = 96;
  config.harq_bits = 3;  // 3 * 8 * 24 / 96 = 6 elements: each second
  config.harq_beta_x8 = 64;
  config.csi1_bits = 4;  // 4 * 2 * 24 / 96 = 2 elements of the 6 left: each third
  config.csi1_beta_x8 = 16;
  PuschUciLayout layout;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(elements_of(layout, PuschPart::harq), (std::vector<int>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(elements_of(layout, PuschPart::csi1), (std::vector<int>{1, 7}));
  EXPECT_EQ(layout.elements(PuschPart::ul_sch), 16);
}

// Two hops of 4 symbols of 12 elements, DM-RS first in each: 36 + 36 elements for UCI, numbered
// from symbol 1 on; symbol 5 starts with 36.
TEST(PuschUci, HopsShareAsTheClauseSays) {
  PuschUciConfig config = full_pusch(1, 0b00010001);
  config.symbols = 8;
  config.hop_symbol = 4;
  config.bits_per_symbol = 1;
  config.code_block_bits = 50;  // 3 * 72 / 50 = 4.3
  config.harq_bits = 3;
  config.harq_beta_x8 = config.csi1_beta_x8 = config.csi2_beta_x8 = 8;
  PuschUciLayout layout;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(elements_of(layout, PuschPart::harq), (std::vector<int>{0, 6, 36, 40, 44}));
  // Without UL-SCH, R = 0.6: HARQ-ACK has 5 elements, CSI part 1 what is left, each hop its share.
  config.code_block_bits = 0;
  config.code_rate_x10240 = 6144;
  config.csi1_bits = 4;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(elements_of(layout, PuschPart::harq), (std::vector<int>{0, 6, 36, 40, 44}));
  EXPECT_EQ(layout.elements(PuschPart::csi1), 67);
  EXPECT_EQ(elements_of(layout, PuschPart::csi1)[33], 35);
  EXPECT_EQ(elements_of(layout, PuschPart::csi1)[34], 37);
  // With CSI part 2 part 1 has 7 elements: 3 and 4.
  config.csi2_bits = 4;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(elements_of(layout, PuschPart::csi1), (std::vector<int>{1, 4, 8, 37, 39, 42, 45}));
  EXPECT_EQ(layout.elements(PuschPart::csi2), 60);
  EXPECT_EQ(elements_of(layout, PuschPart::csi2)[30], 35);
  EXPECT_EQ(elements_of(layout, PuschPart::csi2)[31], 38);
  // Two bits: 4 elements are reserved, 2 in each hop, and used.
  config.harq_bits = 2;
  config.csi2_bits = 0;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(elements_of(layout, PuschPart::harq), (std::vector<int>{0, 6, 36, 42}));
  EXPECT_EQ(layout.elements(PuschPart::csi1), 68);
  EXPECT_EQ(elements_of(layout, PuschPart::csi1)[33], 35);
  EXPECT_EQ(elements_of(layout, PuschPart::csi1)[34], 37);
  // Nothing of the first hop lies behind its DM-RS: all HARQ-ACK goes to the second.
  config.dmrs_mask = 0b00011000;
  config.data_elements[0] = 12;
  config.data_elements[3] = 0;
  config.harq_bits = 3;
  ASSERT_TRUE(make_pusch_uci_layout(config, layout).ok());
  EXPECT_EQ(elements_of(layout, PuschPart::harq), (std::vector<int>{36, 38, 40, 42, 44}));
  EXPECT_EQ(elements_of(layout, PuschPart::csi1)[35], 35);
  EXPECT_EQ(elements_of(layout, PuschPart::csi1)[36], 37);
}

TEST(PuschUci, PartsComeBackAndOverwrittenSoftBitsAreForgotten) {
  constexpr std::uint64_t seed = 83;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PuschUciLayout layout;
  for (int round = 0; round < 400; ++round) {
    const PuschUciConfig config = random_pusch_uci(prng);
    SCOPED_TRACE(describe(config));
    if (!make_pusch_uci_layout(config, layout)) continue;
    std::array<std::vector<std::uint8_t>, pusch_parts> sent;
    std::array<std::vector<SoftBit>, pusch_parts> received;
    PuschCodedBits coded;
    PuschSoftBits soft;
    for (const PuschPart part : all_parts) {
      const auto i = static_cast<std::size_t>(part);
      const auto bits = static_cast<std::size_t>(layout.coded_bits(part));
      sent[i].resize(bytes_for_bits(bits));
      for (auto& byte : sent[i]) byte = static_cast<std::uint8_t>(prng());
      received[i].assign(bits, 99);
      coded.of[i] = sent[i];
      soft.of[i] = received[i];
    }
    const auto all_bits = static_cast<std::size_t>(layout.coded_bits());
    std::vector<std::uint8_t> codeword(bytes_for_bits(all_bits), 0xff);
    pusch_uci_multiplex(layout, coded, codeword);
    std::vector<SoftBit> soft_bits(all_bits);
    for (std::size_t i = 0; i < all_bits; ++i) {
      soft_bits[i] = bit_at(codeword.data(), i) ? SoftBit{-7} : SoftBit{7};
    }
    pusch_uci_demultiplex(layout, soft_bits, soft);
    for (const PuschPart part : all_parts) {
      const auto p = static_cast<std::size_t>(part);
      std::vector<bool> forgotten(received[p].size());
      for (const int element : layout.punctured(part)) {
        for (int i = 0; i < layout.element_bits(); ++i) {
          forgotten[static_cast<std::size_t>(element * layout.element_bits() + i)] = true;
        }
      }
      for (std::size_t i = 0; i < received[p].size(); ++i) {
        const int expected = forgotten[i] ? 0 : bit_at(sent[p].data(), i) ? -7 : 7;
        ASSERT_EQ(received[p][i], expected) << "part " << p << " bit " << i;
      }
    }
  }
}

TEST(PuschUci, PlaceholdersSurviveScrambling) {
  constexpr std::uint64_t seed = 84;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  PuschUciLayout layout;
  int seen = 0;
  for (int round = 0; round < 600; ++round) {
    PuschUciConfig config = random_pusch_uci(prng);
    config.harq_bits = 1 + static_cast<int>(prng.below(2));
    SCOPED_TRACE(describe(config));
    if (!make_pusch_uci_layout(config, layout)) continue;
    if (layout.coded_bits(PuschPart::harq) < 3) continue;  // no code yet
    ++seen;
    const auto bits = static_cast<std::size_t>(layout.coded_bits());
    std::vector<std::uint8_t> scrambling(bytes_for_bits(bits));
    for (auto& byte : scrambling) byte = static_cast<std::uint8_t>(prng());
    std::array<std::vector<std::uint8_t>, pusch_parts> sent;
    PuschCodedBits coded;
    for (const PuschPart part : all_parts) {
      const auto i = static_cast<std::size_t>(part);
      sent[i].resize(bytes_for_bits(static_cast<std::size_t>(layout.coded_bits(part))));
      for (auto& byte : sent[i]) byte = static_cast<std::uint8_t>(prng());
      coded.of[i] = sent[i];
    }
    const SmallBlock block{config.harq_bits, layout.coded_bits(PuschPart::harq),
                           config.bits_per_symbol};
    const std::vector<std::uint8_t> message = {
        static_cast<std::uint8_t>(config.harq_bits == 1 ? 0x80 : 0x40 * (1 + prng.below(3)))};
    ref::small_block_encode(block, message, sent[1], 0);
    std::vector<std::uint8_t> codeword(bytes_for_bits(bits));
    pusch_uci_multiplex(layout, coded, codeword);
    for (std::size_t i = 0; i < codeword.size(); ++i) codeword[i] ^= scrambling[i];
    pusch_uci_scramble_placeholders(layout, codeword);
    // TS 38.211 6.3.1.1: x is 1, y the scrambled bit before it.
    const auto harq = elements_of(layout, PuschPart::harq);
    for (std::size_t e = 0; e < harq.size(); ++e) {
      for (int i = 0; i < layout.element_bits(); ++i) {
        const auto at = static_cast<std::size_t>(harq[e] * layout.element_bits() + i);
        const CodedBit kind = small_block_coded_bit(block, i);
        if (kind == CodedBit::one) {
          ASSERT_TRUE(bit_at(codeword.data(), at));
        }
        if (kind == CodedBit::again) {
          ASSERT_EQ(bit_at(codeword.data(), at), bit_at(codeword.data(), at - 1));
        }
      }
    }
    std::vector<SoftBit> soft_bits(bits);
    for (std::size_t i = 0; i < bits; ++i) {
      const bool bit = bit_at(codeword.data(), i) != bit_at(scrambling.data(), i);
      soft_bits[i] = bit ? SoftBit{-50} : SoftBit{50};
    }
    pusch_uci_descramble_placeholders(layout, scrambling, soft_bits);
    std::array<std::vector<SoftBit>, pusch_parts> received;
    PuschSoftBits soft;
    for (const PuschPart part : all_parts) {
      const auto i = static_cast<std::size_t>(part);
      received[i].resize(static_cast<std::size_t>(layout.coded_bits(part)));
      soft.of[i] = received[i];
    }
    pusch_uci_demultiplex(layout, soft_bits, soft);
    std::vector<std::uint8_t> decoded(1);
    const auto result = cpu::small_block_decode(block, received[1], decoded);
    ASSERT_EQ(decoded, message);
    ASSERT_FLOAT_EQ(result.metric, 1);
  }
  EXPECT_GT(seen, 300);
}

TEST(PuschUci, ElementsOfAnAllocation) {
  nr::SharedChannel pusch;
  for (std::size_t rb = 10; rb < 30; ++rb) pusch.rbs.set(rb);
  pusch.symbol_start = 2;
  pusch.symbol_count = 10;
  pusch.modulation = nr::Modulation::qam64;
  pusch.code_rate_x10240 = 6660;
  pusch.layers = 2;
  pusch.tb_bits = 20'016;
  pusch.dmrs.symbol_mask = 1 << 2 | 1 << 11;
  pusch.dmrs.cdm_groups_without_data = 1;
  const auto config = pusch_uci_config(pusch);
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->symbols, 10);
  EXPECT_EQ(config->dmrs_mask, 1 | 1 << 9);
  EXPECT_EQ(config->data_elements[0], 120);
  EXPECT_EQ(config->data_elements[1], 240);
  EXPECT_EQ(config->data_elements[9], 120);
  EXPECT_EQ(config->bits_per_symbol, 6);
  // 20040 bits: 3 blocks of K' = 6704, Zc = 320.
  EXPECT_EQ(config->code_block_bits, 3 * 22 * 320);
  pusch.dmrs.type = 2;
  EXPECT_EQ(pusch_uci_config(pusch)->data_elements[0], 160);
  pusch.tb_bits = 0;
  EXPECT_EQ(pusch_uci_config(pusch)->code_block_bits, 0);
}

TEST(PuschUci, HarqBitsBesideCsiPart1Alone) {
  EXPECT_EQ(pusch_harq_bits(0, false, 5, 0), 2);
  EXPECT_EQ(pusch_harq_bits(1, false, 5, 0), 2);
  EXPECT_EQ(pusch_harq_bits(3, false, 5, 0), 3);
  EXPECT_EQ(pusch_harq_bits(0, true, 5, 0), 0);
  EXPECT_EQ(pusch_harq_bits(1, false, 5, 4), 1);
  EXPECT_EQ(pusch_harq_bits(1, false, 0, 0), 1);
}

TEST(PuschUci, BetaOffsetsOfTheTables) {
  EXPECT_EQ(*harq_beta_offset_x8(0), 8);
  EXPECT_EQ(*harq_beta_offset_x8(15), 126 * 8);
  EXPECT_EQ(*csi_beta_offset_x8(18), 160);
  EXPECT_NE(harq_beta_offset_x8(16).error().message.find("16"), std::string::npos);
  EXPECT_NE(csi_beta_offset_x8(19).error().message.find("19"), std::string::npos);
  EXPECT_FALSE(csi_beta_offset_x8(-1).ok());
}

TEST(PuschUci, RefusesWithTheFieldAndItsValue) {
  PuschUciLayout layout;
  PuschUciConfig good = full_pusch(10, 0b100);
  good.code_block_bits = 2000;
  good.harq_bits = 4;
  good.csi1_bits = 20;
  good.csi2_bits = 8;
  ASSERT_TRUE(make_pusch_uci_layout(good, layout).ok());
  const auto expect = [&](const char* text, auto change) {
    PuschUciConfig config = good;
    change(config);
    const auto made = make_pusch_uci_layout(config, layout);
    ASSERT_FALSE(made.ok()) << text;
    EXPECT_NE(made.error().message.find(text), std::string::npos) << made.error().message;
  };
  expect("symbols is 15", [](auto& c) { c.symbols = 15; });
  expect("symbols is 0", [](auto& c) { c.symbols = 0; });
  expect("data_elements[3] is 3301", [](auto& c) { c.data_elements[3] = 3301; });
  expect("dmrs_mask is 16384", [](auto& c) { c.dmrs_mask = 1 << 14; });
  expect("dmrs_mask is 0", [](auto& c) { c.dmrs_mask = 0; });
  expect("dmrs_mask is 4", [](auto& c) { c.hop_symbol = 7; });
  expect("hop_symbol is 14", [](auto& c) { c.hop_symbol = 14; });
  expect("layers is 5", [](auto& c) { c.layers = 5; });
  expect("bits_per_symbol is 3", [](auto& c) { c.bits_per_symbol = 3; });
  expect("code_block_bits is -1", [](auto& c) { c.code_block_bits = -1; });
  expect("code_rate_x10240 is 0", [](auto& c) { c.code_block_bits = 0; });
  expect("harq_bits is 1707", [](auto& c) { c.harq_bits = 1707; });
  expect("csi1_bits is -1", [](auto& c) { c.csi1_bits = -1; });
  expect("csi2_bits is 8, allowed: 0 without CSI part 1", [](auto& c) { c.csi1_bits = 0; });
  expect("nothing to send", [](auto& c) {
    c.harq_bits = c.csi1_bits = c.csi2_bits = c.code_block_bits = 0;
    c.code_rate_x10240 = 5000;
  });
  expect("harq_beta_x8 is 7", [](auto& c) { c.harq_beta_x8 = 7; });
  expect("csi1_beta_x8 is 1009", [](auto& c) { c.csi1_beta_x8 = 1009; });
  expect("csi2_beta_x8 is 0", [](auto& c) { c.csi2_beta_x8 = 0; });
  expect("alpha_x100 is 101", [](auto& c) { c.alpha_x100 = 101; });
  expect("csi2_bits is 8, allowed: as many as get", [](auto& c) {
    c.csi1_bits = 1700;
    c.csi1_beta_x8 = 1008;
  });
}

}  // namespace
}  // namespace noroshi::fec
