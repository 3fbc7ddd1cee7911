// A slot of PUSCH, grid to transport block: all 14 symbols, DM-RS type 1 in symbols 2 and 11, no
// data beside it, a flat channel well above the working point of its MCS, so that every code block
// passes its CRC.

#include <cassert>
#include <cmath>
#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "nr/mcs.h"
#include "phy/pdsch.h"
#include "phy/pusch.h"

namespace noroshi::phy {
namespace {

struct Case {
  const char* name;
  int rbs;
  int antennas;
  nr::Modulation modulation;
  int code_rate_x10240;
  double snr_db;
};

nr::Carrier wide_carrier() {
  Result<nr::Carrier> carrier = nr::make_carrier(30, 100);
  assert(carrier.ok());
  return *carrier;
}

nr::SharedChannel make_channel(const Case& c) {
  nr::SharedChannel channel;
  channel.rnti = 0x4601;
  channel.scrambling_id = 1;
  for (int rb = 0; rb < c.rbs; ++rb) channel.rbs[static_cast<std::size_t>(rb)] = true;
  channel.modulation = c.modulation;
  channel.code_rate_x10240 = c.code_rate_x10240;
  channel.dmrs.symbol_mask = 1u << 2 | 1u << 11;
  channel.tb_bits = nr::transport_block_bits(channel);
  assert(check_pusch(wide_carrier(), channel).ok());
  return channel;
}

std::vector<std::uint8_t> random_block(const nr::SharedChannel& channel) {
  Prng prng(1);
  std::vector<std::uint8_t> tb(static_cast<std::size_t>(channel.tb_bits) / 8);
  for (auto& byte : tb) byte = static_cast<std::uint8_t>(prng());
  return tb;
}

// What the antennas see: the sent grid, turned, in white noise.
std::vector<cf32> receive_grid(const std::vector<cf32>& sent, int antennas, double snr_db) {
  Prng prng(2);
  const double sigma = std::sqrt(std::pow(10.0, -snr_db / 10) / 2);
  std::vector<cf32> received;
  received.reserve(sent.size() * static_cast<std::size_t>(antennas));
  for (int a = 0; a < antennas; ++a) {
    const cf32 turn(std::polar(1.0f, 0.7f * static_cast<float>(a)));
    for (const cf32& value : sent)
      received.push_back(value * turn + cf32(static_cast<float>(sigma * prng.normal()),
                                             static_cast<float>(sigma * prng.normal())));
  }
  return received;
}

constexpr Case pusch_cases[] = {
    {"273prb 256qam r0.926 1x1", 273, 1, nr::Modulation::qam256, 9480, 35},
    {"273prb 256qam r0.926 1x4", 273, 4, nr::Modulation::qam256, 9480, 35},
    {"273prb 64qam r0.853 1x1", 273, 1, nr::Modulation::qam64, 8730, 28},
    {"273prb 64qam r0.853 1x4", 273, 4, nr::Modulation::qam64, 8730, 28},
    {"273prb qpsk r0.301 1x1", 273, 1, nr::Modulation::qpsk, 3080, 12},
    {"273prb qpsk r0.301 1x4", 273, 4, nr::Modulation::qpsk, 3080, 12},
};

}  // namespace

NOROSHI_BENCH(pusch) {
  const nr::Carrier carrier = wide_carrier();
  const int slot = 4;
  for (const Case& c : pusch_cases) {
    if (!bench.wants(c.name)) continue;
    const nr::SharedChannel channel = make_channel(c);
    const std::vector<std::uint8_t> sent = random_block(channel);
    std::vector<cf32> grid(nr::symbols_per_slot * static_cast<std::size_t>(carrier.subcarriers()));
    TransmitWorkspace transmit(carrier);
    // Without transform precoding a PUSCH of one layer looks as a PDSCH does.
    pdsch_transmit(carrier, slot, channel, sent,
                   View<cf32, 3>(grid.data(), 1, nr::symbols_per_slot, carrier.subcarriers()),
                   transmit);
    const std::vector<cf32> received = receive_grid(grid, c.antennas, c.snr_db);
    const View<const cf32, 3> antennas(received.data(), c.antennas, nr::symbols_per_slot,
                                       carrier.subcarriers());
    ReceiveWorkspace workspace(carrier);
    fec::HarqBuffer harq(channel.tb_bits);
    std::vector<std::uint8_t> tb(sent.size());
    bench.time_us(c.name, [&] {
      const ReceiveResult result =
          pusch_receive(carrier, slot, channel, antennas, true, {}, harq, tb, workspace);
      assert(result.crc_ok);
      return hash_bytes(tb.data(), tb.size(), static_cast<std::uint64_t>(result.iterations));
    });
  }
}

}  // namespace noroshi::phy
