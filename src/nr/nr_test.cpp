// Catches: a wrong row of the bandwidth, MCS, TBS or DM-RS tables, a transport block size that is
// not monotone or not of the clause's form, DM-RS elements counted as data, a cyclic prefix that
// does not add up to a subframe, a duplex pattern that is accepted though it cannot be.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>

#include "base/prng.h"
#include "base/slot.h"
#include "nr/carrier.h"
#include "nr/mcs.h"
#include "nr/shared_channel.h"

namespace noroshi::nr {
namespace {

TEST(Carrier, EveryBandwidthFitsItself) {
  int carriers = 0;
  for (int scs : {15, 30}) {
    int rb_count = 0;
    for (int bandwidth = 1; bandwidth <= 101; ++bandwidth) {
      const Result<Carrier> made = make_carrier(scs, bandwidth);
      if (!made.ok()) continue;
      ++carriers;
      const Carrier& carrier = *made;
      EXPECT_GT(carrier.rb_count, rb_count) << "more megahertz, more blocks";
      rb_count = carrier.rb_count;
      EXPECT_TRUE(std::has_single_bit(static_cast<unsigned>(carrier.fft_size)));
      EXPECT_GT(carrier.fft_size, carrier.subcarriers());
      EXPECT_LE(carrier.fft_size / 2, carrier.subcarriers());
      const double occupied_khz = 12.0 * scs * rb_count;
      EXPECT_LT(occupied_khz, 1000.0 * bandwidth);
      EXPECT_GT(occupied_khz, 780.0 * bandwidth);
      // A subframe is 1 ms, its slots have 14 symbols, and the longer prefixes are 0.5 ms apart.
      int samples = 0;
      for (int slot = 0; slot < slots_per_subframe(scs); ++slot) {
        samples += slot_samples(carrier, slot);
        EXPECT_LE(slot_samples(carrier, slot), slot_samples_max(carrier));
        EXPECT_GT(cyclic_prefix_samples(carrier, slot, 0), cyclic_prefix_samples(carrier, slot, 1));
        EXPECT_EQ(cyclic_prefix_samples(carrier, slot, 7) > cyclic_prefix_samples(carrier, slot, 6),
                  scs == 15);
      }
      EXPECT_EQ(samples, carrier.sample_rate_hz() / 1000);
    }
  }
  EXPECT_EQ(carriers, 10 + 15);
}

TEST(Carrier, KnownOnes) {
  const Carrier wide = make_carrier(30, 100).value();
  EXPECT_EQ(wide.rb_count, 273);
  EXPECT_EQ(wide.fft_size, 4096);
  EXPECT_EQ(cyclic_prefix_samples(wide, 1, 0), 352);
  EXPECT_EQ(cyclic_prefix_samples(wide, 1, 1), 288);
  EXPECT_EQ(slot_samples(wide, 0), 61440);
  const Carrier demo = make_carrier(30, 20).value();
  EXPECT_EQ(demo.rb_count, 51);
  EXPECT_EQ(demo.fft_size, 1024);
  const Carrier lower = make_carrier(15, 40).value();
  EXPECT_EQ(lower.rb_count, 216);
  EXPECT_EQ(lower.fft_size, 4096);
  EXPECT_EQ(cyclic_prefix_samples(lower, 0, 7), 320);
}

TEST(Carrier, RefusesWhatTheTableLacks) {
  EXPECT_NE(make_carrier(60, 20).error().message.find("60 kHz"), std::string::npos);
  const std::string message = make_carrier(15, 60).error().message;
  EXPECT_NE(message.find("60 MHz"), std::string::npos);
  EXPECT_NE(message.find("45, 50"), std::string::npos);
  EXPECT_EQ(message.find("70"), std::string::npos);
}

TEST(DuplexPattern, ReadsLettersAndRepeats) {
  const DuplexPattern pattern = make_duplex_pattern("DDDSU", 30).value();
  EXPECT_EQ(pattern.period_slots, 5);
  EXPECT_FALSE(pattern.fdd);
  for (int period = 0; period < 3; ++period) {
    EXPECT_EQ(pattern.kind(5 * period + 2), SlotKind::downlink);
    EXPECT_EQ(pattern.kind(5 * period + 3), SlotKind::special);
    EXPECT_EQ(pattern.kind(5 * period + 4), SlotKind::uplink);
  }
  EXPECT_EQ(make_duplex_pattern("FDD", 15)->kind(123), SlotKind::both);
  EXPECT_EQ(make_duplex_pattern("DDDDDDDSUU", 30)->kind(18), SlotKind::uplink);
}

TEST(DuplexPattern, RefusesWhatCannotBe) {
  for (const auto& [text, word] : {std::pair{"", "empty"},
                                   {"DDXSU", "letter 3"},
                                   {"UU", "no downlink"},
                                   {"DDS", "20 ms"},
                                   {"DDDSUDDDSUDDDSUDDDSUD", "at most 20"},
                                   {"fdd", "letter 1"}}) {
    const auto pattern = make_duplex_pattern(text, 30);
    ASSERT_FALSE(pattern.ok()) << text;
    EXPECT_NE(pattern.error().message.find(word), std::string::npos) << pattern.error().message;
  }
  EXPECT_FALSE(make_duplex_pattern("DDDSU", 60).ok());
  EXPECT_FALSE(make_duplex_pattern("DDDDDDSU", 15).ok());  // 8 ms
  EXPECT_TRUE(make_duplex_pattern("DDDDDDSU", 30).ok());   // 4 ms
}

TEST(Mcs, TablesGrowInEfficiency) {
  for (McsTable table : {McsTable::qam64, McsTable::qam256, McsTable::qam64_low_se}) {
    EXPECT_EQ(mcs_index_max(table), table == McsTable::qam256 ? 27 : 28);
    double efficiency = 0;
    for (int index = 0; index <= mcs_index_max(table); ++index) {
      const Mcs row = mcs(table, index).value();
      const double next = bits_per_symbol(row.modulation) * row.code_rate_x10240 / 10240.0;
      // The one step backwards is where 64QAM begins in table 1: 2.5703 to 2.5664.
      EXPECT_GT(next, efficiency - (table == McsTable::qam64 && index == 17 ? 0.004 : 0)) << index;
      efficiency = next;
    }
    EXPECT_FALSE(mcs(table, mcs_index_max(table) + 1).has_value());
    EXPECT_FALSE(mcs(table, -1).has_value());
  }
  EXPECT_EQ(mcs(McsTable::qam256, 20)->code_rate_x10240, 6825);
  EXPECT_EQ(mcs(McsTable::qam64, 28)->code_rate_x10240, 9480);
}

// By hand from the clause.
TEST(TransportBlock, KnownSizes) {
  const Mcs lowest{Modulation::qpsk, 1200};
  // N_info = 132 * 2 * 120 / 1024 = 30.9; quantised to 24; the table's 24.
  EXPECT_EQ(transport_block_bits(132, 1, lowest, 1), 24);
  // The cap: 168 counts as 156. 156 * 2 * 120 / 1024 = 36.56 -> 32.
  EXPECT_EQ(transport_block_bits(168, 1, lowest, 1), 32);
  // 144 * 273 * 8 * 0.92578125 = 291 154.5; n = 13 - ... = 2^13: 36 * 8192 = 294 912 -> R > 1/4:
  // C = ceil(294936 / 8424) = 36; 8 * 36 * ceil(294936 / 288) - 24.
  const Mcs highest{Modulation::qam256, 9480};
  EXPECT_EQ(transport_block_bits(144, 273, highest, 1), 8 * 36 * ((294936 + 287) / 288) - 24);
  // R <= 1/4 takes 3816 a block: 144 * 50 * 2 * 120 / 1024 = 1687.5 is still in the table: n = 4,
  // 1680 -> 1736.
  EXPECT_EQ(transport_block_bits(144, 50, lowest, 1), 1736);
  // 144 * 270 * 2 * 120 / 1024 = 9112.5; less 24: n = 8, 35.5 rounds up to 36 * 256 = 9216; C = 3.
  EXPECT_EQ(transport_block_bits(144, 270, lowest, 1), 9240 - 24);
  EXPECT_EQ(transport_block_bits(0, 270, lowest, 1), 0);
}

TEST(TransportBlock, GrowsAndSplitsEvenly) {
  for (McsTable table : {McsTable::qam64, McsTable::qam256, McsTable::qam64_low_se})
    for (int index = 0; index <= mcs_index_max(table); ++index) {
      const Mcs row = mcs(table, index).value();
      for (int layers : {1, 4}) {
        int before = 0;
        for (int rbs = 1; rbs <= rb_max; ++rbs) {
          const int bits = transport_block_bits(132, rbs, row, layers);
          ASSERT_GE(bits, before) << index << ' ' << rbs;
          before = bits;
          ASSERT_EQ(bits % 8, 0);
          const double info = 132.0 * rbs * layers * bits_per_symbol(row.modulation) *
                              row.code_rate_x10240 / 10240.0;
          // Quantised to 5 or more significant bits.
          ASSERT_NEAR(bits, info, std::max(24.0, info / 16)) << index << ' ' << rbs;
          if (bits <= 3824) continue;
          const bool low_rate = 4 * row.code_rate_x10240 <= 10240;
          const int longest = low_rate ? 3840 - 24 : 8448 - 24;
          const int blocks = (bits + 24 + longest - 1) / longest;
          ASSERT_EQ((bits + 24) % (8 * blocks), 0) << "code blocks of equal size";
        }
      }
    }
}

SharedChannel channel_with(int rbs, int symbol_count, std::uint16_t dmrs, int groups, int type) {
  SharedChannel channel;
  for (int rb = 0; rb < rbs; ++rb) channel.rbs.set(static_cast<std::size_t>(rb));
  channel.symbol_count = symbol_count;
  channel.modulation = Modulation::qam256;
  channel.code_rate_x10240 = 9480;
  channel.dmrs.type = type;
  channel.dmrs.symbol_mask = dmrs;
  channel.dmrs.cdm_groups_without_data = groups;
  return channel;
}

TEST(SharedChannel, DmrsLeavesRoomForData) {
  constexpr std::uint16_t two = 1 << 2 | 1 << 11;
  EXPECT_EQ(data_resource_elements(channel_with(10, 14, two, 2, 1)), 10 * 144);
  EXPECT_EQ(data_resource_elements(channel_with(10, 14, two, 1, 1)), 10 * (144 + 12));
  EXPECT_EQ(data_resource_elements(channel_with(10, 14, two, 1, 2)), 10 * (144 + 16));
  EXPECT_EQ(data_resource_elements(channel_with(10, 14, two, 2, 2)), 10 * (144 + 8));
  EXPECT_EQ(data_resource_elements(channel_with(10, 14, two, 3, 2)), 10 * 144);
  // DM-RS outside the allocation takes nothing.
  EXPECT_EQ(data_resource_elements(channel_with(10, 10, two, 2, 1)), 10 * 108);
  SharedChannel channel = channel_with(273, 14, two, 2, 1);
  channel.layers = 2;
  EXPECT_EQ(coded_bits(channel), 273 * 144 * 2 * 8);
  EXPECT_EQ(transport_block_bits(channel),
            transport_block_bits(144, 273, {Modulation::qam256, 9480}, 2));
  EXPECT_EQ(transport_block_bits(channel, 6),
            transport_block_bits(138, 273, {Modulation::qam256, 9480}, 2));
}

TEST(SharedChannel, DmrsAmplitudeIsThatOfTheTable) {
  Dmrs dmrs;
  const double expected_db[] = {0, 3, 4.77};
  for (int groups = 1; groups <= 3; ++groups) {
    dmrs.cdm_groups_without_data = groups;
    EXPECT_NEAR(20 * std::log10(dmrs_amplitude(dmrs)), expected_db[groups - 1], 1e-12);
  }
}

}  // namespace
}  // namespace noroshi::nr
