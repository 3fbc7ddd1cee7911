#include "phy/shared_channel/transmit.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "fec/bits/bits.h"
#include "phy/modulation/modulation.h"
#include "phy/ptrs/ptrs.h"
#include "phy/shared_channel/transmit_state.h"

namespace noroshi::phy {

using State = TransmitWorkspace::State;

State::State(const nr::Carrier& carrier)
    : subcarriers(static_cast<std::size_t>(carrier.subcarriers())),
      level_stride(2 * subcarriers + levels_slack),
      symbol_bits(bytes_for_bits(nr::codeword_layers_max * subcarriers * 10)),
      levels(nr::layers_max * level_stride),
      compact(ports_max * subcarriers),
      pilot_bits(bytes_for_bits(subcarriers)),
      signs(2 * subcarriers),
      pilots(subcarriers / 2),
      sequence(subcarriers),
      samples(subcarriers),
      spectrum(subcarriers),
      dft(carrier.rb_count) {
  fec::reserve(uci_code.polar);
  weights.resize(static_cast<std::size_t>(carrier.rb_count) * ports_max * nr::layers_max);
  const std::size_t bits = nr::codeword_layers_max * nr::symbols_per_slot * subcarriers * 10;
  for (auto& bytes : codeword) bytes.resize(bytes_for_bits(bits));
  // One codeword alone is on a PUSCH, up to 256QAM; each part may have all of it.
  for (auto& bytes : parts) bytes.resize(bytes_for_bits(bits / 10 * 8));
}

TransmitWorkspace::TransmitWorkspace(const nr::Carrier& carrier)
    : state_(std::make_unique<State>(carrier)) {}
TransmitWorkspace::~TransmitWorkspace() = default;
TransmitWorkspace::TransmitWorkspace(TransmitWorkspace&&) noexcept = default;
TransmitWorkspace& TransmitWorkspace::operator=(TransmitWorkspace&&) noexcept = default;

namespace {

Transmission begin(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
                   const Precoding& precoding, View<cf32, 3> grid, State& state) {
  assert(grid.extent(0) >= 1 && grid.extent(0) <= ports_max);
  assert(grid.extent(1) == nr::symbols_per_slot);
  assert(grid.extent(2) == static_cast<std::size_t>(carrier.subcarriers()));
  assert(state.subcarriers >= static_cast<std::size_t>(carrier.subcarriers()));
  const int ports = static_cast<int>(grid.extent(0));
  assert(check_precoding(channel, precoding, ports).ok());
  static_cast<void>(ports);
  nr::find_data_elements(channel, state.elements);
  state.elements_count = 0;
  for (const nr::SymbolElements& symbol : state.elements.symbols)
    state.elements_count += symbol.count;
  for (int hop = 0; hop < (channel.second_hop_rb < 0 ? 1 : 2); ++hop) {
    state.blocks[static_cast<std::size_t>(hop)] = make_allocation(channel, hop);
    state.order[static_cast<std::size_t>(hop)] = mapping_order(channel, hop);
  }
  state.sent_bits = {};
  for (std::size_t i = 0; i < precoding.matrices.size(); ++i)
    state.weights[i] = spread_weight(precoding.matrices.data()[i]);
  for (int layer = 0; layer < channel.layers; ++layer) {
    const int codeword = layer < nr::codeword_layers(channel, 0) ? 0 : 1;
    state.units[static_cast<std::size_t>(layer)] =
        static_cast<float>(constellation_unit(nr::codeword_modulation(channel, codeword)));
  }
  return {slot, channel, precoding, grid, state, state.blocks[0].runs[0].first};
}

// Levels of the symbol's data elements, of every layer.
View<const std::int8_t, 2> symbol_levels(const Transmission& t, std::size_t elements) {
  State& state = t.state;
  std::size_t layer = 0;
  for (int codeword = 0; codeword < nr::codewords(t.channel); ++codeword) {
    const auto layers = static_cast<std::size_t>(nr::codeword_layers(t.channel, codeword));
    const nr::Modulation modulation = nr::codeword_modulation(t.channel, codeword);
    const auto qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
    cpu::layer_levels(modulation, take_bits(t, codeword, elements * layers * qm), elements,
                      {&state.levels[layer * state.level_stride], layers, state.level_stride});
    layer += layers;
  }
  return {state.levels.data(), t.layers(), state.level_stride};
}

// Values without gaps to the data elements of some blocks.
void spread_over(const Transmission& t, int symbol, const RbRun& blocks, const PortRows& compact) {
  for (std::size_t port = 0; port < t.ports(); ++port) {
    const cf32* next = compact[port];
    for (int rb = blocks.first; rb < blocks.first + blocks.count; ++rb) {
      cf32* const row = &t.grid(port, symbol, rb * nr::subcarriers_per_rb);
      for (unsigned mask = t.state.elements.mask(symbol, rb); mask != 0; mask &= mask - 1)
        row[std::countr_zero(mask)] = *next++;
    }
  }
}

std::size_t elements_in(const nr::DataElements& elements, int symbol, const RbRun& blocks) {
  const nr::SymbolElements& of = elements.symbols[static_cast<std::size_t>(symbol)];
  if (of.uniform) return static_cast<std::size_t>(blocks.count * std::popcount(of.mask));
  std::size_t count = 0;
  for (int rb = blocks.first; rb < blocks.first + blocks.count; ++rb)
    count += static_cast<std::size_t>(std::popcount(elements.mask(symbol, rb)));
  return count;
}

}  // namespace

void fill_rows(const Transmission& t, View<const std::int8_t, 2> levels, std::size_t first,
               std::size_t count, const LayerUnits& units, int group, const PortRows& rows) {
  if (!t.precoding.matrices.empty()) {
    const std::size_t size = t.ports() * t.layers();
    const SpreadWeight* const weights = &t.state.weights[static_cast<std::size_t>(group) * size];
    return cpu::precode_levels(levels, first, count, units, {weights, t.ports(), t.layers()}, rows);
  }
  for (std::size_t port = 0; port < t.ports(); ++port) {
    if (port < t.layers()) {
      cpu::scale_levels(levels[port], first, count, units[port], rows[port]);
    } else {
      std::fill_n(rows[port], count, cf32(0));
    }
  }
}

View<const std::uint8_t, 1> take_bits(const Transmission& t, int codeword, std::size_t bits) {
  State& state = t.state;
  const std::vector<std::uint8_t>& from = state.codeword[static_cast<std::size_t>(codeword)];
  std::size_t& sent = state.sent_bits[static_cast<std::size_t>(codeword)];
  const std::size_t first = sent;
  sent += bits;
  if (first % 8 == 0) return {from.data() + first / 8, bytes_for_bits(bits)};
  fec::copy_bits(state.symbol_bits.data(), 0, from.data(), first, bits);
  return {state.symbol_bits.data(), bytes_for_bits(bits)};
}

void write_data_symbol(const Transmission& t, int symbol) {
  State& state = t.state;
  const nr::SymbolElements& at = state.elements.symbols[static_cast<std::size_t>(symbol)];
  if (at.count == 0) return;
  const auto levels = symbol_levels(t, static_cast<std::size_t>(at.count));
  const bool whole = at.uniform && at.mask == all_subcarriers;
  std::size_t done = 0;
  for_each_piece(t, state.order[static_cast<std::size_t>(at.hop)],
                 [&](const RbRun& run, int group) {
                   const std::size_t count = elements_in(state.elements, symbol, run);
                   PortRows rows{};
                   for (std::size_t port = 0; port < t.ports(); ++port)
                     rows[port] = whole ? &t.grid(port, symbol, run.first * nr::subcarriers_per_rb)
                                        : &state.compact[port * state.subcarriers];
                   if (count > 0) fill_rows(t, levels, done, count, state.units, group, rows);
                   if (!whole) spread_over(t, symbol, run, rows);
                   done += count;
                 });
  assert(done == static_cast<std::size_t>(at.count));
}

void shared_channel_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
                             const Payload& payload, const Precoding& precoding, View<cf32, 3> grid,
                             TransmitWorkspace& workspace) {
  const Transmission t = begin(carrier, slot, channel, precoding, grid, workspace.state());
  for (int codeword = 0; codeword < nr::codewords(channel); ++codeword)
    make_codeword(channel, codeword, payload, t.state);
  const std::uint16_t ptrs = nr::ptrs_symbols(channel);
  for (int l = channel.symbol_start; l < channel.symbol_start + channel.symbol_count; ++l) {
    if ((channel.dmrs.symbol_mask >> l & 1) != 0) write_dmrs_symbol(t, l);
    if (channel.transform_precoding) {
      write_dft_symbol(t, l);
    } else {
      write_data_symbol(t, l);
      if ((ptrs >> l & 1) != 0) write_ptrs_symbol(t, l);
    }
  }
}

void write_dmrs(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
                const Precoding& precoding, View<cf32, 3> grid, TransmitWorkspace& workspace) {
  const Transmission t = begin(carrier, slot, channel, precoding, grid, workspace.state());
  for (const int symbol : dmrs_symbols(channel.dmrs)) write_dmrs_symbol(t, symbol);
}

}  // namespace noroshi::phy
