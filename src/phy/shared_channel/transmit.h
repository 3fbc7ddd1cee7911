#pragma once

// Transmission of one shared channel, PDSCH or PUSCH (TS 38.211 6.3.1, 6.4.1, 7.3.1, 7.4.1;
// TS 38.212 6.2, 6.3.2, 7.2). The two links differ in what their fields may be; transform precoding
// puts a DFT between layers and ports.
//
//   transport blocks, UCI -> codewords, scrambled -> levels of each layer -> (dft) -> ports -> grid

#include <array>
#include <cstdint>

#include "fec/uci/pusch_uci.h"
#include "phy/pdsch.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {

struct UciPayload {
  View<const std::uint8_t, 1> harq;  // packed, as many bits as SharedChannel::uci says
  View<const std::uint8_t, 1> csi1;
  View<const std::uint8_t, 1> csi2;
};

struct Payload {
  std::array<View<const std::uint8_t, 1>, 2> tb;  // by codeword; empty without UL-SCH
  UciPayload uci;
};

// UCI that TS 38.212 6.2.7 cannot place, or that leaves UL-SCH too little. Allocates. Precondition:
// check_uplink.
Result<void> check_uci_fits(const nr::SharedChannel& pusch);
// The same without allocating.
Refusal refuse_uci(const nr::SharedChannel& pusch, fec::PuschUciLayout& scratch);

// grid: [port, symbol 14, subcarrier]; see pdsch_transmit. Preconditions: check_downlink or
// check_uplink, check_precoding, check_uci_fits.
void shared_channel_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
                             const Payload& payload, const Precoding& precoding, View<cf32, 3> grid,
                             TransmitWorkspace& workspace);

// DM-RS alone: writes the elements of the CDM groups without data in every symbol with DM-RS, and 0
// to the others of these symbols. Preconditions: as above.
void write_dmrs(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
                const Precoding& precoding, View<cf32, 3> grid, TransmitWorkspace& workspace);

// In double precision and straight from the clauses, element by element; nothing of it is shared
// with the above but the channel coding and the sequences' generators. Allocates.
namespace ref {
void shared_channel_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
                             const Payload& payload, const Precoding& precoding,
                             View<cf64, 3> grid);
}

}  // namespace noroshi::phy
