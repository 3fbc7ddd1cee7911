// DM-RS and PT-RS of the transmitter. DM-RS of the Gold sequence are QPSK: levels +1, -1 and 0,
// precoded as data are. Those of transform precoding are of one layer.

#include <bit>
#include <cstring>

#include <cmath>

#include "nr/prbs/prbs.h"
#include "phy/dmrs/dmrs.h"
#include "phy/ptrs/ptrs.h"
#include "phy/shared_channel/transmit_state.h"

namespace noroshi::phy {
namespace {

constexpr std::size_t block_levels = 2 * nr::subcarriers_per_rb;  // bytes: I and Q

// Bytes of two pilots' I and Q, +1 or -1, by their four bits c: each pilot twice for type 1, where
// it belongs to both CDM groups; once for type 2, where three groups repeat the two.
struct PilotLevels {
  std::int8_t of[16][8] = {};
};
constexpr PilotLevels make_pilot_levels(int type) {
  PilotLevels table;
  for (unsigned bits = 0; bits < 16; ++bits)
    for (unsigned i = 0; i < 8; ++i) {
      const unsigned place = type == 1 ? i / 4 * 2 + i % 2 : i % 4;
      table.of[bits][i] = (bits >> (3 - place) & 1) != 0 ? -1 : 1;
    }
  return table;
}
constexpr PilotLevels pilot_levels[] = {make_pilot_levels(1), make_pilot_levels(2)};

// r of the symbol at every subcarrier of the allocation, ascending, as levels.
void find_signs(const Transmission& t, int symbol, const Allocation& blocks) {
  const nr::Dmrs& dmrs = t.channel.dmrs;
  const std::size_t per_rb = static_cast<std::size_t>(dmrs_pilots_per_rb(dmrs.type));
  const std::uint32_t c_init = dmrs_c_init(t.slot, symbol, dmrs);
  std::int8_t* out = t.state.signs.data();
  for (const RbRun& run : blocks) {
    const std::size_t quads = per_rb * static_cast<std::size_t>(run.count) / 2;  // of bits
    const View<std::uint8_t, 1> bits(t.state.pilot_bits.data(), bytes_for_bits(4 * quads));
    nr::cpu::prbs_packed(
        c_init, 2 * per_rb * static_cast<std::size_t>(run.first - dmrs.reference_rb), bits);
    const PilotLevels& table = pilot_levels[dmrs.type - 1];
    for (std::size_t i = 0; i < quads; ++i) {
      const std::int8_t* const levels = table.of[i % 2 == 0 ? bits[i / 2] >> 4 : bits[i / 2] & 15];
      std::memcpy(out, levels, 8);
      out += 8;
      if (dmrs.type == 1) continue;
      std::memcpy(out, levels, 4);
      out += 4;
    }
  }
}

// The signs of one port, 0 outside its CDM group.
void port_levels(const nr::Dmrs& dmrs, int port, int l_prime, View<const std::int8_t, 1> signs,
                 std::int8_t* out) {
  const DmrsPort of = dmrs_port(dmrs.type, port);
  // A byte of +1 or -1 is turned by 0xfe.
  std::uint8_t keep[block_levels], turn[block_levels];
  for (std::size_t i = 0; i < block_levels; ++i) {
    const int k = static_cast<int>(i / 2);
    const bool ours = dmrs_group_of_subcarrier(dmrs.type, k) == of.cdm_group;
    const int sign = of.w_f[dmrs_pilot_of_subcarrier(dmrs.type, k) % 2] * of.w_t[l_prime];
    keep[i] = ours ? 0xff : 0;
    turn[i] = sign < 0 ? 0xfe : 0;
  }
  constexpr std::size_t words = block_levels / 8;
  std::uint64_t keeps[words], turns[words];
  std::memcpy(keeps, keep, sizeof keep);
  std::memcpy(turns, turn, sizeof turn);
  for (std::size_t at = 0; at < signs.size(); at += block_levels)
    for (std::size_t i = 0; i < words; ++i) {
      std::uint64_t word;
      std::memcpy(&word, signs.data() + at + 8 * i, 8);
      word = (word ^ turns[i]) & keeps[i];
      std::memcpy(out + at + 8 * i, &word, 8);
    }
}

// Levels of the symbol's DM-RS, of every layer.
View<const std::int8_t, 2> dmrs_levels(const Transmission& t, int symbol,
                                       const Allocation& blocks) {
  const nr::Dmrs& dmrs = t.channel.dmrs;
  find_signs(t, symbol, blocks);
  const View<const std::int8_t, 1> signs(t.state.signs.data(),
                                         block_levels * static_cast<std::size_t>(blocks.rb_count));
  std::int8_t* out = t.state.levels.data();
  for (std::uint32_t rest = dmrs.port_mask; rest != 0; rest &= rest - 1) {
    port_levels(dmrs, std::countr_zero(rest), dmrs_l_prime(dmrs, symbol), signs, out);
    out += t.state.level_stride;
  }
  return {t.state.levels.data(), t.layers(), t.state.level_stride};
}

// With transform precoding: r at every subcarrier of the allocation.
void expand_low_papr(const Transmission& t, int symbol, const Allocation& blocks) {
  const View<cf32, 1> pilots(t.state.pilots.data(), 6 * static_cast<std::size_t>(blocks.rb_count));
  dmrs_low_papr(t.channel.dmrs, t.slot, symbol, pilots);
  for (std::size_t k = 0; k < 2 * pilots.size(); ++k) t.state.sequence[k] = pilots[k / 2];
}

using BlockWeights = std::array<cf32, nr::subcarriers_per_rb>;

// With transform precoding: beta W(port) w_f(k') w_t(l') where the port's CDM group is.
BlockWeights low_papr_weights(const Transmission& t, int symbol, int group, std::size_t port) {
  const nr::Dmrs& dmrs = t.channel.dmrs;
  const DmrsPort of = dmrs_port(dmrs.type, std::countr_zero(dmrs.port_mask));
  const auto beta = static_cast<float>(nr::dmrs_amplitude(dmrs));
  BlockWeights weights{};
  for (int k = 0; k < nr::subcarriers_per_rb; ++k) {
    if (dmrs_group_of_subcarrier(dmrs.type, k) != of.cdm_group) continue;
    const int sign =
        of.w_f[dmrs_pilot_of_subcarrier(dmrs.type, k) % 2] * of.w_t[dmrs_l_prime(dmrs, symbol)];
    weights[static_cast<std::size_t>(k)] =
        beta * static_cast<float>(sign) * t.weight(group, port, 0);
  }
  return weights;
}

bool has_reservation(const nr::SharedChannel& channel, int symbol) {
  for (int i = 0; i < channel.reserved_count; ++i)
    if ((channel.reserved[static_cast<std::size_t>(i)].symbol_mask >> symbol & 1) != 0) return true;
  return false;
}

void copy_unreserved(const Transmission& t, int symbol, const RbRun& blocks, const PortRows& rows) {
  for (int b = 0; b < blocks.count; ++b) {
    const std::uint16_t keep = nr::reserved_subcarriers(t.channel, symbol, blocks.first + b);
    for (std::size_t port = 0; port < t.ports(); ++port) {
      const cf32* const from = rows[port] + b * nr::subcarriers_per_rb;
      cf32* const to = &t.grid(port, symbol, (blocks.first + b) * nr::subcarriers_per_rb);
      for (int k = 0; k < nr::subcarriers_per_rb; ++k)
        if ((keep >> k & 1) == 0) to[k] = from[k];
    }
  }
}

}  // namespace

void write_dmrs_symbol(const Transmission& t, int symbol) {
  const int hop = t.state.elements.symbols[static_cast<std::size_t>(symbol)].hop;
  const Allocation& blocks = t.state.blocks[static_cast<std::size_t>(hop)];
  const bool low_papr = t.channel.transform_precoding;
  View<const std::int8_t, 2> levels;
  if (low_papr) {
    expand_low_papr(t, symbol, blocks);
  } else {
    levels = dmrs_levels(t, symbol, blocks);
  }
  LayerUnits units;
  units.fill(static_cast<float>(nr::dmrs_amplitude(t.channel.dmrs) / std::sqrt(2.0)));
  const bool reserved = has_reservation(t.channel, symbol);
  std::size_t done = 0;
  for_each_piece(t, blocks, [&](const RbRun& run, int group) {
    const std::size_t count = static_cast<std::size_t>(run.count) * nr::subcarriers_per_rb;
    PortRows rows{};
    for (std::size_t port = 0; port < t.ports(); ++port)
      rows[port] = reserved ? &t.state.compact[port * t.state.subcarriers]
                            : &t.grid(port, symbol, run.first * nr::subcarriers_per_rb);
    if (!low_papr) {
      fill_rows(t, levels, done, count, units, group, rows);
    } else {
      for (std::size_t port = 0; port < t.ports(); ++port)
        cpu::weigh_blocks(&t.state.sequence[done], low_papr_weights(t, symbol, group, port),
                          static_cast<std::size_t>(run.count), rows[port]);
    }
    if (reserved) copy_unreserved(t, symbol, run, rows);
    done += count;
  });
}

void write_ptrs_symbol(const Transmission& t, int symbol) {
  const nr::SharedChannel& channel = t.channel;
  const int hop = t.state.elements.symbols[static_cast<std::size_t>(symbol)].hop;
  const Allocation& blocks = t.state.blocks[static_cast<std::size_t>(hop)];
  const nr::PtRsBlocks at = nr::ptrs_blocks(channel);
  const View<cf32, 1> values(t.state.sequence.data(), ptrs_block_count(channel));
  for (int i = 0; i < 2; ++i) {
    const std::int8_t dmrs_port = channel.ptrs.dmrs_port[static_cast<std::size_t>(i)];
    if (dmrs_port < 0) continue;
    const int k = at.subcarrier[static_cast<std::size_t>(i)];
    const std::uint32_t below = channel.dmrs.port_mask & ((1u << dmrs_port) - 1);
    const auto layer = static_cast<std::size_t>(std::popcount(below));
    ptrs_values(t.slot, channel, i, hop, blocks, values);
    std::size_t next = 0;
    int number = 0;
    for (const RbRun& run : blocks)
      for (int rb = run.first; rb < run.first + run.count; ++rb, ++number) {
        if (number % at.step != at.first) continue;
        const cf32 value = channel.ptrs.amplitude * values[next++];
        if ((nr::reserved_subcarriers(channel, symbol, rb) >> k & 1) != 0) continue;
        for (std::size_t port = 0; port < t.ports(); ++port)
          t.grid(port, symbol, rb * nr::subcarriers_per_rb + k) =
              t.weight(t.group_of(rb), port, layer) * value;
      }
  }
}

}  // namespace noroshi::phy
