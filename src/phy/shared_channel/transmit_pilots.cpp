// DM-RS and PT-RS of the transmitter. All ports of DM-RS share one sequence: what a subcarrier of a
// port holds is the sequence times a weight that depends on its CDM group and k' alone, so that the
// number of layers costs nothing.

#include <cassert>

#include "nr/prbs/prbs.h"
#include "phy/dmrs/dmrs.h"
#include "phy/ptrs/ptrs.h"
#include "phy/shared_channel/transmit_state.h"

namespace noroshi::phy {
namespace {

// r at every subcarrier of the allocation, ascending.
void expand_sequence(const Transmission& t, int symbol, const Allocation& blocks) {
  const nr::Dmrs& dmrs = t.channel.dmrs;
  const auto per_rb = static_cast<std::size_t>(dmrs_pilots_per_rb(dmrs.type));
  const View<cf32, 1> pilots(t.state.pilots.data(),
                             per_rb * static_cast<std::size_t>(blocks.rb_count));
  if (t.channel.transform_precoding) {
    dmrs_low_papr(dmrs, t.slot, symbol, pilots);
  } else {
    const std::uint32_t c_init = dmrs_c_init(t.slot, symbol, dmrs);
    std::size_t done = 0;
    for (const RbRun& run : blocks) {
      const std::size_t count = per_rb * static_cast<std::size_t>(run.count);
      nr::cpu::dmrs_qpsk(c_init, per_rb * static_cast<std::size_t>(run.first - dmrs.reference_rb),
                         pilots.subview(done, count));
      done += count;
    }
  }
  std::array<std::size_t, nr::subcarriers_per_rb> pilot_of{};
  for (int k = 0; k < nr::subcarriers_per_rb; ++k)
    pilot_of[static_cast<std::size_t>(k)] =
        static_cast<std::size_t>(dmrs_pilot_of_subcarrier(dmrs.type, k));
  cf32* out = t.state.sequence.data();
  for (std::size_t first = 0; first < pilots.size(); first += per_rb)
    for (const std::size_t pilot : pilot_of) *out++ = pilots[first + pilot];
}

using BlockWeights = std::array<cf32, nr::subcarriers_per_rb>;

// beta W(port, layer) w_f(k') w_t(l'), summed over the layers of the subcarrier's CDM group.
BlockWeights dmrs_weights(const Transmission& t, int symbol, int group, std::size_t port) {
  const nr::Dmrs& dmrs = t.channel.dmrs;
  const auto l_prime = static_cast<std::size_t>(dmrs_l_prime(dmrs, symbol));
  const auto beta = static_cast<float>(nr::dmrs_amplitude(dmrs));
  cf32 sums[3][2] = {};  // by CDM group and k'
  std::size_t layer = 0;
  for (int p = 0; p < dmrs_ports(dmrs.type, dmrs.double_symbol); ++p) {
    if ((dmrs.port_mask >> p & 1) == 0) continue;
    const DmrsPort of = dmrs_port(dmrs.type, p);
    const cf32 w = beta * static_cast<float>(of.w_t[l_prime]) * t.weight(group, port, layer++);
    for (std::size_t k = 0; k < 2; ++k) sums[of.cdm_group][k] += w * static_cast<float>(of.w_f[k]);
  }
  BlockWeights weights;
  for (int k = 0; k < nr::subcarriers_per_rb; ++k)
    weights[static_cast<std::size_t>(k)] =
        sums[dmrs_group_of_subcarrier(dmrs.type, k)][dmrs_pilot_of_subcarrier(dmrs.type, k) % 2];
  return weights;
}

bool has_reservation(const nr::SharedChannel& channel, int symbol) {
  for (int i = 0; i < channel.reserved_count; ++i)
    if ((channel.reserved[static_cast<std::size_t>(i)].symbol_mask >> symbol & 1) != 0) return true;
  return false;
}

}  // namespace

void write_dmrs_symbol(const Transmission& t, int symbol) {
  const int hop = t.state.elements.symbols[static_cast<std::size_t>(symbol)].hop;
  const Allocation& blocks = t.state.blocks[static_cast<std::size_t>(hop)];
  expand_sequence(t, symbol, blocks);
  const bool reserved = has_reservation(t.channel, symbol);
  const cf32* sequence = t.state.sequence.data();
  for_each_piece(t, blocks, [&](const RbRun& run, int group) {
    const auto count = static_cast<std::size_t>(run.count);
    for (std::size_t port = 0; port < t.ports(); ++port) {
      const BlockWeights weights = dmrs_weights(t, symbol, group, port);
      cf32* row = &t.grid(port, symbol, run.first * nr::subcarriers_per_rb);
      if (!reserved) {
        cpu::weigh_blocks(sequence, weights, count, row);
        continue;
      }
      for (int b = 0; b < run.count; ++b, row += nr::subcarriers_per_rb) {
        const std::uint16_t keep = nr::reserved_subcarriers(t.channel, symbol, run.first + b);
        BlockWeights values;
        cpu::weigh_blocks(sequence + b * nr::subcarriers_per_rb, weights, 1, values.data());
        for (std::size_t k = 0; k < values.size(); ++k)
          if ((keep >> k & 1) == 0) row[k] = values[k];
      }
    }
    sequence += count * nr::subcarriers_per_rb;
  });
}

void write_ptrs_symbol(const Transmission& t, int symbol) {
  const nr::SharedChannel& channel = t.channel;
  const int hop = t.state.elements.symbols[static_cast<std::size_t>(symbol)].hop;
  const Allocation& blocks = t.state.blocks[static_cast<std::size_t>(hop)];
  const nr::PtRsBlocks at = nr::ptrs_blocks(channel);
  const View<cf32, 1> values(t.state.sequence.data(), ptrs_block_count(channel));
  for (int i = 0; i < 2; ++i) {
    const int dmrs_port = channel.ptrs.dmrs_port[static_cast<std::size_t>(i)];
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
