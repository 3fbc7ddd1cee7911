// PDSCH and PUSCH, transport block to grid (TS 38.211 6.3.1, 6.4.1.1, 7.3.1, 7.4.1.1).

#include <cmath>

#include "air/handset.h"
#include "base/slot.h"
#include "conformance/components.h"
#include "conformance/sch_case.h"
#include "nr/dmrs_symbols.h"
#include "nr/mcs.h"
#include "phy/pdsch.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::conformance {
namespace {

constexpr double grid_tolerance = 1e-5;

nr::Carrier carrier_of(int rbs, int scs_khz) {
  nr::Carrier carrier;
  carrier.rb_count = rbs;
  carrier.scs_khz = scs_khz;
  carrier.fft_size = 4096;
  return carrier;
}

// The elements of one slot's grid against ours, [port, symbol, subcarrier] both.
std::string grid_difference(const std::vector<cf32>& got, const Array& expected, std::size_t slot) {
  if (expected.complex.size() < (slot + 1) * got.size()) return "the expected grid is too small";
  return difference(got, expected.complex.data() + slot * got.size(), got.size(), grid_tolerance);
}

}  // namespace

Outcome check_pdsch(const VectorCase& c) {
  NOROSHI_CASE_VALUE(layers, c.integer("NumLayers"));
  if (layers != 1) return skipped("more than one layer");
  NOROSHI_CASE_VALUE(base, matlab_shared_channel(c));
  NOROSHI_CASE_VALUE(rbs, c.integer("n_prb"));
  NOROSHI_CASE_VALUE(scs_khz, c.integer("scs"));
  NOROSHI_CASE_VALUE(amplitude, c.number("dmrs_amplitude"));
  NOROSHI_CASE_VALUE(dmrs_id, c.integer("dmrs_NID_nSCID"));
  NOROSHI_CASE_VALUE(rnti, c.integer("RNTI"));
  NOROSHI_CASE_VALUE(scrambling_id, c.integer("NID"));
  NOROSHI_CASE_VALUE(scid, c.integer("NSCID"));
  NOROSHI_CASE_VALUE(versions, c.numbers("rv_out"));
  NOROSHI_CASE_VALUE(grid, c.array("fd_slot_data"));
  NOROSHI_CASE_VALUE(tb_bits, c.array("trblk_out"));

  nr::SharedChannel pdsch = base;
  pdsch.rnti = static_cast<std::uint16_t>(rnti);
  pdsch.scrambling_id = static_cast<std::uint16_t>(scrambling_id);
  pdsch.dmrs.scrambling_id = static_cast<std::uint16_t>(dmrs_id);
  pdsch.dmrs.n_scid = scid;
  pdsch.dmrs.amplitude_override = static_cast<float>(amplitude);
  if (pdsch.tb_bits != nr::transport_block_bits(pdsch)) {
    return failed("transport block size " + std::to_string(nr::transport_block_bits(pdsch)) +
                  ", expected " + std::to_string(pdsch.tb_bits));
  }
  if (const Outcome coded = check_codewords(c, pdsch, "trblk_out", "RM_out"); !coded.why.empty()) {
    return coded;
  }

  const nr::Carrier carrier = carrier_of(rbs, scs_khz);
  if (grid->slots.empty() || grid->slots.size() > grid->shape.at(0))
    return failed("grid without slots");
  const std::vector<std::uint8_t> tb = packed(bits_of(*tb_bits, 0, tb_bits->size()));
  phy::TransmitWorkspace workspace(carrier);
  const std::size_t subcarriers = static_cast<std::size_t>(carrier.subcarriers());
  for (std::size_t i = 0; i < grid->slots.size(); ++i) {
    const int slot = grid->slots[i];
    if (slot < 0 || static_cast<std::size_t>(slot) >= versions.size()) {
      return failed("no redundancy version for slot " + std::to_string(slot));
    }
    pdsch.rv = static_cast<int>(versions[static_cast<std::size_t>(slot)]);
    if (const auto allowed = phy::check_pdsch(carrier, pdsch); !allowed) {
      return failed(allowed.error().message);
    }
    std::vector<cf32> ours(nr::symbols_per_slot * subcarriers);
    phy::pdsch_transmit(carrier, slot % noroshi::slots_per_frame(scs_khz), pdsch, tb,
                        View<cf32, 3>(ours.data(), 1, nr::symbols_per_slot, subcarriers),
                        workspace);
    const std::string wrong = grid_difference(ours, *grid, i);
    if (!wrong.empty()) return failed("grid of slot " + std::to_string(slot) + ": " + wrong);
  }
  return passed();
}

Outcome check_pusch(const VectorCase& c) {
  NOROSHI_CASE_VALUE(layers, c.integer("num_layers"));
  NOROSHI_CASE_VALUE(ports, c.integer("num_antenna_ports"));
  if (layers != 1) return skipped("more than one layer");
  if (ports != 1) return skipped("codebook precoding to several ports");
  NOROSHI_CASE_VALUE(rbs, c.integer("n_size_bwp"));
  NOROSHI_CASE_VALUE(symbols, c.numbers("symbol_allocation"));
  NOROSHI_CASE_VALUE(dmrs_type, c.integer("dmrs_config_type"));
  NOROSHI_CASE_VALUE(dmrs_length, c.integer("dmrs_length"));
  NOROSHI_CASE_VALUE(additional, c.integer("dmrs_additional_position"));
  NOROSHI_CASE_VALUE(type_a_position, c.integer("dmrs_TypeA_Position"));
  NOROSHI_CASE_VALUE(cdm_groups, c.integer("dmrs_num_cdm_groups_without_data"));
  NOROSHI_CASE_VALUE(dmrs_ports, c.numbers("dmrs_port_set"));
  NOROSHI_CASE_VALUE(dmrs_scid, c.integer("dmrs_n_scid"));
  NOROSHI_CASE_VALUE(dmrs_id, c.integer("dmrs_n_id"));
  NOROSHI_CASE_VALUE(rnti, c.integer("n_rnti"));
  NOROSHI_CASE_VALUE(cell_id, c.integer("n_cell_id"));
  NOROSHI_CASE_VALUE(modulation, c.integer("num_bits_per_symbol"));
  NOROSHI_CASE_VALUE(code_rate, c.number("target_code_rate"));
  NOROSHI_CASE_VALUE(slot, c.integer("slot_number"));
  NOROSHI_CASE_VALUE(scs_khz, c.integer("subcarrier_spacing_khz"));
  NOROSHI_CASE_VALUE(tb_bits, c.array("tb"));
  NOROSHI_CASE_VALUE(grid, c.array("grid"));
  if (rbs < 1 || rbs > nr::rb_max || symbols.size() != 2) return failed("not an allocation");

  nr::SharedChannel pusch;
  pusch.rnti = static_cast<std::uint16_t>(rnti);
  pusch.scrambling_id = static_cast<std::uint16_t>(cell_id);
  for (int rb = 0; rb < rbs; ++rb) pusch.rbs.set(static_cast<std::size_t>(rb));
  pusch.symbol_start = static_cast<int>(symbols[0]);
  pusch.symbol_count = static_cast<int>(symbols[1]);
  pusch.modulation = static_cast<nr::Modulation>(modulation);
  pusch.code_rate_x10240 = static_cast<int>(std::lround(code_rate * 10240));
  pusch.tb_bits = static_cast<int>(tb_bits->size());
  pusch.dmrs.type = dmrs_type;
  pusch.dmrs.double_symbol = dmrs_length == 2;
  pusch.dmrs.symbol_mask = nr::pusch_dmrs_symbols(pusch.symbol_start, pusch.symbol_count,
                                                  {.type_a_position = type_a_position,
                                                   .additional_positions = additional,
                                                   .double_symbol = dmrs_length == 2});
  pusch.dmrs.cdm_groups_without_data = cdm_groups;
  pusch.dmrs.port_mask = 0;
  for (const double port : dmrs_ports) {
    if (port < 0 || port > 11) return failed("DM-RS port " + std::to_string(port));
    pusch.dmrs.port_mask =
        static_cast<std::uint16_t>(pusch.dmrs.port_mask | 1 << static_cast<int>(port));
  }
  pusch.dmrs.scrambling_id = static_cast<std::uint16_t>(dmrs_id);
  pusch.dmrs.n_scid = dmrs_scid;
  // The source's factor is sqrt(groups); TS 38.214 table 6.2.2-1 has 3 dB and 4.77 dB.
  pusch.dmrs.amplitude_override = std::sqrt(static_cast<float>(cdm_groups));
  if (pusch.tb_bits != nr::transport_block_bits(pusch)) {
    return failed("transport block size " + std::to_string(nr::transport_block_bits(pusch)) +
                  ", expected " + std::to_string(pusch.tb_bits));
  }

  const nr::Carrier carrier = carrier_of(rbs, scs_khz);
  if (const auto allowed = phy::check_shared_channel(carrier, pusch); !allowed) {
    return failed(allowed.error().message);
  }
  const std::vector<std::uint8_t> tb = packed(bits_of(*tb_bits, 0, tb_bits->size()));
  const std::size_t subcarriers = static_cast<std::size_t>(carrier.subcarriers());
  std::vector<cf32> ours(nr::symbols_per_slot * subcarriers);
  phy::TransmitWorkspace workspace(carrier);
  air::pusch_transmit(carrier, slot, pusch, tb, {},
                      View<cf32, 3>(ours.data(), 1, nr::symbols_per_slot, subcarriers), workspace);
  const std::string wrong = grid_difference(ours, *grid, 0);
  return wrong.empty() ? passed() : failed("grid: " + wrong);
}

}  // namespace noroshi::conformance
