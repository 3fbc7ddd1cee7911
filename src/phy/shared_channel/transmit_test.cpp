// Catches: any difference between the transmitter and the clauses as ref:: has them: layers and
// codewords, precoding groups, interleaved blocks, DM-RS of every port, PT-RS, reserved elements,
// hopping, transform precoding, UCI; and elements written that are not the channel's.

#include "phy/shared_channel/transmit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>
#include <string>

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

TEST(Transmit, RefusalsNameFieldAndValue) {
  const nr::Carrier carrier = small_carrier();
  nr::SharedChannel good;
  for (std::size_t rb = 2; rb < 12; ++rb) good.rbs.set(rb);
  good.code_rate_x10240 = 3000;
  good.dmrs.symbol_mask = 1 << 2 | 1 << 11;
  good.tb_bits = nr::transport_block_bits(good);
  ASSERT_TRUE(check_downlink(carrier, good).ok());
  ASSERT_TRUE(check_uplink(carrier, good).ok());
  const auto refused = [&](bool downlink, const std::string& text, auto change) {
    nr::SharedChannel bad = good;
    change(bad);
    const Result<void> result =
        downlink ? check_downlink(carrier, bad) : check_uplink(carrier, bad);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_NE(result.error().message.find(text), std::string::npos) << result.error().message;
  };
  for (const bool downlink : {true, false}) {
    refused(downlink, "layers is 9", [](auto& c) { c.layers = 9; });
    refused(downlink, "second.tb_bits is 800", [](auto& c) { c.second.tb_bits = 800; });
    refused(downlink, "dmrs.reference_rb is 3", [](auto& c) { c.dmrs.reference_rb = 3; });
    refused(downlink, "dmrs.hopping is 1",
            [](auto& c) { c.dmrs.hopping = nr::SequenceHopping::group; });
    refused(downlink, "ptrs.time_density is 3",
            [](auto& c) { c.ptrs.present = true, c.ptrs.time_density = 3; });
    refused(downlink, "ptrs.frequency_density is 1",
            [](auto& c) { c.ptrs.present = true, c.ptrs.frequency_density = 1; });
    refused(downlink, "ptrs.re_offset is 4",
            [](auto& c) { c.ptrs.present = true, c.ptrs.re_offset = 4; });
    refused(downlink, "ptrs.dmrs_port[0] is 1", [](auto& c) {
      c.ptrs.present = true, c.ptrs.dmrs_port = {1, -1};
    });
    refused(downlink, "ptrs.amplitude is nan",
            [](auto& c) { c.ptrs.present = true, c.ptrs.amplitude = std::nanf(""); });
  }
  refused(true, "transform_precoding is 1", [](auto& c) { c.transform_precoding = true; });
  refused(true, "second_hop_rb is 5", [](auto& c) { c.second_hop_rb = 5; });
  refused(true, "uci.harq_bits is 1", [](auto& c) { c.uci.harq_bits = 1; });
  refused(true, "reserved_count is 17", [](auto& c) { c.reserved_count = 17; });
  refused(true, "reserved[1].subcarrier_mask is 4096", [](auto& c) {
    c.reserved_count = 2;
    c.reserved[1].subcarrier_mask = 0x1000;
  });
  refused(true, "vrb.bundle_rbs is 3", [](auto& c) { c.vrb = {3, 0, 24, false}; });
  refused(true, "vrb.rb_count is 25", [](auto& c) { c.vrb = {2, 0, 25, false}; });
  refused(true, "rbs is 11", [](auto& c) { c.vrb = {2, 0, 11, false}; });
  refused(false, "vrb.bundle_rbs is 2", [](auto& c) { c.vrb = {2, 0, 24, false}; });
  refused(false, "reserved_count is 1", [](auto& c) { c.reserved_count = 1; });
  refused(false, "modulation is 10", [](auto& c) { c.modulation = nr::Modulation::qam1024; });
  refused(false, "modulation is 1", [](auto& c) { c.modulation = nr::Modulation::pi2_bpsk; });
  refused(false, "second_hop_rb is 15", [](auto& c) { c.second_hop_rb = 15; });
  refused(false, "dmrs.symbol_mask is 4",
          [](auto& c) { c.second_hop_rb = 5, c.dmrs.symbol_mask = 1 << 2; });
  refused(false, "blocks of rbs is 7", [](auto& c) {
    c.transform_precoding = true;
    c.rbs.reset();
    for (std::size_t rb = 0; rb < 7; ++rb) c.rbs.set(rb);
  });
  refused(false, "dmrs.cdm_groups_without_data is 1",
          [](auto& c) { c.transform_precoding = true, c.dmrs.cdm_groups_without_data = 1; });
  refused(false, "ptrs.group_samples is 2", [](auto& c) {
    c.transform_precoding = c.ptrs.present = true;
    c.ptrs.groups = 8;
  });
  refused(false, "uci.csi2_bits is 3", [](auto& c) { c.uci.harq_bits = 1, c.uci.csi2_bits = 3; });

  Precoding precoding;
  EXPECT_FALSE(check_precoding(good, precoding, 9).ok());
  std::vector<cf32> matrices(12);
  precoding = {{matrices.data(), 3, 4, 1}, 4};  // blocks 2 to 11: groups 0, 1, 2
  EXPECT_TRUE(check_precoding(good, precoding, 4).ok());
  EXPECT_FALSE(check_precoding(good, precoding, 2).ok());
  precoding.group_rbs = 2;
  EXPECT_FALSE(check_precoding(good, precoding, 4).ok());
}

}  // namespace
}  // namespace noroshi::phy
