// PUSCH, transport block to grid, its DM-RS and its codebook (TS 38.211 6.3.1, 6.4.1.1).

#include <cmath>
#include <optional>

#include "air/handset.h"
#include "conformance/channel_case.h"
#include "conformance/components.h"
#include "nr/dmrs_symbols.h"
#include "nr/mcs.h"
#include "nr/pusch_precoding.h"
#include "phy/dmrs/dmrs.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::conformance {
namespace {

// The source's factor is sqrt(groups); TS 38.214 table 6.2.2-1 has 3 dB and 4.77 dB.
Result<nr::Dmrs> pusch_dmrs_of(const VectorCase& c, int symbol_start, int symbol_count) {
  const std::pair<const char*, int> defaults[] = {{"dmrs_config_type", 0},
                                                  {"dmrs_length", 0},
                                                  {"dmrs_additional_position", 0},
                                                  {"dmrs_TypeA_Position", 0},
                                                  {"dmrs_num_cdm_groups_without_data", 0},
                                                  {"dmrs_n_scid", 0},
                                                  {"dmrs_n_id", 0}};
  int values[std::size(defaults)] = {};
  for (std::size_t i = 0; i < std::size(defaults); ++i) {
    const auto value = c.integer(defaults[i].first);
    if (!value) return value.error();
    values[i] = *value;
  }
  const auto& [type, length, additional, type_a_position, groups, scid, id] = values;
  const auto ports = c.numbers("dmrs_port_set");
  if (!ports) return ports.error();
  nr::Dmrs dmrs;
  dmrs.type = type;
  dmrs.double_symbol = length == 2;
  dmrs.symbol_mask = nr::pusch_dmrs_symbols(symbol_start, symbol_count,
                                            {.type_a_position = type_a_position,
                                             .additional_positions = additional,
                                             .double_symbol = length == 2});
  dmrs.cdm_groups_without_data = groups;
  dmrs.port_mask = 0;
  int last = -1;
  for (const double port : *ports) {
    if (port <= last || port > 11) return Error{"dmrs_port_set does not ascend in 0..11"};
    last = static_cast<int>(port);
    dmrs.port_mask = static_cast<std::uint16_t>(dmrs.port_mask | 1 << last);
  }
  dmrs.scrambling_id = static_cast<std::uint16_t>(id);
  dmrs.n_scid = scid;
  dmrs.amplitude_override = std::sqrt(static_cast<float>(groups));
  return dmrs;
}

// Type 2 with double symbols and no power scaling, as pusch_dmrs and pusch_precoding have it.
Result<nr::SharedChannel> dmrs_alone(const VectorCase& c, std::uint16_t port_mask) {
  const auto rbs = c.integer("n_prb");
  if (!rbs) return rbs.error();
  const auto additional = c.integer("additional_position");
  if (!additional) return additional.error();
  const auto type = c.integer("config_type");
  if (!type) return type.error();
  const auto length = c.integer("length");
  if (!length) return length.error();
  const auto position = c.integer("dmrs_TypeA_Position");
  if (!position) return position.error();
  const auto groups = c.integer("num_cdm_groups_without_data");
  if (!groups) return groups.error();
  const auto ids = c.numbers("n_id");
  if (!ids) return ids.error();
  const auto scid = c.integer("n_scid");
  if (!scid) return scid.error();
  if (*rbs < 1 || *rbs > nr::rb_max || *scid < 0 || static_cast<std::size_t>(*scid) >= ids->size())
    return Error{"no such blocks or n_scid"};
  nr::SharedChannel pusch;
  for (int rb = 0; rb < *rbs; ++rb) pusch.rbs.set(static_cast<std::size_t>(rb));
  pusch.dmrs.type = *type;
  pusch.dmrs.double_symbol = *length == 2;
  pusch.dmrs.symbol_mask = nr::pusch_dmrs_symbols(0, nr::symbols_per_slot,
                                                  {.type_a_position = *position,
                                                   .additional_positions = *additional,
                                                   .double_symbol = *length == 2});
  pusch.dmrs.cdm_groups_without_data = *groups;
  pusch.dmrs.scrambling_id = static_cast<std::uint16_t>((*ids)[static_cast<std::size_t>(*scid)]);
  pusch.dmrs.n_scid = *scid;
  pusch.dmrs.port_mask = port_mask;
  pusch.dmrs.amplitude_override = 1;
  return pusch;
}

}  // namespace

Outcome check_pusch(const VectorCase& c) {
  NOROSHI_CASE_VALUE(layers, c.integer("num_layers"));
  NOROSHI_CASE_VALUE(ports, c.integer("num_antenna_ports"));
  NOROSHI_CASE_VALUE(kind, c.text("precoding"));
  NOROSHI_CASE_VALUE(rbs, c.integer("n_size_bwp"));
  NOROSHI_CASE_VALUE(symbols, c.numbers("symbol_allocation"));
  NOROSHI_CASE_VALUE(rnti, c.integer("n_rnti"));
  NOROSHI_CASE_VALUE(cell_id, c.integer("n_cell_id"));
  NOROSHI_CASE_VALUE(modulation, c.integer("num_bits_per_symbol"));
  NOROSHI_CASE_VALUE(code_rate, c.number("target_code_rate"));
  NOROSHI_CASE_VALUE(slot, c.integer("slot_number"));
  NOROSHI_CASE_VALUE(scs_khz, c.integer("subcarrier_spacing_khz"));
  NOROSHI_CASE_VALUE(tb_bits, c.array("tb"));
  NOROSHI_CASE_VALUE(grid, c.array("grid"));
  if (rbs < 1 || rbs > nr::rb_max || symbols.size() != 2) return failed("not an allocation");
  NOROSHI_CASE_VALUE(dmrs,
                     pusch_dmrs_of(c, static_cast<int>(symbols[0]), static_cast<int>(symbols[1])));

  nr::SharedChannel pusch;
  pusch.rnti = static_cast<std::uint16_t>(rnti);
  pusch.scrambling_id = static_cast<std::uint16_t>(cell_id);
  for (int rb = 0; rb < rbs; ++rb) pusch.rbs.set(static_cast<std::size_t>(rb));
  pusch.symbol_start = static_cast<int>(symbols[0]);
  pusch.symbol_count = static_cast<int>(symbols[1]);
  pusch.modulation = static_cast<nr::Modulation>(modulation);
  pusch.code_rate_x10240 = static_cast<int>(std::lround(code_rate * 10240));
  pusch.layers = layers;
  pusch.tb_bits = static_cast<int>(tb_bits->size());
  pusch.dmrs = dmrs;

  const nr::Carrier carrier = carrier_of(rbs, scs_khz);
  if (const auto allowed = air::check_pusch_transmit(carrier, pusch); !allowed) {
    return failed(allowed.error().message);
  }
  if (pusch.tb_bits != nr::transport_block_bits(pusch)) {
    return failed("transport block size " + std::to_string(nr::transport_block_bits(pusch)) +
                  ", expected " + std::to_string(pusch.tb_bits));
  }
  if (ports < layers || ports > 4) return failed("not a number of ports: " + std::to_string(ports));
  std::optional<nr::PuschPrecoder> precoder;
  if (kind == "codebook") {
    NOROSHI_CASE_VALUE(tpmi, c.integer("tpmi"));
    NOROSHI_CASE_VALUE(made, nr::pusch_precoder(ports, layers, tpmi, false));
    precoder = made;
  }
  const std::vector<std::uint8_t> tb = packed(bits_of(*tb_bits, 0, tb_bits->size()));
  SlotGrid ours(ports, carrier);
  phy::TransmitWorkspace workspace(carrier);
  air::pusch_transmit(carrier, slot, pusch, tb,
                      precoder ? precoder->matrix() : View<const cf32, 2>(), ours.view(),
                      workspace);
  const std::string wrong = grid_difference(ours, *grid, 0);
  return wrong.empty() ? passed() : failed(wrong);
}

// The pilots of one port, both versions.
Outcome check_pusch_dmrs(const VectorCase& c) {
  NOROSHI_CASE_VALUE(port, c.integer("port"));
  NOROSHI_CASE_VALUE(slot, c.integer("slot"));
  NOROSHI_CASE_VALUE(expected, c.array("pilots"));
  if (port < 0 || port > 11) return failed("no such port");
  NOROSHI_CASE_VALUE(pusch, dmrs_alone(c, static_cast<std::uint16_t>(1 << port)));
  const phy::Allocation blocks = phy::make_allocation(pusch);
  const phy::SymbolList symbols = phy::dmrs_symbols(pusch.dmrs);
  const auto count =
      static_cast<std::size_t>(blocks.rb_count * phy::dmrs_pilots_per_rb(pusch.dmrs.type));
  if (expected->complex.size() != count * static_cast<std::size_t>(symbols.count))
    return failed("pilots has another size");
  std::size_t row = 0;
  for (const int symbol : symbols) {
    std::vector<cf32> exact(count), fast(count);
    phy::ref::dmrs_pilots(pusch.dmrs, port, slot, symbol, blocks, exact);
    phy::cpu::dmrs_pilots(pusch.dmrs, port, slot, symbol, blocks, fast);
    const cf64* const want = expected->complex.data() + count * row++;
    for (const auto& [what, got] : {std::pair{"ref", &exact}, std::pair{"cpu", &fast}}) {
      const std::string wrong = difference(*got, want, count, 1e-6);
      if (!wrong.empty())
        return failed(std::string(what) + ", symbol " + std::to_string(symbol) + ": " + wrong);
    }
  }
  return passed();
}

// DM-RS of every layer through W.
Outcome check_pusch_precoding(const VectorCase& c) {
  NOROSHI_CASE_VALUE(layers, c.integer("num_layers"));
  NOROSHI_CASE_VALUE(ports, c.integer("num_antenna_ports"));
  NOROSHI_CASE_VALUE(tpmi, c.integer("tpmi"));
  NOROSHI_CASE_VALUE(slot, c.integer("slot"));
  NOROSHI_CASE_VALUE(scs_khz, c.integer("subcarrier_spacing_khz"));
  NOROSHI_CASE_VALUE(expected, c.array("dmrs_grid"));
  NOROSHI_CASE_VALUE(precoder, nr::pusch_precoder(ports, layers, tpmi, false));
  NOROSHI_CASE_VALUE(pusch, dmrs_alone(c, static_cast<std::uint16_t>((1 << layers) - 1)));
  pusch.layers = layers;
  const nr::Carrier carrier = carrier_of(static_cast<int>(pusch.rbs.count()), scs_khz);
  SlotGrid ours(ports, carrier);
  phy::TransmitWorkspace workspace(carrier);
  phy::Precoding precoding;
  precoding.matrices = {precoder.w.data(), 1, static_cast<std::size_t>(ports),
                        static_cast<std::size_t>(layers)};
  phy::write_dmrs(carrier, slot, pusch, precoding, ours.view(), workspace);
  const std::string wrong = grid_difference(ours, *expected, 0);
  return wrong.empty() ? passed() : failed(wrong);
}

}  // namespace noroshi::conformance
