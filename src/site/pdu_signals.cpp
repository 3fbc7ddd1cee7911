// SSB and CSI-RS PDUs: which elements are theirs.

#include <initializer_list>
#include <string_view>

#include "nr/reserved_signals.h"
#include "site/pdu.h"

namespace noroshi::site {
namespace {

struct Name {
  const char* nr;
  const char* fapi;
};

// What nr refuses, in FAPI's words.
Refusal in_fapi(Refusal no, std::initializer_list<Name> names) {
  for (const Name& name : names) {
    if (!no || std::string_view(no.field) != name.nr) continue;
    no.field = name.fapi;
    break;
  }
  return no;
}

}  // namespace

Refusal read_ssb(const CellLimits& cell, int slot, const fapi::SsbPdu& pdu,
                 nr::ReservedElements& elements) {
  if (pdu.subcarrier_spacing != (cell.carrier.scs_khz == 30 ? 1 : 0))
    return {"ssbs[#].subcarrier_spacing", double(pdu.subcarrier_spacing), "that of the cell"};
  if (pdu.phys_cell_id > 1007) return {"ssbs[#].phys_cell_id", double(pdu.phys_cell_id), "0..1007"};
  if (pdu.l_max != 4 && pdu.l_max != 8) return {"ssbs[#].l_max", double(pdu.l_max), "4, 8 (FR1)"};
  if (pdu.ssb_block_index >= pdu.l_max)
    return {"ssbs[#].ssb_block_index", double(pdu.ssb_block_index), "0 to l_max - 1"};
  return in_fapi(nr::find_ssb(cell.carrier, slot,
                              {.pattern = static_cast<nr::SsbCase>(pdu.ssb_case),
                               .index = pdu.ssb_block_index,
                               .offset_to_point_a = pdu.ssb_offset_point_a,
                               .subcarrier_offset = pdu.ssb_subcarrier_offset},
                              elements),
                 {{"pattern", "ssbs[#].ssb_case"},
                  {"index", "ssbs[#].ssb_block_index"},
                  {"offset_to_point_a", "ssbs[#].ssb_offset_point_a"},
                  {"subcarrier_offset", "ssbs[#].ssb_subcarrier_offset"}});
}

Refusal read_csi_rs(const CellLimits& cell, const fapi::CsiRsPdu& pdu,
                    nr::ReservedElements& elements) {
  if (pdu.subcarrier_spacing != (cell.carrier.scs_khz == 30 ? 1 : 0))
    return {"csi_rs[#].subcarrier_spacing", double(pdu.subcarrier_spacing), "that of the cell"};
  if (pdu.cyclic_prefix != 0)
    return {"csi_rs[#].cyclic_prefix", double(pdu.cyclic_prefix), "0: normal"};
  if (pdu.csi_type > 2)
    return {"csi_rs[#].csi_type", double(pdu.csi_type), "0 (TRS), 1 (NZP), 2 (ZP)"};
  if (pdu.scramb_id > 1023) return {"csi_rs[#].scramb_id", double(pdu.scramb_id), "0..1023"};
  if (pdu.start_rb >= cell.carrier.rb_count)
    return {"csi_rs[#].start_rb", double(pdu.start_rb), "blocks of the carrier"};
  if (pdu.nr_of_rbs < 1 || pdu.nr_of_rbs > cell.carrier.rb_count - pdu.start_rb)
    return {"csi_rs[#].nr_of_rbs", double(pdu.nr_of_rbs),
            "1 to the blocks of the carrier from start_rb on"};
  const Refusal no =
      in_fapi(nr::find_csi_rs({.row = pdu.row,
                               .frequency = pdu.freq_domain,
                               .symbol_0 = pdu.symb_l0,
                               .symbol_1 = pdu.symb_l1,
                               .density = static_cast<nr::CsiRsDensity>(pdu.freq_density),
                               .rb_start = pdu.start_rb,
                               .rb_count = pdu.nr_of_rbs},
                              elements),
              {{"row", "csi_rs[#].row"},
               {"frequency", "csi_rs[#].freq_domain"},
               {"density", "csi_rs[#].freq_density"},
               {"symbol_0", "csi_rs[#].symb_l0"},
               {"symbol_1", "csi_rs[#].symb_l1"}});
  if (no) return no;
  if (pdu.cdm_type != nr::csi_rs_cdm_type(pdu.row))
    return {"csi_rs[#].cdm_type", double(pdu.cdm_type), "that of the row"};
  return {};
}

}  // namespace noroshi::site
