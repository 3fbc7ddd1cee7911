// Any channel is either refused with a message or sent, without a fault and with numbers in its
// grid: as PDSCH and as PUSCH, its fields whatever they are.

#include <cmath>
#include <cstdlib>
#include <vector>

#include "phy/shared_channel/shared_channel_bytes.h"
#include "phy/shared_channel/transmit.h"

namespace {

using namespace noroshi;
using namespace noroshi::phy;

void send(const nr::Carrier& carrier, const nr::SharedChannel& channel) {
  static TransmitWorkspace workspace(carrier);
  const auto bytes = [](int bits) {
    return std::vector<std::uint8_t>(bytes_for_bits(static_cast<std::size_t>(bits)));
  };
  const std::vector<std::uint8_t> tb_0 = bytes(channel.tb_bits),
                                  tb_1 = bytes(channel.second.tb_bits);
  const std::vector<std::uint8_t> harq = bytes(channel.uci.harq_bits);
  const std::vector<std::uint8_t> csi1 = bytes(channel.uci.csi1_bits);
  const std::vector<std::uint8_t> csi2 = bytes(channel.uci.csi2_bits);
  const Payload payload{.tb = {tb_0, tb_1}, .uci = {harq, csi1, csi2}};
  const auto ports = static_cast<std::size_t>(channel.layers);
  std::vector<cf32> grid(ports * nr::symbols_per_slot *
                         static_cast<std::size_t>(carrier.subcarriers()));
  const View<cf32, 3> view(grid.data(), ports, nr::symbols_per_slot, carrier.subcarriers());
  shared_channel_transmit(carrier, 3, channel, payload, {}, view, workspace);
  for (const cf32 value : grid)
    if (!std::isfinite(value.real()) || !std::isfinite(value.imag())) std::abort();
}

bool allowed(const Result<void>& result) {
  if (!result.ok() && result.error().message.empty()) std::abort();
  return result.ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const nr::Carrier carrier = nr::make_carrier(30, 10).value();
  const nr::SharedChannel channel = from_bytes(data, size);
  if (allowed(check_downlink(carrier, channel))) send(carrier, channel);
  if (allowed(check_uplink(carrier, channel)) && allowed(check_uci_fits(channel)))
    send(carrier, channel);
  return 0;
}
