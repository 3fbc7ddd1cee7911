// Catches: a code block lost, or decoded from other soft bits, where symbols or parts of them are
// cut into pieces; and where a worker leaves its blocks to the others, which between threads
// happens by chance.

#include "phy/receive/code_blocks.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/prng.h"
#include "nr/mcs.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::phy {
namespace {

struct Case {
  nr::Modulation modulation;
  int code_rate_x10240;
  int layers;
};

constexpr int symbol_count = 12;  // of a slot whose DM-RS have symbols 2 and 11 to themselves
constexpr int data_symbols[symbol_count] = {0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13};

struct Slot {
  Slot(const nr::Carrier& on, const Case& c, Prng& prng)
      : carrier(on), workspace(on, c.layers, 1, 1), harq(fec::sch_tb_bits_max) {
    channel.rnti = 0x4601;
    for (int rb = 0; rb < carrier.rb_count; ++rb) channel.rbs[static_cast<std::size_t>(rb)] = true;
    channel.modulation = c.modulation;
    channel.code_rate_x10240 = c.code_rate_x10240;
    channel.dmrs.symbol_mask = 1u << 2 | 1u << 11;
    channel.layers = c.layers;
    channel.dmrs.port_mask = static_cast<std::uint16_t>((1u << c.layers) - 1);
    channel.tb_bits = nr::transport_block_bits(channel);
    sent.resize(static_cast<std::size_t>(channel.tb_bits) / 8);
    for (std::uint8_t& byte : sent) byte = static_cast<std::uint8_t>(prng());
    const fec::SchConfig config = sch_config(channel);
    codeword.resize(bytes_for_bits(static_cast<std::size_t>(config.coded_bits)));
    fec::SchWorkspace sch;
    fec::sch_encode(config, sent, codeword, sch);
    tb.resize(sent.size());
    reception.channel = &channel;
    reception.harq = &harq;
    reception.tb = tb;
    grid.resize(static_cast<std::size_t>(nr::symbols_per_slot * carrier.subcarriers()));
  }
  ReceiveGroup group() {
    return make_receive_group(
        carrier, 4, {&reception, 1},
        View<const cf32, 3>(grid.data(), 1, nr::symbols_per_slot, carrier.subcarriers()), options,
        workspace.state());
  }
  void write(std::size_t first, View<SoftBit, 1> soft_bits) const {
    for (std::size_t i = 0; i < soft_bits.size(); ++i)
      soft_bits[i] = bit_at(codeword.data(), first + i) ? -100 : 100;
  }

  nr::Carrier carrier;
  nr::SharedChannel channel;
  ReceiveWorkspace workspace;
  fec::HarqBuffer harq;
  ReceiveOptions options;
  Reception reception;
  std::vector<std::uint8_t> sent, tb, codeword;
  std::vector<cf32> grid;
};

constexpr Case cases[] = {{nr::Modulation::qam256, 9480, 4},
                          {nr::Modulation::qam64, 8730, 1},
                          {nr::Modulation::qpsk, 3080, 4},
                          {nr::Modulation::qpsk, 3080, 1},
                          {nr::Modulation::qam1024, 9480, 2}};

TEST(CodeBlocks, PiecesOfSymbolsMakeTheTransportBlock) {
  constexpr std::uint64_t seed = 72;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  const nr::Carrier carrier = nr::make_carrier(30, 100).value();
  for (const Case& c : cases)
    for (const int size : {1, 2})
      for (const bool leave : {false, true}) {
        SCOPED_TRACE(testing::Message() << "Qm " << nr::bits_per_symbol(c.modulation) << " layers "
                                        << c.layers << " symbols " << size << " leave " << leave);
        Slot slot(carrier, c, prng);
        const ReceiveGroup group = slot.group();
        std::atomic<int> idle = 0;
        for (int i = 0; i < symbol_count; i += size) {
          if (leave && i + size == symbol_count) idle = 1;  // the last piece's blocks
          const int first = data_symbols[i], last = data_symbols[i + size - 1];
          slot.write(group.streams[0].first_bit[static_cast<std::size_t>(first)],
                     symbols_soft_bits(group.streams[0], first, last, group.state.scratch[0]));
          BlockWalk walk(group, first, &idle);
          decode_symbols(group, 0, first, last, true, 0, walk);
        }
        EXPECT_TRUE(decode_rest(group, 0).crc_ok);
        EXPECT_EQ(slot.tb, slot.sent);
      }
}

TEST(CodeBlocks, PartsOfSymbolsMakeTheTransportBlock) {
  constexpr std::uint64_t seed = 73;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  const nr::Carrier carrier = nr::make_carrier(30, 100).value();
  const std::size_t all = static_cast<std::size_t>(carrier.subcarriers());
  for (const Case& c : cases)
    for (const std::size_t parts : {2, 3, 4})
      for (const bool leave : {false, true}) {
        SCOPED_TRACE(testing::Message() << "Qm " << nr::bits_per_symbol(c.modulation) << " layers "
                                        << c.layers << " parts " << parts << " leave " << leave);
        Slot slot(carrier, c, prng);
        const ReceiveGroup group = slot.group();
        std::atomic<int> idle = 0;
        for (std::size_t part = 0; part < parts; ++part)
          for (int i = 0; i < symbol_count; i += symbols_together) {
            if (leave && part + 1 == parts && i + symbols_together == symbol_count) idle = 1;
            const View<const int, 1> symbols(data_symbols + i, symbols_together);
            std::array<SoftBitTargets, symbols_together> targets;
            make_targets(group, symbols, all * part / parts, all * (part + 1) / parts, false,
                         group.state.scratch[0], targets.data());
            for (const SoftBitTargets& to : targets) slot.write(to[0].bit, to[0].soft_bits);
            decode_parts(group, symbols, targets.data(), 0, BlockWalk(group, symbols[0], &idle));
          }
        EXPECT_TRUE(decode_rest(group, 0).crc_ok);
        EXPECT_EQ(slot.tb, slot.sent);
      }
}

}  // namespace
}  // namespace noroshi::phy
