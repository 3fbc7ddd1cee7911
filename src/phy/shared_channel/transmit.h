#pragma once

// Transmission of one shared channel: PDSCH, and PUSCH without transform precoding, differ only in
// the precoding of layers to ports (TS 38.211 6.3.1, 7.3.1).
//
//   transport block -> crc, segment, ldpc, rate match -> scramble -> modulate -> precode, map,
//   DM-RS

#include "phy/pdsch.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {

// grid: [port, symbol 14, subcarrier]. precoding: [port, layer], empty for layer i on port i.
// Elements outside the allocated blocks and symbols stay as they are; inside, those without data or
// DM-RS become 0. Precondition: check_shared_channel.
void shared_channel_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
                             View<const std::uint8_t, 1> tb, View<const cf32, 2> precoding,
                             View<cf32, 3> grid, TransmitWorkspace& workspace);

// DM-RS alone: adds every layer's pilots, precoded, to the elements of the grid.
void add_dmrs(int slot, const nr::SharedChannel& channel, View<const cf32, 2> precoding,
              View<cf32, 3> grid, TransmitWorkspace& workspace);

}  // namespace noroshi::phy
