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
  // Beside another handset, by the layers of both; SINR as if all its power were in one layer.
  std::array<Link, codeword_layers_max> paired_links;
  int layers_max = 1;
  const McsLadder* ladder = nullptr;
  TrafficQueue traffic;
  double average_bits = average_bits_min;  // a slot
  SlotCount last_sent = -1000;
  bool served = false;    // in this slot
  std::int64_t bits = 0;  // new ones of this slot

  explicit Direction(TrafficQueue queue) : traffic(std::move(queue)) {}
  // group_layers: of all on the same blocks.
  Link& link(int layers, int group_layers) {
    return group_layers > layers ? paired_links[static_cast<std::size_t>(group_layers - 1)]
                                 : links[static_cast<std::size_t>(layers - 1)];
  }
  const Link& link(int layers, int group_layers) const {
    return const_cast<Direction*>(this)->link(layers, group_layers);
  }
  Link& link(const HarqProcess& process) { return link(process.layers, process.group_layers); }
};

// A PUSCH that is to bring HARQ-ACK.
struct AskedUci {
  std::uint32_t handle = 0;  // 0: none
  int count = 0;
  std::array<Grant::Ack, acks_max> of{};
  int csi_layers = 1;
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
  int layers = 0;  // 0: nothing
  int mcs = 0;
  int group_layers = 0;  // with those of another handset on the same blocks
  bool known = false;    // its link has reports
  double rate = 0;       // bits a resource element that it is thought to carry
};

// Of two handsets on the same blocks; rate 0: better not.
struct PairChoice {
  Choice first, second;
  double rate = 0;
};

// Where a transmission goes.
struct Place {
  int shape = 0;
  int rb_start = 0;
  int rbs = 0;
  int first_port = 0;
  int group = -1;        // of UL_TTI.request, with others on the same blocks
  int group_layers = 0;  // theirs and its own; 0: alone
};

void fill_random(Prng& prng, std::uint8_t* bytes, int count);

struct Mac::State {
  MacConfig config;
  std::array<McsLadder, 2> ladders;  // downlink, uplink
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
  PairChoice choose_pair(const Direction& first, const Direction& second, int layers_max,
                         SlotCount slot) const;
  static void begin(Direction& from, const Choice& choice);

  // schedule.cpp
  void schedule(bool is_uplink, int shape_index, SlotPlan& plan);
  int schedule_failed(bool is_uplink, int shape_index, int& pdus, SlotPlan& plan);
  void schedule_new(bool is_uplink, int shape_index, int rb_first, int pdus, SlotPlan& plan);
  PairChoice find_pair(View<const Claim, 1> others, const Direction& first, double rate_alone,
                       SlotCount slot, Handset*& second);
  void send_new(bool is_uplink, Handset& handset, const Choice& choice, const Place& place,
                SlotPlan& plan);
  std::int32_t bytes(int shape_index, const Choice& choice, int rbs) const;
  int shape_of(int shape_index, int layers) const {
    return layers > codeword_layers_max ? shape_index + shape_wide : shape_index;
  }

  // blocks.cpp
  int hop_offset() const;
  int hop_border(SlotCount slot) const;
  // Where a transmission of so many blocks can begin from rb_first on, and how many it then has: as
  // many or fewer, with allocation type 0 up to the group's end.
  int first_block(bool is_uplink, int rb_first, int rbs, SlotCount slot) const;
  int lawful_rbs(bool is_uplink, int rb_first, int rbs, SlotCount slot) const;
  void fill_blocks(bool is_uplink, const Place& place, SlotCount slot,
                   fapi::Allocation& allocation) const;
  double taken_by_ptrs(bool is_uplink, int rbs) const;

  // send.cpp
  nr::McsTable table(bool is_uplink) const;
  void send(bool is_uplink, Handset& handset, int harq_id, const Place& place, SlotPlan& plan);
  void fill_pdsch(const HarqProcess& process, const Place& place, SlotCount slot,
                  fapi::PdschPdu& pdu) const;
  void fill_precoding(int layers, SlotCount slot, fapi::PdschPdu& pdu) const;
  void fill_pusch(const HarqProcess& process, const Place& place, SlotCount slot,
                  fapi::PuschPdu& pdu) const;
  void fill_pusch_place(const Place& place, int layers, SlotCount slot, fapi::PuschPdu& pdu) const;

  // uci.cpp
  double taken_by_uci(const Handset& handset, int elements, SlotCount slot) const;
  int schedule_uci(int shape_index, int rb_first, SlotPlan& plan);
  void ask_acks(Handset& handset, const HarqProcess* data, Grant& grant, fapi::PuschPdu& pdu,
                SlotCount slot);

  // feedback.cpp
  void expire(bool is_uplink, SlotCount slot);
  void first_done(Direction& from, const HarqProcess& process);
  void report(Direction& from, const HarqProcess& process, double sinr_db);
  void feedback(bool is_uplink, Direction& from, HarqProcess& process, bool ok, double sinr_db);
  void fail(bool is_uplink, HarqProcess& process, SlotCount slot);
};

}  // namespace noroshi::mac
