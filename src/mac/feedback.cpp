// What comes back: CRC, HARQ-ACK, SINR, or nothing.

#include <cmath>

#include "base/slot.h"
#include "mac/state.h"

namespace noroshi::mac {

void Mac::State::fail(bool is_uplink, HarqProcess& process, SlotCount slot) {
  if (process.transmissions == 1) ++counters(is_uplink).tb_first_failed;
  // Transmissions that nobody answered say nothing about the channel: they count only against a
  // bound that ends a block whose handset is gone.
  const bool combined_all =
      !process.restart && process.transmissions_combined >= config.transmissions_max;
  if (combined_all || process.transmissions >= unanswered_factor * config.transmissions_max) {
    ++counters(is_uplink).tb_lost;
    process.state = HarqProcess::State::idle;
    return;
  }
  process.state = HarqProcess::State::failed;
  process.failed_slot = slot;
}

void Mac::State::expire(bool is_uplink, SlotCount slot) {
  for (Handset& handset : handsets) {
    for (HarqProcess& process : direction(handset, is_uplink).harq.processes) {
      if (process.state != HarqProcess::State::in_flight) continue;
      if (slot - process.slot < feedback_timeout_slots) continue;
      ++counters(is_uplink).feedback_timeouts;
      process.restart = true;
      first_done(direction(handset, is_uplink), process);
      fail(is_uplink, process, slot);
    }
  }
}

// Whatever became of a first transmission: it is no longer in flight.
void Mac::State::first_done(Direction& from, const HarqProcess& process) {
  if (process.transmissions == 1) --from.link(process).in_flight;
}

// What was measured on the last transmission of the process.
void Mac::State::report(Direction& from, const HarqProcess& process, double sinr_db) {
  const bool paired = process.group_layers > process.layers;
  const double share_db = paired ? 10 * std::log10(process.layers) : 0;
  std::optional<double> expected_db;
  if (process.expected_known) expected_db = process.expected_sinr_db + share_db;
  on_sinr_report(from.link(process), process.slot, expected_db, sinr_db + share_db);
}

// sinr_db: measured, or what it was thought to be.
void Mac::State::feedback(bool is_uplink, Direction& from, HarqProcess& process, bool ok,
                          double sinr_db) {
  Link& link = from.link(process);
  first_done(from, process);
  if (process.transmissions == 1) {
    on_first_outcome(link, config.target_bler, {ok, process.mcs_at_lowest, process.mcs_at_highest});
  }
  MacCounters& count = counters(is_uplink);
  if (ok) {
    ++count.tb_ok;
    count.bits_ok += std::uint64_t{8} * static_cast<std::uint64_t>(process.tb_bytes);
    process.state = HarqProcess::State::idle;
  } else {
    process.sinr_combined += std::pow(10.0, (sinr_db + link.offset_db) / 10);
    fail(is_uplink, process, process.slot);
  }
}

namespace {

// What an indication speaks of: nullptr where nothing of that name is on its way.
HarqProcess* in_flight(Handset* handset, Direction Handset::*direction, std::uint8_t harq_id) {
  if (handset == nullptr || harq_id >= harq_processes) return nullptr;
  HarqProcess& process = (handset->*direction).harq.processes[harq_id];
  return process.state == HarqProcess::State::in_flight ? &process : nullptr;
}

}  // namespace

void Mac::on_crc(const fapi::CrcIndication& indication) {
  State& state = *state_;
  for (int i = 0; i < indication.n_crcs; ++i) {
    const auto& crc = indication.crcs[i];
    Handset* const handset = state.find(crc.rnti);
    HarqProcess* const process = in_flight(handset, &Handset::uplink, crc.harq_id);
    if (process == nullptr || process->handle != crc.handle) {
      ++state.uplink.feedback_stale;
      continue;
    }
    state.report(handset->uplink, *process, crc.ul_sinr_db);
    state.feedback(true, handset->uplink, *process, crc.tb_crc_status == 0, crc.ul_sinr_db);
  }
}

void Mac::on_uci(const fapi::UciIndication& indication) {
  State& state = *state_;
  const SlotName name{indication.sfn, indication.slot};
  for (int i = 0; i < indication.n_ucis; ++i) {
    const auto& uci = indication.ucis[i];
    Handset* const handset = state.find(uci.rnti);
    HarqProcess* const process = in_flight(handset, &Handset::downlink, uci.harq_id);
    if (process == nullptr || slot_name(process->slot, state.config.carrier.scs_khz) != name) {
      ++state.downlink.feedback_stale;
      continue;
    }
    const int all = process->second_tb_bytes > 0 ? 3 : 1;  // of its codewords
    state.report(handset->downlink, *process, uci.dl_sinr_db);
    state.feedback(false, handset->downlink, *process, uci.harq_value == all, uci.dl_sinr_db);
  }
}

void Mac::on_rx_data(const fapi::RxDataIndication& indication) {
  for (int i = 0; i < indication.n_pdus; ++i) {
    state_->uplink.bits_delivered += std::uint64_t{8} * indication.pdus[i].data.size();
  }
}

}  // namespace noroshi::mac
