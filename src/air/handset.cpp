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

// The largest transport block of so many layers: 256QAM at 948/1024 on every resource block.
int tb_bits_max(const nr::Carrier& carrier, int layers) {
  return nr::transport_block_bits(156, carrier.rb_count, {nr::Modulation::qam256, 9480}, layers);
}

void fill_random(Prng& prng, View<std::uint8_t, 1> bytes) {
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    const std::uint64_t word = prng();
    std::memcpy(&bytes[i], &word, std::min<std::size_t>(8, bytes.size() - i));
  }
}

}  // namespace

struct Handset::State {
  // Of one codeword.
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
  HandsetLimits limits;
  phy::ReceiveOptions options;
  Prng payload;
  phy::OfdmPlan ofdm;
  phy::TransmitWorkspace transmit;
  phy::ReceiveWorkspace receive;
  std::array<std::vector<DownlinkProcess>, 2> downlink;  // by codeword, [harq_id]
  std::vector<UplinkProcess> uplink;                     // [harq_id]
  std::array<std::vector<std::uint8_t>, 2> received_tb;  // by codeword
  std::vector<cf32> receive_grid;                        // [antenna, symbol, subcarrier]
  std::vector<cf32> transmit_grid;                       // the same

  State(const nr::Carrier& on, std::uint16_t with_rnti, std::uint64_t seed,
        const fec::SchDecodeOptions& decode, const HandsetLimits& with)
      : carrier(on),
        rnti(with_rnti),
        limits(with),
        payload(seed, std::uint64_t{with_rnti} + 1),
        ofdm(on),
        transmit(on),
        receive(on, with.downlink_layers, with.receive_antennas) {
    assert(with.transmit_antennas >= 1 && with.receive_antennas >= 1);
    assert(with.uplink_layers >= 1 && with.uplink_layers <= nr::codeword_layers_max);
    assert(with.downlink_layers >= 1 && with.downlink_layers <= nr::layers_max);
    options.decode = decode;
    const int down_bits = tb_bits_max(on, std::min(with.downlink_layers, nr::codeword_layers_max));
    const auto up_bytes = static_cast<std::size_t>(tb_bits_max(on, with.uplink_layers) / 8);
    for (std::size_t codeword = 0; codeword < (with.downlink_layers > 4 ? 2 : 1); ++codeword) {
      received_tb[codeword].resize(static_cast<std::size_t>(down_bits / 8));
      for (int id = 0; id < harq_processes; ++id)
        downlink[codeword].push_back({fec::HarqBuffer(down_bits)});
    }
    for (int id = 0; id < harq_processes; ++id)
      uplink.push_back({std::vector<std::uint8_t>(up_bytes)});
    const auto elements = static_cast<std::size_t>(nr::symbols_per_slot * on.subcarriers());
    receive_grid.resize(static_cast<std::size_t>(with.receive_antennas) * elements);
    transmit_grid.resize(static_cast<std::size_t>(with.transmit_antennas) * elements);
  }

  // What of a codeword the process holds goes on, or it begins again.
  bool begins(int codeword, int harq_id, bool new_data, int tb_bits, int code_rate_x10240) {
    DownlinkProcess& process =
        downlink[static_cast<std::size_t>(codeword)][static_cast<std::size_t>(harq_id)];
    const bool combinable =
        process.tb_bits == tb_bits && process.code_rate_x10240 == code_rate_x10240;
    process.tb_bits = tb_bits;
    process.code_rate_x10240 = code_rate_x10240;
    return new_data || !combinable;
  }

  int slot_in_frame(std::int64_t slot) const {
    return static_cast<int>(slot % slots_per_frame(carrier.scs_khz));
  }
  int slot_in_subframe(std::int64_t slot) const {
    return static_cast<int>(slot % slots_per_subframe(carrier.scs_khz));
  }
};

Handset::Handset(const nr::Carrier& carrier, std::uint16_t rnti, std::uint64_t seed,
                 const fec::SchDecodeOptions& options, const HandsetLimits& limits)
    : state_(std::make_unique<State>(carrier, rnti, seed, options, limits)) {}
Handset::~Handset() = default;
Handset::Handset(Handset&&) noexcept = default;
Handset& Handset::operator=(Handset&&) noexcept = default;

std::uint16_t Handset::rnti() const { return state_->rnti; }

Handset::DownlinkReport Handset::receive_pdsch(std::int64_t slot, const nr::SharedChannel& pdsch,
                                               int harq_id, bool new_data,
                                               View<const cf32, 2> samples, int prg_rbs) {
  State& state = *state_;
  assert(harq_id >= 0 && harq_id < harq_processes);
  const std::size_t antennas = samples.extent(0);
  assert(antennas >= 1 && antennas <= static_cast<std::size_t>(state.limits.receive_antennas));
  assert(pdsch.layers <= std::max(state.limits.downlink_layers, 1));
  const View<cf32, 3> grid(state.receive_grid.data(), antennas, nr::symbols_per_slot,
                           state.carrier.subcarriers());
  // Every path comes late or on time, never early: the window can start where the prefix ends.
  constexpr int window_offset = 0;
  const float scale = 1 / std::sqrt(static_cast<float>(state.carrier.fft_size));
  for (std::size_t antenna = 0; antenna < antennas; ++antenna) {
    phy::ofdm_demodulate(state.ofdm, state.slot_in_subframe(slot), window_offset, scale,
                         samples[antenna], grid[antenna]);
  }

  const auto id = static_cast<std::size_t>(harq_id);
  phy::Reception reception;
  reception.channel = &pdsch;
  reception.new_data = state.begins(0, harq_id, new_data, pdsch.tb_bits, pdsch.code_rate_x10240);
  reception.harq = &state.downlink[0][id].buffer;
  reception.tb = {state.received_tb[0].data(), static_cast<std::size_t>(pdsch.tb_bits / 8)};
  DownlinkReport report;
  report.tb[0] = reception.tb;
  if (nr::codewords(pdsch) == 2) {
    reception.second_new_data =
        state.begins(1, harq_id, new_data, pdsch.second.tb_bits, pdsch.second.code_rate_x10240);
    reception.second_harq = &state.downlink[1][id].buffer;
    reception.second_tb = {state.received_tb[1].data(),
                           static_cast<std::size_t>(pdsch.second.tb_bits / 8)};
    report.tb[1] = reception.second_tb;
  }
  phy::ReceiveOptions options = state.options;
  options.prg_rbs = prg_rbs;
  phy::shared_channel_receive(state.carrier, state.slot_in_frame(slot), {&reception, 1}, grid,
                              options, {&report.phy, 1}, state.receive);
  return report;
}

View<const std::uint8_t, 1> Handset::transmit_pusch(std::int64_t slot,
                                                    const nr::SharedChannel& pusch, int harq_id,
                                                    bool new_data, View<const cf32, 2> precoding,
                                                    const phy::UciPayload& uci,
                                                    View<cf32, 2> samples) {
  State& state = *state_;
  assert(harq_id >= 0 && harq_id < harq_processes);
  const std::size_t antennas = samples.extent(0);
  assert(antennas >= 1 && antennas <= static_cast<std::size_t>(state.limits.transmit_antennas));
  State::UplinkProcess& process = state.uplink[static_cast<std::size_t>(harq_id)];
  const auto bytes = static_cast<std::size_t>(pusch.tb_bits / 8);
  assert(bytes <= process.tb.size());
  const View<std::uint8_t, 1> tb(process.tb.data(), bytes);
  // Another size without new data: the cell restarts a process that this handset never heard of.
  if (bytes > 0 && (new_data || bytes != process.bytes)) fill_random(state.payload, tb);
  if (bytes > 0) process.bytes = bytes;

  std::fill(state.transmit_grid.begin(), state.transmit_grid.end(), cf32(0));
  const View<cf32, 3> grid(state.transmit_grid.data(), antennas, nr::symbols_per_slot,
                           state.carrier.subcarriers());
  pusch_transmit(state.carrier, state.slot_in_frame(slot), pusch, {.tb = {tb, {}}, .uci = uci},
                 precoding, grid, state.transmit);
  const float scale = std::sqrt(static_cast<float>(state.carrier.fft_size));
  for (std::size_t antenna = 0; antenna < antennas; ++antenna)
    phy::ofdm_modulate(state.ofdm, state.slot_in_subframe(slot), scale, grid[antenna],
                       samples[antenna]);
  return tb;
}

}  // namespace noroshi::air
