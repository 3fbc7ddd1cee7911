#pragma once

// The handset's physical layer: the inverse chains of the cell's. It knows its grants from inside
// the process until PDCCH exists.

#include <array>
#include <cstdint>
#include <memory>

#include "base/view.h"
#include "nr/shared_channel.h"
#include "phy/pdsch.h"
#include "phy/pusch.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::air {

inline constexpr int harq_processes = 16;

// A PUSCH of the standard: 1 to 4 layers, DM-RS of both types, both waveforms, hopping, PT-RS, UCI
// that has room. Errors name the field and its value.
Result<void> check_pusch_transmit(const nr::Carrier& carrier, const nr::SharedChannel& pusch);

// PUSCH transmit. grid: [port, symbol 14, subcarrier]. precoding: [port, layer], empty for
// layer i on port i (nr/pusch_precoding.h has the codebook of TS 38.211 6.3.1.5). Elements outside
// the allocation stay as they are. Precondition: check_pusch_transmit.
void pusch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pusch,
                    const phy::Payload& payload, View<const cf32, 2> precoding, View<cf32, 3> grid,
                    phy::TransmitWorkspace& workspace);
// Without UCI.
void pusch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pusch,
                    View<const std::uint8_t, 1> tb, View<const cf32, 2> precoding,
                    View<cf32, 3> grid, phy::TransmitWorkspace& workspace);

// PDSCH receive, one antenna or more, of up to 8 layers in two codewords: `reception` has a HARQ
// buffer and room for each. Precondition: phy::check_pdsch_receive.
phy::ReceiveResult pdsch_receive(const nr::Carrier& carrier, int slot,
                                 const phy::Reception& reception, View<const cf32, 3> grid,
                                 const phy::ReceiveOptions& options,
                                 phy::ReceiveWorkspace& workspace);
// The same of one codeword, as phy::pusch_receive.
phy::ReceiveResult pdsch_receive(const nr::Carrier& carrier, int slot,
                                 const nr::SharedChannel& pdsch, View<const cf32, 3> grid,
                                 bool new_data, const fec::SchDecodeOptions& options,
                                 fec::HarqBuffer& harq, View<std::uint8_t, 1> tb,
                                 phy::ReceiveWorkspace& workspace);

// What a handset can do; sizes its memory.
struct HandsetLimits {
  int transmit_antennas = 1;
  int receive_antennas = nr::receive_antennas_max;
  int uplink_layers = 1;
  int downlink_layers = 1;  // two codewords from 5 on
};

// One handset: OFDM both ways, its HARQ buffers, its transport blocks. All memory at construction.
//
// Samples are in the scale of a unitary transform: a resource element of power 1 gives the time
// domain the energy 1 (a full allocation of unit-power elements has the mean sample power
// subcarriers / fft_size), and white noise of power p a sample has power p a resource element. So
// the signal-to-noise ratio of an element is simply 1 / p.
class Handset {
 public:
  // seed: of the uplink's transport blocks, together with rnti.
  Handset(const nr::Carrier& carrier, std::uint16_t rnti, std::uint64_t seed = 1,
          const fec::SchDecodeOptions& options = {}, const HandsetLimits& limits = {});
  ~Handset();
  Handset(Handset&&) noexcept;
  Handset& operator=(Handset&&) noexcept;

  struct DownlinkReport {
    phy::ReceiveResult phy;
    std::array<View<const std::uint8_t, 1>, 2> tb;  // by codeword; valid until the next call
  };

  // samples: [antenna, sample] of one slot. new_data = false for a process that holds no transport
  // blocks of these sizes and base graphs (its first transmission never came) counts as new data.
  // prg_rbs: blocks that were precoded alike (phy::ReceiveOptions). Precondition:
  // phy::check_pdsch_receive; layers and antennas within the limits.
  DownlinkReport receive_pdsch(std::int64_t slot, const nr::SharedChannel& pdsch, int harq_id,
                               bool new_data, View<const cf32, 2> samples, int prg_rbs = 0);

  // Writes one slot of samples, [antenna, sample] (silence outside the allocation's symbols). A new
  // transport block is drawn from the handset's own seeded stream and kept for retransmissions of
  // harq_id; the view of it is returned so that the site can compare what arrives; it is valid
  // until the next new transport block of harq_id. precoding: [antenna, layer]; empty: layer i on
  // antenna i. uci: as much as the channel says. Precondition: phy::check_pusch; layers and
  // antennas within the limits.
  View<const std::uint8_t, 1> transmit_pusch(std::int64_t slot, const nr::SharedChannel& pusch,
                                             int harq_id, bool new_data,
                                             View<const cf32, 2> precoding,
                                             const phy::UciPayload& uci, View<cf32, 2> samples);
  // One antenna, no UCI.
  View<const std::uint8_t, 1> transmit_pusch(std::int64_t slot, const nr::SharedChannel& pusch,
                                             int harq_id, bool new_data, View<cf32, 1> samples) {
    return transmit_pusch(slot, pusch, harq_id, new_data, {}, {},
                          View<cf32, 2>(samples.data(), 1, samples.size()));
  }

  std::uint16_t rnti() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::air
