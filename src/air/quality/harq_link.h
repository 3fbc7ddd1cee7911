#pragma once

// PUSCH with HARQ from a handset through fading channels in the time domain to the cell's receiver,
// as TS 38.104 8.2.1 measures throughput: up to four transmissions of a transport block, redundancy
// versions 0, 2, 3, 1. One HARQ process, whose transmissions are 10 slots apart.

#include <cstdint>
#include <vector>

#include "air/channel.h"
#include "air/handset.h"
#include "phy/ofdm/ofdm.h"

namespace noroshi::air {

struct HarqLinkConfig {
  nr::Carrier carrier;
  nr::SharedChannel pusch;  // layer i on port i, 1 / layers of the power each
  ChannelProfile profile;   // of each port to each antenna, independent
  double doppler_hz = 0;
  int antennas = 1;
  fec::SchDecodeOptions decode;
  std::uint64_t seed = 1;
};

class HarqLink {
 public:
  // Preconditions: check_pusch_transmit and phy::check_pusch.
  explicit HarqLink(const HarqLinkConfig& config);

  // The share of so many transmissions, from any time on, that delivered no transport block: 1 -
  // throughput. snr_db: all ports' signal over noise, of an antenna and resource element. Data,
  // fading and noise of run i come from (seed, i) alone.
  double lost_share(double snr_db, int transmissions, std::uint64_t run);

 private:
  bool transmit(int slot, int attempt, double snr_db, Prng& noise, std::vector<Channel>& channels);

  HarqLinkConfig config_;
  int slot_samples_max_;
  phy::OfdmPlan ofdm_;
  phy::TransmitWorkspace transmit_;
  phy::ReceiveWorkspace receive_;
  fec::HarqBuffer harq_;
  std::vector<std::uint8_t> sent_, received_;  // transport block
  std::vector<cf32> port_grid_, antenna_grid_, port_samples_, antenna_samples_;
};

}  // namespace noroshi::air
