#include "phy/pusch.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <string>
#include <vector>

#include "nr/prbs/prbs.h"
#include "phy/demap/demap.h"
#include "phy/dmrs/dmrs.h"
#include "phy/equalize/equalize.h"
#include "phy/estimate/estimate.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {

struct ReceiveWorkspace::State {
  explicit State(const nr::Carrier& carrier)
      : estimate(carrier.rb_count),
        plane(estimate.plane),
        pilots(static_cast<std::size_t>(estimate_symbols_max) * plane / 2),
        weights(nr::receive_antennas_max * 2 * plane),
        inverse_noise(plane),
        data_inverse_noise(plane),
        symbols(plane),
        soft_bits(static_cast<std::size_t>(nr::symbols_per_slot) * plane * 8) {}

  cpu::EstimateWorkspace estimate;
  std::size_t plane;  // subcarriers of the carrier, padded
  std::vector<cf32> pilots;
  std::vector<float> weights;             // [antenna, re / im, subcarrier of the allocation]
  std::vector<float> inverse_noise;       // [subcarrier of the allocation]
  std::vector<float> data_inverse_noise;  // of one symbol that DM-RS and data share
  std::vector<cf32> symbols;              // [subcarrier of the allocation], equalised
  std::vector<SoftBit> soft_bits;         // the codeword
  fec::SchWorkspace sch;
};

ReceiveWorkspace::ReceiveWorkspace(const nr::Carrier& carrier)
    : state_(std::make_unique<State>(carrier)) {}
ReceiveWorkspace::~ReceiveWorkspace() = default;
ReceiveWorkspace::ReceiveWorkspace(ReceiveWorkspace&&) noexcept = default;
ReceiveWorkspace& ReceiveWorkspace::operator=(ReceiveWorkspace&&) noexcept = default;

namespace {

using State = ReceiveWorkspace::State;

ChannelInfo estimate_channel(int slot, const nr::Dmrs& dmrs, const Allocation& allocation,
                             View<const cf32, 3> grid, State& state) {
  const int port = std::countr_zero(dmrs.port_mask);
  const std::size_t pilots_per_symbol = static_cast<std::size_t>(allocation.rb_count) * 6;
  EstimateInput input;
  input.grid = grid;
  input.allocation = &allocation;
  input.symbols = dmrs_symbols(dmrs);
  input.comb = dmrs_port(dmrs.type, port).delta;
  input.amplitude = static_cast<float>(nr::dmrs_amplitude(dmrs));
  const View<cf32, 2> pilots(state.pilots.data(), input.symbols.count, pilots_per_symbol);
  for (int d = 0; d < input.symbols.count; ++d)
    cpu::dmrs_pilots(dmrs, port, slot, input.symbols.symbol[static_cast<std::size_t>(d)],
                     allocation, pilots[static_cast<std::size_t>(d)]);
  input.pilots = pilots;
  return cpu::estimate(input, state.estimate);
}

// Weights and noise for one symbol; for the whole slot when the channel stands still.
void prepare_equalizer(const ChannelInfo& channel, int symbol, int subcarriers, State& state) {
  const View<float, 3> weights(state.weights.data(), channel.antennas, 2, state.plane);
  cpu::channel_at(channel, state.estimate, symbol, subcarriers, weights);
  // What the estimate misses of the channel is noise to the data; no signal is cleaner than the
  // numbers that hold it.
  const float noise = channel.noise_power + channel.error_power;
  const float floor = 1e-9f * channel.signal_power + 1e-30f;
  cpu::combining_weights(weights, static_cast<std::size_t>(subcarriers), std::max(noise, floor),
                         weights, state.inverse_noise);
}

// The symbol's data elements in state.symbols, in mapping order, and their inverse noise.
struct Equalized {
  View<const cf32, 1> symbols;
  View<const float, 1> inverse_noise;
};
Equalized equalize_symbol(const Allocation& allocation, std::uint16_t data_mask, int symbol,
                          View<const cf32, 3> grid, State& state) {
  const View<const float, 3> weights(state.weights.data(), grid.extent(0), 2, state.plane);
  const View<cf32, 1> symbols(state.symbols);
  std::size_t first = 0;
  for (const RbRun& run : allocation) {
    const std::size_t count = static_cast<std::size_t>(run.count) * nr::subcarriers_per_rb;
    cpu::combine(weights, first, grid, static_cast<std::size_t>(symbol),
                 static_cast<std::size_t>(run.first) * nr::subcarriers_per_rb,
                 symbols.subview(first, count));
    first += count;
  }
  if (data_mask == all_subcarriers)
    return {symbols.subview(0, first), View<const float, 1>(state.inverse_noise.data(), first)};

  std::size_t kept = 0;  // close the gaps that DM-RS leaves
  for (std::size_t k = 0; k < first; ++k) {
    state.symbols[kept] = state.symbols[k];
    state.data_inverse_noise[kept] = state.inverse_noise[k];
    kept += data_mask >> (k % nr::subcarriers_per_rb) & 1;
  }
  return {symbols.subview(0, kept), View<const float, 1>(state.data_inverse_noise.data(), kept)};
}

// Samples come from outside: silence, and what is not a number or too large for one, must not get
// further.
bool usable(const ChannelInfo& channel) {
  return channel.signal_power > 1e-29f && std::isfinite(channel.noise_power) &&
         std::isfinite(channel.signal_power) && std::isfinite(channel.error_power) &&
         std::isfinite(channel.delay_cycles);
}

ReceiveResult report(const nr::Carrier& carrier, const nr::Dmrs& dmrs, const ChannelInfo& channel,
                     const fec::SchDecodeResult& decoded) {
  ReceiveResult result;
  result.sinr_db = -100;
  result.crc_ok = decoded.crc_ok;
  result.code_blocks = decoded.code_blocks;
  result.code_blocks_ok = decoded.code_blocks_ok;
  result.iterations = decoded.iterations;
  if (!usable(channel)) return result;

  const float beta = static_cast<float>(nr::dmrs_amplitude(dmrs));
  const float noise = std::max(channel.noise_power + channel.error_power, 1e-30f);
  const float signal = channel.signal_power * static_cast<float>(channel.antennas);
  result.sinr_db = 10 * std::log10(std::max(signal / noise, 1e-10f));
  result.noise_power = channel.noise_power;
  result.rsrp = channel.signal_power * beta * beta;
  result.timing_offset_s = channel.delay_cycles / static_cast<float>(carrier.scs_khz * 1000);
  return result;
}

}  // namespace

Result<void> check_pusch(const nr::Carrier& carrier, const nr::SharedChannel& pusch) {
  if (Result<void> common = check_shared_channel(carrier, pusch); !common) return common;
  if (pusch.layers != 1)
    return Error{"layers is " + std::to_string(pusch.layers) + ": this receiver does 1"};
  if (pusch.dmrs.type != 1)
    return Error{"dmrs.type is " + std::to_string(pusch.dmrs.type) + ": this receiver does type 1"};
  if (pusch.dmrs.double_symbol)
    return Error{"dmrs.double_symbol is set: this receiver does single symbols"};
  if (std::popcount(pusch.dmrs.symbol_mask) > estimate_symbols_max)
    return Error{"dmrs.symbol_mask has more than " + std::to_string(estimate_symbols_max) +
                 " symbols"};
  const auto refused = [](const char* field, int value) {
    return Error{std::string(field) + " is " + std::to_string(value) +
                 ": this receiver does not do that yet"};
  };
  if (pusch.modulation == nr::Modulation::qam1024) return refused("modulation", 10);
  if (pusch.ptrs.present) return refused("ptrs.present", 1);
  if (pusch.second.tb_bits != 0) return refused("second.tb_bits", pusch.second.tb_bits);
  if (pusch.vrb.bundle_rbs != 0) return refused("vrb.bundle_rbs", pusch.vrb.bundle_rbs);
  if (pusch.reserved_count != 0) return refused("reserved_count", pusch.reserved_count);
  if (pusch.transform_precoding) return refused("transform_precoding", 1);
  if (pusch.second_hop_rb != -1) return refused("second_hop_rb", pusch.second_hop_rb);
  if (pusch.uci.harq_bits != 0) return refused("uci.harq_bits", pusch.uci.harq_bits);
  if (pusch.uci.csi1_bits != 0) return refused("uci.csi1_bits", pusch.uci.csi1_bits);
  if (pusch.uci.csi2_bits != 0) return refused("uci.csi2_bits", pusch.uci.csi2_bits);
  return {};
}

ReceiveResult pusch_receive(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pusch,
                            View<const cf32, 3> grid, bool new_data,
                            const fec::SchDecodeOptions& options, fec::HarqBuffer& harq,
                            View<std::uint8_t, 1> tb, ReceiveWorkspace& workspace) {
  assert(grid.extent(0) >= 1 && grid.extent(0) <= nr::receive_antennas_max);
  assert(grid.extent(1) == nr::symbols_per_slot);
  assert(grid.extent(2) == static_cast<std::size_t>(carrier.subcarriers()));
  State& state = workspace.state();
  const Allocation allocation = make_allocation(pusch);
  const std::uint32_t c_init = data_scrambling_init(pusch);
  const std::size_t bits_per_symbol =
      static_cast<std::size_t>(nr::bits_per_symbol(pusch.modulation));
  const View<SoftBit, 1> codeword(state.soft_bits.data(), nr::coded_bits(pusch));

  const ChannelInfo channel = estimate_channel(slot, pusch.dmrs, allocation, grid, state);
  if (!usable(channel)) std::ranges::fill(codeword, SoftBit{0});  // every bit unknown

  std::size_t received = 0;  // soft bits so far
  for (int l = pusch.symbol_start; l < pusch.symbol_start + pusch.symbol_count; ++l) {
    const std::uint16_t data_mask = data_subcarriers(pusch, l);
    if (data_mask == 0 || !usable(channel)) continue;
    if (received == 0 || !channel.constant)
      prepare_equalizer(channel, l, allocation.subcarriers(), state);
    const Equalized data = equalize_symbol(allocation, data_mask, l, grid, state);
    const View<SoftBit, 1> soft_bits =
        codeword.subview(received, data.symbols.size() * bits_per_symbol);
    cpu::demap(pusch.modulation, data.symbols, data.inverse_noise, soft_bits);
    nr::cpu::descramble(c_init, received, soft_bits);
    received += soft_bits.size();
  }
  assert(received == codeword.size() || !usable(channel));

  const fec::SchDecodeResult decoded =
      fec::sch_decode(sch_config(pusch), codeword, new_data, options, harq, tb, state.sch);
  return report(carrier, pusch.dmrs, channel, decoded);
}

}  // namespace noroshi::phy
