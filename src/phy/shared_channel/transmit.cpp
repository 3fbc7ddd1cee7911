#include "phy/shared_channel/transmit.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <vector>

#include "nr/prbs/prbs.h"
#include "phy/dmrs/dmrs.h"
#include "phy/modulation/modulation.h"

namespace noroshi::phy {

struct TransmitWorkspace::State {
  static constexpr std::size_t layers_max = 4;

  explicit State(const nr::Carrier& carrier)
      : subcarriers(static_cast<std::size_t>(carrier.subcarriers())),
        codeword(layers_max * nr::symbols_per_slot * subcarriers),
        symbols(layers_max * subcarriers),
        pilots(subcarriers / 2) {}

  std::size_t subcarriers;
  std::vector<std::uint8_t> codeword;  // packed, at most 8 bits an element and layer
  std::vector<cf32> symbols;           // of one OFDM symbol, all layers, in codeword order
  std::vector<cf32> pilots;            // of one OFDM symbol and layer
  fec::SchWorkspace sch;
};

TransmitWorkspace::TransmitWorkspace(const nr::Carrier& carrier)
    : state_(std::make_unique<State>(carrier)) {}
TransmitWorkspace::~TransmitWorkspace() = default;
TransmitWorkspace::TransmitWorkspace(TransmitWorkspace&&) noexcept = default;
TransmitWorkspace& TransmitWorkspace::operator=(TransmitWorkspace&&) noexcept = default;

namespace {

using State = TransmitWorkspace::State;

// Written out, because operator* of std::complex looks for infinities.
cf32 product(cf32 a, cf32 b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

cf32 precoding_weight(View<const cf32, 2> precoding, std::size_t port, std::size_t layer) {
  if (precoding.empty()) return port == layer ? 1.0f : 0.0f;
  return precoding(port, layer);
}

// One layer on one port, every subcarrier: bits straight to the grid, run by run. A block has
// 12 Qm bits, a whole number of bytes.
void map_direct(const Allocation& allocation, nr::Modulation modulation,
                View<const std::uint8_t, 1> bits, View<cf32, 1> row) {
  std::size_t byte = 0;
  for (const RbRun& run : allocation) {
    const std::size_t count = static_cast<std::size_t>(run.count) * nr::subcarriers_per_rb;
    const std::size_t bytes = count * static_cast<std::size_t>(nr::bits_per_symbol(modulation)) / 8;
    cpu::modulate(modulation, bits.subview(byte, bytes), 1.0f,
                  row.subview(static_cast<std::size_t>(run.first) * nr::subcarriers_per_rb, count));
    byte += bytes;
  }
}

void clear_blocks(const Allocation& allocation, int symbol, View<cf32, 3> grid) {
  for (std::size_t port = 0; port < grid.extent(0); ++port)
    for (const RbRun& run : allocation)
      std::fill_n(&grid(port, symbol, run.first * nr::subcarriers_per_rb),
                  run.count * nr::subcarriers_per_rb, cf32(0));
}

// Any layers, precoding and gaps. symbols: layer by layer at each element (TS 38.211 7.3.1.3).
void map_layers(const Allocation& allocation, std::size_t layers, std::uint16_t data_mask,
                int symbol, View<const cf32, 1> symbols, View<const cf32, 2> precoding,
                View<cf32, 3> grid) {
  for (std::size_t port = 0; port < grid.extent(0); ++port) {
    const View<cf32, 1> row = grid[port][static_cast<std::size_t>(symbol)];
    cf32 weight[State::layers_max];
    for (std::size_t layer = 0; layer < layers; ++layer)
      weight[layer] = precoding_weight(precoding, port, layer);
    const cf32* next = symbols.data();
    for (const RbRun& run : allocation)
      for (int k = 0; k < run.count * nr::subcarriers_per_rb; ++k) {
        cf32 sum = 0;
        if ((data_mask >> (k % nr::subcarriers_per_rb) & 1) != 0) {
          for (std::size_t layer = 0; layer < layers; ++layer)
            sum += product(weight[layer], next[layer]);
          next += layers;
        }
        row[static_cast<std::size_t>(run.first * nr::subcarriers_per_rb + k)] = sum;
      }
  }
}

// `count` symbols from bit `first` of the codeword on, which need not begin a byte.
void modulate_from(nr::Modulation modulation, View<std::uint8_t, 1> codeword, std::size_t first,
                   View<cf32, 1> symbols) {
  const std::size_t bits = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
  std::size_t done = 0;
  // Q_m is even and a block has an even number of elements: 8 bits are in step after 4 symbols.
  for (; done < symbols.size() && (first + done * bits) % 8 != 0; ++done) {
    std::uint8_t one[2] = {0, 0};
    for (std::size_t i = 0; i < bits; ++i)
      set_bit(one, i, bit_at(codeword.data(), first + done * bits + i));
    cpu::modulate(modulation, View<const std::uint8_t, 1>(one, bytes_for_bits(bits)), 1.0f,
                  symbols.subview(done, 1));
  }
  const std::size_t rest = symbols.size() - done;
  if (rest == 0) return;
  cpu::modulate(modulation,
                codeword.subview((first + done * bits) / 8, bytes_for_bits(rest * bits)), 1.0f,
                symbols.subview(done, rest));
}

void map_symbol(const nr::SharedChannel& channel, const Allocation& allocation, int symbol,
                View<std::uint8_t, 1> codeword, std::size_t& sent_bits,
                View<const cf32, 2> precoding, View<cf32, 3> grid, State& state) {
  const std::uint16_t data_mask = data_subcarriers(channel, symbol);
  const std::size_t layers = static_cast<std::size_t>(channel.layers);
  const std::size_t count = static_cast<std::size_t>(allocation.rb_count) *
                            static_cast<std::size_t>(std::popcount(data_mask)) * layers;
  const std::size_t bits =
      count * static_cast<std::size_t>(nr::bits_per_symbol(channel.modulation));
  const bool direct = layers == 1 && grid.extent(0) == 1 && precoding.empty() &&
                      data_mask == all_subcarriers && sent_bits % 8 == 0;
  if (direct) {
    map_direct(allocation, channel.modulation, codeword.subview(sent_bits / 8, bits / 8),
               grid[0][static_cast<std::size_t>(symbol)]);
  } else if (count == 0) {
    clear_blocks(allocation, symbol, grid);
  } else {
    const View<cf32, 1> symbols(state.symbols.data(), count);
    modulate_from(channel.modulation, codeword, sent_bits, symbols);
    map_layers(allocation, layers, data_mask, symbol, symbols, precoding, grid);
  }
  sent_bits += bits;
}

}  // namespace

void add_dmrs(int slot, const nr::SharedChannel& channel, View<const cf32, 2> precoding,
              View<cf32, 3> grid, TransmitWorkspace& workspace) {
  const nr::Dmrs& dmrs = channel.dmrs;
  const Allocation allocation = make_allocation(channel);
  const int per_rb = dmrs_pilots_per_rb(dmrs.type);
  const float amplitude = static_cast<float>(nr::dmrs_amplitude(dmrs));
  const View<cf32, 1> pilots(workspace.state().pilots.data(), allocation.rb_count * per_rb);
  for (int symbol : dmrs_symbols(dmrs)) {
    std::uint32_t ports = dmrs.port_mask;
    for (int layer = 0; layer < channel.layers; ++layer, ports &= ports - 1) {
      const int dmrs_port_number = std::countr_zero(ports);
      const int delta = dmrs_port(dmrs.type, dmrs_port_number).delta;
      cpu::dmrs_pilots(dmrs, dmrs_port_number, slot, symbol, allocation, pilots);
      for (std::size_t port = 0; port < grid.extent(0); ++port) {
        const cf32 weight =
            amplitude * precoding_weight(precoding, port, static_cast<std::size_t>(layer));
        if (weight == cf32(0)) continue;
        const cf32* next = pilots.data();
        for (const RbRun& run : allocation) {
          cf32* row = &grid(port, symbol, run.first * nr::subcarriers_per_rb);
          for (int m = 0; m < run.count * per_rb; ++m)
            row[dmrs_subcarrier(dmrs.type, delta, m)] += product(weight, *next++);
        }
      }
    }
  }
}

void shared_channel_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
                             View<const std::uint8_t, 1> tb, View<const cf32, 2> precoding,
                             View<cf32, 3> grid, TransmitWorkspace& workspace) {
  State& state = workspace.state();
  assert(grid.extent(1) == nr::symbols_per_slot);
  assert(grid.extent(2) == static_cast<std::size_t>(carrier.subcarriers()));
  assert(state.subcarriers >= static_cast<std::size_t>(carrier.subcarriers()));
  assert(tb.size() == static_cast<std::size_t>(channel.tb_bits) / 8);
  assert(precoding.empty() || (precoding.extent(0) == grid.extent(0) &&
                               precoding.extent(1) == static_cast<std::size_t>(channel.layers)));
  assert(!precoding.empty() || grid.extent(0) >= static_cast<std::size_t>(channel.layers));

  const std::size_t coded_bits = static_cast<std::size_t>(nr::coded_bits(channel));
  const View<std::uint8_t, 1> codeword(state.codeword.data(), bytes_for_bits(coded_bits));
  fec::sch_encode(sch_config(channel), tb, codeword, state.sch);
  nr::cpu::scramble(data_scrambling_init(channel), codeword, coded_bits);

  const Allocation allocation = make_allocation(channel);
  std::size_t sent_bits = 0;
  for (int l = channel.symbol_start; l < channel.symbol_start + channel.symbol_count; ++l)
    map_symbol(channel, allocation, l, codeword, sent_bits, precoding, grid, state);
  assert(sent_bits == coded_bits);
  add_dmrs(slot, channel, precoding, grid, workspace);
}

}  // namespace noroshi::phy
