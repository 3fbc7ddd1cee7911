// UCI on PUSCH: which HARQ-ACK a PUSCH is to bring, a PUSCH of UCI alone for handsets that send no
// data, and what comes back.

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/units.h"
#include "fec/uci/beta_offset_tables.h"
#include "mac/precoding.h"
#include "mac/state.h"

namespace noroshi::mac {
namespace {

// A handset has received and decoded a PDSCH so many slots later.
constexpr SlotCount decode_slots = 3;

// HARQ-ACK that no data came to take along for so long goes alone: in so many blocks, QPSK at a
// rate that any link carries.
constexpr SlotCount wait_slots = 10;
constexpr int uci_rbs = 4;
constexpr int uci_code_rate_x10240 = 1200;

// Beside data, so many resource elements a bit, and no more than half of all: K / M bits an element
// of data times beta are those (TS 38.212 6.3.2.4.1.1).
constexpr int elements_a_bit = 4;
constexpr int crc_bits_max = 11;

// The first index whose offset is enough, else the last.
std::uint8_t beta_index(View<const std::int16_t, 1> offsets_x8, double enough) {
  std::size_t index = 0;
  while (index + 1 < offsets_x8.size() && offsets_x8[index] < 8 * enough) ++index;
  return static_cast<std::uint8_t>(index);
}

int rbs_of(const fapi::Allocation& allocation) {
  if (allocation.resource_alloc == 1) return allocation.rb_size;
  int rbs = 0;
  for (const std::uint8_t byte : allocation.rb_bitmap) rbs += std::popcount(byte);
  return rbs;
}

bool waits(const HarqProcess& process, SlotCount slot) {
  return process.state == HarqProcess::State::in_flight && !process.ack_asked &&
         slot - process.slot >= decode_slots;
}

}  // namespace

int sinr_to_csi(std::optional<double> sinr_db) {
  constexpr long most = (1L << csi_bits) - 1;
  if (!sinr_db) return 0;
  return static_cast<int>(std::clamp(std::lround(2 * (*sinr_db + 12)), 1L, most));
}
std::optional<double> csi_to_sinr_db(int csi) {
  if (csi == 0) return std::nullopt;
  return csi / 2.0 - 12;
}

// The share of a PUSCH's elements that the UCI which now waits takes.
double Mac::State::taken_by_uci(const Handset& handset, int elements, SlotCount slot) const {
  if (!config.uci_on_pusch) return 0;
  int bits = 0;
  for (const HarqProcess& process : handset.downlink.harq.processes)
    if (waits(process, slot)) bits += process.second_tb_bytes > 0 ? 2 : 1;
  if (bits == 0) return 0;
  if (bits > 11) bits += crc_bits_max;
  return std::min(static_cast<double>(elements_a_bit * (bits + csi_bits)) / elements, 0.5);
}

// data: what the PUSCH carries besides; nullptr: nothing.
void Mac::State::ask_acks(Handset& handset, const HarqProcess* data, Grant& grant,
                          fapi::PuschPdu& pdu, SlotCount slot) {
  AskedUci& asked = handset.asked[handset.next_asked];
  asked = {};
  const int elements = rbs_of(pdu.allocation) * shapes[shape_uplink].re_per_rb;
  const int bits_max = elements / 2 / elements_a_bit - csi_bits - crc_bits_max;
  int bits = 0;
  SlotCount least_known = 0;
  grant.n_acks = 0;
  for (std::size_t id = 0; id < handset.downlink.harq.processes.size(); ++id) {
    HarqProcess& process = handset.downlink.harq.processes[id];
    if (!waits(process, slot)) continue;
    const std::uint8_t codewords = process.second_tb_bytes > 0 ? 2 : 1;
    if (bits + codewords > bits_max) break;
    process.ack_asked = true;
    const Grant::Ack ack{static_cast<std::uint8_t>(id), codewords, process.slot};
    grant.acks[static_cast<std::size_t>(grant.n_acks++)] = ack;
    asked.of[static_cast<std::size_t>(asked.count++)] = ack;
    bits += codewords;
    // What is to be reported: the link of which least is known.
    const SlotCount last = handset.downlink.link(process).last_report_slot;
    if (asked.count > 1 && last >= least_known) continue;
    least_known = last;
    asked.csi_layers = grant.csi_layers = process.layers;
  }
  if (bits == 0) return;
  asked.handle = pdu.handle;
  handset.next_asked = (handset.next_asked + 1) % handset.asked.size();
  pdu.pdu_bitmap |= fapi::pusch_bitmap_uci;
  // Alone, the code rate of the grant says it.
  const double data_bits_an_element = data != nullptr ? 8.0 * data->tb_bytes / elements : 0;
  const double beta = elements_a_bit * data_bits_an_element;
  pdu.uci = {.harq_ack_bit_length = static_cast<std::uint16_t>(bits),
             .csi_part1_bit_length = csi_bits,
             .beta_offset_harq_ack = beta_index(fec::harq_beta_offsets_x8, beta),
             .beta_offset_csi1 = beta_index(fec::csi_beta_offsets_x8, beta)};
  ++uplink.uci_pdus;
}

// Returns the first block that is still free. Such a PUSCH does not count among the handsets that
// share a slot: else those that wait would keep the slot from all data, which would have taken
// along the next ones.
int Mac::State::schedule_uci(int shape_index, int rb_first, SlotPlan& plan) {
  for (Handset& handset : handsets) {
    if (plan.ul_tti.n_pdus == fapi::pdus_per_slot_max) break;
    if (handset.uplink.served || config.carrier.rb_count - rb_first < uci_rbs) continue;
    const auto overdue = [&](const HarqProcess& process) {
      return waits(process, plan.slot) && plan.slot - process.slot >= wait_slots;
    };
    if (std::ranges::none_of(handset.downlink.harq.processes, overdue)) continue;
    rb_first = first_block(true, rb_first, uci_rbs, plan.slot);
    if (config.carrier.rb_count - rb_first < uci_rbs) break;
    const int rbs = lawful_rbs(true, rb_first, uci_rbs, plan.slot);
    const Place place{.shape = shape_index, .rb_start = rb_first, .rbs = rbs};
    Grant& grant = plan.grants[plan.n_grants++];
    grant = {};
    grant.rnti = handset.rnti;
    grant.uplink = true;
    grant.pdu = plan.ul_tti.n_pdus++;
    grant.tpmi = tpmi_of(handset.transmit_antennas, 1);
    fapi::PuschPdu& pdu = plan.ul_tti.pdus[static_cast<std::size_t>(grant.pdu)];
    fill_pusch_place(place, 1, plan.slot, pdu);
    pdu.rnti = handset.rnti;
    pdu.handle = next_handle++;
    pdu.target_code_rate = uci_code_rate_x10240;
    pdu.pdu_bitmap &= static_cast<std::uint16_t>(~fapi::pusch_bitmap_data);
    ask_acks(handset, nullptr, grant, pdu, plan.slot);
    handset.uplink.served = true;
    rb_first += rbs;
  }
  return rb_first;
}

void Mac::on_pusch_uci(const fapi::PuschUciIndication& indication) {
  State& state = *state_;
  const auto heard = [](const fapi::UciPart& part) {
    return part.detection == fapi::UciDetection::crc_pass ||
           part.detection == fapi::UciDetection::no_dtx;
  };
  for (int i = 0; i < indication.n_ucis; ++i) {
    const fapi::PuschUciIndication::Uci& uci = indication.ucis[static_cast<std::size_t>(i)];
    Handset* const handset = state.find(uci.rnti);
    AskedUci* asked = nullptr;
    if (handset != nullptr && uci.handle != 0)
      for (AskedUci& one : handset->asked)
        if (one.handle == uci.handle) asked = &one;
    if (asked == nullptr) {
      ++state.uplink.feedback_stale;
      continue;
    }
    asked->handle = 0;
    if (!heard(uci.harq)) {  // the processes time out
      ++state.uplink.uci_lost;
      continue;
    }
    int bits = 0;
    for (std::size_t b = 0; b < csi_bits; ++b)
      bits = 2 * bits + (bit_at(uci.csi_part1.payload.data(), b) ? 1 : 0);
    const std::optional<double> sinr_db =
        heard(uci.csi_part1) ? csi_to_sinr_db(bits) : std::nullopt;
    const HarqProcess* measured = nullptr;  // the last one of so many layers
    std::size_t bit = 0;
    for (int a = 0; a < asked->count; ++a) {
      const Grant::Ack& of = asked->of[static_cast<std::size_t>(a)];
      bool ok = true;
      for (int q = 0; q < of.codewords; ++q) ok = bit_at(uci.harq.payload.data(), bit++) && ok;
      HarqProcess& process = handset->downlink.harq.processes[of.harq_id];
      if (process.state != HarqProcess::State::in_flight || process.slot != of.slot) {
        ++state.downlink.feedback_stale;
        continue;
      }
      const bool same = sinr_db && process.layers == asked->csi_layers;
      if (same && (measured == nullptr || measured->slot < process.slot)) measured = &process;
      state.feedback(false, handset->downlink, process, ok,
                     same ? *sinr_db : process.expected_sinr_db);
    }
    if (measured != nullptr) state.report(handset->downlink, *measured, *sinr_db);
  }
}

}  // namespace noroshi::mac
