#pragma once

// What the files of the MAC share.

#include <array>
#include <vector>

#include "base/prng.h"
#include "mac/harq.h"
#include "mac/link_adaptation.h"
#include "mac/mac.h"
#include "mac/split.h"
#include "mac/traffic.h"

namespace noroshi::mac {

inline constexpr double average_bits_min = 1;
inline constexpr int codeword_layers_max = 4;

// What a slot of one kind offers to PDSCH or PUSCH of up to 4 layers, or of 5 to 8, whose DM-RS
// have two symbols.
struct Shape {
  int symbol_start = 0;
  int symbol_count = 0;  // 0: nothing
  std::uint16_t dmrs_mask = 0;
  int re_per_rb = 0;  // N'_RE
  // Transport block size of a codeword, by its layers: [mcs, rbs - 1].
  std::array<std::vector<std::int32_t>, codeword_layers_max> bytes;
};

// The wide ones stand `shape_wide` behind.
enum ShapeIndex { shape_downlink, shape_special, shape_uplink, shape_wide, shape_count = 6 };

struct Direction {
  Harq harq;
  std::array<Link, fapi::layers_max> links;  // by layers
  int layers_max = 1;
  TrafficQueue traffic;
  double average_bits = average_bits_min;  // a slot
  SlotCount last_sent = -1000;
  bool served = false;    // in this slot
  std::int64_t bits = 0;  // new ones of this slot

  explicit Direction(TrafficQueue queue) : traffic(std::move(queue)) {}
  Link& link(const HarqProcess& process) {
    return links[static_cast<std::size_t>(process.layers - 1)];
  }
};

// A PUSCH that is to bring HARQ-ACK.
struct AskedUci {
  std::uint32_t handle = 0;  // 0: none
  int count = 0;
  std::array<Grant::Ack, acks_max> of{};
};
inline constexpr std::size_t asked_max = 16;  // on their way; an older one is forgotten

struct Handset {
  std::uint16_t rnti;
  int transmit_antennas;
  std::array<AskedUci, asked_max> asked{};
  std::size_t next_asked = 0;
  Direction downlink;
  Direction uplink;
};

// What new data would be sent with.
struct Choice {
  int layers = 1;
  int mcs = 0;
};

// Where a transmission goes.
struct Place {
  int shape = 0;
  int rb_start = 0;
  int rbs = 0;
  int first_port = 0;
  int group = -1;  // of UL_TTI.request, with others on the same blocks
};

void fill_random(Prng& prng, std::uint8_t* bytes, int count);

struct Mac::State {
  MacConfig config;
  McsLadder ladder;
  std::array<Shape, shape_count> shapes;
  int lbrm_bytes = 0;
  std::vector<Handset> handsets;
  std::vector<Claim> claims;  // scratch, one a handset
  Prng payload;
  std::uint32_t next_handle = 1;
  MacCounters downlink, uplink;

  explicit State(MacConfig from);

  Direction& direction(Handset& handset, bool is_uplink) {
    return is_uplink ? handset.uplink : handset.downlink;
  }
  MacCounters& counters(bool is_uplink) { return is_uplink ? uplink : downlink; }
  Handset* find(std::uint16_t rnti);

  // rank.cpp
  double sinr_db(const Direction& from, int layers, SlotCount slot) const;
  Choice choose(const Direction& from, int layers_max, SlotCount slot) const;

  // schedule.cpp
  void schedule(bool is_uplink, int shape_index, SlotPlan& plan);
  int schedule_failed(bool is_uplink, int shape_index, int& pdus, SlotPlan& plan);
  void schedule_new(bool is_uplink, int shape_index, int rb_first, int pdus, SlotPlan& plan);
  void pair_up(std::size_t first_claim, std::size_t claims_count, const HarqProcess& first,
               Place place, SlotPlan& plan);
  HarqProcess& send_new(bool is_uplink, Handset& handset, const Choice& choice, const Place& place,
                        SlotPlan& plan);
  std::int32_t bytes(int shape_index, const Choice& choice, int rbs) const;
  int shape_of(int shape_index, int layers) const {
    return layers > codeword_layers_max ? shape_index + shape_wide : shape_index;
  }

  // send.cpp
  void send(bool is_uplink, Handset& handset, int harq_id, const Place& place, SlotPlan& plan);
  void fill_pdsch(const HarqProcess& process, const Place& place, int variant,
                  fapi::PdschPdu& pdu) const;
  void fill_pusch(const HarqProcess& process, const Place& place, fapi::PuschPdu& pdu) const;
  void fill_pusch_place(const Place& place, int layers, fapi::PuschPdu& pdu) const;

  // uci.cpp
  int schedule_uci(int shape_index, int rb_first, int& pdus, SlotPlan& plan);
  void ask_acks(Handset& handset, const HarqProcess* data, Grant& grant, fapi::PuschPdu& pdu,
                SlotCount slot);

  // feedback.cpp
  void expire(bool is_uplink, SlotCount slot);
  void feedback(bool is_uplink, Direction& from, HarqProcess& process, bool ok, double sinr_db);
  void fail(bool is_uplink, HarqProcess& process, SlotCount slot);
};

}  // namespace noroshi::mac
