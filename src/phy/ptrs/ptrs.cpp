#include "phy/ptrs/ptrs.h"

#include <bit>
#include <cassert>
#include <cmath>

#include "nr/prbs/prbs.h"
#include "phy/dmrs/dmrs.h"
#include "phy/modulation/modulation.h"

namespace noroshi::phy {
namespace {

// Table 6.4.1.2.2.2-1.
int sample_place(const nr::PtRs& ptrs, int samples, int group, int k) {
  const int n = ptrs.group_samples;
  if (n == 2) {
    // In the middle of each part.
    const int part = 2 * group + 1;
    return (ptrs.groups == 2 ? part * (samples / 4) : part * samples / 8) + k - 1;
  }
  // The first group begins the symbol, the last ends it, the others sit in the middle.
  if (group == 0) return k;
  if (group == ptrs.groups - 1) return samples - 4 + k;
  return ptrs.groups == 4 ? group * samples / 4 + samples / 8 + k - 2
                          : group * samples / 8 + samples / 16 + k - 2;
}

// Table 6.4.1.2.1.2-1: rows of a Hadamard matrix.
int cover(int rnti, int group_samples, int k) {
  constexpr int two[2][2] = {{1, 1}, {1, -1}};
  constexpr int four[4][4] = {{1, 1, 1, 1}, {1, -1, 1, -1}, {1, 1, -1, -1}, {1, -1, -1, 1}};
  const int row = rnti % group_samples;
  return group_samples == 2 ? two[row][k] : four[row][k];
}

// Outermost point over that of pi/2-BPSK, which has amplitude 1.
double outermost(nr::Modulation modulation) {
  const int m = nr::bits_per_symbol(modulation);
  const double level = m < 2 ? 1 : (1 << (m / 2)) - 1;
  return level * constellation_unit(modulation) * std::sqrt(2.0);
}

}  // namespace

int ptrs_block_count(const nr::SharedChannel& channel) {
  const nr::PtRsBlocks at = nr::ptrs_blocks(channel);
  return (static_cast<int>(channel.rbs.count()) - at.first + at.step - 1) / at.step;
}

void ptrs_values(int slot, const nr::SharedChannel& channel, int ptrs_port, int hop,
                 const Allocation& blocks, View<cf32, 1> values) {
  const nr::Dmrs& dmrs = channel.dmrs;
  const nr::PtRsBlocks at = nr::ptrs_blocks(channel);
  const int k = at.subcarrier[static_cast<std::size_t>(ptrs_port)];
  assert(k >= 0 && values.size() == static_cast<std::size_t>(ptrs_block_count(channel)));
  const std::uint32_t of_hop =
      hop == 0 ? dmrs.symbol_mask : dmrs.symbol_mask & (~0u << nr::hop_symbol(channel));
  const std::uint32_t c_init = dmrs_c_init(slot, std::countr_zero(of_hop), dmrs);
  const int per_rb = dmrs_pilots_per_rb(dmrs.type);
  const int pilot = dmrs_pilot_of_subcarrier(dmrs.type, k);
  std::size_t next = 0;
  int number = 0;
  for (const RbRun& run : blocks)
    for (int rb = run.first; rb < run.first + run.count; ++rb, ++number) {
      if (number % at.step != at.first) continue;
      const auto place = static_cast<std::size_t>(per_rb * (rb - dmrs.reference_rb) + pilot);
      nr::cpu::dmrs_qpsk(c_init, place, values.subview(next++, 1));
    }
  assert(next == values.size());
}

PtRsSamples ptrs_before_dft(int slot, const nr::SharedChannel& channel) {
  const nr::PtRs& ptrs = channel.ptrs;
  const int samples = static_cast<int>(channel.rbs.count()) * nr::subcarriers_per_rb;
  const auto first = static_cast<std::uint64_t>(std::countr_zero(nr::ptrs_symbols(channel)));
  const std::uint64_t id = ptrs.scrambling_id;
  const std::uint64_t time = 14 * static_cast<std::uint64_t>(slot) + first + 1;
  const auto c_init =
      static_cast<std::uint32_t>(((time * (2 * id + 1) << 17) + 2 * id) & 0x7fffffffu);
  std::uint8_t c[ptrs_samples_max / 8] = {};
  nr::cpu::prbs_packed(c_init, 0, View<std::uint8_t, 1>(c, sizeof c));
  const double scale =
      outermost(channel.modulation) * static_cast<double>(ptrs.amplitude) / std::sqrt(2.0);
  PtRsSamples out;
  for (int group = 0; group < ptrs.groups; ++group)
    for (int k = 0; k < ptrs.group_samples; ++k) {
      const auto i = static_cast<std::size_t>(out.count++);
      const int m = sample_place(ptrs, samples, group, k);
      const double sign = bit_at(c, i) ? -1 : 1;
      const double value = scale * sign * cover(channel.rnti, ptrs.group_samples, k);
      out.place[i] = m;
      out.value[i] = m % 2 == 0 ? cf32(cf64(value, value)) : cf32(cf64(-value, value));
    }
  return out;
}

}  // namespace noroshi::phy
