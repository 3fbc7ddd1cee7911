// A slot of PDSCH, transport blocks to grid: all 14 symbols, DM-RS type 1 in two of them (2 and 11;
// from five layers on the pair 2 and 3), no data beside it. "1x1": layers and ports; "matrix": a
// precoding matrix for every four blocks instead of layer i on port i.

#include <cassert>
#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "nr/mcs.h"
#include "phy/pdsch.h"

namespace noroshi::phy {
namespace {

struct Case {
  const char* name;
  int rbs;
  int layers;
  nr::Modulation modulation;
  int code_rate_x10240;
  bool matrix;
};

constexpr nr::Modulation qpsk = nr::Modulation::qpsk, qam64 = nr::Modulation::qam64,
                         qam256 = nr::Modulation::qam256, qam1024 = nr::Modulation::qam1024;
constexpr Case cases[] = {
    {"270prb 256qam 1x1", 270, 1, qam256, 9480, false},
    {"270prb 256qam 2x2", 270, 2, qam256, 9480, false},
    {"270prb 256qam 4x4", 270, 4, qam256, 9480, false},
    {"270prb 256qam 8x8", 270, 8, qam256, 9480, false},
    {"270prb 64qam 4x4", 270, 4, qam64, 8730, false},
    {"270prb qpsk 4x4", 270, 4, qpsk, 3080, false},
    {"270prb 1024qam 4x4", 270, 4, qam1024, 9480, false},
    {"270prb 256qam 2x2 matrix", 270, 2, qam256, 9480, true},
    {"270prb 256qam 4x4 matrix", 270, 4, qam256, 9480, true},
    {"270prb 256qam 8x8 matrix", 270, 8, qam256, 9480, true},
    {"273prb 256qam 4x4", 273, 4, qam256, 9480, false},
};

nr::SharedChannel make_channel(const Case& c) {
  nr::SharedChannel channel;
  channel.rnti = 0x4601;
  channel.scrambling_id = 1;
  for (int rb = 0; rb < c.rbs; ++rb) channel.rbs[static_cast<std::size_t>(rb)] = true;
  channel.layers = c.layers;
  channel.modulation = c.modulation;
  channel.code_rate_x10240 = c.code_rate_x10240;
  channel.dmrs.double_symbol = c.layers > 4;
  channel.dmrs.symbol_mask = c.layers > 4 ? 1u << 2 | 1u << 3 : 1u << 2 | 1u << 11;
  channel.dmrs.port_mask = static_cast<std::uint16_t>((1 << c.layers) - 1);
  channel.tb_bits = nr::transport_block_bits(channel);
  if (nr::codewords(channel) == 2) {
    channel.second.modulation = c.modulation;
    channel.second.code_rate_x10240 = c.code_rate_x10240;
    channel.second.tb_bits = nr::transport_block_bits(channel, 0, 1);
  }
  return channel;
}

std::vector<std::uint8_t> random_block(int bits) {
  Prng prng(1);
  std::vector<std::uint8_t> tb(static_cast<std::size_t>(bits) / 8);
  for (auto& byte : tb) byte = static_cast<std::uint8_t>(prng());
  return tb;
}

}  // namespace

NOROSHI_BENCH(pdsch) {
  const nr::Carrier carrier = nr::make_carrier(30, 100).value();
  const int slot = 4;
  for (const Case& c : cases) {
    if (!bench.wants(c.name)) continue;
    const nr::SharedChannel channel = make_channel(c);
    assert(check_pdsch(carrier, channel).ok());
    const std::vector<std::uint8_t> tb_0 = random_block(channel.tb_bits);
    const std::vector<std::uint8_t> tb_1 = random_block(channel.second.tb_bits);
    const auto ports = static_cast<std::size_t>(c.layers);
    Precoding precoding;
    std::vector<cf32> matrices;
    if (c.matrix) {
      precoding.group_rbs = 4;
      const auto groups = static_cast<std::size_t>(Precoding::groups(channel, precoding.group_rbs));
      Prng prng(3);
      matrices.resize(groups * ports * ports);
      for (auto& w : matrices)
        w = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
      precoding.matrices = {matrices.data(), groups, ports, ports};
    }
    std::vector<cf32> grid(ports * nr::symbols_per_slot *
                           static_cast<std::size_t>(carrier.subcarriers()));
    const View<cf32, 3> view(grid.data(), ports, nr::symbols_per_slot, carrier.subcarriers());
    TransmitWorkspace workspace(carrier);
    bench.time_us(c.name, [&] {
      pdsch_transmit(carrier, slot, channel, {tb_0, tb_1}, precoding, view, workspace);
      return hash_bytes(grid.data() + 3 * view.extent(2), 64);
    });
  }
}

}  // namespace noroshi::phy
