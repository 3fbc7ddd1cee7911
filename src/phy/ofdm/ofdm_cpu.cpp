#include <cassert>
#include <cstring>
#include <vector>

#include "phy/fft/fft.h"
#include "phy/ofdm/ofdm.h"
#include "phy/ofdm/symbol_times.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/ofdm/ofdm_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// out = in * turn, element by element.
void turn(const float* HWY_RESTRICT in, const float* HWY_RESTRICT by, std::size_t count,
          float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 16> d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    hn::Vec<decltype(d)> a_re, a_im, b_re, b_im;
    hn::LoadInterleaved2(d, in + 2 * i, a_re, a_im);
    hn::LoadInterleaved2(d, by + 2 * i, b_re, b_im);
    hn::StoreInterleaved2(hn::NegMulAdd(a_im, b_im, hn::Mul(a_re, b_re)),
                          hn::MulAdd(a_re, b_im, hn::Mul(a_im, b_re)), d, out + 2 * i);
  }
  for (; i < count; ++i) {
    const float re = in[2 * i] * by[2 * i] - in[2 * i + 1] * by[2 * i + 1];
    out[2 * i + 1] = in[2 * i] * by[2 * i + 1] + in[2 * i + 1] * by[2 * i];
    out[2 * i] = re;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy {

HWY_EXPORT(turn);

struct OfdmPlan::State {
  explicit State(const nr::Carrier& c)
      : carrier(c),
        fft(static_cast<std::size_t>(c.fft_size)),
        spectrum(fft.size()),
        received(fft.size()),
        roots(fft.size()),
        ramp(static_cast<std::size_t>(c.subcarriers()), cf32(1)) {
    for (int slot = 0; slot < slots_per_subframe(c.scs_khz); ++slot)
      times[slot] = symbol_times(c, slot);
    for (std::size_t i = 0; i < roots.size(); ++i)
      roots[i] = static_cast<cf32>(std::polar(
          1.0, 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(roots.size())));
  }

  nr::Carrier carrier;
  FftPlan fft;
  SymbolTimes times[2];        // [slot in subframe]
  std::vector<cf32> spectrum;  // to be sent: the bins outside the carrier stay 0
  std::vector<cf32> received;
  std::vector<cf32> roots;  // exp(j 2 pi i / N)
  int ramp_offset = 0;      // what ramp undoes
  std::vector<cf32> ramp;   // [subcarrier]
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

// exp(j 2 pi (k - K/2) offset / N); N - offset steps backwards.
void set_ramp(OfdmPlan::State& state, int window_offset) {
  if (state.ramp_offset == window_offset) return;
  const std::size_t size = state.fft.size();
  const std::size_t step = static_cast<std::size_t>(window_offset);
  std::size_t at = (size - state.ramp.size() / 2) * step % size;
  for (cf32& value : state.ramp) {
    value = state.roots[at];
    at = (at + step) % size;
  }
  state.ramp_offset = window_offset;
}

}  // namespace

void ofdm_modulate(OfdmPlan& plan, int slot_in_subframe, float scale, View<const cf32, 2> grid,
                   View<cf32, 1> samples) {
  OfdmPlan::State& state = plan.state();
  check_shapes(state.carrier, slot_in_subframe, grid.extent(0), grid.extent(1), samples.size());
  const std::size_t size = state.fft.size();
  const std::size_t half = grid.extent(1) / 2;
  const SymbolTimes& times = state.times[slot_in_subframe];
  for (std::size_t l = 0; l < nr::symbols_per_slot; ++l) {
    const View<const cf32, 1> row = grid[l];
    std::memcpy(state.spectrum.data() + size - half, row.data(), half * sizeof(cf32));
    std::memcpy(state.spectrum.data(), row.data() + half, half * sizeof(cf32));
    const View<cf32, 1> useful = samples.subview(times.start[l], size);
    cpu::fft(state.fft, FftDirection::inverse,
             static_cast<cf32>(scale / static_cast<double>(size) * times.phase[l]), state.spectrum,
             useful);
    std::memcpy(useful.data() - times.prefix[l], useful.end() - times.prefix[l],
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
  set_ramp(state, window_offset);
  const std::size_t size = state.fft.size();
  const std::size_t half = grid.extent(1) / 2;
  for (std::size_t l = 0; l < nr::symbols_per_slot; ++l) {
    const std::size_t first = times.start[l] - static_cast<std::size_t>(window_offset);
    cpu::fft(state.fft, FftDirection::forward,
             static_cast<cf32>(static_cast<double>(scale) * std::conj(times.phase[l])),
             samples.subview(first, size), state.received);
    const auto floats = [](auto* complex) { return reinterpret_cast<const float*>(complex); };
    float* const row = reinterpret_cast<float*>(grid[l].data());
    HWY_DYNAMIC_DISPATCH(turn)
    (floats(state.received.data() + size - half), floats(state.ramp.data()), half, row);
    HWY_DYNAMIC_DISPATCH(turn)
    (floats(state.received.data()), floats(state.ramp.data() + half), half, row + 2 * half);
  }
}

}  // namespace noroshi::phy
#endif
