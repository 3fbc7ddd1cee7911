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
  // A layer has power 1 in the grid.
  const double noise_power = config_.pusch.layers * std::pow(10.0, -sinr_db / 10);
  add_noise(static_cast<float>(noise_power), noise, antenna_grid_);
  last_ = phy::pusch_receive(config_.carrier, slot, config_.pusch, antennas, true, config_.decode,
                             harq_, received_, receive_);
  // A false CRC is a loss too.
  return !last_.crc_ok || sent_ != received_;
}

}  // namespace noroshi::air
