#pragma once

// One PUSCH block after another from a handset through a GridChannel to the cell's receiver: data,
// channel and noise of block i come from (seed, i) alone.

#include <cstdint>
#include <optional>
#include <vector>

#include "air/grid_channel/grid_channel.h"
#include "air/handset.h"

namespace noroshi::air {

// Another cell's handset in the same symbols.
struct Interferer {
  nr::SharedChannel pusch;    // of scrambling ids of its own; on blocks of its choice
  GridChannelConfig channel;  // to the same antennas
  double sir_db = 0;          // of a resource element, all layers and antennas on both sides
};

struct LinkConfig {
  nr::Carrier carrier;
  nr::SharedChannel pusch;  // layer i is sent on port i
  GridChannelConfig channel;
  fec::SchDecodeOptions decode;
  phy::Equalizer equalizer = phy::Equalizer::mmse;
  std::optional<Interferer> interferer;
  std::uint64_t seed = 1;
};

class Link {
 public:
  // Preconditions: check_pusch_transmit and phy::check_pusch of the configuration; the channels
  // have a port for each layer and the carrier's subcarriers, and the same antennas.
  explicit Link(const LinkConfig& config);

  // Whether the block is lost. sinr_db: what all antennas together receive of all layers in a
  // resource element, on average, over the noise that one antenna receives. (OCUDU's
  // pxsch_bler_test defines it so: its layers share power 1, its antennas each get a part.)
  bool loses(double sinr_db, std::uint64_t block);

  const phy::ReceiveResult& last() const { return last_; }

 private:
  void add_interferer(int slot, std::uint64_t block);

  LinkConfig config_;
  GridChannel channel_;
  std::optional<GridChannel> interferer_channel_;
  phy::TransmitWorkspace transmit_;
  phy::ReceiveWorkspace receive_;
  fec::HarqBuffer harq_;
  std::vector<std::uint8_t> sent_, received_;  // transport block
  std::vector<std::uint8_t> interferer_sent_;
  std::vector<cf32> port_grid_, antenna_grid_;
  std::vector<cf32> interferer_port_grid_, interferer_antenna_grid_;
  phy::ReceiveResult last_;
};

}  // namespace noroshi::air
