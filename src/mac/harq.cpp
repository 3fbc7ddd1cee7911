#include "mac/harq.h"

#include <cmath>

namespace noroshi::mac {
namespace {

// The later retransmissions keep away from the fade that spoilt the earlier ones: 8 ms is more than
// half a wave at 100 Hz Doppler and 30 kHz.
constexpr int second_spacing_slots = 6;
constexpr int later_spacing_slots = 16;

// Early retransmissions may wait a little, the last one through most fades at walking speed.
constexpr int wait_slots_max = 160;
constexpr int last_wait_slots_max = 500;

// By how much the combined SINR must exceed what the MCS needs, growing with what went wrong.
constexpr double margin_db_per_transmission = 1.0;
constexpr double last_margin_db = 4.0;

bool worth_sending(const HarqProcess& process, SlotCount slot, double effective_sinr_db,
                   int transmissions_max) {
  const bool last = process.transmissions + 1 >= transmissions_max;
  if (process.restart) return true;  // no feedback came: that says nothing about the link
  const int spacing = process.transmissions == 1   ? 0
                      : process.transmissions == 2 ? second_spacing_slots
                                                   : later_spacing_slots;
  if (slot - process.slot < spacing) return false;
  if (slot - process.failed_slot >= (last ? last_wait_slots_max : wait_slots_max)) return true;
  const double combined = process.sinr_combined + std::pow(10.0, effective_sinr_db / 10);
  const double margin_db =
      last ? last_margin_db : margin_db_per_transmission * process.transmissions;
  return 10 * std::log10(combined) >= process.required_sinr_db + margin_db;
}

}  // namespace

int free_process(const Harq& harq) {
  for (int i = 0; i < harq_processes; ++i) {
    const int id = (harq.next + i) % harq_processes;
    if (harq.processes[id].state == HarqProcess::State::idle) return id;
  }
  return -1;
}

int due_process(const Harq& harq, SlotCount slot, View<const double, 1> effective_sinr_db,
                int transmissions_max) {
  int due = -1;
  for (int id = 0; id < harq_processes; ++id) {
    const HarqProcess& process = harq.processes[id];
    if (process.state != HarqProcess::State::failed) continue;
    if (due >= 0 && harq.processes[due].first_slot <= process.first_slot) continue;
    const double sinr_db = effective_sinr_db[static_cast<std::size_t>(process.layers - 1)];
    if (worth_sending(process, slot, sinr_db, transmissions_max)) due = id;
  }
  return due;
}

}  // namespace noroshi::mac
