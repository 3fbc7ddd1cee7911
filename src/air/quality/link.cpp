#include "air/quality/link.h"

#include <cassert>
#include <cmath>

namespace noroshi::air {
namespace {

constexpr int slots_per_frame = 20;

}  // namespace

Link::Link(const LinkConfig& config)
    : config_(config),
      channel_(config.channel),
      transmit_(config.carrier),
      receive_(config.carrier),
      harq_(config.pusch.tb_bits),
      sent_(static_cast<std::size_t>(config.pusch.tb_bits) / 8),
      received_(sent_.size()) {
  assert(check_pusch_transmit(config.carrier, config.pusch));
  assert(phy::check_pusch(config.carrier, config.pusch));
  assert(config.channel.ports == config.pusch.layers);
  assert(config.channel.subcarriers == config.carrier.subcarriers());
  const auto elements =
      nr::symbols_per_slot * static_cast<std::size_t>(config.carrier.subcarriers());
  port_grid_.resize(static_cast<std::size_t>(config.channel.ports) * elements);
  antenna_grid_.resize(static_cast<std::size_t>(config.channel.antennas) * elements);
  if (!config.interferer) return;
  const Interferer& other = *config.interferer;
  assert(check_pusch_transmit(config.carrier, other.pusch));
  assert(other.channel.ports == other.pusch.layers);
  assert(other.channel.antennas == config.channel.antennas);
  assert(other.channel.subcarriers == config.carrier.subcarriers());
  interferer_channel_.emplace(other.channel);
  interferer_sent_.resize(static_cast<std::size_t>(other.pusch.tb_bits) / 8);
  interferer_port_grid_.resize(static_cast<std::size_t>(other.channel.ports) * elements);
  interferer_antenna_grid_.resize(antenna_grid_.size());
}

void Link::add_interferer(int slot, std::uint64_t block) {
  const Interferer& other = *config_.interferer;
  const int subcarriers = config_.carrier.subcarriers();
  // Streams that no block of the link itself has.
  constexpr std::uint64_t apart = std::uint64_t{1} << 62;
  Prng data(config_.seed, apart + 2 * block), fading(config_.seed, apart + 2 * block + 1);
  for (std::uint8_t& byte : interferer_sent_) byte = static_cast<std::uint8_t>(data());
  const View<cf32, 3> ports(interferer_port_grid_.data(), other.channel.ports, nr::symbols_per_slot,
                            subcarriers);
  pusch_transmit(config_.carrier, slot, other.pusch, interferer_sent_, {}, ports, transmit_);
  interferer_channel_->draw(fading);
  interferer_channel_->apply(ports, {interferer_antenna_grid_.data(), other.channel.antennas,
                                     nr::symbols_per_slot, subcarriers});
  const double power =
      config_.pusch.layers * std::pow(10.0, -other.sir_db / 10) / other.pusch.layers;
  cpu::add_multiple(cf32(static_cast<float>(std::sqrt(power))), interferer_antenna_grid_,
                    antenna_grid_);
}

bool Link::loses(double sinr_db, std::uint64_t block) {
  const int subcarriers = config_.carrier.subcarriers();
  const View<cf32, 3> ports(port_grid_.data(), config_.channel.ports, nr::symbols_per_slot,
                            subcarriers);
  const View<cf32, 3> antennas(antenna_grid_.data(), config_.channel.antennas, nr::symbols_per_slot,
                               subcarriers);
  const int slot = static_cast<int>(block % (slots_per_frame / (30 / config_.carrier.scs_khz)));
  Prng data(config_.seed, 3 * block), fading(config_.seed, 3 * block + 1),
      noise(config_.seed, 3 * block + 2);
  for (std::uint8_t& byte : sent_) byte = static_cast<std::uint8_t>(data());
  pusch_transmit(config_.carrier, slot, config_.pusch, sent_, {}, ports, transmit_);
  channel_.draw(fading);
  channel_.apply(ports, antennas);
  if (config_.interferer) add_interferer(slot, block);
  // A layer has power 1 in the grid.
  const double noise_power = config_.pusch.layers * std::pow(10.0, -sinr_db / 10);
  add_noise(static_cast<float>(noise_power), noise, antenna_grid_);
  phy::Reception reception;
  reception.channel = &config_.pusch;
  reception.harq = &harq_;
  reception.tb = received_;
  phy::ReceiveOptions options;
  options.equalizer = config_.equalizer;
  options.decode = config_.decode;
  phy::shared_channel_receive(config_.carrier, slot, {&reception, 1}, antennas, options,
                              {&last_, 1}, receive_);
  // A false CRC is a loss too.
  return !last_.crc_ok || sent_ != received_;
}

}  // namespace noroshi::air
