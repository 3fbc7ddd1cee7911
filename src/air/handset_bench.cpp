#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "air/channel.h"
#include "air/handset.h"
#include "base/bench.h"
#include "nr/dmrs_symbols.h"
#include "nr/mcs.h"
#include "phy/ofdm/ofdm.h"

namespace noroshi::air {
namespace {

nr::SharedChannel full_slot(const nr::Carrier& carrier, int mcs) {
  nr::SharedChannel channel;
  channel.rnti = 1;
  for (int rb = 0; rb < carrier.rb_count; ++rb) channel.rbs.set(rb);
  const nr::Mcs scheme = *nr::mcs(nr::McsTable::qam256, mcs);
  channel.modulation = scheme.modulation;
  channel.code_rate_x10240 = scheme.code_rate_x10240;
  channel.dmrs.symbol_mask = nr::pdsch_dmrs_symbols(0, 14, {.additional_positions = 1});
  channel.tb_bits = nr::transport_block_bits(channel);
  return channel;
}

std::vector<cf32> cell_slot(const nr::Carrier& carrier, const nr::SharedChannel& pdsch,
                            Prng& prng) {
  std::vector<std::uint8_t> tb(pdsch.tb_bits / 8);
  for (auto& byte : tb) byte = static_cast<std::uint8_t>(prng());
  std::vector<cf32> grid(static_cast<std::size_t>(14 * carrier.subcarriers()));
  const View<cf32, 3> view(grid.data(), 1, 14, carrier.subcarriers());
  phy::TransmitWorkspace workspace(carrier);
  phy::pdsch_transmit(carrier, 0, pdsch, View<const std::uint8_t, 1>(tb), view, workspace);
  phy::OfdmPlan plan(carrier);
  std::vector<cf32> samples(nr::slot_samples(carrier, 0));
  phy::ofdm_modulate(plan, 0, std::sqrt(static_cast<float>(carrier.fft_size)), view[0],
                     View<cf32, 1>(samples));
  return samples;
}

void receive_case(Bench& bench, int bandwidth_mhz, int mcs, int antennas, const char* scheme) {
  const nr::Carrier carrier = nr::make_carrier(30, bandwidth_mhz).value();
  const std::string name =
      std::to_string(carrier.rb_count) + "prb " + scheme + " 1x" + std::to_string(antennas);
  if (!bench.wants(name)) return;
  Prng prng(1);
  const nr::SharedChannel pdsch = full_slot(carrier, mcs);
  const std::vector<cf32> sent = cell_slot(carrier, pdsch, prng);
  std::vector<cf32> received;
  for (int antenna = 0; antenna < antennas; ++antenna) {
    received.insert(received.end(), sent.begin(), sent.end());
  }
  add_noise(1e-4f, prng, View<cf32, 1>(received));
  Handset handset(carrier, 1);
  bench.time_us(name, [&] {
    const auto report = handset.receive_pdsch(
        0, pdsch, 0, true, View<const cf32, 2>(received.data(), antennas, sent.size()));
    return report.phy.crc_ok ? hash_bytes(report.tb[0].data(), report.tb[0].size()) : 0;
  });
}

NOROSHI_BENCH(handset_pdsch) {
  receive_case(bench, 20, 27, 1, "256qam r0.926");
  receive_case(bench, 20, 27, 2, "256qam r0.926");
  receive_case(bench, 20, 14, 2, "64qam r0.602");
  receive_case(bench, 100, 27, 2, "256qam r0.926");
}

NOROSHI_BENCH(handset_pusch) {
  for (const int bandwidth_mhz : {20, 100}) {
    const nr::Carrier carrier = nr::make_carrier(30, bandwidth_mhz).value();
    const nr::SharedChannel pusch = full_slot(carrier, 27);
    Handset handset(carrier, 1);
    std::vector<cf32> samples(nr::slot_samples(carrier, 0));
    bench.time_us(std::to_string(carrier.rb_count) + "prb 256qam r0.926", [&] {
      const auto tb = handset.transmit_pusch(0, pusch, 0, false, View<cf32, 1>(samples));
      return hash_bytes(tb.data(), tb.size()) ^
             hash_bytes(samples.data() + samples.size() - 64, 64 * sizeof(cf32));
    });
  }
}

}  // namespace
}  // namespace noroshi::air
