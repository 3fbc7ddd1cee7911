// Catches: a result that depends on how many workers share a slot, or on which of them came first:
// a code block decoded twice or not at all, or with soft bits of another symbol; a block at the
// border of two workers' symbols; soft bits lost that a retransmission needs.

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <numbers>
#include <thread>
#include <vector>

#include "base/prng.h"
#include "nr/mcs.h"
#include "phy/pdsch.h"
#include "phy/pusch.h"

namespace noroshi::phy {
namespace {

struct Sent {
  int bandwidth_mhz;
  int layers;
  int antennas;
  nr::Modulation modulation;
  int code_rate_x10240;
  double snr_db;  // low enough that some blocks fail at first
};

// Tasks in threads of their own.
void in_threads(void*, int tasks, void (*task)(void*, int), void* argument) {
  std::vector<std::thread> threads;
  for (int i = 0; i < tasks; ++i) threads.emplace_back(task, argument, i);
  for (std::thread& thread : threads) thread.join();
}
// All by the last worker's hand first.
void backwards(void*, int tasks, void (*task)(void*, int), void* argument) {
  for (int i = tasks - 1; i >= 0; --i) task(argument, i);
}

struct Received {
  ReceiveResult results[2];
  std::vector<std::uint8_t> tbs[2];
};

Received receive_twice(const nr::Carrier& carrier, const nr::SharedChannel& channel,
                       const std::vector<cf32> (&grids)[2], int antennas, const Workers& workers) {
  ReceiveWorkspace workspace(carrier, channel.layers, antennas, workers.count);
  fec::HarqBuffer harq(channel.tb_bits);
  Received received;
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::vector<std::uint8_t>& tb = received.tbs[attempt];
    tb.resize(static_cast<std::size_t>(channel.tb_bits) / 8);
    nr::SharedChannel sent = channel;
    sent.rv = attempt == 0 ? 0 : 2;
    Reception reception;
    reception.channel = &sent;
    reception.new_data = attempt == 0;
    reception.harq = &harq;
    reception.tb = tb;
    ReceiveOptions options;
    options.workers = workers;
    shared_channel_receive(carrier, 4, {&reception, 1},
                           View<const cf32, 3>(grids[attempt].data(), antennas,
                                               nr::symbols_per_slot, carrier.subcarriers()),
                           options, {&received.results[attempt], 1}, workspace);
  }
  return received;
}

// Layer i on antenna a turned by 2 pi a i / antennas, in white noise.
std::vector<cf32> through_air(const std::vector<cf32>& layers, const Sent& sent, Prng& prng) {
  const std::size_t size = layers.size() / static_cast<std::size_t>(sent.layers);
  const double sigma = std::sqrt(std::pow(10.0, -sent.snr_db / 10) / 2);
  std::vector<cf32> grid;
  for (int a = 0; a < sent.antennas; ++a)
    for (std::size_t i = 0; i < size; ++i) {
      cf64 sum(sigma * prng.normal(), sigma * prng.normal());
      for (int layer = 0; layer < sent.layers; ++layer)
        sum += cf64(layers[static_cast<std::size_t>(layer) * size + i]) *
               std::polar(1.0, 2 * std::numbers::pi * a * (layer + 0.3) / sent.antennas);
      grid.emplace_back(sum);
    }
  return grid;
}

void expect_the_same(const Received& one, const Received& other) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    SCOPED_TRACE(testing::Message() << "attempt " << attempt);
    const ReceiveResult& a = one.results[attempt];
    const ReceiveResult& b = other.results[attempt];
    EXPECT_EQ(one.tbs[attempt], other.tbs[attempt]);
    EXPECT_EQ(a.crc_ok, b.crc_ok);
    EXPECT_EQ(a.code_blocks_ok, b.code_blocks_ok);
    EXPECT_EQ(a.iterations, b.iterations);
    EXPECT_EQ(a.sinr_db, b.sinr_db);
    EXPECT_EQ(a.evm, b.evm);
  }
}

TEST(ReceiveWorkers, AnyNumberReceivesTheSame) {
  constexpr std::uint64_t seed = 71;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  // The wide ones have subcarriers enough for a part to each worker; of QPSK a block is longer than
  // a part.
  constexpr Sent cases[] = {{20, 1, 1, nr::Modulation::qam256, 9480, 26.4},
                            {20, 2, 4, nr::Modulation::qam64, 8730, 16},
                            {20, 4, 4, nr::Modulation::qam256, 8500, 23.5},
                            {20, 1, 2, nr::Modulation::qpsk, 3080, -4.5},
                            {100, 4, 4, nr::Modulation::qam256, 8500, 23.5},
                            {100, 4, 4, nr::Modulation::qpsk, 3080, -7.5}};
  int failed_first = 0;
  for (const Sent& sent : cases) {
    const nr::Carrier carrier = nr::make_carrier(30, sent.bandwidth_mhz).value();
    for (const int last_dmrs : {11, 0}) {  // 0: data beside the DM-RS, which starts the slot
      nr::SharedChannel channel;
      channel.rnti = 0x4601;
      channel.scrambling_id = 1;
      for (int rb = 0; rb < carrier.rb_count; ++rb)
        channel.rbs[static_cast<std::size_t>(rb)] = true;
      channel.modulation = sent.modulation;
      channel.code_rate_x10240 = sent.code_rate_x10240;
      channel.dmrs.symbol_mask = last_dmrs == 0 ? 1u : 1u << 2 | 1u << last_dmrs;
      if (last_dmrs == 0 && sent.layers <= 2) channel.dmrs.cdm_groups_without_data = 1;
      channel.layers = sent.layers;
      channel.dmrs.port_mask = static_cast<std::uint16_t>((1u << sent.layers) - 1);
      channel.tb_bits = nr::transport_block_bits(channel);
      ASSERT_TRUE(check_pusch(carrier, channel).ok())
          << check_pusch(carrier, channel).error().message;
      std::vector<std::uint8_t> tb(static_cast<std::size_t>(channel.tb_bits) / 8);
      for (std::uint8_t& byte : tb) byte = static_cast<std::uint8_t>(prng());
      std::vector<cf32> grids[2];
      TransmitWorkspace transmit(carrier);
      for (int attempt = 0; attempt < 2; ++attempt) {
        nr::SharedChannel version = channel;
        version.rv = attempt == 0 ? 0 : 2;
        std::vector<cf32> layers(static_cast<std::size_t>(sent.layers * nr::symbols_per_slot) *
                                 static_cast<std::size_t>(carrier.subcarriers()));
        pdsch_transmit(
            carrier, 4, version, tb,
            View<cf32, 3>(layers.data(), sent.layers, nr::symbols_per_slot, carrier.subcarriers()),
            transmit);
        grids[attempt] = through_air(layers, sent, prng);
      }
      const Received alone = receive_twice(carrier, channel, grids, sent.antennas, {});
      failed_first += alone.results[0].code_blocks - alone.results[0].code_blocks_ok;
      EXPECT_TRUE(alone.results[1].crc_ok);
      EXPECT_EQ(alone.tbs[1], tb);
      for (const int count : {2, 3, 5}) {
        SCOPED_TRACE(testing::Message()
                     << count << " workers, " << sent.bandwidth_mhz << " MHz, layers "
                     << sent.layers << " DM-RS " << last_dmrs);
        for (const auto run : {in_threads, backwards})
          expect_the_same(
              alone, receive_twice(carrier, channel, grids, sent.antennas, {count, run, nullptr}));
      }
    }
  }
  EXPECT_GT(failed_first, 0) << "no block needed the second transmission";
}

}  // namespace
}  // namespace noroshi::phy
