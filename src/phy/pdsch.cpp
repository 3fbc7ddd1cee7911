#include "phy/pdsch.h"

#include <string>

#include "phy/precode/precode.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::phy {

int Precoding::groups(const nr::SharedChannel& channel, int group_rbs) {
  if (group_rbs <= 0) return 1;
  int first = -1, last = 0;
  for (int rb = 0; rb < nr::rb_max; ++rb) {
    if (!channel.rbs[static_cast<std::size_t>(rb)]) continue;
    if (first < 0) first = rb;
    last = rb;
  }
  return last / group_rbs - first / group_rbs + 1;
}

Result<void> check_pdsch(const nr::Carrier& carrier, const nr::SharedChannel& pdsch) {
  return check_downlink(carrier, pdsch);
}

Result<void> check_precoding(const nr::SharedChannel& channel, const Precoding& precoding,
                             int ports) {
  const auto wrong = [](const char* field, std::size_t value, const std::string& allowed) {
    return Error{std::string(field) + " is " + std::to_string(value) + ", allowed: " + allowed};
  };
  if (ports < 1 || ports > static_cast<int>(ports_max))
    return Error{"ports is " + std::to_string(ports) + ", allowed: 1..8"};
  if (precoding.group_rbs < 0 || precoding.group_rbs > nr::rb_max)
    return Error{"precoding.group_rbs is " + std::to_string(precoding.group_rbs) +
                 ", allowed: 0.." + std::to_string(nr::rb_max)};
  if (precoding.group_rbs != 0 && channel.second_hop_rb != -1)
    return Error{"precoding.group_rbs is " + std::to_string(precoding.group_rbs) +
                 ", allowed: 0 with a second hop"};
  if (precoding.matrices.empty()) {
    if (channel.layers <= ports) return {};
    return Error{"layers is " + std::to_string(channel.layers) + ", allowed: up to the " +
                 std::to_string(ports) + " ports without a precoding matrix"};
  }
  const auto& extents = precoding.matrices.extents();
  const auto groups = static_cast<std::size_t>(Precoding::groups(channel, precoding.group_rbs));
  if (extents[0] != groups)
    return wrong("precoding.matrices extent 0", extents[0], std::to_string(groups) + " groups");
  if (extents[1] != static_cast<std::size_t>(ports))
    return wrong("precoding.matrices extent 1", extents[1], std::to_string(ports) + " ports");
  if (extents[2] != static_cast<std::size_t>(channel.layers))
    return wrong("precoding.matrices extent 2", extents[2],
                 std::to_string(channel.layers) + " layers");
  return {};
}

void pdsch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pdsch,
                    const std::array<View<const std::uint8_t, 1>, 2>& tbs,
                    const Precoding& precoding, View<cf32, 3> grid, TransmitWorkspace& workspace) {
  shared_channel_transmit(carrier, slot, pdsch, {.tb = tbs, .uci = {}}, precoding, grid, workspace);
}

}  // namespace noroshi::phy
