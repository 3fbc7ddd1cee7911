// The handset's ends of PUSCH and PDSCH. The two links are one format whose fields differ
// (TS 38.211 6.3.1, 7.3.1): the same code serves both directions.

#include "air/handset.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::air {

Result<void> check_pusch_transmit(const nr::Carrier& carrier, const nr::SharedChannel& pusch) {
  if (Result<void> allowed = phy::check_uplink(carrier, pusch); !allowed) return allowed;
  return phy::check_uci_fits(pusch);
}

void pusch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pusch,
                    const phy::Payload& payload, View<const cf32, 2> precoding, View<cf32, 3> grid,
                    phy::TransmitWorkspace& workspace) {
  phy::Precoding wideband;
  if (!precoding.empty())
    wideband.matrices = {precoding.data(), 1, precoding.extent(0), precoding.extent(1)};
  phy::shared_channel_transmit(carrier, slot, pusch, payload, wideband, grid, workspace);
}

void pusch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pusch,
                    View<const std::uint8_t, 1> tb, View<const cf32, 2> precoding,
                    View<cf32, 3> grid, phy::TransmitWorkspace& workspace) {
  pusch_transmit(carrier, slot, pusch, {.tb = {tb, {}}, .uci = {}}, precoding, grid, workspace);
}

phy::ReceiveResult pdsch_receive(const nr::Carrier& carrier, int slot,
                                 const phy::Reception& reception, View<const cf32, 3> grid,
                                 const phy::ReceiveOptions& options,
                                 phy::ReceiveWorkspace& workspace) {
  phy::ReceiveResult result;
  phy::shared_channel_receive(carrier, slot, {&reception, 1}, grid, options, {&result, 1},
                              workspace);
  return result;
}

phy::ReceiveResult pdsch_receive(const nr::Carrier& carrier, int slot,
                                 const nr::SharedChannel& pdsch, View<const cf32, 3> grid,
                                 bool new_data, const fec::SchDecodeOptions& options,
                                 fec::HarqBuffer& harq, View<std::uint8_t, 1> tb,
                                 phy::ReceiveWorkspace& workspace) {
  return phy::pusch_receive(carrier, slot, pdsch, grid, new_data, options, harq, tb, workspace);
}

}  // namespace noroshi::air
