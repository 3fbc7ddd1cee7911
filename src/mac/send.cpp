// A transmission of a HARQ process as a PDU.

#include <algorithm>
#include <bit>

#include "mac/precoding.h"
#include "mac/state.h"
#include "nr/mcs.h"

namespace noroshi::mac {
namespace {

// MCS index that names only the modulation (TS 38.214 5.1.3.1): the transport block keeps the size
// of its first transmission though the allocation has changed.
int reserved_mcs(const McsLadder& ladder, nr::Modulation modulation) {
  return ladder.count - 1 + nr::bits_per_symbol(modulation) / 2;
}

// Uplink MU-MIMO: the PDU shares its blocks with others of this group.
void join_group(int index, int pdu, fapi::UlTtiRequest& request) {
  fapi::UlTtiRequest::Group& group = request.groups[static_cast<std::size_t>(index)];
  if (index == request.n_groups) {
    ++request.n_groups;
    group.n_ue = 0;
  }
  group.pdu_idx[group.n_ue++] = static_cast<std::uint8_t>(pdu);
}

void fill_symbols(const Shape& shape, fapi::Allocation& allocation) {
  allocation = {};
  allocation.start_symbol_index = static_cast<std::uint8_t>(shape.symbol_start);
  allocation.nr_of_symbols = static_cast<std::uint8_t>(shape.symbol_count);
}

void fill_dmrs(const Shape& shape, const Place& place, int layers, std::uint16_t cell_id,
               fapi::DmrsFields& dmrs) {
  dmrs = {};
  dmrs.dmrs_symb_pos = shape.dmrs_mask;
  dmrs.dmrs_scrambling_id = cell_id;
  dmrs.dmrs_ports = static_cast<std::uint16_t>(((1u << layers) - 1) << place.first_port);
}

// 0..3 for tables 1 to 4 (TS 38.214 5.1.3.1); 3, 4 for those of transform precoding (6.1.4.1).
std::uint8_t table_number(nr::McsTable table) {
  const bool dft = table >= nr::McsTable::tp_qam64;
  return static_cast<std::uint8_t>(static_cast<int>(table) - (dft ? 2 : 1));
}

std::uint8_t log2_of(int power) {
  return static_cast<std::uint8_t>(std::countr_zero(static_cast<unsigned>(power)));
}

}  // namespace

nr::McsTable Mac::State::table(bool is_uplink) const {
  if (!is_uplink || !config.transform_precoding) return config.mcs_table;
  if (config.mcs_table == nr::McsTable::qam64) return nr::McsTable::tp_qam64;
  if (config.mcs_table == nr::McsTable::qam64_low_se) return nr::McsTable::tp_qam64_low_se;
  return config.mcs_table;
}

void Mac::State::fill_pdsch(const HarqProcess& process, const Place& place, SlotCount slot,
                            fapi::PdschPdu& pdu) const {
  const Shape& shape = shapes[static_cast<std::size_t>(place.shape)];
  const McsLadder& ladder = ladders[0];
  const nr::Mcs mcs = *nr::mcs(config.mcs_table, process.mcs_index);
  const bool same = place.rbs == process.rbs &&
                    shape.re_per_rb == shapes[static_cast<std::size_t>(process.shape)].re_per_rb;
  const auto cell_id = static_cast<std::uint16_t>(config.carrier.cell_id);
  pdu.pdu_bitmap = 0;
  pdu.bwp = {.subcarrier_spacing = static_cast<std::uint8_t>(config.carrier.scs_khz == 30 ? 1 : 0)};
  pdu.nr_of_layers = static_cast<std::uint8_t>(process.layers);
  pdu.nr_of_codewords = process.second_tb_bytes > 0 ? 2 : 1;
  pdu.codewords = {};
  for (std::size_t q = 0; q < pdu.nr_of_codewords; ++q) {
    fapi::CodewordFields& codeword = pdu.codewords[q];
    codeword.target_code_rate = static_cast<std::uint16_t>(mcs.code_rate_x10240);
    codeword.qam_mod_order = static_cast<std::uint8_t>(nr::bits_per_symbol(mcs.modulation));
    codeword.mcs_index =
        static_cast<std::uint8_t>(same ? process.mcs_index : reserved_mcs(ladder, mcs.modulation));
    codeword.mcs_table = table_number(config.mcs_table);
    codeword.rv_index = static_cast<std::uint8_t>(
        rv_order[static_cast<std::size_t>(process.transmissions_combined % 4)]);
    codeword.tb_size = static_cast<std::uint32_t>(
        q == 1 ? process.second_tb_bytes : process.tb_bytes - process.second_tb_bytes);
  }
  pdu.n_id_pdsch = cell_id;
  fill_dmrs(shape, place, process.layers, cell_id, pdu.dmrs);
  fill_symbols(shape, pdu.allocation);
  fill_blocks(false, place, slot, pdu.allocation);
  if (config.downlink_ptrs) {
    pdu.pdu_bitmap = fapi::pdsch_bitmap_ptrs;
    pdu.ptrs = {.time_density = log2_of(config.ptrs_time_density),
                .freq_density = log2_of(config.ptrs_frequency_density / 2)};
  }
  pdu.maintenance = {};
  pdu.maintenance.tb_size_lbrm_bytes = static_cast<std::uint32_t>(lbrm_bytes);
  fill_precoding(process.layers, slot, pdu);
}

// Each slot and each group of blocks takes another variant of the matrices.
void Mac::State::fill_precoding(int layers, SlotCount slot, fapi::PdschPdu& pdu) const {
  const auto variant = static_cast<int>(slot % fapi::ports_max);
  fapi::TxPrecodingAndBeamforming& precoding = pdu.precoding_and_beamforming;
  const int ports = config.transmit_antennas;
  precoding.num_prgs = 0;
  if (ports == 1) return;
  const int size = config.precoding_group_rbs;
  int first = pdu.allocation.rb_start;
  int last = first + pdu.allocation.rb_size - 1;
  if (config.allocation_type == 0) {
    const auto has = [&](int rb) {
      return (pdu.allocation.rb_bitmap[static_cast<std::size_t>(rb / 8)] >> rb % 8 & 1) != 0;
    };
    first = 0;
    while (!has(first)) ++first;
    last = config.carrier.rb_count - 1;
    while (!has(last)) --last;
  }
  const int groups = size == 0 ? 1 : last / size - first / size + 1;
  precoding.num_prgs = static_cast<std::uint16_t>(groups);
  precoding.prg_size = static_cast<std::uint16_t>(size);
  for (int g = 0; g < groups; ++g)
    precoding.pm_idx[static_cast<std::size_t>(g)] =
        static_cast<std::uint16_t>(precoding_matrix_index(ports, layers, variant + g));
}

void Mac::State::fill_pusch_place(const Place& place, int layers, SlotCount slot,
                                  fapi::PuschPdu& pdu) const {
  const Shape& shape = shapes[static_cast<std::size_t>(place.shape)];
  const auto cell_id = static_cast<std::uint16_t>(config.carrier.cell_id);
  pdu = {};
  pdu.bwp = {.subcarrier_spacing = static_cast<std::uint8_t>(config.carrier.scs_khz == 30 ? 1 : 0)};
  pdu.mcs_table = table_number(table(true));
  pdu.n_id_pusch = cell_id;
  pdu.nr_of_layers = static_cast<std::uint8_t>(layers);
  fill_dmrs(shape, place, layers, cell_id, pdu.dmrs);
  fill_symbols(shape, pdu.allocation);
  fill_blocks(true, place, slot, pdu.allocation);
  if (config.hopping == Hopping::intra_slot) {
    pdu.intra_slot_frequency_hopping = 1;
    pdu.maintenance.pusch_second_hop_prb = static_cast<std::uint16_t>(
        (pdu.allocation.rb_start + hop_offset()) % config.carrier.rb_count);
  }
  if (config.transform_precoding) {
    pdu.transform_precoding = 0;
    pdu.pdu_bitmap |= fapi::pusch_bitmap_dfts_ofdm;
    pdu.pusch_dmrs_identity = cell_id;
    pdu.dfts_ofdm.low_papr_group_number = static_cast<std::uint8_t>(cell_id % 30);
  }
  if (config.uplink_ptrs) {
    pdu.pdu_bitmap |= fapi::pusch_bitmap_ptrs;
    pdu.ptrs.time_density = log2_of(config.ptrs_time_density);
    pdu.ptrs.freq_density = log2_of(config.ptrs_frequency_density / 2);
    pdu.ptrs.ports[0].dmrs_port = static_cast<std::uint8_t>(place.first_port);
  }
}

void Mac::State::fill_pusch(const HarqProcess& process, const Place& place, SlotCount slot,
                            fapi::PuschPdu& pdu) const {
  const Shape& shape = shapes[static_cast<std::size_t>(place.shape)];
  const McsLadder& ladder = ladders[1];
  const nr::Mcs mcs = *nr::mcs(table(true), process.mcs_index);
  const bool same = place.rbs == process.rbs &&
                    shape.re_per_rb == shapes[static_cast<std::size_t>(process.shape)].re_per_rb;
  fill_pusch_place(place, process.layers, slot, pdu);
  pdu.target_code_rate = static_cast<std::uint16_t>(mcs.code_rate_x10240);
  pdu.qam_mod_order = static_cast<std::uint8_t>(nr::bits_per_symbol(mcs.modulation));
  pdu.mcs_index =
      static_cast<std::uint8_t>(same ? process.mcs_index : reserved_mcs(ladder, mcs.modulation));
  pdu.data.rv_index = static_cast<std::uint8_t>(
      rv_order[static_cast<std::size_t>(process.transmissions_combined % 4)]);
  pdu.data.tb_size = static_cast<std::uint32_t>(process.tb_bytes);
}

// Puts one transmission of the process into the plan.
void Mac::State::send(bool is_uplink, Handset& handset, int harq_id, const Place& place,
                      SlotPlan& plan) {
  Direction& from = direction(handset, is_uplink);
  HarqProcess& process = from.harq.processes[static_cast<std::size_t>(harq_id)];
  const bool new_data = process.restart;
  if (new_data) {
    process.transmissions_combined = 0;
    process.sinr_combined = 0;
  }
  Grant& grant = plan.grants[plan.n_grants++];
  grant.n_acks = 0;
  grant.rnti = handset.rnti;
  grant.uplink = is_uplink;
  grant.harq_id = static_cast<std::uint8_t>(harq_id);
  grant.new_data = new_data;
  grant.tpmi = is_uplink ? tpmi_of(handset.transmit_antennas, process.layers) : 0;
  process.handle = next_handle++;
  if (is_uplink) {
    grant.pdu = plan.ul_tti.n_pdus++;
    fapi::PuschPdu& pdu = plan.ul_tti.pdus[static_cast<std::size_t>(grant.pdu)];
    fill_pusch(process, place, plan.slot, pdu);
    pdu.rnti = handset.rnti;
    pdu.handle = process.handle;
    pdu.data.harq_process_id = grant.harq_id;
    pdu.data.new_data = new_data ? 1 : 0;
    if (place.group >= 0) join_group(place.group, grant.pdu, plan.ul_tti);
    if (config.uci_on_pusch) ask_acks(handset, &process, grant, pdu, plan.slot);
  } else {
    grant.pdu = plan.dl_tti.n_pdus++;
    fapi::PdschPdu& pdu = plan.dl_tti.pdus[static_cast<std::size_t>(grant.pdu)];
    fill_pdsch(process, place, plan.slot, pdu);
    pdu.rnti = handset.rnti;
    pdu.pdu_index = static_cast<std::uint16_t>(grant.pdu);
    fapi::TxDataRequest::Pdu& data =
        plan.tx_data.pdus[static_cast<std::size_t>(plan.tx_data.n_pdus++)];
    const View<const std::uint8_t, 1> all(process.data.data(),
                                          static_cast<std::size_t>(process.tb_bytes));
    const std::size_t first = pdu.codewords[0].tb_size;
    data.pdu_index = pdu.pdu_index;
    data.data = {all.subview(0, first), all.subview(first, all.size() - first)};
  }

  MacCounters& count = counters(is_uplink);
  count.layers += static_cast<std::uint64_t>(process.layers);
  ++(process.transmissions == 0 ? count.tb_first : count.tb_retransmissions);
  process.state = HarqProcess::State::in_flight;
  process.restart = false;
  process.ack_asked = false;
  process.slot = plan.slot;
  process.group_layers = std::max(place.group_layers, process.layers);
  process.expected_known = known(from.link(process), plan.slot);
  const bool paired = process.group_layers > process.layers;
  const double share_db = paired ? 10 * std::log10(process.layers) : 0;
  process.expected_sinr_db = process.expected_known
                                 ? recent_sinr_db(from.link(process), plan.slot) - share_db
                                 : sinr_db(from, process.layers, plan.slot);
  ++process.transmissions;
  ++process.transmissions_combined;
  from.served = true;
  from.last_sent = plan.slot;
}

}  // namespace noroshi::mac
