#include "site/pdu.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "fec/segment/segment.h"
#include "nr/data_elements.h"
#include "site/pdu_fields.h"

namespace noroshi::site {

Result<PrecodingTable> PrecodingTable::make(const fapi::ConfigRequest& config) {
  PrecodingTable table;
  const auto wrong = [](int index, const char* field, int value, const char* allowed) {
    return Error{noroshi::words_of(Refusal{field, double(value), allowed, index})};
  };
  if (config.num_precoding_matrices < 0 ||
      config.num_precoding_matrices > fapi::precoding_matrices_max)
    return wrong(0, "num_precoding_matrices", config.num_precoding_matrices, "0..64");
  for (int i = 0; i < config.num_precoding_matrices; ++i) {
    const fapi::PrecodingMatrix& from = config.precoding_matrices[static_cast<std::size_t>(i)];
    if (from.pm_idx == 0 || !table.find(from.pm_idx).empty())
      return wrong(i, "precoding_matrices[#].pm_idx", from.pm_idx, "1..65535, each once");
    if (from.num_ant_ports < 1 || from.num_ant_ports > fapi::ports_max)
      return wrong(i, "precoding_matrices[#].num_ant_ports", from.num_ant_ports, "1..8");
    if (from.num_layers < 1 || from.num_layers > from.num_ant_ports)
      return wrong(i, "precoding_matrices[#].num_layers", from.num_layers, "1 to as many as ports");
    table.entries_.push_back(
        {from.pm_idx, from.num_ant_ports, from.num_layers, table.weights_.size()});
    for (std::size_t port = 0; port < from.num_ant_ports; ++port) {
      for (std::size_t layer = 0; layer < from.num_layers; ++layer) {
        const fapi::PrecoderWeight w = from.pre_coder_weight[layer * from.num_ant_ports + port];
        table.weights_.push_back(cf32(w.re, w.im) / static_cast<float>(fapi::weight_one));
      }
    }
  }
  return table;
}

View<const cf32, 2> PrecodingTable::find(int pm_idx) const {
  for (const Entry& entry : entries_) {
    if (entry.pm_idx == pm_idx) return {&weights_[entry.first], entry.ports, entry.layers};
  }
  return {};
}

namespace {

// Transmit power of the PDU's data over that of the SSS, in dB.
Refusal read_power(const fapi::PdschPdu& pdu, double& data_db) {
  if (pdu.maintenance.pdsch_data_power_offset_profile_sss != fapi::power_offset_none) {
    data_db = 1e-3 * pdu.maintenance.pdsch_data_power_offset_profile_sss;
    return {};
  }
  if (pdu.power_control_offset_profile_nr > 23)
    return {"power_control_offset_profile_nr", double(pdu.power_control_offset_profile_nr),
            "0..23 (-8..15 dB)"};
  if (pdu.power_control_offset_ss_profile_nr > 3)
    return {"power_control_offset_ss_profile_nr", double(pdu.power_control_offset_ss_profile_nr),
            "0..3 (-3, 0, 3, 6 dB)"};
  data_db = pdu.power_control_offset_profile_nr - 8.0 +
            3.0 * (pdu.power_control_offset_ss_profile_nr - 1.0);
  return {};
}

double amplitude(double db) { return std::pow(10.0, db / 20); }

// TS 38.214 table 4.1-2 for the layers of a PDSCH whose DM-RS go with PT-RS.
Refusal read_ptrs(const fapi::PdschPdu& pdu, nr::SharedChannel& channel) {
  if ((pdu.pdu_bitmap & fapi::pdsch_bitmap_ptrs) == 0) return {};
  const fapi::PdschPtrs& from = pdu.ptrs;
  nr::PtRs& ptrs = channel.ptrs;
  if (std::popcount(unsigned{from.port_index}) != 1)
    return {"ptrs.port_index", double(from.port_index), "a bitmap of one port"};
  if (from.time_density > 2) return {"ptrs.time_density", double(from.time_density), "0, 1, 2"};
  if (from.freq_density > 1) return {"ptrs.freq_density", double(from.freq_density), "0, 1"};
  if (from.epre_ratio > 1) return {"ptrs.epre_ratio", double(from.epre_ratio), "0, 1"};
  constexpr std::array<double, 7> ratio_db = {0, 0, 3, 4.77, 6, 7, 7.78};
  const auto layers = static_cast<std::size_t>(std::min<int>(channel.layers, 6));
  ptrs.present = true;
  ptrs.dmrs_port = {static_cast<std::int8_t>(std::countr_zero(unsigned{from.port_index})), -1};
  ptrs.time_density = 1 << from.time_density;
  ptrs.frequency_density = from.freq_density == 0 ? 2 : 4;
  ptrs.re_offset = from.re_offset;
  ptrs.amplitude = static_cast<float>(from.epre_ratio == 0 ? amplitude(ratio_db[layers]) : 1.0);
  return {};
}

Refusal add_reserved(nr::SharedChannel& channel, std::uint16_t symbols, nr::ReservedElements*& to) {
  if (channel.reserved_count == nr::reserved_max)
    return {"rate matching patterns", double(channel.reserved_count + 1), "16"};
  to = &channel.reserved[static_cast<std::size_t>(channel.reserved_count++)];
  *to = {};
  to->symbol_mask = symbols;
  return {};
}

// TS 38.214 5.1.4.
Refusal read_patterns(const CellLimits& cell, const fapi::PdschPdu& pdu, const BwpRange& bwp,
                      nr::SharedChannel& channel) {
  const fapi::PdschMaintenance& m = pdu.maintenance;
  if (m.num_prb_sym_rm_patterns_by_value > fapi::prb_sym_rm_patterns_max)
    return {"num_prb_sym_rm_patterns_by_value", double(m.num_prb_sym_rm_patterns_by_value), "0..4"};
  if (m.num_coreset_rm_patterns > fapi::coreset_rm_patterns_max)
    return {"num_coreset_rm_patterns", double(m.num_coreset_rm_patterns), "0..5"};
  if (m.ssb_config_for_rate_matching != 0)
    return {"ssb_config_for_rate_matching", double(m.ssb_config_for_rate_matching),
            "0: SSBs are named by their PDUs"};
  if (m.lte_crs_rate_match_pattern_bitmap_size != 0)
    return {"lte_crs_rate_match_pattern_bitmap_size",
            double(m.lte_crs_rate_match_pattern_bitmap_size), "0: no LTE on this carrier"};
  nr::ReservedElements* to = nullptr;
  for (std::size_t i = 0; i < m.num_prb_sym_rm_patterns_by_value; ++i) {
    const fapi::PrbSymRateMatchPattern& from = m.prb_sym_rm_patterns[i];
    if (const Refusal no = add_reserved(channel, from.symbols_in_rb, to)) return no;
    for (std::size_t rb = 0; rb < static_cast<std::size_t>(cell.carrier.rb_count); ++rb)
      to->rbs[rb] = (from.freq_domain_rb[rb / 8] >> (rb % 8) & 1) != 0;
  }
  for (std::size_t i = 0; i < m.num_coreset_rm_patterns; ++i) {
    const fapi::CoresetRateMatchPattern& from = m.coreset_rm_patterns[i];
    if (const Refusal no = add_reserved(channel, from.symbols_pattern, to)) return no;
    // Groups of 6 blocks from the first multiple of 6 in the bandwidth part on (TS 38.213 10.1).
    const std::size_t first = (static_cast<std::size_t>(bwp.first) + 5) / 6;
    for (std::size_t group = 0; group < 45; ++group) {
      if ((from.freq_domain_resources[group / 8] >> (7 - group % 8) & 1) == 0) continue;
      for (std::size_t rb = 6 * (first + group); rb < 6 * (first + group + 1); ++rb)
        if (rb < static_cast<std::size_t>(cell.carrier.rb_count)) to->rbs.set(rb);
    }
  }
  return {};
}

// SSB and CSI-RS of the same message.
Refusal read_signals(const CellLimits& cell, const fapi::PdschPdu& pdu,
                     const fapi::DlTtiRequest* beside, nr::SharedChannel& channel) {
  const fapi::PdschMaintenance& m = pdu.maintenance;
  if (m.num_csi_rs_for_rate_matching > fapi::csi_rs_pdus_max)
    return {"num_csi_rs_for_rate_matching", double(m.num_csi_rs_for_rate_matching), "0..16"};
  const int ssbs = beside == nullptr ? 0 : std::clamp(beside->n_ssbs, 0, fapi::ssb_pdus_max);
  const int csi_rs = beside == nullptr ? 0 : std::clamp(beside->n_csi_rs, 0, fapi::csi_rs_pdus_max);
  nr::ReservedElements* to = nullptr;
  for (int i = 0; i < fapi::ssb_pdus_max; ++i) {
    const std::uint16_t wanted = m.ssb_pdus_for_rate_matching[static_cast<std::size_t>(i)];
    if (wanted == fapi::pdu_index_none) continue;
    int s = 0;
    while (s < ssbs && beside->ssbs[static_cast<std::size_t>(s)].ssb_pdu_index != wanted) ++s;
    if (s == ssbs)
      return {"ssb_pdus_for_rate_matching[#]", double(wanted), "an SSB PDU of the message", i};
    if (const Refusal no = add_reserved(channel, 0, to)) return no;
    if (read_ssb(cell, beside->slot, beside->ssbs[static_cast<std::size_t>(s)], *to))
      return {"ssb_pdus_for_rate_matching[#]", double(wanted), "an SSB PDU that is not refused", i};
  }
  for (int i = 0; i < m.num_csi_rs_for_rate_matching; ++i) {
    const std::uint16_t wanted = m.csi_rs_for_rate_matching[static_cast<std::size_t>(i)];
    int s = 0;
    while (s < csi_rs && beside->csi_rs[static_cast<std::size_t>(s)].csi_rs_pdu_index != wanted)
      ++s;
    if (s == csi_rs)
      return {"csi_rs_for_rate_matching[#]", double(wanted), "a CSI-RS PDU of the message", i};
    if (const Refusal no = add_reserved(channel, 0, to)) return no;
    if (read_csi_rs(cell, beside->csi_rs[static_cast<std::size_t>(s)], *to))
      return {"csi_rs_for_rate_matching[#]", double(wanted), "a CSI-RS PDU that is not refused", i};
  }
  return {};
}

// TS 38.214 5.1.4: DM-RS keep clear of what is not available. phy::check_pdsch_receive asks the
// same of the handset.
Refusal refuse_reserved_dmrs(const fapi::PdschPdu& pdu, const nr::SharedChannel& channel) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(channel.reserved_count); ++i) {
    const nr::ReservedElements& reserved = channel.reserved[i];
    if ((reserved.symbol_mask & channel.dmrs.symbol_mask) != 0 &&
        (reserved.subcarrier_mask & nr::dmrs_subcarriers(channel.dmrs)) != 0 &&
        (reserved.rbs & channel.rbs).any())
      return {"dmrs.dmrs_symb_pos", double(pdu.dmrs.dmrs_symb_pos),
              "symbols without elements that rate matching takes"};
  }
  return {};
}

// The blocks that virtual ones become (TS 38.211 7.3.1.6), by kind of transmission.
Refusal read_mapping(const CellLimits& cell, const fapi::PdschPdu& pdu, const BwpRange& bwp,
                     nr::SharedChannel& channel) {
  using Type = fapi::PdschTransType;
  const fapi::PdschMaintenance& m = pdu.maintenance;
  const int mapping = pdu.allocation.vrb_to_prb_mapping;
  if (mapping > 2) return {"vrb_to_prb_mapping", double(mapping), "0, 1, 2"};
  if (m.trans_type > Type::interleaved_other)
    return {"trans_type", double(static_cast<int>(m.trans_type)), "0..5"};
  // The field of version 2 alone may ask for interleaving.
  const Type type = m.trans_type == Type::non_interleaved_other && mapping != 0
                        ? Type::interleaved_other
                        : m.trans_type;
  const bool interleaved =
      type != Type::non_interleaved_common && type != Type::non_interleaved_other;
  if (interleaved != (mapping != 0))
    return {"vrb_to_prb_mapping", double(mapping),
            interleaved ? "1, 2 with this trans_type" : "0 with this trans_type"};
  const bool other = type == Type::non_interleaved_other || type == Type::interleaved_other;
  BwpRange range = bwp;  // that virtual blocks count in
  if (!other) {
    range.first = m.coreset_start_point;
    if (type == Type::interleaved_common_type0_coreset0 ||
        type == Type::interleaved_common_coreset0_present)
      range.count = m.initial_dl_bwp_size;
    if (type == Type::non_interleaved_common)
      range.count = bwp.first + bwp.count - m.coreset_start_point;
    if (range.first >= cell.carrier.rb_count)
      return {"coreset_start_point", double(m.coreset_start_point), "blocks of the carrier"};
    if (range.count < 1 || range.first + range.count > cell.carrier.rb_count)
      return {"initial_dl_bwp_size", double(range.count),
              "blocks of the carrier from coreset_start_point on"};
  }
  std::bitset<nr::rb_max> virtual_blocks;  // from `range` on
  if (const Refusal no = read_blocks(pdu.allocation, range.count, virtual_blocks)) return no;
  if (!interleaved) {
    channel.rbs = virtual_blocks << static_cast<std::size_t>(range.first);
    return {};
  }
  channel.vrb = {mapping == 1 ? 2 : 4, range.first, range.count,
                 type == Type::interleaved_common_type0_coreset0};
  for (int n = 0; n < range.count; ++n)
    if (virtual_blocks[static_cast<std::size_t>(n)])
      channel.rbs.set(static_cast<std::size_t>(nr::vrb_to_crb(channel.vrb, n)));
  return {};
}

Refusal read_codewords(const CellLimits& cell, const fapi::PdschPdu& pdu,
                       nr::SharedChannel& channel) {
  if (pdu.nr_of_layers < 1 || pdu.nr_of_layers > cell.downlink_layers_max)
    return {"nr_of_layers", double(pdu.nr_of_layers), "1 to as many as the cell has"};
  channel.layers = pdu.nr_of_layers;
  if (pdu.nr_of_codewords != nr::codewords(channel))
    return {"nr_of_codewords", double(pdu.nr_of_codewords), "1 with up to 4 layers, 2 with 5 to 8"};
  const std::uint32_t lbrm = pdu.maintenance.tb_size_lbrm_bytes;
  for (int q = 0; q < pdu.nr_of_codewords; ++q) {
    const fapi::CodewordFields& from = pdu.codewords[static_cast<std::size_t>(q)];
    nr::SecondCodeword codeword;
    if (const Refusal no =
            read_codeword(from, 3, lbrm, pdu.maintenance.ldpc_base_graph, q, codeword))
      return no;
    if (codeword.tb_bits == 0) return {"codewords[#].tb_size", 0, "1 or more", q};
    if (q == 1) {
      channel.second = codeword;
    } else {
      take_first(codeword, channel);
    }
  }
  return {};
}

}  // namespace

Refusal read_pdsch(const CellLimits& cell, const fapi::PdschPdu& pdu, nr::SharedChannel& channel,
                   const fapi::DlTtiRequest* beside) {
  channel = {};
  if ((pdu.pdu_bitmap & ~fapi::pdsch_bitmap_ptrs) != 0)
    return {"pdu_bitmap", double(pdu.pdu_bitmap), "0, 1 (PT-RS): no CBG retransmission"};
  if (pdu.transmission_scheme != 0)
    return {"transmission_scheme", double(pdu.transmission_scheme), "0"};
  if (pdu.maintenance.max_num_cbg_per_tb != 0)
    return {"max_num_cbg_per_tb", double(pdu.maintenance.max_num_cbg_per_tb), "0: no CBG"};
  BwpRange bwp;
  if (const Refusal no = read_bwp(cell.carrier, pdu.bwp, bwp)) return no;
  if (const Refusal no = read_rnti(pdu.rnti, channel)) return no;
  channel.scrambling_id = pdu.n_id_pdsch;
  if (const Refusal no = read_codewords(cell, pdu, channel)) return no;
  if (const Refusal no = read_time(pdu.allocation, channel)) return no;
  if (const Refusal no = read_mapping(cell, pdu, bwp, channel)) return no;
  if (const Refusal no = read_dmrs(pdu.dmrs, channel)) return no;
  if (pdu.ref_point > 1) return {"ref_point", double(pdu.ref_point), "0, 1"};
  if (pdu.ref_point == 1)
    channel.dmrs.reference_rb =
        pdu.maintenance.trans_type == fapi::PdschTransType::non_interleaved_other ||
                pdu.maintenance.trans_type == fapi::PdschTransType::interleaved_other
            ? bwp.first
            : pdu.maintenance.coreset_start_point;
  if (const Refusal no = read_ptrs(pdu, channel)) return no;
  if (const Refusal no = read_patterns(cell, pdu, bwp, channel)) return no;
  if (const Refusal no = read_signals(cell, pdu, beside, channel)) return no;
  if (const Refusal no = refuse_reserved_dmrs(pdu, channel)) return no;
  if (pdu.maintenance.pdsch_dmrs_power_offset_profile_sss != fapi::power_offset_none) {
    double data_db = 0;
    if (const Refusal no = read_power(pdu, data_db)) return no;
    channel.dmrs.amplitude_override = static_cast<float>(
        amplitude(1e-3 * pdu.maintenance.pdsch_dmrs_power_offset_profile_sss - data_db));
  }
  return {};
}

Refusal read_precoding(const CellLimits& cell, const PrecodingTable& table,
                       const fapi::PdschPdu& pdu, const nr::SharedChannel& channel,
                       View<cf32, 1> values, phy::Precoding& precoding) {
  const fapi::TxPrecodingAndBeamforming& from = pdu.precoding_and_beamforming;
  precoding = {};
  double data_db = 0;
  if (const Refusal no = read_power(pdu, data_db)) return no;
  const auto gain = static_cast<float>(amplitude(data_db));
  if (from.dig_bf_interfaces != 0)
    return {"dig_bf_interfaces", double(from.dig_bf_interfaces), "0: no digital beamforming"};
  const auto ports = static_cast<std::size_t>(cell.transmit_antennas);
  const auto layers = static_cast<std::size_t>(channel.layers);
  int groups = 1;
  if (from.num_prgs > 1) {
    if (from.prg_size < 1 || from.prg_size > nr::rb_max)
      return {"prg_size", double(from.prg_size), "1..275 with several groups"};
    groups = phy::Precoding::groups(channel, from.prg_size);
    if (from.num_prgs != groups)
      return {"num_prgs", double(from.num_prgs), "0, 1, or the groups that the allocation spans"};
    precoding.group_rbs = from.prg_size;
  }
  const bool matrices = from.num_prgs > 0 && (from.num_prgs > 1 || from.pm_idx[0] != 0);
  if (!matrices && gain == 1)
    return phy::refuse_precoding(channel, precoding, cell.transmit_antennas);
  if (!matrices && channel.layers > cell.transmit_antennas)
    return {"nr_of_layers", double(channel.layers), "up to the ports without a matrix"};
  cf32* to = values.data();
  for (int g = 0; g < groups; ++g) {
    const int pm_idx = matrices ? from.pm_idx[static_cast<std::size_t>(g)] : 0;
    const View<const cf32, 2> matrix = table.find(pm_idx);
    if (pm_idx != 0 && (matrix.empty() || matrix.extent(0) != ports || matrix.extent(1) != layers))
      return {"pm_idx[#]", double(pm_idx), "a matrix of CONFIG for these ports and layers", g};
    if (pm_idx == 0 && layers > ports)
      return {"pm_idx[#]", 0, "a matrix, as there are more layers than ports", g};
    for (std::size_t port = 0; port < ports; ++port)
      for (std::size_t layer = 0; layer < layers; ++layer)
        *to++ = gain * (pm_idx != 0 ? matrix(port, layer) : cf32(port == layer ? 1.0f : 0.0f));
  }
  precoding.matrices = {values.data(), static_cast<std::size_t>(groups), ports, layers};
  return {};
}

int limited_buffer_bits(int tb_bits, int code_rate_x10240, std::int64_t lbrm_tb_bits) {
  // Base graph 2: TS 38.212 6.2.2, 7.2.2; rates 0.67 and 0.25. Code blocks: 5.2.2.
  const bool base_graph_2 = fec::choose_base_graph(tb_bits, code_rate_x10240) == 2;
  const int with_crc = tb_bits + (tb_bits > 3824 ? 24 : 16);
  const int block_bits_max = base_graph_2 ? 3840 : 8448;
  const int payload_max = block_bits_max - 24;
  const int blocks = with_crc <= block_bits_max ? 1 : (with_crc + payload_max - 1) / payload_max;
  return static_cast<int>(lbrm_tb_bits * 3 / (2 * std::int64_t{blocks}));
}

Refusal TakenBlocks::take(const nr::SharedChannel& channel) {
  const int middle = nr::hop_symbol(channel);
  const int end = channel.symbol_start + channel.symbol_count;
  const std::array hops = {nr::hop_blocks(channel, 0),
                           nr::hop_blocks(channel, channel.second_hop_rb < 0 ? 0 : 1)};
  const auto has = [&](int l) {
    std::bitset<nr::rb_max> blocks = hops[l < middle ? 0 : 1];
    for (std::size_t i = 0; i < static_cast<std::size_t>(channel.reserved_count); ++i) {
      const nr::ReservedElements& around = channel.reserved[i];
      if ((around.symbol_mask >> l & 1) != 0 && around.subcarrier_mask == nr::all_subcarriers)
        blocks &= ~around.rbs;
    }
    return blocks;
  };
  for (int l = channel.symbol_start; l < end; ++l) {
    const std::bitset<nr::rb_max> both = has(l) & blocks_[static_cast<std::size_t>(l)];
    if (both.none()) continue;
    std::size_t rb = 0;
    while (!both[rb]) ++rb;
    return {"resource block", double(rb), "blocks that no PDU before it has"};
  }
  for (int l = channel.symbol_start; l < end; ++l) blocks_[static_cast<std::size_t>(l)] |= has(l);
  return {};
}

void TakenBlocks::take(const nr::ReservedElements& elements) {
  for (int l = 0; l < nr::symbols_per_slot; ++l)
    if ((elements.symbol_mask >> l & 1) != 0) blocks_[static_cast<std::size_t>(l)] |= elements.rbs;
}

std::string words_of(const RefusedPdu& refused) {
  std::string words = refused.message == fapi::message_dl_tti_request   ? "DL_TTI.request "
                      : refused.message == fapi::message_ul_tti_request ? "UL_TTI.request "
                                                                        : "TX_DATA.request ";
  words += std::to_string(refused.name.sfn) + "." + std::to_string(refused.name.slot);
  if (refused.pdu >= 0)
    words += ", PDU " + std::to_string(refused.pdu) + " of RNTI " + std::to_string(refused.rnti);
  return words + ": " + noroshi::words_of(refused.why);
}

}  // namespace noroshi::site
