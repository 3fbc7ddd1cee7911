#include "phy/pusch.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <numbers>

#include "nr/prbs/prbs.h"
#include "phy/receive/code_blocks.h"
#include "phy/receive/front_end.h"

namespace noroshi::phy {

ReceiveWorkspace::ReceiveWorkspace(const nr::Carrier& carrier, int layers_max, int antennas_max,
                                   int workers_max)
    : state_(std::make_unique<State>(carrier, layers_max, antennas_max, workers_max)) {}
ReceiveWorkspace::~ReceiveWorkspace() = default;
ReceiveWorkspace::ReceiveWorkspace(ReceiveWorkspace&&) noexcept = default;
ReceiveWorkspace& ReceiveWorkspace::operator=(ReceiveWorkspace&&) noexcept = default;

namespace {

int hops(const nr::SharedChannel& channel) { return channel.second_hop_rb == -1 ? 1 : 2; }

void decode_uci(fec::PuschPart part, ReceiveWorkspace::State& state, UciPart& out) {
  out = {};
  out.bits = state.layout.information_bits(part);
  if (out.bits == 0) return;
  const Refusal no = fec::make_uci_code({.bits = out.bits,
                                         .coded_bits = state.layout.coded_bits(part),
                                         .bits_per_symbol = state.layout.bits_per_symbol()},
                                        state.uci_code);
  assert(!no);
  static_cast<void>(no);
  const View<const SoftBit, 1> soft_bits(state.parts[static_cast<std::size_t>(part)].data(),
                                         state.layout.coded_bits(part));
  const View<std::uint8_t, 1> message(out.message.data(),
                                      bytes_for_bits(static_cast<std::size_t>(out.bits)));
  out.ok = fec::uci_decode(state.uci_code, soft_bits, {}, message, state.polar).ok;
}

// A codeword that UL-SCH and UCI share.
CodewordResult decode_with_uci(const ReceiveGroup& group, const Stream& stream) {
  ReceiveWorkspace::State& state = group.state;
  const Reception& reception = group.receptions[static_cast<std::size_t>(stream.handset)];
  const nr::SharedChannel& pusch = *reception.channel;
  fec::PuschUciConfig config_of;
  const Refusal unknown = fec::pusch_uci_config(pusch, config_of);
  const Refusal unplaced = fec::place_pusch_uci(config_of, state.layout);
  assert(!unknown && !unplaced && reception.uci != nullptr);
  static_cast<void>(unknown);
  static_cast<void>(unplaced);
  const View<std::uint8_t, 1> scrambling(state.scrambling.data(),
                                         bytes_for_bits(stream.soft_bits.size()));
  nr::cpu::prbs_packed(stream.c_init, 0, scrambling);
  fec::pusch_uci_descramble_placeholders(state.layout, scrambling, stream.soft_bits);
  fec::PuschSoftBits parts;
  for (std::size_t i = 0; i < fec::pusch_parts; ++i)
    parts.of[i] = {state.parts[i].data(), state.layout.coded_bits(static_cast<fec::PuschPart>(i))};
  fec::pusch_uci_demultiplex(state.layout, stream.soft_bits, parts);
  decode_uci(fec::PuschPart::harq, state, reception.uci->harq);
  decode_uci(fec::PuschPart::csi1, state, reception.uci->csi1);
  decode_uci(fec::PuschPart::csi2, state, reception.uci->csi2);
  if (pusch.tb_bits == 0) return {};
  fec::SchConfig config = sch_config(pusch);
  config.coded_bits = state.layout.coded_bits(fec::PuschPart::ul_sch);
  Workers workers = group.options.workers;
  workers.count = group.shares();
  const fec::SchDecodeResult decoded =
      fec::sch_decode(config, parts.of[0], reception.new_data, group.options.decode,
                      *reception.harq, reception.tb, state.sch, workers);
  return {decoded.crc_ok, decoded.code_blocks, decoded.code_blocks_ok, decoded.iterations};
}

// Means over the layers of one handset, and over hops.
void report_channel(const ReceiveGroup& group, const HopReport& hop, std::size_t handset,
                    float share, ReceiveResult& result) {
  const ChannelInfo& channel = hop.channel;
  const nr::SharedChannel& sent = *group.receptions[handset].channel;
  const float beta = static_cast<float>(nr::dmrs_amplitude(sent.dmrs));
  const float scs_hz = static_cast<float>(group.carrier.scs_khz) * 1000;
  const float each = share / static_cast<float>(sent.layers);
  double evm = 0, symbols = 0;
  for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s) {
    const Stream& stream = group.streams[s];
    if (stream.handset != static_cast<int>(handset)) continue;
    evm += hop.evm_sums[s];
    symbols += hop.evm_counts[s];
    for (int i = stream.first_layer; i < stream.first_layer + stream.layers; ++i) {
      const std::size_t layer = static_cast<std::size_t>(i);
      const ChannelInfo::Layer& estimated = channel.layer[layer];
      const double mean = hop.inverse_noise[layer];
      const double sinr = mean > 1e-10 ? std::min(mean, 1e10) : 1e-10;  // NaN counts as nothing
      result.sinr_db += each * static_cast<float>(10 * std::log10(sinr));
      result.rsrp += each * estimated.signal_power * beta * beta;
      result.timing_offset_s += each * estimated.delay_cycles / scs_hz;
      // 14 symbols last as long as 15 of a subcarrier's periods, cyclic prefixes included.
      result.frequency_offset_hz +=
          each * estimated.doppler_turn * scs_hz * 14 / 15 / (2 * std::numbers::pi_v<float>);
    }
  }
  for (std::size_t layer = 0; layer < static_cast<std::size_t>(channel.layers); ++layer)
    result.rssi += share * channel.layer[layer].signal_power;
  result.rssi += share * channel.noise_power;
  result.noise_power += share * channel.noise_power;
  if (symbols > 0)
    result.evm += share * static_cast<float>(std::min(std::sqrt(evm / symbols), 100.0));
}

}  // namespace

void shared_channel_receive(const nr::Carrier& carrier, int slot,
                            View<const Reception, 1> receptions, View<const cf32, 3> grid,
                            const ReceiveOptions& options, View<ReceiveResult, 1> results,
                            ReceiveWorkspace& workspace) {
  ReceiveWorkspace::State& state = workspace.state();
  assert(grid.extent(0) >= 1 && grid.extent(0) <= static_cast<std::size_t>(state.antennas_max));
  assert(grid.extent(1) == nr::symbols_per_slot);
  assert(grid.extent(2) == static_cast<std::size_t>(carrier.subcarriers()));
  assert(!receptions.empty() && results.size() == receptions.size());
  const ReceiveGroup group = make_receive_group(carrier, slot, receptions, grid, options, state);

  for (ReceiveResult& result : results) result = {};
  const int hop_count = hops(group.channel());
  for (int hop = 0; hop < hop_count; ++hop) {
    const HopReport report = receive_hop(group, hop);
    for (std::size_t handset = 0; handset < results.size(); ++handset) {
      const float share = 1.0f / static_cast<float>(hop_count);
      if (report.usable) {
        report_channel(group, report, handset, share, results[handset]);
      } else {
        results[handset].sinr_db -= 100 * share;
      }
    }
  }
  for (int s = 0; s < group.stream_count; ++s) {
    const Stream& stream = group.streams[static_cast<std::size_t>(s)];
    ReceiveResult& result = results[static_cast<std::size_t>(stream.handset)];
    const CodewordResult decoded = stream.has_blocks
                                       ? decode_rest(group, static_cast<std::size_t>(s))
                                       : decode_with_uci(group, stream);
    if (stream.codeword == 1) {
      result.second = decoded;
      continue;
    }
    result.crc_ok = decoded.crc_ok;
    result.code_blocks = decoded.code_blocks;
    result.code_blocks_ok = decoded.code_blocks_ok;
    result.iterations = decoded.iterations;
  }
}

ReceiveResult pusch_receive(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pusch,
                            View<const cf32, 3> grid, bool new_data,
                            const fec::SchDecodeOptions& options, fec::HarqBuffer& harq,
                            View<std::uint8_t, 1> tb, ReceiveWorkspace& workspace) {
  Reception reception;
  reception.channel = &pusch;
  reception.new_data = new_data;
  reception.harq = &harq;
  reception.tb = tb;
  ReceiveOptions all;
  all.decode = options;
  ReceiveResult result;
  shared_channel_receive(carrier, slot, {&reception, 1}, grid, all, {&result, 1}, workspace);
  return result;
}

}  // namespace noroshi::phy
