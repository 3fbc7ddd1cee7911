#include <bit>
#include <cmath>

#include "fec/uci/pusch_uci.h"
#include "site/pdu.h"
#include "site/pdu_fields.h"

namespace noroshi::site {
namespace {

Refusal read_uci(const fapi::PuschPdu& pdu, nr::SharedChannel& channel) {
  if ((pdu.pdu_bitmap & fapi::pusch_bitmap_uci) == 0) return {};
  const fapi::PuschUciFields& from = pdu.uci;
  constexpr const char* bits = "0..1706";
  if (from.harq_ack_bit_length > 1706)
    return {"uci.harq_ack_bit_length", double(from.harq_ack_bit_length), bits};
  if (from.csi_part1_bit_length > 1706)
    return {"uci.csi_part1_bit_length", double(from.csi_part1_bit_length), bits};
  if (from.csi_part2_bit_length > 1706)
    return {"uci.csi_part2_bit_length", double(from.csi_part2_bit_length),
            "0..1706: the size is to be known beforehand"};
  if (from.alpha_scaling > 3) return {"uci.alpha_scaling", double(from.alpha_scaling), "0..3"};
  if (from.beta_offset_harq_ack > 15)
    return {"uci.beta_offset_harq_ack", double(from.beta_offset_harq_ack), "0..15"};
  if (from.beta_offset_csi1 > 18)
    return {"uci.beta_offset_csi1", double(from.beta_offset_csi1), "0..18"};
  if (from.beta_offset_csi2 > 18)
    return {"uci.beta_offset_csi2", double(from.beta_offset_csi2), "0..18"};
  constexpr std::array<int, 4> alpha_x100 = {50, 65, 80, 100};
  channel.uci = {from.harq_ack_bit_length,
                 from.csi_part1_bit_length,
                 from.csi_part2_bit_length,
                 fec::harq_beta_offset_x8(from.beta_offset_harq_ack).value(),
                 fec::csi_beta_offset_x8(from.beta_offset_csi1).value(),
                 fec::csi_beta_offset_x8(from.beta_offset_csi2).value(),
                 alpha_x100[from.alpha_scaling]};
  if (!channel.uci.any())
    return {"uci.harq_ack_bit_length", 0, "1 or more, or CSI part 1, with UCI in pdu_bitmap"};
  return {};
}

Refusal read_dft(const fapi::PuschPdu& pdu, nr::SharedChannel& channel) {
  if (pdu.transform_precoding > 1)
    return {"transform_precoding", double(pdu.transform_precoding), "0 (enabled), 1 (disabled)"};
  const int hopping = pdu.maintenance.group_or_sequence_hopping;
  if (hopping > 2) return {"group_or_sequence_hopping", double(hopping), "0, 1, 2"};
  channel.dmrs.hopping = static_cast<nr::SequenceHopping>(hopping);
  const bool described = (pdu.pdu_bitmap & fapi::pusch_bitmap_dfts_ofdm) != 0;
  if (pdu.transform_precoding == 1) {
    if (described)
      return {"pdu_bitmap", double(pdu.pdu_bitmap), "bit 3 only with transform precoding"};
    return {};
  }
  channel.transform_precoding = true;
  channel.dmrs.scrambling_id = pdu.pusch_dmrs_identity;
  if (!described) return {};
  const fapi::PuschDftsOfdm& from = pdu.dfts_ofdm;
  // With hopping u or v differ from symbol to symbol: the identity alone says them.
  if (hopping == 0 && from.low_papr_group_number != pdu.pusch_dmrs_identity % 30)
    return {"dfts_ofdm.low_papr_group_number", double(from.low_papr_group_number),
            "pusch_dmrs_identity mod 30"};
  if (hopping == 0 && from.low_papr_sequence_number != 0)
    return {"dfts_ofdm.low_papr_sequence_number", double(from.low_papr_sequence_number),
            "0 without hopping"};
  if (from.ul_ptrs_sample_density > 2)
    return {"dfts_ofdm.ul_ptrs_sample_density", double(from.ul_ptrs_sample_density), "0, 1, 2"};
  if (from.ul_ptrs_time_density_transform_precoding > 1)
    return {"dfts_ofdm.ul_ptrs_time_density_transform_precoding",
            double(from.ul_ptrs_time_density_transform_precoding), "0, 1"};
  channel.ptrs.groups = 2 << from.ul_ptrs_sample_density;
  channel.ptrs.group_samples = from.ul_ptrs_time_density_transform_precoding == 0 ? 2 : 4;
  channel.ptrs.scrambling_id = pdu.pusch_dmrs_identity;
  return {};
}

Refusal read_ptrs(const fapi::PuschPdu& pdu, nr::SharedChannel& channel) {
  if ((pdu.pdu_bitmap & fapi::pusch_bitmap_ptrs) == 0) return {};
  const fapi::PuschPtrs& from = pdu.ptrs;
  nr::PtRs& ptrs = channel.ptrs;
  if (from.num_ports < 1 || from.num_ports > 2)
    return {"ptrs.num_ports", double(from.num_ports), "1, 2"};
  if (from.time_density > 2) return {"ptrs.time_density", double(from.time_density), "0, 1, 2"};
  if (from.freq_density > 1) return {"ptrs.freq_density", double(from.freq_density), "0, 1"};
  if (from.ul_ptrs_power > 3) return {"ptrs.ul_ptrs_power", double(from.ul_ptrs_power), "0..3"};
  for (std::size_t i = 0; i < from.num_ports; ++i) {
    if (from.ports[i].dmrs_port > 11)
      return {"ptrs.ports[#].dmrs_port", double(from.ports[i].dmrs_port), "0..11",
              static_cast<int>(i)};
    ptrs.dmrs_port[i] = static_cast<std::int8_t>(from.ports[i].dmrs_port);
  }
  if (from.num_ports == 2 && from.ports[1].re_offset != from.ports[0].re_offset)
    return {"ptrs.ports[#].re_offset", double(from.ports[1].re_offset), "that of the first port",
            1};
  constexpr std::array<double, 4> power_db = {0, 3, 4.77, 6};  // TS 38.214 6.2.3.1
  ptrs.present = true;
  ptrs.time_density = 1 << from.time_density;
  ptrs.frequency_density = from.freq_density == 0 ? 2 : 4;
  ptrs.re_offset = from.ports[0].re_offset;
  ptrs.amplitude = static_cast<float>(std::pow(10.0, power_db[from.ul_ptrs_power] / 20));
  return {};
}

Refusal read_ul_sch(const fapi::PuschPdu& pdu, nr::SharedChannel& channel) {
  const bool data = (pdu.pdu_bitmap & fapi::pusch_bitmap_data) != 0;
  const fapi::CodewordFields fields{.target_code_rate = pdu.target_code_rate,
                                    .qam_mod_order = pdu.qam_mod_order,
                                    .mcs_index = pdu.mcs_index,
                                    .mcs_table = pdu.mcs_table,
                                    .rv_index = data ? pdu.data.rv_index : std::uint8_t{0},
                                    .tb_size = data ? pdu.data.tb_size : 0};
  nr::SecondCodeword codeword;
  if (const Refusal no = read_codeword(fields, 4, pdu.maintenance.tb_size_lbrm_bytes,
                                       data ? pdu.maintenance.ldpc_base_graph : 0, 0, codeword))
    return no;
  if (data && codeword.tb_bits == 0) return {"data.tb_size", 0, "1 or more"};
  if (data && pdu.data.new_data > 1) return {"data.new_data", double(pdu.data.new_data), "0, 1"};
  if (data && pdu.data.num_cb != 0) return {"data.num_cb", double(pdu.data.num_cb), "0: no CBG"};
  take_first(codeword, channel);
  return {};
}

}  // namespace

Refusal read_pusch(const CellLimits& cell, const fapi::PuschPdu& pdu, nr::SharedChannel& channel) {
  channel = {};
  constexpr int known = fapi::pusch_bitmap_data | fapi::pusch_bitmap_uci | fapi::pusch_bitmap_ptrs |
                        fapi::pusch_bitmap_dfts_ofdm;
  if ((pdu.pdu_bitmap & ~known) != 0 ||
      (pdu.pdu_bitmap & (fapi::pusch_bitmap_data | fapi::pusch_bitmap_uci)) == 0)
    return {"pdu_bitmap", double(pdu.pdu_bitmap), "bits 0 to 3, with data (0) or UCI (1)"};
  BwpRange bwp;
  if (const Refusal no = read_bwp(cell.carrier, pdu.bwp, bwp)) return no;
  if (const Refusal no = read_rnti(pdu.rnti, channel)) return no;
  if (pdu.nr_of_layers < 1 || pdu.nr_of_layers > cell.uplink_layers_max)
    return {"nr_of_layers", double(pdu.nr_of_layers), "1 to as many as the cell has"};
  if (pdu.allocation.vrb_to_prb_mapping != 0)
    return {"vrb_to_prb_mapping", double(pdu.allocation.vrb_to_prb_mapping), "0 for PUSCH"};
  if (pdu.intra_slot_frequency_hopping > 1)
    return {"intra_slot_frequency_hopping", double(pdu.intra_slot_frequency_hopping), "0, 1"};
  if (pdu.tx_direct_current_location > 3301)
    return {"tx_direct_current_location", double(pdu.tx_direct_current_location), "0..3301"};
  if (pdu.uplink_frequency_shift_7p5khz != 0)
    return {"uplink_frequency_shift_7p5khz", double(pdu.uplink_frequency_shift_7p5khz), "0"};
  channel.layers = pdu.nr_of_layers;
  channel.scrambling_id = pdu.n_id_pusch;
  if (const Refusal no = read_ul_sch(pdu, channel)) return no;
  if (const Refusal no = read_time(pdu.allocation, channel)) return no;
  std::bitset<nr::rb_max> blocks;
  if (const Refusal no = read_blocks(pdu.allocation, bwp.count, blocks)) return no;
  channel.rbs = blocks << static_cast<std::size_t>(bwp.first);
  if (pdu.intra_slot_frequency_hopping == 1)
    channel.second_hop_rb = bwp.first + pdu.maintenance.pusch_second_hop_prb;
  if (const Refusal no = read_dmrs(pdu.dmrs, channel)) return no;
  if (const Refusal no = read_dft(pdu, channel)) return no;
  if (const Refusal no = read_ptrs(pdu, channel)) return no;
  return read_uci(pdu, channel);
}

}  // namespace noroshi::site
