// check_shared_channel and its two links: every field of nr::SharedChannel, one after the other.

#include <bit>
#include <cmath>

#include "phy/dmrs/dmrs.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {
namespace {

Refusal out_of_range(const char* field, double value, const char* allowed, int index = -1) {
  return {field, value, allowed, index};
}

int rbs_of(const nr::SharedChannel& channel) { return static_cast<int>(channel.rbs.count()); }

bool contiguous(const std::bitset<nr::rb_max>& blocks) {
  bool ended = false, begun = false;
  for (std::size_t rb = 0; rb < nr::rb_max; ++rb) {
    if (blocks[rb] && ended) return false;
    begun = begun || blocks[rb];
    ended = begun && !blocks[rb];
  }
  return begun;
}

Refusal check_place(const nr::Carrier& carrier, const nr::SharedChannel& channel) {
  if (channel.rbs.none()) return out_of_range("rbs", 0, "at least one resource block");
  for (int rb = carrier.rb_count; rb < nr::rb_max; ++rb)
    if (channel.rbs[static_cast<std::size_t>(rb)])
      return out_of_range("rbs", rb, "blocks of the carrier");
  if (channel.symbol_start < 0 || channel.symbol_start >= nr::symbols_per_slot)
    return out_of_range("symbol_start", channel.symbol_start, "0..13");
  if (channel.symbol_count < 1 ||
      channel.symbol_count > nr::symbols_per_slot - channel.symbol_start)
    return out_of_range("symbol_count", channel.symbol_count, "1..14 - symbol_start");
  return {};
}

Refusal check_modulation(const char* field, nr::Modulation modulation) {
  switch (modulation) {
    case nr::Modulation::pi2_bpsk:
    case nr::Modulation::qpsk:
    case nr::Modulation::qam16:
    case nr::Modulation::qam64:
    case nr::Modulation::qam256:
    case nr::Modulation::qam1024:
      return {};
    default:
      return out_of_range(field, static_cast<int>(modulation),
                          "1 (pi/2-BPSK), 2, 4, 6, 8, 10 (QPSK to 1024QAM)");
  }
}

// One codeword has 1 to 4 layers, two have 5 to 8 and both carry a transport block.
Refusal check_layers(const nr::SharedChannel& channel) {
  if (channel.layers < 1 || channel.layers > nr::layers_max)
    return out_of_range("layers", channel.layers, "1..8");
  const bool two = nr::codewords(channel) == 2;
  if (two && channel.second.tb_bits <= 0)
    return out_of_range("second.tb_bits", channel.second.tb_bits,
                        "a transport block, as there are 5 layers or more");
  if (!two && channel.second.tb_bits != 0)
    return out_of_range("second.tb_bits", channel.second.tb_bits, "0 with up to 4 layers");
  if (two) return check_modulation("second.modulation", channel.second.modulation);
  return {};
}

Refusal check_dmrs_ports(const nr::SharedChannel& channel) {
  const nr::Dmrs& dmrs = channel.dmrs;
  const int ports_max = dmrs_ports(dmrs.type, dmrs.double_symbol);
  if (dmrs.port_mask >> ports_max != 0)
    return out_of_range("dmrs.port_mask", dmrs.port_mask, "ports of this DM-RS configuration");
  if (std::popcount(dmrs.port_mask) != channel.layers)
    return out_of_range("dmrs.port_mask", dmrs.port_mask, "one port a layer");
  for (int port = 0; port < ports_max; ++port)
    if ((dmrs.port_mask >> port & 1) != 0 &&
        dmrs_port(dmrs.type, port).cdm_group >= dmrs.cdm_groups_without_data)
      return out_of_range("dmrs.port_mask", dmrs.port_mask, "ports of CDM groups without data");
  return {};
}

Refusal check_dmrs_symbols(const nr::SharedChannel& channel) {
  const nr::Dmrs& dmrs = channel.dmrs;
  const std::uint32_t allocated = ((1u << channel.symbol_count) - 1) << channel.symbol_start;
  if (dmrs.symbol_mask == 0)
    return out_of_range("dmrs.symbol_mask", 0, "a symbol that carries DM-RS");
  if ((dmrs.symbol_mask & ~allocated) != 0)
    return out_of_range("dmrs.symbol_mask", dmrs.symbol_mask, "symbols of the allocation only");
  if (!dmrs.double_symbol) return {};
  for (std::uint32_t rest = dmrs.symbol_mask; rest != 0;) {
    const std::uint32_t pair = 3u << std::countr_zero(rest);
    if ((rest & pair) != pair)
      return out_of_range("dmrs.symbol_mask", dmrs.symbol_mask, "pairs (double_symbol)");
    rest &= ~pair;
  }
  return {};
}

Refusal check_dmrs(const nr::Carrier& carrier, const nr::SharedChannel& channel) {
  const nr::Dmrs& dmrs = channel.dmrs;
  if (dmrs.type != 1 && dmrs.type != 2) return out_of_range("dmrs.type", dmrs.type, "1, 2");
  const int groups_max = dmrs.type == 1 ? 2 : 3;
  if (dmrs.cdm_groups_without_data < 1 || dmrs.cdm_groups_without_data > groups_max)
    return out_of_range("dmrs.cdm_groups_without_data", dmrs.cdm_groups_without_data,
                        dmrs.type == 1 ? "1, 2 (type 1)" : "1, 2, 3 (type 2)");
  if (dmrs.n_scid != 0 && dmrs.n_scid != 1) return out_of_range("dmrs.n_scid", dmrs.n_scid, "0, 1");
  if (dmrs.reference_rb < 0 || dmrs.reference_rb >= carrier.rb_count)
    return out_of_range("dmrs.reference_rb", dmrs.reference_rb, "blocks of the carrier");
  for (int rb = 0; rb < dmrs.reference_rb; ++rb)
    if (channel.rbs[static_cast<std::size_t>(rb)])
      return out_of_range("dmrs.reference_rb", dmrs.reference_rb, "up to the first block of rbs");
  // Above this the sum of layers would leave what half a float's exponent holds.
  if (!(dmrs.amplitude_override >= 0.0f) || dmrs.amplitude_override > 1e6f)
    return out_of_range("dmrs.amplitude_override", double{dmrs.amplitude_override},
                        "0 (none) up to 1e6");
  switch (dmrs.hopping) {
    case nr::SequenceHopping::none:
      break;
    case nr::SequenceHopping::group:
    case nr::SequenceHopping::sequence:
      if (!channel.transform_precoding)
        return out_of_range("dmrs.hopping", static_cast<int>(dmrs.hopping),
                            "0 (none) without transform precoding");
      break;
    default:
      return out_of_range("dmrs.hopping", static_cast<int>(dmrs.hopping),
                          "0 (none), 1 (group), 2 (sequence)");
  }
  if (const Refusal no = check_dmrs_symbols(channel)) return no;
  return check_dmrs_ports(channel);
}

Refusal check_ptrs_ports(const nr::SharedChannel& channel) {
  const nr::PtRs& ptrs = channel.ptrs;
  // Ports that PT-RS can go with (TS 38.211 tables 6.4.1.2.2.1-1 and 7.4.1.2.2-1); with the others
  // there is no PT-RS (TS 38.214 5.1.6.2, 6.2.2).
  const int ports_max = channel.dmrs.type == 1 ? 4 : 6;
  if (channel.dmrs.port_mask >> ports_max != 0)
    return out_of_range("ptrs.present", 1,
                        channel.dmrs.type == 1 ? "0 with DM-RS ports from 4 on (type 1)"
                                               : "0 with DM-RS ports from 6 on (type 2)");
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int8_t port = ptrs.dmrs_port[i];
    const char* const field = i == 0 ? "ptrs.dmrs_port[0]" : "ptrs.dmrs_port[1]";
    if (port == -1 && i == 1) continue;
    if (port < 0 || port >= ports_max || (channel.dmrs.port_mask >> port & 1) == 0)
      return out_of_range(field, port, "a port of dmrs.port_mask");
  }
  if (ptrs.dmrs_port[0] == ptrs.dmrs_port[1])
    return out_of_range("ptrs.dmrs_port[1]", ptrs.dmrs_port[1], "another one than dmrs_port[0]");
  const nr::PtRsBlocks blocks = nr::ptrs_blocks(channel);
  if (blocks.subcarrier[0] == blocks.subcarrier[1])
    return out_of_range("ptrs.dmrs_port[1]", ptrs.dmrs_port[1],
                        "a port whose PT-RS has another subcarrier than that of dmrs_port[0]");
  return {};
}

Refusal check_ptrs(const nr::SharedChannel& channel) {
  const nr::PtRs& ptrs = channel.ptrs;
  if (!ptrs.present) return {};
  const bool dft = channel.transform_precoding;
  const int l = ptrs.time_density;
  if (l != 1 && l != 2 && (l != 4 || dft))
    return out_of_range("ptrs.time_density", l, dft ? "1, 2 (transform precoding)" : "1, 2, 4");
  if (!(ptrs.amplitude > 0.0f) || ptrs.amplitude > 1e6f)
    return out_of_range("ptrs.amplitude", double{ptrs.amplitude}, "above 0 up to 1e6");
  if (dft) {
    // TS 38.211 table 6.4.1.2.2.2-1.
    if (ptrs.groups != 2 && ptrs.groups != 4 && ptrs.groups != 8)
      return out_of_range("ptrs.groups", ptrs.groups, "2, 4, 8");
    if (ptrs.group_samples != 4 && (ptrs.group_samples != 2 || ptrs.groups == 8))
      return out_of_range("ptrs.group_samples", ptrs.group_samples,
                          ptrs.groups == 8 ? "4 (8 groups)" : "2, 4");
    const int samples = static_cast<int>(channel.rbs.count()) * nr::subcarriers_per_rb;
    if (samples / ptrs.groups < ptrs.group_samples)
      return out_of_range("ptrs.groups", ptrs.groups, "groups that the allocation has room for");
    return {};
  }
  if (ptrs.frequency_density != 2 && ptrs.frequency_density != 4)
    return out_of_range("ptrs.frequency_density", ptrs.frequency_density, "2, 4");
  if (ptrs.re_offset < 0 || ptrs.re_offset > 3)
    return out_of_range("ptrs.re_offset", ptrs.re_offset, "0..3");
  return check_ptrs_ports(channel);
}

Refusal check_reserved(const nr::SharedChannel& channel) {
  if (channel.reserved_count < 0 || channel.reserved_count > nr::reserved_max)
    return out_of_range("reserved_count", channel.reserved_count, "0..16");
  for (int i = 0; i < channel.reserved_count; ++i) {
    const nr::ReservedElements& reserved = channel.reserved[static_cast<std::size_t>(i)];
    if (reserved.symbol_mask >> nr::symbols_per_slot != 0)
      return out_of_range("reserved[#].symbol_mask", reserved.symbol_mask, "14 bits", i);
    if ((reserved.subcarrier_mask & ~all_subcarriers) != 0)
      return out_of_range("reserved[#].subcarrier_mask", reserved.subcarrier_mask, "12 bits", i);
  }
  return {};
}

Refusal check_interleaver(const nr::Carrier& carrier, const nr::SharedChannel& channel) {
  const nr::VrbInterleaver& vrb = channel.vrb;
  if (vrb.bundle_rbs == 0) return {};
  if (vrb.bundle_rbs != 2 && vrb.bundle_rbs != 4)
    return out_of_range("vrb.bundle_rbs", vrb.bundle_rbs, "0, 2, 4");
  if (vrb.rb_first < 0 || vrb.rb_first >= carrier.rb_count)
    return out_of_range("vrb.rb_first", vrb.rb_first, "blocks of the carrier");
  if (vrb.rb_count < 1 || vrb.rb_count > carrier.rb_count - vrb.rb_first)
    return out_of_range("vrb.rb_count", vrb.rb_count, "1 .. blocks of the carrier");
  for (int rb = 0; rb < carrier.rb_count; ++rb)
    if (channel.rbs[static_cast<std::size_t>(rb)] &&
        (rb < vrb.rb_first || rb >= vrb.rb_first + vrb.rb_count))
      return out_of_range("rbs", rb, "blocks that vrb interleaves");
  return {};
}

Refusal check_hopping(const nr::Carrier& carrier, const nr::SharedChannel& channel) {
  if (channel.second_hop_rb == -1) return {};
  const int rbs = static_cast<int>(channel.rbs.count());
  if (channel.second_hop_rb < 0 || channel.second_hop_rb > carrier.rb_count - rbs)
    return out_of_range("second_hop_rb", channel.second_hop_rb,
                        "-1 (none), 0 .. what leaves room for the blocks of rbs");
  if (!contiguous(channel.rbs))
    return out_of_range("second_hop_rb", channel.second_hop_rb, "-1 where rbs has gaps");
  if (channel.symbol_count < 2)
    return out_of_range("symbol_count", channel.symbol_count, "2..14 with a second hop");
  if (channel.vrb.bundle_rbs != 0)
    return out_of_range("vrb.bundle_rbs", channel.vrb.bundle_rbs, "0 with a second hop");
  const std::uint32_t second = channel.dmrs.symbol_mask >> nr::hop_symbol(channel);
  if (second == 0 || second << nr::hop_symbol(channel) == channel.dmrs.symbol_mask)
    return out_of_range("dmrs.symbol_mask", channel.dmrs.symbol_mask, "a symbol in each hop");
  return {};
}

Refusal check_transform_precoding(const nr::SharedChannel& channel) {
  const bool pi2_bpsk =
      channel.modulation == nr::Modulation::pi2_bpsk ||
      (nr::codewords(channel) == 2 && channel.second.modulation == nr::Modulation::pi2_bpsk);
  if (!channel.transform_precoding) {
    if (pi2_bpsk)
      return out_of_range("modulation", 1, "2, 4, 6, 8, 10 without transform precoding");
    return {};
  }
  if (channel.modulation == nr::Modulation::qam1024)
    return out_of_range("modulation", 10, "1, 2, 4, 6, 8 with transform precoding");
  if (channel.layers != 1)
    return out_of_range("layers", channel.layers, "1 with transform precoding");
  if (!contiguous(channel.rbs))
    return out_of_range("rbs", rbs_of(channel), "blocks without a gap with transform precoding");
  if (channel.vrb.bundle_rbs != 0)
    return out_of_range("vrb.bundle_rbs", channel.vrb.bundle_rbs, "0 with transform precoding");
  if (channel.reserved_count != 0)
    return out_of_range("reserved_count", channel.reserved_count, "0 with transform precoding");
  // TS 38.211 6.3.1.4.
  const int rbs = rbs_of(channel);
  int rest = rbs;
  for (const int prime : {2, 3, 5})
    while (rest % prime == 0) rest /= prime;
  if (rest != 1) return out_of_range("blocks of rbs", rbs, "2^a 3^b 5^c with transform precoding");
  // TS 38.211 6.4.1.1.3, TS 38.214 6.2.2: type 1, nothing beside DM-RS.
  if (channel.dmrs.type != 1)
    return out_of_range("dmrs.type", channel.dmrs.type, "1 with transform precoding");
  if (channel.dmrs.cdm_groups_without_data != 2)
    return out_of_range("dmrs.cdm_groups_without_data", channel.dmrs.cdm_groups_without_data,
                        "2 with transform precoding");
  if (channel.dmrs.scrambling_id > 1007)
    return out_of_range("dmrs.scrambling_id", channel.dmrs.scrambling_id,
                        "0..1007 with transform precoding");
  if (channel.ptrs.present && channel.ptrs.scrambling_id > 1007)
    return out_of_range("ptrs.scrambling_id", channel.ptrs.scrambling_id, "0..1007");
  return {};
}

Refusal check_uci(const nr::SharedChannel& channel) {
  const nr::PuschUci& uci = channel.uci;
  // TS 38.212 5.2.1: up to 1706 bits; what fits is for the multiplexing to say.
  for (const auto& [field, bits] :
       {std::pair{"uci.harq_bits", uci.harq_bits}, std::pair{"uci.csi1_bits", uci.csi1_bits},
        std::pair{"uci.csi2_bits", uci.csi2_bits}})
    if (bits < 0 || bits > 1706) return out_of_range(field, bits, "0..1706");
  if (uci.csi2_bits > 0 && uci.csi1_bits == 0)
    return out_of_range("uci.csi2_bits", uci.csi2_bits, "0 without CSI part 1");
  return {};
}

}  // namespace

Refusal refuse_shared_channel(const nr::Carrier& carrier, const nr::SharedChannel& channel) {
  if (const Refusal no = check_place(carrier, channel)) return no;
  if (const Refusal no = check_modulation("modulation", channel.modulation)) return no;
  if (channel.scrambling_id > 1023)
    return out_of_range("scrambling_id", channel.scrambling_id, "0..1023");
  if (const Refusal no = check_layers(channel)) return no;
  if (const Refusal no = check_transform_precoding(channel)) return no;
  if (const Refusal no = check_dmrs(carrier, channel)) return no;
  if (const Refusal no = check_ptrs(channel)) return no;
  if (const Refusal no = check_reserved(channel)) return no;
  if (const Refusal no = check_interleaver(carrier, channel)) return no;
  if (const Refusal no = check_hopping(carrier, channel)) return no;
  if (const Refusal no = check_uci(channel)) return no;
  if (channel.tb_bits == 0 && channel.uci.any()) return {};  // UCI without UL-SCH
  const int elements = nr::data_resource_elements(channel);
  for (int codeword = 0; codeword < nr::codewords(channel); ++codeword)
    if (const Refusal no = fec::refuse(sch_config(channel, codeword, elements))) return no;
  return {};
}

Refusal refuse_downlink(const nr::Carrier& carrier, const nr::SharedChannel& pdsch) {
  if (pdsch.transform_precoding) return out_of_range("transform_precoding", 1, "0 for PDSCH");
  if (pdsch.second_hop_rb != -1)
    return out_of_range("second_hop_rb", pdsch.second_hop_rb, "-1 for PDSCH");
  if (pdsch.uci.harq_bits != 0)
    return out_of_range("uci.harq_bits", pdsch.uci.harq_bits, "0 for PDSCH");
  if (pdsch.uci.csi1_bits != 0)
    return out_of_range("uci.csi1_bits", pdsch.uci.csi1_bits, "0 for PDSCH");
  if (pdsch.ptrs.present && pdsch.ptrs.dmrs_port[1] != -1)
    return out_of_range("ptrs.dmrs_port[1]", pdsch.ptrs.dmrs_port[1], "-1 for PDSCH");
  return refuse_shared_channel(carrier, pdsch);
}

Refusal refuse_uplink(const nr::Carrier& carrier, const nr::SharedChannel& pusch) {
  if (pusch.layers > nr::codeword_layers_max)
    return out_of_range("layers", pusch.layers, "1..4 for PUSCH");
  if (pusch.modulation == nr::Modulation::qam1024)
    return out_of_range("modulation", 10, "1, 2, 4, 6, 8 for PUSCH");
  if (pusch.vrb.bundle_rbs != 0)
    return out_of_range("vrb.bundle_rbs", pusch.vrb.bundle_rbs, "0 for PUSCH");
  if (pusch.reserved_count != 0)
    return out_of_range("reserved_count", pusch.reserved_count, "0 for PUSCH");
  if (pusch.dmrs.reference_rb != 0)
    return out_of_range("dmrs.reference_rb", pusch.dmrs.reference_rb, "0 for PUSCH");
  return refuse_shared_channel(carrier, pusch);
}

Result<void> check_shared_channel(const nr::Carrier& carrier, const nr::SharedChannel& channel) {
  return as_result(refuse_shared_channel(carrier, channel));
}
Result<void> check_downlink(const nr::Carrier& carrier, const nr::SharedChannel& pdsch) {
  return as_result(refuse_downlink(carrier, pdsch));
}
Result<void> check_uplink(const nr::Carrier& carrier, const nr::SharedChannel& pusch) {
  return as_result(refuse_uplink(carrier, pusch));
}

}  // namespace noroshi::phy
