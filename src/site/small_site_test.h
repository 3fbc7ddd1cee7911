#pragma once

// Small sites that run as fast as they can, for tests.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "site/cell.h"
#include "site/site.h"

namespace noroshi::site {

struct Shape {
  int scs_khz = 30;
  int bandwidth_mhz = 5;
  const char* duplex = "DDDSU";
  const char* profile = "tdl-a";
  double snr_db = 30;
  int handsets = 2;
  int receive_antennas = 2;
};

inline SiteConfig small_site(const Shape& shape) {
  SiteConfig config;
  CellConfig& cell = config.cells[0];
  cell.carrier = nr::make_carrier(shape.scs_khz, shape.bandwidth_mhz).value();
  cell.pattern = nr::make_duplex_pattern(shape.duplex, shape.scs_khz).value();
  cell.receive_antennas = shape.receive_antennas;
  cell.mac.handsets_per_slot_max = 2;
  for (int i = 0; i < shape.handsets; ++i) {
    HandsetChannel channel;
    channel.rnti = static_cast<std::uint16_t>(100 + i);
    channel.profile = shape.profile;
    channel.snr_db = shape.snr_db - 4 * i;
    channel.timing_offset_ns = 100 * i;
    cell.channels.push_back(channel);
    mac::HandsetConfig handset;
    handset.rnti = channel.rnti;
    cell.mac.handsets.push_back(handset);
  }
  return config;
}

inline SiteOptions free_pace(double duration_s, std::uint64_t seed = 1) {
  SiteOptions options;
  options.duration_s = duration_s;
  options.pace = Pace::free;
  options.seed = seed;
  return options;
}

struct Outcome {
  std::uint64_t hash, dl_bits, ul_bits, dl_lost, ul_lost, mismatches, slots, ul_tb, ul_failed;
};

inline Outcome run_free(const SiteConfig& config, double duration_s, std::uint64_t seed = 1) {
  auto site = Site::make(config, free_pace(duration_s, seed));
  EXPECT_TRUE(site.ok()) << (site.ok() ? "" : site.error().message);
  if (!site.ok()) return {};
  EXPECT_TRUE(site->run().ok());
  const CellCounters& c = site->counters(0);
  EXPECT_EQ(c.refused_pdus.load(), 0u);
  EXPECT_EQ(c.dropped_reports.load(), 0u);
  EXPECT_EQ(c.lost_slots.load() + c.lost_air_slots.load(), 0u);
  return {c.result_hash.load(), c.dl_bits.load(),    c.ul_bits.load(),
          c.dl_tb_lost.load(),  c.ul_tb_lost.load(), c.payload_mismatches.load(),
          c.slots.load(),       c.ul_tb.load(),      c.ul_tb_failed.load()};
}

struct Antennas {
  int cell = 4, handset = 4;
  int downlink_layers = 4, uplink_layers = 4, group_layers = 1, group_rbs = 0;
};

inline SiteConfig mimo_site(const Antennas& antennas, double snr_db, int handsets) {
  SiteConfig config =
      small_site({.snr_db = snr_db, .handsets = handsets, .receive_antennas = antennas.cell});
  CellConfig& cell = config.cells[0];
  cell.transmit_antennas = antennas.cell;
  cell.downlink_layers_max = antennas.downlink_layers;
  cell.uplink_layers_max = antennas.uplink_layers;
  cell.uplink_group_layers = antennas.group_layers;
  cell.precoding_group_rbs = antennas.group_rbs;
  for (HandsetChannel& handset : cell.channels) {
    handset.receive_antennas = antennas.handset;
    handset.transmit_antennas = std::min(antennas.handset, 4);
  }
  return config;
}

// Every block arrived, after HARQ, and as it was sent.
inline void expect_clean(const CellCounters& c) {
  EXPECT_EQ(c.payload_mismatches.load(), 0u);
  EXPECT_EQ(c.refused_pdus.load(), 0u);
  EXPECT_EQ(c.dl_tb_lost.load() + c.ul_tb_lost.load(), 0u);
}

}  // namespace noroshi::site
