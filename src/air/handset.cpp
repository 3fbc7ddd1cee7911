#include "air/handset.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/prng.h"
#include "base/slot.h"
#include "nr/mcs.h"
#include "phy/ofdm/ofdm.h"

namespace noroshi::air {
namespace {

// The largest transport block of one layer: 256QAM at 948/1024 on every resource block.
int tb_bits_max(const nr::Carrier& carrier) {
  return nr::transport_block_bits(156, carrier.rb_count, {nr::Modulation::qam256, 9480}, 1);
}

void fill_random(Prng& prng, View<std::uint8_t, 1> bytes) {
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    const std::uint64_t word = prng();
    std::memcpy(&bytes[i], &word, std::min<std::size_t>(8, bytes.size() - i));
  }
}

}  // namespace

struct Handset::State {
  struct DownlinkProcess {
    fec::HarqBuffer buffer;
    int tb_bits = 0;  // of what it holds; 0: nothing
    int code_rate_x10240 = 0;
  };
  struct UplinkProcess {
    std::vector<std::uint8_t> tb;
    std::size_t bytes = 0;
  };

  nr::Carrier carrier;
  std::uint16_t rnti;
  fec::SchDecodeOptions options;
  Prng payload;
  phy::OfdmPlan ofdm;
  phy::TransmitWorkspace transmit;
  phy::ReceiveWorkspace receive;
  std::vector<DownlinkProcess> downlink;  // [harq_id]
  std::vector<UplinkProcess> uplink;      // [harq_id]
  std::vector<std::uint8_t> received_tb;
  std::vector<cf32> receive_grid;   // [antenna, symbol, subcarrier]
  std::vector<cf32> transmit_grid;  // [symbol, subcarrier]

  State(const nr::Carrier& on, std::uint16_t with_rnti, std::uint64_t seed,
        const fec::SchDecodeOptions& decode)
      : carrier(on),
        rnti(with_rnti),
        options(decode),
        payload(seed, std::uint64_t{with_rnti} + 1),
        ofdm(on),
        transmit(on),
        receive(on) {
    const int bits = tb_bits_max(on);
    const auto bytes = static_cast<std::size_t>(bits / 8);
    for (int id = 0; id < harq_processes; ++id) {
      downlink.push_back({fec::HarqBuffer(bits)});
      uplink.push_back({std::vector<std::uint8_t>(bytes)});
    }
    received_tb.resize(bytes);
    const auto elements = static_cast<std::size_t>(nr::symbols_per_slot * on.subcarriers());
    receive_grid.resize(nr::receive_antennas_max * elements);
    transmit_grid.resize(elements);
  }

  int slot_in_frame(std::int64_t slot) const {
    return static_cast<int>(slot % slots_per_frame(carrier.scs_khz));
  }
  int slot_in_subframe(std::int64_t slot) const {
    return static_cast<int>(slot % slots_per_subframe(carrier.scs_khz));
  }
};

Handset::Handset(const nr::Carrier& carrier, std::uint16_t rnti, std::uint64_t seed,
                 const fec::SchDecodeOptions& options)
    : state_(std::make_unique<State>(carrier, rnti, seed, options)) {}
Handset::~Handset() = default;
Handset::Handset(Handset&&) noexcept = default;
Handset& Handset::operator=(Handset&&) noexcept = default;

std::uint16_t Handset::rnti() const { return state_->rnti; }

Handset::DownlinkReport Handset::receive_pdsch(std::int64_t slot, const nr::SharedChannel& pdsch,
                                               int harq_id, bool new_data,
                                               View<const cf32, 2> samples) {
  State& state = *state_;
  assert(harq_id >= 0 && harq_id < harq_processes);
  const std::size_t antennas = samples.extent(0);
  assert(antennas >= 1 && antennas <= nr::receive_antennas_max);
  const View<cf32, 3> grid(state.receive_grid.data(), antennas, nr::symbols_per_slot,
                           state.carrier.subcarriers());
  // Every path comes late or on time, never early: the window can start where the prefix ends.
  constexpr int window_offset = 0;
  const float scale = 1 / std::sqrt(static_cast<float>(state.carrier.fft_size));
  for (std::size_t antenna = 0; antenna < antennas; ++antenna) {
    phy::ofdm_demodulate(state.ofdm, state.slot_in_subframe(slot), window_offset, scale,
                         samples[antenna], grid[antenna]);
  }

  State::DownlinkProcess& process = state.downlink[harq_id];
  const bool combinable =
      process.tb_bits == pdsch.tb_bits && process.code_rate_x10240 == pdsch.code_rate_x10240;
  process.tb_bits = pdsch.tb_bits;
  process.code_rate_x10240 = pdsch.code_rate_x10240;
  const View<std::uint8_t, 1> tb(state.received_tb.data(), pdsch.tb_bits / 8);
  DownlinkReport report;
  report.phy =
      pdsch_receive(state.carrier, state.slot_in_frame(slot), pdsch, grid, new_data || !combinable,
                    state.options, process.buffer, tb, state.receive);
  report.tb = tb;
  return report;
}

View<const std::uint8_t, 1> Handset::transmit_pusch(std::int64_t slot,
                                                    const nr::SharedChannel& pusch, int harq_id,
                                                    bool new_data, View<cf32, 1> samples) {
  State& state = *state_;
  assert(harq_id >= 0 && harq_id < harq_processes);
  State::UplinkProcess& process = state.uplink[harq_id];
  const auto bytes = static_cast<std::size_t>(pusch.tb_bits / 8);
  assert(bytes <= process.tb.size());
  const View<std::uint8_t, 1> tb(process.tb.data(), bytes);
  // Another size without new data: the cell restarts a process that this handset never heard of.
  if (new_data || bytes != process.bytes) fill_random(state.payload, tb);
  process.bytes = bytes;

  std::fill(state.transmit_grid.begin(), state.transmit_grid.end(), cf32(0));
  const View<cf32, 3> grid(state.transmit_grid.data(), 1, nr::symbols_per_slot,
                           state.carrier.subcarriers());
  pusch_transmit(state.carrier, state.slot_in_frame(slot), pusch, tb, View<const cf32, 2>(), grid,
                 state.transmit);
  const float scale = std::sqrt(static_cast<float>(state.carrier.fft_size));
  phy::ofdm_modulate(state.ofdm, state.slot_in_subframe(slot), scale, grid[0], samples);
  return tb;
}

}  // namespace noroshi::air
