// The whole uplink in the time domain, handset to channel to cell, against what a real channel does
// to it: late signals, frequency offset, long echoes, movement. Catches: a receiver that loses
// blocks well above the level that their MCS needs, whose reported offsets are wrong, or whose
// result depends on how many workers it has.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numbers>
#include <thread>
#include <vector>

#include "air/channel.h"
#include "air/handset.h"
#include "nr/dmrs_symbols.h"
#include "nr/mcs.h"
#include "phy/ofdm/ofdm.h"

namespace noroshi::air {
namespace {

constexpr std::uint64_t seed = 71;
constexpr int slots = 16;

struct Scene {
  const char* profile = "awgn";
  double delay_spread_s = 0;
  double doppler_hz = 0;
  double timing_offset_s = 0;
  double frequency_offset_hz = 0;
  double snr_db = 20;
  int antennas = 2;
  int mcs = 13;  // 16QAM, R = 0.48: needs 6.5 dB from one antenna in white noise
  int additional_positions = 1;
};

struct Outcome {
  int lost = 0;
  double timing_error_s = 0;      // mean reported less the channel's own offset
  double frequency_error_hz = 0;  // largest
};

nr::SharedChannel make_pusch(const nr::Carrier& carrier, const Scene& scene) {
  nr::SharedChannel pusch;
  pusch.rnti = 4711;
  for (int rb = 0; rb < carrier.rb_count; ++rb) pusch.rbs.set(static_cast<std::size_t>(rb));
  const nr::Mcs mcs = *nr::mcs(nr::McsTable::qam64, scene.mcs);
  pusch.modulation = mcs.modulation;
  pusch.code_rate_x10240 = mcs.code_rate_x10240;
  pusch.dmrs.symbol_mask =
      nr::pusch_dmrs_symbols(0, 14, {.additional_positions = scene.additional_positions});
  pusch.tb_bits = nr::transport_block_bits(pusch);
  return pusch;
}

Outcome run(const Scene& scene) {
  const nr::Carrier carrier = nr::make_carrier(30, 20).value();
  const nr::SharedChannel pusch = make_pusch(carrier, scene);
  ChannelConfig config;
  config.profile = channel_profile(scene.profile, scene.delay_spread_s).value();
  config.doppler_hz = scene.doppler_hz;
  config.sample_rate_hz = carrier.sample_rate_hz();
  config.receive_antennas = scene.antennas;
  config.timing_offset_s = scene.timing_offset_s;
  config.seed = seed;
  Channel channel(config, nr::slot_samples_max(carrier) + 4096);
  Handset handset(carrier, pusch.rnti, seed);
  phy::OfdmPlan ofdm(carrier);
  phy::ReceiveWorkspace workspace(carrier);
  fec::HarqBuffer harq(pusch.tb_bits);
  Prng noise(seed);
  Outcome out;
  const auto latency = static_cast<std::size_t>(channel.latency_samples());
  const std::size_t antennas = static_cast<std::size_t>(scene.antennas);
  std::vector<cf32> grid(antennas * 14 * static_cast<std::size_t>(carrier.subcarriers()));
  const View<cf32, 3> view(grid.data(), antennas, 14, carrier.subcarriers());
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    const int in_subframe = static_cast<int>(slot % 2);
    const auto size = static_cast<std::size_t>(nr::slot_samples(carrier, in_subframe));
    std::vector<cf32> samples(size + latency), received(antennas * samples.size());
    // Slots far apart in time, so that each meets another channel.
    const std::int64_t start = slot * 50 * static_cast<std::int64_t>(size);
    const auto sent =
        handset.transmit_pusch(slot, pusch, 0, true, View<cf32, 1>(samples).subview(0, size));
    for (std::size_t i = 0; i < size; ++i)
      samples[i] *= cf32(std::polar(1.0, 2 * std::numbers::pi * scene.frequency_offset_hz *
                                             static_cast<double>(start + static_cast<int>(i)) /
                                             carrier.sample_rate_hz()));
    const View<cf32, 2> rows(received.data(), antennas, samples.size());
    channel.apply(start, 1, samples, rows);
    add_noise(static_cast<float>(std::pow(10.0, -scene.snr_db / 10)), noise, received);
    const float scale = 1 / std::sqrt(static_cast<float>(carrier.fft_size));
    const int early = nr::cyclic_prefix_samples(carrier, 0, 1) / 16;
    for (std::size_t a = 0; a < antennas; ++a)
      phy::ofdm_demodulate(ofdm, in_subframe, early, scale, rows[a].subview(latency, size),
                           view[a]);
    std::vector<std::uint8_t> tb(sent.size());
    const phy::ReceiveResult result = phy::pusch_receive(
        carrier, static_cast<int>(slot % 20), pusch, view, true, {}, harq, tb, workspace);
    out.lost += !result.crc_ok || !std::equal(tb.begin(), tb.end(), sent.begin());
    const double late = static_cast<double>(result.timing_offset_s);
    out.timing_error_s += (late - scene.timing_offset_s) / slots;
    out.frequency_error_hz = std::max(
        out.frequency_error_hz,
        std::abs(static_cast<double>(result.frequency_offset_hz) - scene.frequency_offset_hz));
  }
  return out;
}

// 64QAM R = 0.65 at 20 dB an antenna needs 12.2 dB from both: 11 dB of margin, of which nothing may
// be lost up to two thirds of the cyclic prefix (2.34 us).
TEST(Chain, LateSignals) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  for (const double late_s : {0.0, 0.1e-6, 0.5e-6, 1.0e-6, 1.6e-6}) {
    const Outcome out = run({.timing_offset_s = late_s, .snr_db = 20, .mcs = 20});
    EXPECT_EQ(out.lost, 0) << late_s;
    EXPECT_NEAR(out.timing_error_s, 0, 20e-9) << late_s;
  }
}

// Two DM-RS symbols 9 apart tell up to 1.5 kHz. The margin is 9 dB; beyond 1 kHz the carriers
// disturb each other at -24 dB.
TEST(Chain, FrequencyOffset) {
  for (const double offset_hz : {-1000.0, -300.0, 50.0, 400.0, 1000.0}) {
    const Outcome out = run({.frequency_offset_hz = offset_hz, .snr_db = 13});
    EXPECT_EQ(out.lost, 0) << offset_hz;
    EXPECT_LT(out.frequency_error_hz, 25) << offset_hz;
  }
}

// Echoes up to most of the cyclic prefix. Four antennas at 14 dB each: fading leaves 6 dB and more.
TEST(Chain, DelaySpread) {
  for (const double spread_s : {10e-9, 100e-9, 300e-9}) {
    const Outcome out =
        run({.profile = "tdl-c", .delay_spread_s = spread_s, .snr_db = 14, .antennas = 4});
    EXPECT_EQ(out.lost, 0) << spread_s;
    EXPECT_GT(out.timing_error_s, 0) << "the mean of the echoes comes late";
    EXPECT_LT(out.timing_error_s, 2 * spread_s + 30e-9) << spread_s;
  }
}

// 400 Hz turns a path by 26 degrees between two DM-RS symbols 5 apart; 1000 Hz by 64.
TEST(Chain, Doppler) {
  for (const double doppler_hz : {10.0, 100.0, 400.0, 1000.0}) {
    const Outcome out = run({.profile = "tdla30",
                             .doppler_hz = doppler_hz,
                             .snr_db = doppler_hz < 500 ? 14.0 : 18.0,
                             .antennas = 4,
                             .additional_positions = doppler_hz < 500 ? 2 : 3});
    EXPECT_EQ(out.lost, 0) << doppler_hz;
  }
}

// Threads started for each call: what matters is that they run at once.
phy::ReceiveOptions options_of(int workers, phy::Equalizer equalizer) {
  phy::ReceiveOptions options;
  options.equalizer = equalizer;
  options.workers = {workers,
                     [](void* context, int tasks, void (*task)(void*, int), void* argument) {
                       const int count = *static_cast<const int*>(context);
                       std::vector<std::jthread> threads;
                       for (int w = 0; w < count; ++w)
                         threads.emplace_back([=] {
                           for (int i = w; i < tasks; i += count) task(argument, i);
                         });
                     },
                     nullptr};
  return options;
}

// Two handsets of two layers, one of which moves or none, on four antennas.
TEST(Chain, WorkersChangeNothing) {
  const nr::Carrier carrier = nr::make_carrier(30, 20).value();
  const std::size_t plane = 14 * static_cast<std::size_t>(carrier.subcarriers());
  phy::TransmitWorkspace transmit(carrier);
  Prng prng(seed);
  for (const bool moving : {false, true}) {
    std::array<nr::SharedChannel, 2> pusch;
    std::array<std::vector<std::uint8_t>, 2> sent;
    std::vector<cf32> grid(4 * plane), ports(2 * plane);
    for (std::size_t h = 0; h < 2; ++h) {
      pusch[h] = make_pusch(carrier, {.mcs = 13, .additional_positions = 2});
      pusch[h].rnti = static_cast<std::uint16_t>(100 + h);
      pusch[h].layers = 2;
      pusch[h].dmrs.port_mask = h == 0 ? 0b0011 : 0b1100;
      pusch[h].tb_bits = nr::transport_block_bits(pusch[h]);
      for (int i = 0; i < pusch[h].tb_bits / 8; ++i)
        sent[h].push_back(static_cast<std::uint8_t>(prng()));
      pusch_transmit(carrier, 3, pusch[h], sent[h], {},
                     View<cf32, 3>(ports.data(), 2, 14, carrier.subcarriers()), transmit);
      for (std::size_t a = 0; a < 4; ++a)
        for (std::size_t i = 0; i < 2 * plane; ++i) {
          const double layer = static_cast<double>(2 * h + i / plane);
          const double turn = moving && h == 1 ? 0.05 * static_cast<double>(i % plane / 612) : 0;
          grid[a * plane + i % plane] +=
              ports[i] *
              cf32(std::polar(0.5, std::numbers::pi / 2 * static_cast<double>(a) * layer + turn));
        }
    }
    add_noise(1e-3f, prng, grid);
    const View<const cf32, 3> view(grid.data(), 4, 14, carrier.subcarriers());
    for (const auto equalizer : {phy::Equalizer::mmse, phy::Equalizer::mmse_irc}) {
      std::vector<phy::ReceiveResult> first;
      for (int workers = 1; workers <= 3; ++workers) {
        phy::ReceiveWorkspace workspace(carrier, 4, 4, workers);
        std::vector<fec::HarqBuffer> harq;
        std::array<phy::Reception, 2> receptions;
        std::array<std::vector<std::uint8_t>, 2> tb = sent;
        for (const auto& channel : pusch) harq.emplace_back(channel.tb_bits);
        for (std::size_t h = 0; h < 2; ++h) {
          std::fill(tb[h].begin(), tb[h].end(), std::uint8_t{0});
          receptions[h].channel = &pusch[h];
          receptions[h].harq = &harq[h];
          receptions[h].tb = tb[h];
        }
        phy::ReceiveOptions options = options_of(workers, equalizer);
        options.workers.context = &workers;
        std::vector<phy::ReceiveResult> results(2);
        phy::shared_channel_receive(carrier, 3, receptions, view, options, results, workspace);
        for (std::size_t h = 0; h < 2; ++h) {
          EXPECT_TRUE(results[h].crc_ok) << workers << " workers, SINR " << results[h].sinr_db;
          EXPECT_EQ(tb[h], sent[h]);
          if (workers == 1) continue;
          EXPECT_EQ(results[h].sinr_db, first[h].sinr_db);
          EXPECT_EQ(results[h].noise_power, first[h].noise_power);
          EXPECT_EQ(results[h].rsrp, first[h].rsrp);
          EXPECT_EQ(results[h].timing_offset_s, first[h].timing_offset_s);
          EXPECT_EQ(results[h].frequency_offset_hz, first[h].frequency_offset_hz);
          EXPECT_EQ(results[h].evm, first[h].evm);
          EXPECT_EQ(results[h].iterations, first[h].iterations);
        }
        if (workers == 1) first = results;
      }
    }
  }
}

}  // namespace
}  // namespace noroshi::air
