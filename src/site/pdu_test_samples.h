#pragma once

// PDUs that a small cell carries out, with every feature that FAPI can ask for: what tests bend and
// a fuzzer begins with.

#include <cstring>
#include <string>
#include <vector>

#include "fec/segment/segment.h"
#include "nr/mcs.h"
#include "site/pdu.h"

namespace noroshi::site {

inline CellLimits sample_cell() {
  CellLimits cell;
  cell.carrier = nr::make_carrier(30, 10).value();  // 24 blocks
  cell.transmit_antennas = cell.downlink_layers_max = 8;
  cell.receive_antennas = 4;
  cell.uplink_layers_max = cell.uplink_group_layers = 4;
  return cell;
}

// Matrices 1 .. 8 for 1 .. 8 layers on 8 ports, and 9 for one layer on 4 ports.
inline fapi::ConfigRequest sample_config() {
  fapi::ConfigRequest config;
  const auto add = [&](int layers, int ports) {
    fapi::PrecodingMatrix& matrix =
        config.precoding_matrices[static_cast<std::size_t>(config.num_precoding_matrices++)];
    matrix.pm_idx = static_cast<std::uint16_t>(config.num_precoding_matrices);
    matrix.num_layers = static_cast<std::uint16_t>(layers);
    matrix.num_ant_ports = static_cast<std::uint16_t>(ports);
    for (int i = 0; i < layers; ++i)
      matrix.pre_coder_weight[static_cast<std::size_t>(i * ports + (i + 1) % ports)] = {
          fapi::weight_one, 0};
  };
  for (int layers = 1; layers <= 8; ++layers) add(layers, 8);
  add(1, 4);
  return config;
}

// In slot 0: an SSB on blocks 2 to 21 of symbols 8 to 11, and CSI-RS of each type.
inline void add_signals(fapi::DlTtiRequest& request) {
  request.n_ssbs = 1;
  request.ssbs[0] = {
      .ssb_pdu_index = 7, .phys_cell_id = 1, .ssb_block_index = 1, .ssb_offset_point_a = 4};
  request.n_csi_rs = 3;
  request.csi_rs[0] = {.csi_rs_pdu_index = 30,
                       .nr_of_rbs = 24,
                       .csi_type = 0,
                       .row = 1,
                       .freq_domain = 4,
                       .symb_l0 = 4,
                       .freq_density = 3};
  request.csi_rs[1] = {.csi_rs_pdu_index = 31,
                       .start_rb = 4,
                       .nr_of_rbs = 8,
                       .csi_type = 2,
                       .row = 8,
                       .freq_domain = 0b101,
                       .symb_l0 = 12,
                       .cdm_type = 2,
                       .freq_density = 2};
  request.csi_rs[2] = {.csi_rs_pdu_index = 32,
                       .nr_of_rbs = 24,
                       .csi_type = 1,
                       .row = 3,
                       .freq_domain = 0b100000,
                       .symb_l0 = 6,
                       .cdm_type = 1,
                       .freq_density = 1};
}
inline bool names_signals(const fapi::PdschPdu& pdu) {
  return pdu.maintenance.ssb_pdus_for_rate_matching[0] != fapi::pdu_index_none ||
         pdu.maintenance.num_csi_rs_for_rate_matching > 0;
}

// Gives the codewords the sizes of TS 38.214 5.1.3.2 for what the PDU allocates.
inline void fit_blocks(const CellLimits& cell, fapi::PdschPdu& pdu) {
  nr::SharedChannel channel;
  for (auto& codeword : pdu.codewords) codeword.tb_size = 100;
  fapi::DlTtiRequest beside;
  add_signals(beside);
  if (read_pdsch(cell, pdu, channel, &beside)) return;
  for (int q = 0; q < nr::codewords(channel); ++q)
    pdu.codewords[static_cast<std::size_t>(q)].tb_size =
        static_cast<std::uint32_t>(nr::transport_block_bits(channel, 0, q) / 8);
}
inline void fit_blocks(const CellLimits& cell, fapi::PuschPdu& pdu) {
  nr::SharedChannel channel;
  pdu.data.tb_size = 100;
  if (read_pusch(cell, pdu, channel)) return;
  pdu.data.tb_size = static_cast<std::uint32_t>(nr::transport_block_bits(channel) / 8);
}

inline fapi::PdschPdu plain_pdsch() {
  fapi::PdschPdu pdu;
  pdu.rnti = 17;
  pdu.codewords[0] = {.target_code_rate = 4900, .qam_mod_order = 4};
  pdu.allocation.rb_start = 2;
  pdu.allocation.rb_size = 10;
  pdu.allocation.start_symbol_index = 2;
  pdu.allocation.nr_of_symbols = 12;
  pdu.dmrs.dmrs_symb_pos = 1 << 2 | 1 << 11;
  fit_blocks(sample_cell(), pdu);
  return pdu;
}

inline fapi::PuschPdu plain_pusch() {
  fapi::PuschPdu pdu;
  pdu.rnti = 17;
  pdu.handle = 5;
  pdu.target_code_rate = 4900;
  pdu.qam_mod_order = 4;
  pdu.allocation.rb_start = 2;
  pdu.allocation.rb_size = 10;
  pdu.dmrs.dmrs_symb_pos = 1 << 2 | 1 << 11;
  fit_blocks(sample_cell(), pdu);
  return pdu;
}

struct NamedPdsch {
  const char* name;
  fapi::PdschPdu pdu;
};
inline std::vector<NamedPdsch> sample_pdschs() {
  std::vector<NamedPdsch> list;
  const auto add = [&](const char* name, auto change) {
    fapi::PdschPdu pdu = plain_pdsch();
    change(pdu);
    fit_blocks(sample_cell(), pdu);
    list.push_back({name, pdu});
  };
  add("plain", [](auto&) {});
  add("bitmap", [](auto& p) {
    p.allocation.resource_alloc = 0;
    p.allocation.rb_bitmap = {0b01100101, 0b11, 0b10000000};
  });
  add("part of the carrier", [](auto& p) { p.bwp = {.bwp_size = 16, .bwp_start = 5}; });
  add("interleaved", [](auto& p) { p.allocation.vrb_to_prb_mapping = 2; });
  add("interleaved, CORESET 0", [](auto& p) {
    p.allocation.vrb_to_prb_mapping = 1;
    p.maintenance.trans_type = fapi::PdschTransType::interleaved_common_type0_coreset0;
    p.maintenance.coreset_start_point = 3;
    p.maintenance.initial_dl_bwp_size = 20;
    p.ref_point = 1;
  });
  add("common search space", [](auto& p) {
    p.maintenance.trans_type = fapi::PdschTransType::non_interleaved_common;
    p.maintenance.coreset_start_point = 6;
  });
  add("four layers, a matrix each 4 blocks", [](auto& p) {
    p.nr_of_layers = 4;
    p.dmrs.dmrs_ports = 0xf;
    p.precoding_and_beamforming = {.num_prgs = 3, .prg_size = 4, .pm_idx = {4, 0, 4}};
  });
  add("eight layers", [](auto& p) {
    p.nr_of_layers = 8;
    p.nr_of_codewords = 2;
    p.codewords[1] = {.target_code_rate = 6000, .qam_mod_order = 6, .rv_index = 3};
    p.dmrs.dmrs_symb_pos = 3 << 2 | 3 << 10;
    p.dmrs.dmrs_ports = 0xff;
    p.precoding_and_beamforming = {.num_prgs = 1, .prg_size = 0, .pm_idx = {8}};
  });
  add("type 2, PT-RS", [](auto& p) {
    p.dmrs.dmrs_config_type = 1;
    p.dmrs.num_dmrs_cdm_grps_no_data = 3;
    p.dmrs.dmrs_ports = 1 << 4;
    p.pdu_bitmap = fapi::pdsch_bitmap_ptrs;
    p.ptrs = {.port_index = 1 << 4, .time_density = 1, .freq_density = 1, .re_offset = 2};
  });
  add("reserved elements", [](auto& p) {
    p.maintenance.num_prb_sym_rm_patterns_by_value = 1;
    p.maintenance.prb_sym_rm_patterns[0] = {{0xf0}, 1 << 5};
    p.maintenance.num_coreset_rm_patterns = 1;
    p.maintenance.coreset_rm_patterns[0] = {{0x80}, 3 << 6};
  });
  add("around SSB and CSI-RS", [](auto& p) {
    p.dmrs.dmrs_symb_pos = 1 << 2;
    p.allocation.rb_start = 0;
    p.allocation.rb_size = 24;
    p.codewords[0].target_code_rate = 3000;
    p.maintenance.ssb_pdus_for_rate_matching[0] = 7;
    p.maintenance.num_csi_rs_for_rate_matching = 3;
    p.maintenance.csi_rs_for_rate_matching = {32, 30, 31};
  });
  add("power", [](auto& p) {
    p.power_control_offset_profile_nr = 5;
    p.maintenance.pdsch_dmrs_power_offset_profile_sss = 3000;
  });
  add("limited buffer", [](auto& p) { p.maintenance.tb_size_lbrm_bytes = 5000; });
  return list;
}

struct NamedPusch {
  const char* name;
  fapi::PuschPdu pdu;
};
inline std::vector<NamedPusch> sample_puschs() {
  std::vector<NamedPusch> list;
  const auto add = [&](const char* name, auto change) {
    fapi::PuschPdu pdu = plain_pusch();
    change(pdu);
    if ((pdu.pdu_bitmap & fapi::pusch_bitmap_data) != 0) fit_blocks(sample_cell(), pdu);
    list.push_back({name, pdu});
  };
  add("plain", [](auto&) {});
  add("bitmap", [](auto& p) {
    p.allocation.resource_alloc = 0;
    p.allocation.rb_bitmap = {0b01100101, 0b11, 0b10000000};
  });
  add("four layers", [](auto& p) {
    p.nr_of_layers = 4;
    p.dmrs.dmrs_ports = 0xf;
  });
  add("hopping", [](auto& p) {
    p.intra_slot_frequency_hopping = 1;
    p.maintenance.pusch_second_hop_prb = 13;
    p.dmrs.dmrs_symb_pos = 1 << 0 | 1 << 6 | 1 << 7;  // neighbours in two hops: no pair
  });
  add("transform precoding", [](auto& p) {
    p.transform_precoding = 0;
    p.pusch_dmrs_identity = 77;
    p.pdu_bitmap |= fapi::pusch_bitmap_dfts_ofdm | fapi::pusch_bitmap_ptrs;
    p.dfts_ofdm = {.low_papr_group_number = 17, .ul_ptrs_sample_density = 1};
  });
  add("pi/2-BPSK, sequence hopping", [](auto& p) {
    p.transform_precoding = 0;
    p.qam_mod_order = 1;
    p.maintenance.group_or_sequence_hopping = 2;
  });
  add("UCI beside data", [](auto& p) {
    p.pdu_bitmap |= fapi::pusch_bitmap_uci;
    p.uci = {.harq_ack_bit_length = 5,
             .csi_part1_bit_length = 30,
             .csi_part2_bit_length = 8,
             .beta_offset_harq_ack = 9,
             .beta_offset_csi1 = 9,
             .beta_offset_csi2 = 9};
  });
  add("UCI alone", [](auto& p) {
    p.pdu_bitmap = fapi::pusch_bitmap_uci;
    p.qam_mod_order = 2;
    p.target_code_rate = 1200;
    p.uci = {.harq_ack_bit_length = 2,
             .csi_part1_bit_length = 20,
             .beta_offset_harq_ack = 6,
             .beta_offset_csi1 = 6};
  });
  add("type 2, two symbols, PT-RS", [](auto& p) {
    p.nr_of_layers = 2;
    p.dmrs = {.dmrs_symb_pos = 3 << 2, .dmrs_config_type = 1, .dmrs_ports = 0b101};
    p.pdu_bitmap |= fapi::pusch_bitmap_ptrs;
    p.ptrs = {.num_ports = 1, .ul_ptrs_power = 1};
  });
  return list;
}

}  // namespace noroshi::site
