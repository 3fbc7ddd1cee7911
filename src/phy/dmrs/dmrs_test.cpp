// Catches: a wrong c_init, a sequence that does not start at CRB 0 or skips holes wrongly, wrong
// cover codes of a port, wrong subcarriers of either configuration type, any cell of their tables.

#include "phy/dmrs/dmrs.h"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "base/prng.h"

namespace noroshi::phy {
namespace {

// TS 38.211 tables 6.4.1.1.3-1 and -2 (7.4.1.1.2-1 and -2): CDM group, delta, w_f(0), w_f(1),
// w_t(0), w_t(1) by port, as several open implementations have them.
constexpr int type_1[8][6] = {{0, 0, 1, 1, 1, 1},  {0, 0, 1, -1, 1, 1}, {1, 1, 1, 1, 1, 1},
                              {1, 1, 1, -1, 1, 1}, {0, 0, 1, 1, 1, -1}, {0, 0, 1, -1, 1, -1},
                              {1, 1, 1, 1, 1, -1}, {1, 1, 1, -1, 1, -1}};
constexpr int type_2[12][6] = {{0, 0, 1, 1, 1, 1},   {0, 0, 1, -1, 1, 1},  {1, 2, 1, 1, 1, 1},
                               {1, 2, 1, -1, 1, 1},  {2, 4, 1, 1, 1, 1},   {2, 4, 1, -1, 1, 1},
                               {0, 0, 1, 1, 1, -1},  {0, 0, 1, -1, 1, -1}, {1, 2, 1, 1, 1, -1},
                               {1, 2, 1, -1, 1, -1}, {2, 4, 1, 1, 1, -1},  {2, 4, 1, -1, 1, -1}};

TEST(Dmrs, PortTables) {
  for (const int type : {1, 2})
    for (int p = 0; p < dmrs_ports(type, true); ++p) {
      const int(&cells)[6] = type == 1 ? type_1[p] : type_2[p];
      const DmrsPort port = dmrs_port(type, p);
      const int got[6] = {port.cdm_group, port.delta,  port.w_f[0],
                          port.w_f[1],    port.w_t[0], port.w_t[1]};
      for (int i = 0; i < 6; ++i)
        EXPECT_EQ(got[i], cells[i]) << "type " << type << " port " << p << " cell " << i;
    }
}

TEST(Dmrs, CpuEqualsRef) {
  constexpr std::uint64_t seed = 11;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (int round = 0; round < 200; ++round) {
    nr::SharedChannel channel;
    const std::uint64_t density = 1 + prng.below(8);
    for (int rb = 0; rb < nr::rb_max; ++rb) channel.rbs[rb] = prng.below(density) == 0;
    channel.rbs[prng.below(nr::rb_max)] = true;
    nr::Dmrs& dmrs = channel.dmrs;
    dmrs.type = 1 + static_cast<int>(prng.below(2));
    dmrs.double_symbol = prng.below(2) == 0;
    dmrs.symbol_mask = dmrs.double_symbol ? 0x0c0c : 0x0884;
    dmrs.scrambling_id = static_cast<std::uint16_t>(prng.below(65536));
    dmrs.n_scid = static_cast<int>(prng.below(2));
    const int port = static_cast<int>(
        prng.below(static_cast<std::uint64_t>(dmrs_ports(dmrs.type, dmrs.double_symbol))));
    const int slot = static_cast<int>(prng.below(20));
    const Allocation allocation = make_allocation(channel);
    const std::size_t count =
        static_cast<std::size_t>(allocation.rb_count * dmrs_pilots_per_rb(dmrs.type));
    std::vector<cf32> expected(count), actual(count);
    for (int symbol : dmrs_symbols(dmrs)) {
      ref::dmrs_pilots(dmrs, port, slot, symbol, allocation, expected);
      cpu::dmrs_pilots(dmrs, port, slot, symbol, allocation, actual);
      for (std::size_t i = 0; i < count; ++i)
        ASSERT_LT(std::abs(expected[i] - actual[i]), 1e-6f) << "round " << round << " pilot " << i;
    }
  }
}

// Each CDM group's ports are orthogonal over its four (double symbol) or two elements.
TEST(Dmrs, PortsAreOrthogonalAndFillTheirGroups) {
  for (int type : {1, 2}) {
    const int ports = dmrs_ports(type, true);
    for (int p = 0; p < ports; ++p)
      for (int q = 0; q < p; ++q) {
        const DmrsPort a = dmrs_port(type, p), b = dmrs_port(type, q);
        if (a.cdm_group != b.cdm_group) {
          EXPECT_NE(a.delta, b.delta);
          continue;
        }
        int sum = 0;
        for (int i = 0; i < 4; ++i)
          sum += a.w_f[i % 2] * b.w_f[i % 2] * a.w_t[i / 2] * b.w_t[i / 2];
        EXPECT_EQ(sum, 0) << "type " << type << " ports " << p << ", " << q;
      }
  }
}

TEST(Dmrs, DataAvoidTheGroupsWithoutData) {
  for (int type : {1, 2})
    for (int groups = 1; groups <= (type == 1 ? 2 : 3); ++groups) {
      nr::SharedChannel channel;
      channel.dmrs.type = type;
      channel.dmrs.symbol_mask = 1u << 2;
      channel.dmrs.cdm_groups_without_data = groups;
      std::uint16_t expected = all_subcarriers;
      for (int port = 0; port < dmrs_ports(type, false); ++port)
        if (dmrs_port(type, port).cdm_group < groups)
          for (int m = 0; m < dmrs_pilots_per_rb(type); ++m)
            expected &= static_cast<std::uint16_t>(
                ~(1u << dmrs_subcarrier(type, dmrs_port(type, port).delta, m)));
      EXPECT_EQ(data_subcarriers(channel, 2), expected) << type << " " << groups;
      EXPECT_EQ(data_subcarriers(channel, 3), all_subcarriers);
    }
}

TEST(Dmrs, PairsOfSymbols) {
  nr::Dmrs dmrs;
  dmrs.symbol_mask = 0x0c0c;
  EXPECT_EQ(dmrs_l_prime(dmrs, 3), 0);
  dmrs.double_symbol = true;
  EXPECT_EQ(dmrs_l_prime(dmrs, 2), 0);
  EXPECT_EQ(dmrs_l_prime(dmrs, 3), 1);
  EXPECT_EQ(dmrs_l_prime(dmrs, 10), 0);
  EXPECT_EQ(dmrs_l_prime(dmrs, 11), 1);
}

}  // namespace
}  // namespace noroshi::phy
