#include "air/quality/harq_link.h"

#include <cassert>
#include <cmath>

namespace noroshi::air {
namespace {

constexpr int transmissions_max = 4;
constexpr int rv_of_transmission[transmissions_max] = {0, 2, 3, 1};
constexpr int slots_between = 10;
constexpr int channel_samples_max = 4096;

}  // namespace

HarqLink::HarqLink(const HarqLinkConfig& config)
    : config_(config),
      slot_samples_max_(nr::slot_samples_max(config.carrier)),
      ofdm_(config.carrier),
      transmit_(config.carrier),
      receive_(config.carrier),
      harq_(config.pusch.tb_bits),
      sent_(static_cast<std::size_t>(config.pusch.tb_bits) / 8),
      received_(sent_.size()) {
  assert(check_pusch_transmit(config.carrier, config.pusch));
  assert(phy::check_pusch(config.carrier, config.pusch));
  const auto elements =
      nr::symbols_per_slot * static_cast<std::size_t>(config.carrier.subcarriers());
  port_grid_.resize(static_cast<std::size_t>(config.pusch.layers) * elements);
  antenna_grid_.resize(static_cast<std::size_t>(config.antennas) * elements);
}

double HarqLink::lost_share(double snr_db, int transmissions, std::uint64_t run) {
  Prng data(config_.seed, 2 * run), noise(config_.seed, 2 * run + 1);
  std::vector<Channel> channels;
  for (int port = 0; port < config_.pusch.layers; ++port) {
    ChannelConfig channel;
    channel.profile = config_.profile;
    channel.doppler_hz = config_.doppler_hz;
    channel.sample_rate_hz = config_.carrier.sample_rate_hz();
    channel.receive_antennas = config_.antennas;
    channel.seed = data();
    channels.emplace_back(channel, slot_samples_max_ + channel_samples_max);
  }
  int delivered = 0, attempt = 0;
  for (int i = 0; i < transmissions; ++i) {
    if (attempt == 0)
      for (std::uint8_t& byte : sent_) byte = static_cast<std::uint8_t>(data());
    const bool ok = transmit(i * slots_between, attempt, snr_db, noise, channels);
    delivered += ok;
    attempt = ok || attempt + 1 == transmissions_max ? 0 : attempt + 1;
  }
  return 1 - static_cast<double>(delivered) / transmissions;
}

// Slots that are slots_between apart begin at the same place in their subframe.
bool HarqLink::transmit(int slot, int attempt, double snr_db, Prng& noise,
                        std::vector<Channel>& channels) {
  const int subcarriers = config_.carrier.subcarriers();
  const int in_frame = slot % (10 * config_.carrier.scs_khz / 15);
  const int in_subframe = slot % (config_.carrier.scs_khz / 15);
  const View<cf32, 3> ports(port_grid_.data(), config_.pusch.layers, nr::symbols_per_slot,
                            subcarriers);
  const View<cf32, 3> antennas(antenna_grid_.data(), config_.antennas, nr::symbols_per_slot,
                               subcarriers);
  nr::SharedChannel pusch = config_.pusch;
  pusch.rv = rv_of_transmission[attempt];
  pusch_transmit(config_.carrier, in_frame, pusch, sent_, {}, ports, transmit_);

  // The channel's output comes late by its latency.
  const auto samples = static_cast<std::size_t>(nr::slot_samples(config_.carrier, in_subframe));
  const auto latency = static_cast<std::size_t>(channels[0].latency_samples());
  const std::size_t span = samples + latency;
  assert(latency <= channel_samples_max);
  const float unitary = std::sqrt(static_cast<float>(config_.carrier.fft_size));
  antenna_samples_.assign(static_cast<std::size_t>(config_.antennas) * span, cf32(0));
  const View<cf32, 2> received(antenna_samples_.data(), config_.antennas, span);
  for (std::size_t port = 0; port < channels.size(); ++port) {
    port_samples_.assign(span, cf32(0));
    phy::ofdm_modulate(ofdm_, in_subframe, unitary, ports[port],
                       View<cf32, 1>(port_samples_).subview(0, samples));
    channels[port].apply(static_cast<std::int64_t>(slot) * static_cast<std::int64_t>(samples),
                         1 / std::sqrt(static_cast<float>(config_.pusch.layers)), port_samples_,
                         received);
  }
  add_noise(static_cast<float>(std::pow(10.0, -snr_db / 10)), noise, antenna_samples_);
  // The window begins a little early, for what the interpolation puts in front of the first path.
  const int window_offset = nr::cyclic_prefix_samples(config_.carrier, 0, 1) / 16;
  for (std::size_t a = 0; a < antennas.extent(0); ++a)
    phy::ofdm_demodulate(ofdm_, in_subframe, window_offset, 1 / unitary,
                         received[a].subview(latency, samples), antennas[a]);
  const phy::ReceiveResult result =
      phy::pusch_receive(config_.carrier, in_frame, pusch, antennas, attempt == 0, config_.decode,
                         harq_, received_, receive_);
  return result.crc_ok && sent_ == received_;
}

}  // namespace noroshi::air
