#include "phy/shared_channel/allocation.h"

#include <bit>
#include <cassert>
#include <string>

#include "phy/dmrs/dmrs.h"

namespace noroshi::phy {

Allocation make_allocation(const nr::SharedChannel& channel) {
  Allocation allocation;
  for (int rb = 0; rb < nr::rb_max; ++rb) {
    if (!channel.rbs[rb]) continue;
    if (rb == 0 || !channel.rbs[rb - 1]) allocation.runs[allocation.run_count++] = {rb, 0};
    ++allocation.runs[allocation.run_count - 1].count;
    ++allocation.rb_count;
  }
  return allocation;
}

SymbolList dmrs_symbols(const nr::Dmrs& dmrs) {
  SymbolList list;
  for (int l = 0; l < nr::symbols_per_slot; ++l)
    if ((dmrs.symbol_mask >> l & 1) != 0) list.symbol[list.count++] = l;
  return list;
}

std::uint16_t data_subcarriers(const nr::SharedChannel& channel, int symbol) {
  if ((channel.dmrs.symbol_mask >> symbol & 1) == 0) return all_subcarriers;
  // Type 1: group g has the subcarriers g, g + 2, ...; type 2: 2g, 2g + 1, 2g + 6, 2g + 7.
  std::uint32_t taken = 0;
  for (int group = 0; group < channel.dmrs.cdm_groups_without_data; ++group)
    taken |= channel.dmrs.type == 1 ? 0x555u << group : 0x0c3u << (2 * group);
  return static_cast<std::uint16_t>(all_subcarriers & ~taken);
}

std::uint32_t data_scrambling_init(const nr::SharedChannel& channel) {
  return (static_cast<std::uint32_t>(channel.rnti) << 15) + channel.scrambling_id;
}

fec::SchConfig sch_config(const nr::SharedChannel& channel) {
  fec::SchConfig config;
  config.tb_bits = channel.tb_bits;
  config.code_rate_x10240 = channel.code_rate_x10240;
  config.bits_per_symbol = nr::bits_per_symbol(channel.modulation);
  config.layers = channel.layers;
  config.rv = channel.rv;
  config.coded_bits = nr::coded_bits(channel);
  config.limited_buffer_bits = channel.limited_buffer_bits;
  return config;
}

namespace {

Error out_of_range(const char* field, int value, const char* allowed) {
  return Error{std::string(field) + " is " + std::to_string(value) + ", allowed: " + allowed};
}

Result<void> check_dmrs(const nr::SharedChannel& channel) {
  const nr::Dmrs& dmrs = channel.dmrs;
  if (dmrs.type != 1 && dmrs.type != 2) return out_of_range("dmrs.type", dmrs.type, "1, 2");
  const int groups_max = dmrs.type == 1 ? 2 : 3;
  if (dmrs.cdm_groups_without_data < 1 || dmrs.cdm_groups_without_data > groups_max)
    return out_of_range("dmrs.cdm_groups_without_data", dmrs.cdm_groups_without_data,
                        dmrs.type == 1 ? "1, 2 (type 1)" : "1, 2, 3 (type 2)");
  if (dmrs.n_scid != 0 && dmrs.n_scid != 1) return out_of_range("dmrs.n_scid", dmrs.n_scid, "0, 1");
  if (!(dmrs.amplitude_override >= 0.0f))
    return Error{"dmrs.amplitude_override is negative or not a number"};
  const std::uint32_t allocated = ((1u << channel.symbol_count) - 1) << channel.symbol_start;
  if (dmrs.symbol_mask == 0) return Error{"dmrs.symbol_mask is 0: no symbol carries DM-RS"};
  if ((dmrs.symbol_mask & ~allocated) != 0)
    return out_of_range("dmrs.symbol_mask", dmrs.symbol_mask, "symbols of the allocation only");
  if (dmrs.double_symbol) {
    for (std::uint32_t rest = dmrs.symbol_mask; rest != 0;) {
      const std::uint32_t pair = 3u << std::countr_zero(rest);
      if ((rest & pair) != pair)
        return out_of_range("dmrs.symbol_mask", dmrs.symbol_mask, "pairs (double_symbol)");
      rest &= ~pair;
    }
  }
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

}  // namespace

Result<void> check_shared_channel(const nr::Carrier& carrier, const nr::SharedChannel& channel) {
  if (channel.rbs.none()) return Error{"rbs is empty: allocate at least one resource block"};
  for (int rb = carrier.rb_count; rb < nr::rb_max; ++rb)
    if (channel.rbs[rb]) return out_of_range("rbs", rb, "blocks of the carrier");
  if (channel.symbol_start < 0 || channel.symbol_start >= nr::symbols_per_slot)
    return out_of_range("symbol_start", channel.symbol_start, "0..13");
  if (channel.symbol_count < 1 ||
      channel.symbol_start + channel.symbol_count > nr::symbols_per_slot)
    return out_of_range("symbol_count", channel.symbol_count, "1..14 - symbol_start");
  switch (channel.modulation) {
    case nr::Modulation::qpsk:
    case nr::Modulation::qam16:
    case nr::Modulation::qam64:
    case nr::Modulation::qam256:
      break;
    default:
      return out_of_range("modulation", static_cast<int>(channel.modulation),
                          "2, 4, 6, 8 (QPSK to 256QAM)");
  }
  if (channel.scrambling_id > 1023)
    return out_of_range("scrambling_id", channel.scrambling_id, "0..1023");
  if (channel.layers < 1 || channel.layers > 4)
    return out_of_range("layers", channel.layers, "1..4 (one codeword)");
  if (Result<void> dmrs = check_dmrs(channel); !dmrs) return dmrs;
  return fec::check(sch_config(channel));
}

}  // namespace noroshi::phy
