// Catches: any difference between the transmitter and the clauses as ref:: has them: layers and
// codewords, precoding groups, interleaved blocks, DM-RS of every port, PT-RS, reserved elements,
// hopping, transform precoding, UCI; and elements written that are not the channel's.

#include "phy/shared_channel/transmit.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/every_target.h"
#include "phy/shared_channel/shared_channel_test_configs.h"

namespace noroshi::phy {
namespace {

nr::Carrier small_carrier() {
  nr::Carrier carrier = nr::make_carrier(30, 10).value();  // 24 blocks
  return carrier;
}

std::string describe(const nr::SharedChannel& c) {
  std::ostringstream text;
  text << " layers " << c.layers << " rbs " << c.rbs.count() << " symbols " << c.symbol_start << "+"
       << c.symbol_count << " Qm " << nr::bits_per_symbol(c.modulation) << " dmrs type "
       << c.dmrs.type << " mask " << c.dmrs.symbol_mask << " ports " << c.dmrs.port_mask
       << " groups " << c.dmrs.cdm_groups_without_data << " ptrs " << c.ptrs.present << " reserved "
       << c.reserved_count << " vrb " << c.vrb.bundle_rbs << " dft " << c.transform_precoding
       << " hop " << c.second_hop_rb << " uci " << c.uci.harq_bits << "/" << c.uci.csi1_bits << "/"
       << c.uci.csi2_bits << " tb " << c.tb_bits << "/" << c.second.tb_bits;
  return text.str();
}

struct Grids {
  std::size_t ports;
  std::size_t subcarriers;
  std::vector<cf32> fast;
  std::vector<cf64> exact;

  Grids(int port_count, const nr::Carrier& carrier)
      : ports(static_cast<std::size_t>(port_count)),
        subcarriers(static_cast<std::size_t>(carrier.subcarriers())),
        fast(ports * nr::symbols_per_slot * subcarriers, cf32(9, -9)),
        exact(fast.size(), cf64(9, -9)) {}

  void send(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
            const Payload& payload, const Precoding& precoding, TransmitWorkspace& workspace) {
    shared_channel_transmit(carrier, slot, channel, payload, precoding,
                            {fast.data(), ports, nr::symbols_per_slot, subcarriers}, workspace);
    ref::shared_channel_transmit(carrier, slot, channel, payload, precoding,
                                 {exact.data(), ports, nr::symbols_per_slot, subcarriers});
  }
  // Where they differ most; both must leave the marks of elements outside.
  double error() const {
    double worst = 0;
    for (std::size_t i = 0; i < fast.size(); ++i)
      worst = std::max(worst, std::abs(cf64(fast[i]) - exact[i]));
    return worst;
  }
};

TEST(Transmit, PdschIsTheClauses) {
  constexpr std::uint64_t seed = 81;
  const nr::Carrier carrier = small_carrier();
  TransmitWorkspace workspace(carrier);
  std::uint64_t number = 0;  // other channels on every instruction set
  on_every_target([&](const char* target) {
    Prng prng(seed + 1000 * number++);
    for (int round = 0; round < 600; ++round) {
      nr::SharedChannel channel = random_pdsch(prng, carrier);
      if (chance(prng, 6)) channel.modulation = nr::Modulation::qam1024;
      if (channel.layers > 4 && chance(prng, 6))
        channel.second.modulation = nr::Modulation::qam1024;
      const RandomPayload payload(prng, channel);
      Precoding precoding;
      int ports = pick(prng, channel.layers, 8);
      std::vector<cf32> matrices;
      if (chance(prng, 2)) {
        ports = pick(prng, 1, 8);
        precoding.group_rbs = one_of(prng, {0, 2, 4, 5});
        const auto groups =
            static_cast<std::size_t>(Precoding::groups(channel, precoding.group_rbs));
        const auto layers = static_cast<std::size_t>(channel.layers);
        matrices.resize(groups * static_cast<std::size_t>(ports) * layers);
        for (auto& w : matrices)
          w = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
        precoding.matrices = {matrices.data(), groups, static_cast<std::size_t>(ports), layers};
      }
      ASSERT_TRUE(check_precoding(channel, precoding, ports).ok());
      Grids grids(ports, carrier);
      grids.send(carrier, pick(prng, 0, 19), channel, payload.view(), precoding, workspace);
      ASSERT_LT(grids.error(), precoding.matrices.empty() ? 2e-6 : 3e-5)
          << target << " seed " << seed + 1000 * (number - 1) << " round " << round << " ports "
          << ports << " PRG " << precoding.group_rbs << describe(channel);
    }
  });
}

TEST(Transmit, PuschIsTheClauses) {
  constexpr std::uint64_t seed = 82;
  const nr::Carrier carrier = small_carrier();
  TransmitWorkspace workspace(carrier);
  std::uint64_t number = 0;  // other channels on every instruction set
  on_every_target([&](const char* target) {
    Prng prng(seed + 1000 * number++);
    for (int round = 0; round < 600; ++round) {
      const nr::SharedChannel channel = random_pusch(prng, carrier, true);
      const RandomPayload payload(prng, channel);
      Precoding precoding;
      nr::PuschPrecoder codebook;
      int ports = channel.layers;
      if (channel.layers != 3 && chance(prng, 2)) {
        ports = channel.layers == 4 ? 4 : one_of(prng, {2, 4});
        codebook =
            nr::pusch_precoder(ports, channel.layers, pick(prng, 0, 2), channel.transform_precoding)
                .value();
        precoding.matrices = {codebook.w.data(), 1, static_cast<std::size_t>(ports),
                              static_cast<std::size_t>(channel.layers)};
      }
      Grids grids(ports, carrier);
      grids.send(carrier, pick(prng, 0, 19), channel, payload.view(), precoding, workspace);
      // The DFT in single precision.
      ASSERT_LT(grids.error(), 1e-5)
          << target << " seed " << seed + 1000 * (number - 1) << " round " << round << " ports "
          << ports << describe(channel);
    }
  });
}

}  // namespace
}  // namespace noroshi::phy
