#include "site/pdu_fields.h"

#include <bit>

#include "fec/segment/segment.h"
#include "nr/data_elements.h"
#include "site/pdu.h"

namespace noroshi::site {

Refusal refuse_time(const CellLimits& cell, std::uint16_t sfn, std::uint16_t slot) {
  if (sfn > 1023) return {"sfn", double(sfn), "0..1023"};
  if (slot >= slots_per_frame(cell.carrier.scs_khz))
    return {"slot", double(slot), "those of a frame"};
  return {};
}

Refusal read_bwp(const nr::Carrier& carrier, const fapi::Bwp& bwp, BwpRange& range) {
  if (bwp.subcarrier_spacing != (carrier.scs_khz == 30 ? 1 : 0))
    return {"bwp.subcarrier_spacing", double(bwp.subcarrier_spacing), "that of the cell"};
  if (bwp.cyclic_prefix != 0) return {"bwp.cyclic_prefix", double(bwp.cyclic_prefix), "0: normal"};
  if (bwp.bwp_start >= carrier.rb_count)
    return {"bwp.bwp_start", double(bwp.bwp_start), "blocks of the carrier"};
  const int most = carrier.rb_count - bwp.bwp_start;
  if (bwp.bwp_size > most) return {"bwp.bwp_size", double(bwp.bwp_size), "blocks of the carrier"};
  range = {bwp.bwp_start, bwp.bwp_size == 0 ? most : bwp.bwp_size};
  return {};
}

Refusal read_rnti(std::uint16_t rnti, nr::SharedChannel& channel) {
  if (rnti == 0) return {"rnti", 0, "1..65535"};
  channel.rnti = rnti;
  return {};
}

Refusal read_time(const fapi::Allocation& allocation, nr::SharedChannel& channel) {
  if (allocation.start_symbol_index >= nr::symbols_per_slot)
    return {"start_symbol_index", double(allocation.start_symbol_index), "0..13"};
  if (allocation.nr_of_symbols < 1 ||
      allocation.nr_of_symbols > nr::symbols_per_slot - allocation.start_symbol_index)
    return {"nr_of_symbols", double(allocation.nr_of_symbols), "1 to the slot's end"};
  channel.symbol_start = allocation.start_symbol_index;
  channel.symbol_count = allocation.nr_of_symbols;
  return {};
}

Refusal read_blocks(const fapi::Allocation& allocation, int bwp_rbs,
                    std::bitset<nr::rb_max>& blocks) {
  blocks.reset();
  if (allocation.resource_alloc > 1)
    return {"resource_alloc", double(allocation.resource_alloc), "0, 1"};
  if (allocation.resource_alloc == 1) {
    if (allocation.rb_size < 1 || allocation.rb_size > bwp_rbs)
      return {"rb_size", double(allocation.rb_size), "1 to the blocks of the bandwidth part"};
    if (allocation.rb_start > bwp_rbs - allocation.rb_size)
      return {"rb_start", double(allocation.rb_start), "what leaves room for rb_size blocks"};
    for (int rb = allocation.rb_start; rb < allocation.rb_start + allocation.rb_size; ++rb)
      blocks.set(static_cast<std::size_t>(rb));
    return {};
  }
  for (int rb = 0; rb < 8 * fapi::rb_bitmap_bytes; ++rb) {
    if ((allocation.rb_bitmap[static_cast<std::size_t>(rb / 8)] >> (rb % 8) & 1) == 0) continue;
    if (rb >= bwp_rbs) return {"rb_bitmap", double(rb), "blocks of the bandwidth part"};
    blocks.set(static_cast<std::size_t>(rb));
  }
  if (blocks.none()) return {"rb_bitmap", 0, "at least one block"};
  return {};
}

Refusal read_dmrs(const fapi::DmrsFields& from, nr::SharedChannel& channel) {
  nr::Dmrs& dmrs = channel.dmrs;
  if (from.dmrs_config_type > 1)
    return {"dmrs_config_type", double(from.dmrs_config_type), "0 (type 1), 1 (type 2)"};
  if (from.dmrs_symb_pos >> nr::symbols_per_slot != 0)
    return {"dmrs_symb_pos", double(from.dmrs_symb_pos), "14 bits"};
  if (from.num_dmrs_cdm_grps_no_data < 1 || from.num_dmrs_cdm_grps_no_data > 3)
    return {"num_dmrs_cdm_grps_no_data", double(from.num_dmrs_cdm_grps_no_data), "1, 2, 3"};
  dmrs.type = from.dmrs_config_type + 1;
  dmrs.symbol_mask = from.dmrs_symb_pos;
  // FAPI does not say that symbols come in pairs: neighbours of one hop do, and no others are
  // neighbours (TS 38.211 tables 6.4.1.1.3-3 to -6, 7.4.1.1.2-3, -4).
  const std::uint32_t mask = from.dmrs_symb_pos;
  const int middle = nr::hop_symbol(channel);
  const std::uint32_t first = mask & ((1u << middle) - 1), second = mask >> middle;
  dmrs.double_symbol = ((first & first >> 1) | (second & second >> 1)) != 0;
  dmrs.cdm_groups_without_data = from.num_dmrs_cdm_grps_no_data;
  dmrs.port_mask = from.dmrs_ports;
  dmrs.scrambling_id = from.dmrs_scrambling_id;
  dmrs.n_scid = from.scid;
  return {};
}

Refusal read_codeword(const fapi::CodewordFields& from, int mcs_table_max, std::uint32_t lbrm_bytes,
                      int base_graph, int index, nr::SecondCodeword& codeword) {
  if (from.tb_size > fapi::tb_bytes_max)
    return {"codewords[#].tb_size", double(from.tb_size), "up to 320000 bytes", index};
  if (from.mcs_table > mcs_table_max)
    return {"codewords[#].mcs_table", double(from.mcs_table), "tables of this channel", index};
  if (from.mcs_index > 31)
    return {"codewords[#].mcs_index", double(from.mcs_index), "0..31", index};
  if (lbrm_bytes > fapi::tb_bytes_max)
    return {"tb_size_lbrm_bytes", double(lbrm_bytes), "up to 320000 bytes"};
  codeword.modulation = static_cast<nr::Modulation>(from.qam_mod_order);
  codeword.code_rate_x10240 = from.target_code_rate;
  codeword.rv = from.rv_index;
  codeword.tb_bits = static_cast<int>(from.tb_size) * 8;
  if (codeword.tb_bits > 0 && base_graph != 0 &&
      base_graph != fec::choose_base_graph(codeword.tb_bits, codeword.code_rate_x10240))
    return {"ldpc_base_graph", double(base_graph), "0, or what TS 38.212 6.2.2 chooses"};
  if (lbrm_bytes != 0)
    codeword.limited_buffer_bits = limited_buffer_bits(codeword.tb_bits, codeword.code_rate_x10240,
                                                       std::int64_t{8} * lbrm_bytes);
  return {};
}

void take_first(const nr::SecondCodeword& codeword, nr::SharedChannel& channel) {
  channel.modulation = codeword.modulation;
  channel.code_rate_x10240 = codeword.code_rate_x10240;
  channel.rv = codeword.rv;
  channel.tb_bits = codeword.tb_bits;
  channel.limited_buffer_bits = codeword.limited_buffer_bits;
}

}  // namespace noroshi::site
