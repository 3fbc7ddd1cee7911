// The handset's ends of PUSCH and PDSCH. Without transform precoding, and with one codeword, uplink
// and downlink are one format (TS 38.211 6.3.1, 7.3.1): the same code serves both directions.

#include "air/handset.h"
#include "phy/shared_channel/allocation.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::air {

Result<void> check_pusch_transmit(const nr::Carrier& carrier, const nr::SharedChannel& pusch) {
  if (Result<void> plain = phy::check_plain(pusch); !plain) return plain;
  return phy::check_uplink(carrier, pusch);
}

void pusch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pusch,
                    View<const std::uint8_t, 1> tb, View<const cf32, 2> precoding,
                    View<cf32, 3> grid, phy::TransmitWorkspace& workspace) {
  phy::shared_channel_transmit(carrier, slot, pusch, tb, precoding, grid, workspace);
}

phy::ReceiveResult pdsch_receive(const nr::Carrier& carrier, int slot,
                                 const nr::SharedChannel& pdsch, View<const cf32, 3> grid,
                                 bool new_data, const fec::SchDecodeOptions& options,
                                 fec::HarqBuffer& harq, View<std::uint8_t, 1> tb,
                                 phy::ReceiveWorkspace& workspace) {
  return phy::pusch_receive(carrier, slot, pdsch, grid, new_data, options, harq, tb, workspace);
}

}  // namespace noroshi::air
