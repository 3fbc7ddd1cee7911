#include "phy/pdsch.h"

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

Refusal refuse_precoding(const nr::SharedChannel& channel, const Precoding& precoding, int ports) {
  if (ports < 1 || ports > static_cast<int>(ports_max)) return {"ports", double(ports), "1..8"};
  if (precoding.group_rbs < 0 || precoding.group_rbs > nr::rb_max)
    return {"precoding.group_rbs", double(precoding.group_rbs), "0..275"};
  if (precoding.group_rbs != 0 && channel.second_hop_rb != -1)
    return {"precoding.group_rbs", double(precoding.group_rbs), "0 with a second hop"};
  if (precoding.matrices.empty()) {
    if (channel.layers <= ports) return {};
    return {"layers", double(channel.layers), "up to the ports without a precoding matrix"};
  }
  const auto& extents = precoding.matrices.extents();
  const std::array<std::size_t, 3> wanted = {
      static_cast<std::size_t>(Precoding::groups(channel, precoding.group_rbs)),
      static_cast<std::size_t>(ports), static_cast<std::size_t>(channel.layers)};
  constexpr const char* what[] = {"the groups of the allocation", "the ports", "the layers"};
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (extents[i] != wanted[i])
      return {"precoding.matrices extent #", static_cast<double>(extents[i]), what[i],
              static_cast<int>(i)};
  return {};
}

Result<void> check_precoding(const nr::SharedChannel& channel, const Precoding& precoding,
                             int ports) {
  return as_result(refuse_precoding(channel, precoding, ports));
}

void pdsch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pdsch,
                    const std::array<View<const std::uint8_t, 1>, 2>& tbs,
                    const Precoding& precoding, View<cf32, 3> grid, TransmitWorkspace& workspace) {
  shared_channel_transmit(carrier, slot, pdsch, {.tb = tbs, .uci = {}}, precoding, grid, workspace);
}

}  // namespace noroshi::phy
