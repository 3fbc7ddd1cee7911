#include <cassert>
#include <cstring>
#include <vector>

#include "phy/fft/fft.h"
#include "phy/ofdm/ofdm.h"
#include "phy/ofdm/symbol_times.h"

// The transform reads and writes grid and samples themselves, in the rows of its matrix; only the
// two rows that a carrier fills in part, and the one where the window begins, are copied.

namespace noroshi::phy {
namespace {

using Row = std::vector<cf32>;

// The N bins in rows of `width`: the carrier's upper half of `half` subcarriers lies in the first
// bins, the lower half in the last. A row of bins is whole (a stretch of the symbol in the grid),
// outside the carrier, or at its edge.
struct BinRows {
  std::size_t bins, width, half;

  bool is_whole(std::size_t row) const {
    return (row + 1) * width <= half || row * width >= bins - half;
  }
  std::size_t subcarrier(std::size_t row) const {  // a whole row's first
    return row * width < half ? half + row * width : half - (bins - row * width);
  }
  std::size_t edge_values() const { return half % width; }  // of each of the two
  std::size_t high_edge() const { return half / width; }
  std::size_t low_edge() const { return (bins - half) / width; }
};

}  // namespace

struct OfdmPlan::State {
  explicit State(const nr::Carrier& c)
      : carrier(c),
        fft(static_cast<std::size_t>(c.fft_size)),
        in(fft.in_rows()),
        out(fft.out_rows()) {
    assert(c.subcarriers() <= c.fft_size);
    for (Row* row : {&zeros, &turned, &sent_edges[0], &sent_edges[1]}) row->resize(out.size());
    for (Row* row : {&sink, &received_edges[0], &received_edges[1]}) row->resize(in.size());
    for (int slot = 0; slot < slots_per_subframe(c.scs_khz); ++slot)
      times[slot] = symbol_times(c, slot);
  }

  nr::Carrier carrier;
  FftPlan fft;
  SymbolTimes times[2];         // [slot in subframe]
  std::vector<const cf32*> in;  // the transform's rows
  std::vector<cf32*> out;
  Row zeros;              // bins outside the carrier, to be sent
  Row sent_edges[2];      // high, low; what they have beyond the carrier stays 0
  Row received_edges[2];  // high, low
  Row sink;               // bins outside the carrier, received
  Row turned;             // where the window begins
};

OfdmPlan::OfdmPlan(const nr::Carrier& carrier) : state_(std::make_unique<State>(carrier)) {}
OfdmPlan::~OfdmPlan() = default;
OfdmPlan::OfdmPlan(OfdmPlan&&) noexcept = default;
OfdmPlan& OfdmPlan::operator=(OfdmPlan&&) noexcept = default;
const nr::Carrier& OfdmPlan::carrier() const { return state_->carrier; }

namespace {

void check_shapes(const nr::Carrier& carrier, int slot_in_subframe, std::size_t symbols,
                  std::size_t subcarriers, std::size_t samples) {
  assert(slot_in_subframe >= 0 && slot_in_subframe < slots_per_subframe(carrier.scs_khz));
  assert(symbols == nr::symbols_per_slot);
  assert(subcarriers == static_cast<std::size_t>(carrier.subcarriers()));
  assert(samples == static_cast<std::size_t>(nr::slot_samples(carrier, slot_in_subframe)));
}

void send_from(OfdmPlan::State& state, View<const cf32, 1> symbol) {
  const BinRows rows{state.fft.size(), state.out.size(), symbol.size() / 2};
  for (std::size_t i = 0; i < state.in.size(); ++i)
    state.in[i] = rows.is_whole(i) ? symbol.data() + rows.subcarrier(i) : state.zeros.data();
  const std::size_t count = rows.edge_values();
  if (count == 0) return;
  Row &high = state.sent_edges[0], &low = state.sent_edges[1];
  std::memcpy(high.data(), symbol.end() - count, count * sizeof(cf32));
  std::memcpy(low.data() + rows.width - count, symbol.data(), count * sizeof(cf32));
  state.in[rows.high_edge()] = high.data();
  state.in[rows.low_edge()] = low.data();
}

BinRows receive_to(OfdmPlan::State& state, View<cf32, 1> symbol) {
  const BinRows rows{state.fft.size(), state.in.size(), symbol.size() / 2};
  for (std::size_t i = 0; i < state.out.size(); ++i)
    state.out[i] = rows.is_whole(i) ? symbol.data() + rows.subcarrier(i) : state.sink.data();
  if (rows.edge_values() > 0) {
    state.out[rows.high_edge()] = state.received_edges[0].data();
    state.out[rows.low_edge()] = state.received_edges[1].data();
  }
  return rows;
}

void take_edges(const OfdmPlan::State& state, const BinRows& rows, View<cf32, 1> symbol) {
  const std::size_t count = rows.edge_values();
  const Row &high = state.received_edges[0], &low = state.received_edges[1];
  std::memcpy(symbol.end() - count, high.data(), count * sizeof(cf32));
  std::memcpy(symbol.data(), low.data() + rows.width - count, count * sizeof(cf32));
}

// A window that begins early has the useful part's last samples in front, from the cyclic prefix:
// turned back to their place, they leave no ramp in the grid.
void receive_from(OfdmPlan::State& state, const cf32* useful, std::size_t window_offset) {
  const std::size_t width = state.out.size(), size = state.fft.size();
  const std::size_t from_prefix = size - window_offset;
  for (std::size_t i = 0; i < state.in.size(); ++i)
    state.in[i] = i * width < from_prefix ? useful + i * width : useful - (size - i * width);
  const std::size_t own = from_prefix % width;
  if (own == 0) return;
  const std::size_t row = from_prefix / width;
  std::memcpy(state.turned.data(), useful + row * width, own * sizeof(cf32));
  std::memcpy(state.turned.data() + own, useful - window_offset, (width - own) * sizeof(cf32));
  state.in[row] = state.turned.data();
}

}  // namespace

void ofdm_modulate(OfdmPlan& plan, int slot_in_subframe, float scale, View<const cf32, 2> grid,
                   View<cf32, 1> samples) {
  OfdmPlan::State& state = plan.state();
  check_shapes(state.carrier, slot_in_subframe, grid.extent(0), grid.extent(1), samples.size());
  const std::size_t size = state.fft.size();
  const SymbolTimes& times = state.times[slot_in_subframe];
  for (std::size_t l = 0; l < nr::symbols_per_slot; ++l) {
    cf32* const useful = samples.data() + times.start[l];
    send_from(state, grid[l]);
    for (std::size_t i = 0; i < state.out.size(); ++i) state.out[i] = useful + i * state.in.size();
    cpu::fft_rows(state.fft, FftDirection::inverse,
                  static_cast<cf32>(scale / static_cast<double>(size) * times.phase[l]), state.in,
                  state.out);
    std::memcpy(useful - times.prefix[l], useful + size - times.prefix[l],
                times.prefix[l] * sizeof(cf32));
  }
}

void ofdm_demodulate(OfdmPlan& plan, int slot_in_subframe, int window_offset, float scale,
                     View<const cf32, 1> samples, View<cf32, 2> grid) {
  OfdmPlan::State& state = plan.state();
  check_shapes(state.carrier, slot_in_subframe, grid.extent(0), grid.extent(1), samples.size());
  const SymbolTimes& times = state.times[slot_in_subframe];
  // Symbol 1 has the shorter prefix.
  assert(window_offset >= 0 && static_cast<std::size_t>(window_offset) <= times.prefix[1]);
  for (std::size_t l = 0; l < nr::symbols_per_slot; ++l) {
    receive_from(state, samples.data() + times.start[l], static_cast<std::size_t>(window_offset));
    const BinRows rows = receive_to(state, grid[l]);
    cpu::fft_rows(state.fft, FftDirection::forward,
                  static_cast<cf32>(static_cast<double>(scale) * std::conj(times.phase[l])),
                  state.in, state.out);
    take_edges(state, rows, grid[l]);
  }
}

}  // namespace noroshi::phy
