// Catches: a handset whose OFDM, HARQ memory, scaling or transport blocks do not fit the cell's; a
// retransmission combined with another transport block's soft bits.

#include "air/handset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "air/channel.h"
#include "nr/dmrs_symbols.h"
#include "nr/mcs.h"
#include "phy/ofdm/ofdm.h"

namespace noroshi::air {
namespace {

constexpr std::uint64_t seed = 31;

nr::SharedChannel make_shared_channel(const nr::Carrier& carrier, int rb_start, int rbs, int mcs) {
  nr::SharedChannel channel;
  channel.rnti = 4711;
  channel.scrambling_id = static_cast<std::uint16_t>(carrier.cell_id);
  for (int rb = rb_start; rb < rb_start + rbs; ++rb) channel.rbs.set(rb);
  channel.symbol_start = 0;
  channel.symbol_count = 14;
  const nr::Mcs scheme = *nr::mcs(nr::McsTable::qam64, mcs);
  channel.modulation = scheme.modulation;
  channel.code_rate_x10240 = scheme.code_rate_x10240;
  channel.dmrs.symbol_mask = nr::pdsch_dmrs_symbols(0, 14, {.additional_positions = 1});
  channel.dmrs.scrambling_id = static_cast<std::uint16_t>(carrier.cell_id);
  channel.tb_bits = nr::transport_block_bits(channel);
  return channel;
}

// The cell's side of one link.
struct Cell {
  nr::Carrier carrier;
  phy::OfdmPlan ofdm;
  phy::TransmitWorkspace transmit;
  phy::ReceiveWorkspace receive;
  fec::HarqBuffer harq;
  std::vector<cf32> grid;

  explicit Cell(const nr::Carrier& on)
      : carrier(on),
        ofdm(on),
        transmit(on),
        receive(on),
        harq(400'000),
        grid(4 * static_cast<std::size_t>(14 * on.subcarriers())) {}

  View<cf32, 3> view(std::size_t antennas) {
    return {grid.data(), antennas, 14, carrier.subcarriers()};
  }

  std::vector<cf32> send(std::int64_t slot, const nr::SharedChannel& pdsch,
                         const std::vector<std::uint8_t>& tb) {
    std::fill(grid.begin(), grid.end(), cf32(0));
    phy::pdsch_transmit(carrier, static_cast<int>(slot % 20), pdsch,
                        View<const std::uint8_t, 1>(tb), view(1), transmit);
    std::vector<cf32> samples(nr::slot_samples(carrier, static_cast<int>(slot % 2)));
    phy::ofdm_modulate(ofdm, static_cast<int>(slot % 2),
                       std::sqrt(static_cast<float>(carrier.fft_size)), view(1)[0],
                       View<cf32, 1>(samples));
    return samples;
  }
};

std::vector<std::uint8_t> random_tb(Prng& prng, const nr::SharedChannel& channel) {
  std::vector<std::uint8_t> tb(channel.tb_bits / 8);
  for (auto& byte : tb) byte = static_cast<std::uint8_t>(prng());
  return tb;
}

// What `antennas` antennas get of one slot.
std::vector<cf32> through(Channel& channel, Prng& prng, std::int64_t slot, double snr_db,
                          const std::vector<cf32>& samples, std::size_t antennas) {
  std::vector<cf32> received(antennas * samples.size());
  const View<cf32, 2> view(received.data(), antennas, samples.size());
  channel.apply(slot * static_cast<std::int64_t>(samples.size()), 1.0f,
                View<const cf32, 1>(samples), view);
  for (std::size_t a = 0; a < antennas; ++a) {
    add_noise(static_cast<float>(std::pow(10.0, -snr_db / 10)), prng, view[a]);
  }
  return received;
}

Channel make_channel(const nr::Carrier& carrier, const char* profile, int antennas) {
  ChannelConfig config;
  config.profile = channel_profile(profile, 30e-9).value();
  config.doppler_hz = 10;
  config.sample_rate_hz = carrier.sample_rate_hz();
  config.receive_antennas = antennas;
  config.seed = seed;
  return Channel(config, nr::slot_samples_max(carrier));
}

TEST(Handset, ReceivesWhatTheCellSends) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  const nr::Carrier carrier = nr::make_carrier(30, 20).value();
  Cell cell(carrier);
  Handset handset(carrier, 4711);
  for (const char* profile : {"awgn", "tdla30"}) {
    Channel channel = make_channel(carrier, profile, 2);
    for (std::int64_t slot = 0; slot < 6; ++slot) {
      SCOPED_TRACE(testing::Message() << profile << " slot " << slot);
      const int rbs = slot == 0 ? 51 : 4 + static_cast<int>(prng.below(40));
      const auto pdsch = make_shared_channel(carrier, static_cast<int>(slot), rbs, 16);
      const auto tb = random_tb(prng, pdsch);
      const auto samples = cell.send(slot, pdsch, tb);
      const auto received = through(channel, prng, slot, 30, samples, 2);
      const auto report =
          handset.receive_pdsch(slot, pdsch, static_cast<int>(slot), true,
                                View<const cf32, 2>(received.data(), 2, samples.size()));
      EXPECT_TRUE(report.phy.crc_ok);
      EXPECT_TRUE(std::equal(tb.begin(), tb.end(), report.tb[0].begin(), report.tb[0].end()));
      if (profile[0] == 'a') {
        // Two antennas at 30 dB each; noise of power p a sample has power p a resource element.
        EXPECT_NEAR(report.phy.sinr_db, 33, 1.5);
        EXPECT_NEAR(10 * std::log10(report.phy.noise_power), -30, 1.5);
      }
    }
  }
}

TEST(Handset, CombinesRetransmissionsOfTheSameBlockOnly) {
  Prng prng(seed);
  const nr::Carrier carrier = nr::make_carrier(30, 10).value();
  Cell cell(carrier);
  Handset handset(carrier, 4711);
  Channel channel = make_channel(carrier, "awgn", 1);
  auto pdsch = make_shared_channel(carrier, 0, 20, 16);  // needs 9.1 dB
  const auto tb = random_tb(prng, pdsch);
  bool ok[3] = {};
  const int rvs[] = {0, 2, 3};
  for (int i = 0; i < 3; ++i) {
    pdsch.rv = rvs[i];
    const auto samples = cell.send(i, pdsch, tb);
    const auto received = through(channel, prng, i, 5.5, samples, 1);
    const auto report = handset.receive_pdsch(
        i, pdsch, 3, i == 0, View<const cf32, 2>(received.data(), 1, samples.size()));
    ok[i] = report.phy.crc_ok;
  }
  EXPECT_FALSE(ok[0]);
  EXPECT_TRUE(ok[1] || ok[2]);

  // A process whose first transmission never came: nothing of the old block may spoil this one.
  const auto other = make_shared_channel(carrier, 0, 11, 10);
  const auto other_tb = random_tb(prng, other);
  const auto samples = cell.send(5, other, other_tb);
  const auto received = through(channel, prng, 5, 25, samples, 1);
  const auto report = handset.receive_pdsch(
      5, other, 3, false, View<const cf32, 2>(received.data(), 1, samples.size()));
  EXPECT_TRUE(report.phy.crc_ok);
  EXPECT_TRUE(
      std::equal(other_tb.begin(), other_tb.end(), report.tb[0].begin(), report.tb[0].end()));
}

TEST(Handset, SendsWhatTheCellReceives) {
  Prng prng(seed);
  for (const int scs_khz : {15, 30}) {
    SCOPED_TRACE(scs_khz);
    const nr::Carrier carrier = nr::make_carrier(scs_khz, 10).value();
    const int slots_a_subframe = scs_khz / 15;
    Cell cell(carrier);
    Handset handset(carrier, 4711);
    Channel channel = make_channel(carrier, "tdla30", 2);
    std::vector<std::uint8_t> first;
    for (std::int64_t slot = 0; slot < 4; ++slot) {
      const auto pusch = make_shared_channel(carrier, 2, 20, 12);
      const int in_subframe = static_cast<int>(slot % slots_a_subframe);
      std::vector<cf32> samples(nr::slot_samples(carrier, in_subframe), cf32(9, 9));
      const bool new_data = slot != 1;
      const auto sent = handset.transmit_pusch(slot, pusch, 5, new_data, View<cf32, 1>(samples));
      ASSERT_EQ(sent.size(), static_cast<std::size_t>(pusch.tb_bits / 8));
      double energy = 0;  // of a unitary transform: of each element 1, DM-RS on average too
      for (const cf32& x : samples) energy += std::norm(x);
      const double mean = energy / static_cast<double>(samples.size());
      EXPECT_NEAR(mean * carrier.fft_size / (20 * 12), 1, 0.1);
      if (slot == 0) first.assign(sent.begin(), sent.end());
      EXPECT_EQ(std::equal(first.begin(), first.end(), sent.begin()), slot <= 1);

      const auto received = through(channel, prng, slot, 30, samples, 2);
      const auto grid = cell.view(2);
      for (std::size_t a = 0; a < 2; ++a) {
        phy::ofdm_demodulate(
            cell.ofdm, in_subframe, 0, 1 / std::sqrt(static_cast<float>(carrier.fft_size)),
            View<const cf32, 1>(received.data() + a * samples.size(), samples.size()), grid[a]);
      }
      std::vector<std::uint8_t> tb(sent.size());
      const auto result = phy::pusch_receive(carrier, static_cast<int>(slot), pusch, grid, true, {},
                                             cell.harq, View<std::uint8_t, 1>(tb), cell.receive);
      EXPECT_TRUE(result.crc_ok);
      EXPECT_TRUE(std::equal(tb.begin(), tb.end(), sent.begin()));
    }
  }
}

TEST(Handset, ItsBlocksFollowTheSeed) {
  const nr::Carrier carrier = nr::make_carrier(30, 5).value();
  const auto pusch = make_shared_channel(carrier, 0, 5, 5);
  std::vector<cf32> samples(nr::slot_samples(carrier, 0));
  const auto block = [&](std::uint16_t rnti, std::uint64_t with_seed) {
    Handset handset(carrier, rnti, with_seed);
    const auto tb = handset.transmit_pusch(0, pusch, 0, true, View<cf32, 1>(samples));
    return std::vector<std::uint8_t>(tb.begin(), tb.end());
  };
  EXPECT_EQ(block(1, 1), block(1, 1));
  EXPECT_NE(block(1, 1), block(1, 2));
  EXPECT_NE(block(1, 1), block(2, 1));
}

}  // namespace
}  // namespace noroshi::air
