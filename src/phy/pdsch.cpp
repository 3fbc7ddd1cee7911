#include "phy/pdsch.h"

#include "phy/shared_channel/transmit.h"

namespace noroshi::phy {

Result<void> check_pdsch(const nr::Carrier& carrier, const nr::SharedChannel& pdsch) {
  if (Result<void> plain = check_plain(pdsch); !plain) return plain;
  return check_downlink(carrier, pdsch);
}

void pdsch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pdsch,
                    View<const std::uint8_t, 1> tb, View<cf32, 3> grid,
                    TransmitWorkspace& workspace) {
  shared_channel_transmit(carrier, slot, pdsch, tb, {}, grid, workspace);
}

}  // namespace noroshi::phy
