#include "phy/shared_channel/allocation.h"

#include <bit>
#include <cassert>

namespace noroshi::phy {
namespace {

void append(int rb, Allocation& allocation) {
  if (allocation.run_count > 0) {
    RbRun& run = allocation.runs[static_cast<std::size_t>(allocation.run_count - 1)];
    if (run.first + run.count == rb) {
      ++run.count;
      ++allocation.rb_count;
      return;
    }
  }
  allocation.runs[static_cast<std::size_t>(allocation.run_count++)] = {rb, 1};
  ++allocation.rb_count;
}

}  // namespace

Allocation make_allocation(const nr::SharedChannel& channel, int hop) {
  const std::bitset<nr::rb_max> blocks = nr::hop_blocks(channel, hop);
  Allocation allocation;
  for (int rb = 0; rb < nr::rb_max; ++rb)
    if (blocks[static_cast<std::size_t>(rb)]) append(rb, allocation);
  return allocation;
}

Allocation mapping_order(const nr::SharedChannel& channel, int hop) {
  if (channel.vrb.bundle_rbs == 0) return make_allocation(channel, hop);
  Allocation allocation;
  for (int n = 0; n < channel.vrb.rb_count; ++n) {
    const int rb = nr::vrb_to_crb(channel.vrb, n);
    if (channel.rbs[static_cast<std::size_t>(rb)]) append(rb, allocation);
  }
  return allocation;
}

SymbolList dmrs_symbols(const nr::Dmrs& dmrs) {
  SymbolList list;
  for (int l = 0; l < nr::symbols_per_slot; ++l)
    if ((dmrs.symbol_mask >> l & 1) != 0) list.symbol[static_cast<std::size_t>(list.count++)] = l;
  return list;
}

std::uint16_t data_subcarriers(const nr::SharedChannel& channel, int symbol) {
  if ((channel.dmrs.symbol_mask >> symbol & 1) == 0) return all_subcarriers;
  return static_cast<std::uint16_t>(all_subcarriers & ~nr::dmrs_subcarriers(channel.dmrs));
}

std::uint32_t data_scrambling_init(const nr::SharedChannel& channel, int codeword) {
  return (static_cast<std::uint32_t>(channel.rnti) << 15) +
         (static_cast<std::uint32_t>(codeword) << 14) + channel.scrambling_id;
}

fec::SchConfig sch_config(const nr::SharedChannel& channel, int codeword) {
  return sch_config(channel, codeword, nr::data_resource_elements(channel));
}

fec::SchConfig sch_config(const nr::SharedChannel& channel, int codeword, int elements) {
  const bool first = codeword == 0;
  fec::SchConfig config;
  config.tb_bits = first ? channel.tb_bits : channel.second.tb_bits;
  config.code_rate_x10240 = first ? channel.code_rate_x10240 : channel.second.code_rate_x10240;
  config.bits_per_symbol = nr::bits_per_symbol(nr::codeword_modulation(channel, codeword));
  config.layers = nr::codeword_layers(channel, codeword);
  config.rv = first ? channel.rv : channel.second.rv;
  config.coded_bits = elements * config.layers * config.bits_per_symbol;
  config.limited_buffer_bits =
      first ? channel.limited_buffer_bits : channel.second.limited_buffer_bits;
  return config;
}

}  // namespace noroshi::phy
