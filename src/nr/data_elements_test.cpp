// Catches: an element counted as data that DM-RS, a CDM group without data, PT-RS or a reservation
// has, PT-RS in wrong symbols or blocks, a second hop in the wrong place, an interleaver that is
// not the clause's, G that is not what is mapped.

#include "nr/data_elements.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <vector>

#include "base/prng.h"
#include "nr/dmrs_symbols.h"

namespace noroshi::nr {
namespace {

int pick(Prng& prng, int from, int to) {
  return from + static_cast<int>(prng.below(static_cast<std::uint64_t>(to - from + 1)));
}

SharedChannel random_channel(Prng& prng) {
  SharedChannel channel;
  channel.rnti = static_cast<std::uint16_t>(prng.below(65536));
  channel.symbol_start = pick(prng, 0, 13);
  channel.symbol_count = pick(prng, 1, 14 - channel.symbol_start);
  channel.dmrs.type = pick(prng, 1, 2);
  channel.dmrs.cdm_groups_without_data = pick(prng, 1, channel.dmrs.type + 1);
  channel.dmrs.double_symbol = prng.below(3) == 0;
  channel.dmrs.symbol_mask =
      pusch_dmrs_symbols(channel.symbol_start, channel.symbol_count,
                         {.mapping = MappingType::b,
                          .additional_positions = pick(prng, 0, channel.dmrs.double_symbol ? 1 : 3),
                          .double_symbol = channel.dmrs.double_symbol});
  const int ports = channel.dmrs.type == 1 ? 4 : 6;
  channel.ptrs.present = prng.below(2) == 0;
  channel.ptrs.time_density = 1 << pick(prng, 0, 2);
  channel.ptrs.frequency_density = 2 << pick(prng, 0, 1);
  channel.ptrs.re_offset = pick(prng, 0, 3);
  channel.ptrs.dmrs_port = {static_cast<std::int8_t>(pick(prng, 0, ports - 1)),
                            static_cast<std::int8_t>(pick(prng, -1, ports - 1))};
  const bool whole = prng.below(2) == 0;
  const int first = pick(prng, 0, rb_max - 1);
  const int count = pick(prng, 1, rb_max - first);
  for (int rb = first; rb < first + count; ++rb)
    channel.rbs[static_cast<std::size_t>(rb)] = whole || prng.below(3) != 0;
  channel.rbs[static_cast<std::size_t>(first)] = true;
  channel.reserved_count = pick(prng, 0, 4);
  for (int i = 0; i < channel.reserved_count; ++i) {
    ReservedElements& reserved = channel.reserved[static_cast<std::size_t>(i)];
    for (std::size_t rb = 0; rb < rb_max; ++rb) reserved.rbs[rb] = prng.below(4) == 0;
    reserved.symbol_mask = static_cast<std::uint16_t>(prng.below(1 << 14));
    reserved.subcarrier_mask = static_cast<std::uint16_t>(prng.below(1 << 12));
  }
  return channel;
}

// TS 38.211 6.4.1.2.2.1 word by word; l counts from the allocation's start.
std::set<int> ptrs_by_the_clause(const SharedChannel& channel) {
  const auto dmrs = [&](int l) {
    return (channel.dmrs.symbol_mask >> (channel.symbol_start + l) & 1) != 0;
  };
  const int density = channel.ptrs.time_density;
  std::set<int> indices;
  int i = 0, l_ref = 0;
step_2:
  for (int l = std::max(l_ref + (i - 1) * density + 1, l_ref); l <= l_ref + i * density; ++l) {
    if (!dmrs(l)) continue;
    i = 1;
    l_ref = l;
    if (channel.dmrs.double_symbol) {
      int before = 0;
      while (l - 1 - before >= 0 && dmrs(l - 1 - before)) ++before;
      if (before % 2 == 0) ++l_ref;  // the second of the pair
    }
    if (l_ref + i * density < channel.symbol_count) goto step_2;
    return indices;
  }
  indices.insert(l_ref + i * density);
  ++i;
  if (l_ref + i * density < channel.symbol_count) goto step_2;
  return indices;
}

// TS 38.211 tables 6.4.1.2.2.1-1, 7.4.1.2.2-1 by the pilots of the DM-RS port: offset o is pilot o
// of its first ones for type 1 (0, 1, 3, 4), of its four for type 2, in their order from k'.
int ptrs_subcarrier(int type, int port, int offset) {
  if (type == 2) {
    const int group = port / 2, rank = (offset + port % 2) % 4;
    return 2 * group + (rank < 2 ? rank : rank + 4);
  }
  constexpr int even[] = {0, 2, 6, 8}, odd[] = {2, 4, 8, 10};
  if (port < 2) return port == 0 ? even[offset] : odd[offset];
  constexpr int even_1[] = {1, 3, 7, 9}, odd_1[] = {3, 5, 9, 11};
  return port == 2 ? even_1[offset] : odd_1[offset];
}

TEST(DataElements, AreWhatTheClausesLeave) {
  constexpr std::uint64_t seed = 61;
  Prng prng(seed);
  int with_ptrs = 0;
  for (int round = 0; round < 2000; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << " round " << round);
    const SharedChannel channel = random_channel(prng);
    if (channel.dmrs.symbol_mask == 0) continue;
    const std::set<int> ptrs = channel.ptrs.present ? ptrs_by_the_clause(channel) : std::set<int>();
    with_ptrs += ptrs.empty() ? 0 : 1;
    const int rbs = static_cast<int>(channel.rbs.count()), step = channel.ptrs.frequency_density;
    const int first_block = channel.rnti % (rbs % step == 0 ? step : rbs % step);
    const auto is_data = [&](int l, int rb, int number, int k) {
      if ((channel.dmrs.symbol_mask >> l & 1) != 0) {
        const int group = channel.dmrs.type == 1 ? k % 2 : k % 6 / 2;
        if (group < channel.dmrs.cdm_groups_without_data) return false;
      }
      if (ptrs.count(l - channel.symbol_start) != 0 && number >= first_block &&
          (number - first_block) % step == 0)
        for (const int port : channel.ptrs.dmrs_port)
          if (port >= 0 && ptrs_subcarrier(channel.dmrs.type, port, channel.ptrs.re_offset) == k)
            return false;
      for (int i = 0; i < channel.reserved_count; ++i) {
        const ReservedElements& reserved = channel.reserved[static_cast<std::size_t>(i)];
        if (reserved.rbs[static_cast<std::size_t>(rb)] && (reserved.symbol_mask >> l & 1) != 0 &&
            (reserved.subcarrier_mask >> k & 1) != 0)
          return false;
      }
      return true;
    };
    DataElements elements;
    find_data_elements(channel, elements);
    int total = 0;
    for (int l = 0; l < symbols_per_slot; ++l) {
      const SymbolElements& symbol = elements.symbols[static_cast<std::size_t>(l)];
      if (l < channel.symbol_start || l >= channel.symbol_start + channel.symbol_count) {
        ASSERT_EQ(symbol.count, 0);
        continue;
      }
      int number = 0, count = 0;
      for (int rb = 0; rb < rb_max; ++rb) {
        if (!channel.rbs[static_cast<std::size_t>(rb)]) continue;
        for (int k = 0; k < 12; ++k) {
          const bool data = is_data(l, rb, number, k);
          ASSERT_EQ((elements.mask(l, rb) >> k & 1) != 0, data) << l << " " << rb << " " << k;
          count += data;
        }
        ++number;
      }
      ASSERT_EQ(symbol.count, count);
      total += count;
    }
    ASSERT_EQ(data_resource_elements(channel), total);
  }
  EXPECT_GT(with_ptrs, 300);
}

TEST(DataElements, TransformPrecodingLeavesSamples) {
  SharedChannel channel;
  for (std::size_t rb = 4; rb < 16; ++rb) channel.rbs.set(rb);
  channel.transform_precoding = true;
  channel.dmrs.symbol_mask = 1 << 2 | 1 << 11;
  EXPECT_EQ(data_resource_elements(channel), 12 * 144);
  channel.ptrs.present = true;
  channel.ptrs.time_density = 2;
  channel.ptrs.groups = 4;
  channel.ptrs.group_samples = 2;
  // PT-RS in 0, 4, 6, 8, 10, 13.
  EXPECT_EQ(ptrs_symbols(channel), 1 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 13);
  EXPECT_EQ(data_resource_elements(channel), 12 * 144 - 6 * 8);
  channel.modulation = Modulation::pi2_bpsk;
  EXPECT_EQ(coded_bits(channel), 12 * 144 - 6 * 8);
}

TEST(DataElements, SecondHop) {
  SharedChannel channel;
  for (std::size_t rb = 4; rb < 16; ++rb) channel.rbs.set(rb);
  channel.symbol_start = 1;
  channel.symbol_count = 9;
  EXPECT_EQ(hop_symbol(channel), 10);
  EXPECT_EQ(hop_blocks(channel, 0), channel.rbs);
  channel.second_hop_rb = 30;
  EXPECT_EQ(hop_symbol(channel), 5) << "4 symbols, then 5";
  EXPECT_EQ(hop_blocks(channel, 1), channel.rbs << 26);
  channel.second_hop_rb = 0;
  EXPECT_EQ(hop_blocks(channel, 1), channel.rbs >> 4);
}

TEST(Codewords, ShareTheLayers) {
  SharedChannel channel;
  constexpr int first[] = {0, 1, 2, 3, 4, 2, 3, 3, 4};
  for (channel.layers = 1; channel.layers <= 8; ++channel.layers) {
    EXPECT_EQ(codeword_layers(channel, 0), first[channel.layers]);
    if (codewords(channel) == 2) {
      EXPECT_EQ(codeword_layers(channel, 1), channel.layers - first[channel.layers]);
    }
  }
}

// TS 38.211 7.3.1.6 with its bundles as lists of blocks.
TEST(VrbInterleaver, IsTheClause) {
  for (const int size : {2, 4})
    for (int start = 0; start < 9; ++start)
      for (int count = 1; start + count <= 60; ++count)
        for (const bool from_first : {false, true}) {
          const VrbInterleaver vrb{size, start, count, from_first};
          const int offset = from_first ? 0 : start % size;
          const int bundles = (count + offset + size - 1) / size;
          std::vector<std::vector<int>> of(static_cast<std::size_t>(bundles));
          for (int n = 0; n < count; ++n)
            of[static_cast<std::size_t>((n + offset) / size)].push_back(n);
          std::vector<int> prb_of_vrb(static_cast<std::size_t>(count), -1);
          const int columns = bundles / 2;
          for (int j = 0; j < bundles; ++j) {
            int to = bundles - 1;
            if (j < bundles - 1) to = j % 2 * columns + j / 2;
            const auto& vrbs = of[static_cast<std::size_t>(j)];
            const auto& prbs = of[static_cast<std::size_t>(to)];
            ASSERT_EQ(vrbs.size(), prbs.size());
            for (std::size_t i = 0; i < vrbs.size(); ++i)
              prb_of_vrb[static_cast<std::size_t>(vrbs[i])] = prbs[i];
          }
          for (int n = 0; n < count; ++n)
            ASSERT_EQ(vrb_to_crb(vrb, n), start + prb_of_vrb[static_cast<std::size_t>(n)])
                << size << " " << start << " " << count << " " << n;
        }
}

}  // namespace
}  // namespace noroshi::nr
