#pragma once

// HARQ processes of one handset and direction (TS 38.321 5.3.2, 5.4.2): which transport block each
// carries, what is in flight, what must be sent again and when that is worth doing.

#include <array>
#include <cstdint>
#include <vector>

#include "base/slot.h"
#include "base/view.h"

namespace noroshi::mac {

inline constexpr int harq_processes = 16;

// Order of redundancy versions: 2 adds the most new parity to 0, 3 and 1 overlap both.
inline constexpr std::array<int, 4> rv_order = {0, 2, 3, 1};

struct HarqProcess {
  enum class State : std::uint8_t { idle, in_flight, failed };
  State state = State::idle;
  bool ack_asked = false;  // downlink: a PUSCH is to bring its HARQ-ACK
  bool restart = false;    // send the next one as new data: the last had no feedback
  bool mcs_at_lowest = false;
  bool mcs_at_highest = false;
  int mcs_index = 0;
  int tb_bytes = 0;         // of all codewords
  int second_tb_bytes = 0;  // of these, of the second
  int rbs = 0;
  int layers = 1;
  int shape = 0;                   // of the slot that it was made for
  int transmissions = 0;           // of this transport block
  int transmissions_combined = 0;  // since the receiver last started afresh
  double sinr_combined = 0;        // linear, summed over those
  double required_sinr_db = 0;     // of the MCS
  double expected_sinr_db = 0;     // when the last transmission was scheduled
  bool expected_known = false;     // it comes from reports of this number of layers
  int group_layers = 1;            // of all handsets on the last transmission's blocks
  std::uint32_t handle = 0;        // of the last transmission
  SlotCount first_slot = 0;
  SlotCount slot = 0;  // of the last transmission
  SlotCount failed_slot = 0;
  std::vector<std::uint8_t> data;  // downlink: the largest transport blocks of the carrier
};

struct Harq {
  std::array<HarqProcess, harq_processes> processes;
  int next = 0;  // round robin: an identifier rests as long as possible before it is used again
};

// The process for a new transport block, or -1 when all are busy.
int free_process(const Harq& harq);

// The failed process that has waited longest among those worth sending again now, or -1. A
// retransmission waits, within limits, while the link is so bad that it would likely be wasted:
// each transport block has only transmissions_max of them.
// effective_sinr_db: by layers, from 1 on.
int due_process(const Harq& harq, SlotCount slot, View<const double, 1> effective_sinr_db,
                int transmissions_max);

}  // namespace noroshi::mac
