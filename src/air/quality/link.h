#pragma once

// One PUSCH block after another from a handset through a GridChannel to the cell's receiver: data,
// channel and noise of block i come from (seed, i) alone.

#include <cstdint>
#include <vector>

#include "air/grid_channel/grid_channel.h"
#include "air/handset.h"

namespace noroshi::air {

struct LinkConfig {
  nr::Carrier carrier;
  nr::SharedChannel pusch;  // layer i is sent on port i
  GridChannelConfig channel;
  fec::SchDecodeOptions decode;
  std::uint64_t seed = 1;
};

class Link {
 public:
  // Preconditions: check_pusch_transmit and phy::check_pusch of the configuration; the channel has
  // a port for each layer and the carrier's subcarriers.
  explicit Link(const LinkConfig& config);

  // Whether the block is lost. sinr_db: what all antennas together receive of all layers in a
  // resource element, on average, over the noise that one antenna receives. (OCUDU's
  // pxsch_bler_test defines it so: its layers share power 1, its antennas each get a part.)
  bool loses(double sinr_db, std::uint64_t block);

  const phy::ReceiveResult& last() const { return last_; }

 private:
  LinkConfig config_;
  GridChannel channel_;
  phy::TransmitWorkspace transmit_;
  phy::ReceiveWorkspace receive_;
  fec::HarqBuffer harq_;
  std::vector<std::uint8_t> sent_, received_;  // transport block
  std::vector<cf32> port_grid_, antenna_grid_;
  phy::ReceiveResult last_;
};

}  // namespace noroshi::air
