// PDSCH, transport block to grid, alone and among other signals (TS 38.211 7.3.1, 7.4.1.1;
// TS 38.212 7.2; TS 38.141-1 4.9.2).

#include <cmath>

#include "base/slot.h"
#include "conformance/channel_case.h"
#include "conformance/components.h"
#include "conformance/sch_case.h"
#include "fec/sch/sch.h"
#include "nr/dmrs_symbols.h"
#include "nr/mcs.h"
#include "nr/prbs/prbs.h"
#include "phy/modulation/modulation.h"
#include "phy/ofdm/ofdm.h"
#include "phy/pdsch.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::conformance {
namespace {

// matlab_shared_channel with the identities of a PDSCH case.
Result<nr::SharedChannel> pdsch_of(const VectorCase& c) {
  auto pdsch = matlab_shared_channel(c);
  if (!pdsch) return pdsch;
  const auto rnti = c.integer("RNTI");
  if (!rnti) return rnti.error();
  const auto id = c.integer("NID");
  if (!id) return id.error();
  const auto scid = c.integer("NSCID");
  if (!scid) return scid.error();
  pdsch->rnti = static_cast<std::uint16_t>(*rnti);
  pdsch->scrambling_id = static_cast<std::uint16_t>(*id);
  pdsch->dmrs.n_scid = *scid;
  if (!c.has("dmrs_NID_nSCID")) return pdsch;  // a case without a grid
  const auto dmrs_id = c.integer("dmrs_NID_nSCID");
  if (!dmrs_id) return dmrs_id.error();
  const auto amplitude = c.number("dmrs_amplitude");
  if (!amplitude) return amplitude.error();
  pdsch->dmrs.scrambling_id = static_cast<std::uint16_t>(*dmrs_id);
  pdsch->dmrs.amplitude_override = static_cast<float>(*amplitude);
  return pdsch;
}

std::string size_difference(const nr::SharedChannel& pdsch) {
  if (pdsch.tb_bits == nr::transport_block_bits(pdsch)) return "";
  return "transport block size " + std::to_string(nr::transport_block_bits(pdsch)) + ", expected " +
         std::to_string(pdsch.tb_bits);
}

// Layers of the scrambled and modulated codeword against `expected`: [layer][symbol].
std::string layer_difference(const nr::SharedChannel& pdsch, std::vector<std::uint8_t> codeword,
                             std::size_t bits, const cf64* expected, std::size_t count) {
  nr::cpu::scramble(phy::data_scrambling_init(pdsch), codeword, bits);
  const auto qm = static_cast<std::size_t>(nr::bits_per_symbol(pdsch.modulation));
  std::vector<cf64> symbols(bits / qm);
  phy::ref::modulate(pdsch.modulation, codeword, 1, symbols);
  const auto layers = static_cast<std::size_t>(pdsch.layers);
  if (count != symbols.size()) {
    return "layermap has " + std::to_string(count) + " symbols, ours " +
           std::to_string(symbols.size());
  }
  std::vector<cf32> ours(symbols.size());
  for (std::size_t i = 0; i < symbols.size(); ++i)
    ours[i % layers * (symbols.size() / layers) + i / layers] = cf32(symbols[i]);
  return difference(ours, expected, ours.size(), 1e-6);
}

}  // namespace

Outcome check_pdsch(const VectorCase& c) {
  NOROSHI_CASE_VALUE(base, pdsch_of(c));
  NOROSHI_CASE_VALUE(rbs, c.integer("n_prb"));
  NOROSHI_CASE_VALUE(scs_khz, c.integer("scs"));
  NOROSHI_CASE_VALUE(versions, c.numbers("rv_out"));
  NOROSHI_CASE_VALUE(grid, c.array("fd_slot_data"));
  NOROSHI_CASE_VALUE(tb_bits, c.array("trblk_out"));
  nr::SharedChannel pdsch = base;
  if (const std::string wrong = size_difference(pdsch); !wrong.empty()) return failed(wrong);
  if (const Outcome coded = check_codewords(c, pdsch, "trblk_out", "RM_out"); !coded.why.empty()) {
    return coded;
  }

  const nr::Carrier carrier = carrier_of(rbs, scs_khz);
  if (grid->slots.empty() || grid->slots.size() > grid->shape.at(0))
    return failed("grid without slots");
  if (grid->shape.size() != 4 || grid->shape[1] != static_cast<std::size_t>(pdsch.layers))
    return failed("the grid has not a port for each layer");
  const std::vector<std::uint8_t> tb = packed(bits_of(*tb_bits, 0, tb_bits->size()));
  phy::TransmitWorkspace workspace(carrier);
  for (std::size_t i = 0; i < grid->slots.size(); ++i) {
    const int slot = grid->slots[i];
    if (slot < 0 || static_cast<std::size_t>(slot) >= versions.size()) {
      return failed("no redundancy version for slot " + std::to_string(slot));
    }
    pdsch.rv = static_cast<int>(versions[static_cast<std::size_t>(slot)]);
    if (const auto allowed = phy::check_pdsch(carrier, pdsch); !allowed) {
      return failed(allowed.error().message);
    }
    SlotGrid ours(pdsch.layers, carrier);
    phy::pdsch_transmit(carrier, slot % noroshi::slots_per_frame(scs_khz), pdsch, tb, ours.view(),
                        workspace);
    const std::string wrong = grid_difference(ours, *grid, i);
    if (!wrong.empty()) return failed("grid of slot " + std::to_string(slot) + ": " + wrong);
  }
  return passed();
}

// Only the coded chain is given: codewords of each slot and the layers of some.
Outcome check_dlsch(const VectorCase& c) {
  NOROSHI_CASE_VALUE(base, pdsch_of(c));
  NOROSHI_CASE_VALUE(sizes, c.numbers("G_out"));
  NOROSHI_CASE_VALUE(versions, c.numbers("rv_out"));
  NOROSHI_CASE_VALUE(tb_bits, c.array("trblk_out"));
  nr::SharedChannel pdsch = base;
  if (const std::string wrong = size_difference(pdsch); !wrong.empty()) return failed(wrong);
  const std::vector<std::uint8_t> tb = packed(bits_of(*tb_bits, 0, tb_bits->size()));
  fec::SchWorkspace workspace;
  int compared = 0;
  for (std::size_t slot = 0; slot < sizes.size(); ++slot) {
    const std::string name = "RM_out_" + std::to_string(slot);
    if (c.arrays.find(name) == c.arrays.end()) continue;
    NOROSHI_CASE_VALUE(expected, c.array(name));
    if (slot >= versions.size()) return failed("no redundancy version for " + name);
    pdsch.rv = static_cast<int>(versions[slot]);
    fec::SchConfig config = phy::sch_config(pdsch);
    config.coded_bits = static_cast<int>(sizes[slot]);
    if (const auto allowed = fec::check(config); !allowed) return failed(allowed.error().message);
    const auto bits = static_cast<std::size_t>(config.coded_bits);
    std::vector<std::uint8_t> codeword(bytes_for_bits(bits));
    fec::sch_encode(config, tb, codeword, workspace);
    std::string wrong =
        difference(unpacked(codeword, bits), bits_of(*expected, 0, expected->size()));
    if (!wrong.empty()) return failed(name + ": " + wrong);
    ++compared;
    const std::string layers_name = "layermap_out_" + std::to_string(slot);
    if (c.arrays.find(layers_name) == c.arrays.end()) continue;
    NOROSHI_CASE_VALUE(layers, c.array(layers_name));
    wrong = layer_difference(pdsch, codeword, bits, layers->complex.data(), layers->complex.size());
    if (!wrong.empty()) return failed(layers_name + ": " + wrong);
  }
  return compared > 0 ? passed() : failed("no codeword to compare");
}

namespace {

// The other signals of a dl_mixed case: what PDSCH goes around in a slot, and what the expected
// grid has besides it.
struct OtherSignals {
  std::vector<nr::ReservedElements> reserved;
  std::vector<nr::ReservedElements> foreign;
};

Result<int> member(const VectorCase& c, const char* object, const char* key) {
  const auto* const value = c.params.if_contains(object);
  const auto* const field =
      value != nullptr && value->is_object() ? value->get_object().if_contains(key) : nullptr;
  if (field == nullptr || !field->is_number())
    return Error{std::string(object) + "." + key + " is missing"};
  return static_cast<int>(field->to_number<double>());
}

// Blocks that the subcarriers first ... first + count - 1 touch.
std::bitset<nr::rb_max> blocks_of(int first, int count) {
  std::bitset<nr::rb_max> blocks;
  for (int k = first; k < first + count; ++k) blocks.set(static_cast<std::size_t>(k / 12));
  return blocks;
}

// TS 38.213 4.1, cases A, B and C, below 3 GHz or not: the first symbol of block i.
int ssb_first_symbol(char block_case, int i) {
  constexpr int case_b[] = {4, 8, 16, 20};
  if (block_case == 'B') return case_b[i % 4] + 28 * (i / 4);
  return (i % 2 == 0 ? 2 : 8) + 14 * (i / 2);
}

Result<void> add_ssb(const VectorCase& c, int scs_khz, int slot, OtherSignals& others) {
  const auto k_ssb = member(c, "ssb", "k_SSB");
  if (!k_ssb) return k_ssb.error();
  const auto offset = member(c, "ssb", "offset_to_point_A");
  if (!offset) return offset.error();
  const auto& ssb = c.params.at("ssb").get_object();
  if (!ssb.contains("case") || !ssb.contains("positions_in_burst"))
    return Error{"ssb.case or ssb.positions_in_burst is missing"};
  const char block_case = ssb.at("case").as_string().front();
  if ((block_case == 'A' ? 15 : 30) != scs_khz) return Error{"ssb of another numerology"};
  const int first = 15 * (12 * *offset + *k_ssb) / scs_khz;
  const auto& positions = ssb.at("positions_in_burst").as_array();
  for (int i = 0; i < static_cast<int>(positions.size()); ++i) {
    if (positions[static_cast<std::size_t>(i)].to_number<int>() == 0) continue;
    const int symbol = ssb_first_symbol(block_case, i) - nr::symbols_per_slot * slot;
    if (symbol < 0 || symbol >= nr::symbols_per_slot) continue;
    others.reserved.push_back({blocks_of(first, 240), static_cast<std::uint16_t>(0xf << symbol)});
  }
  return {};
}

Result<OtherSignals> other_signals(const VectorCase& c, int scs_khz, int slot) {
  OtherSignals others;
  if (auto added = add_ssb(c, scs_khz, slot, others); !added) return added.error();
  const auto csirs_rbs = c.integer("csirs_NumRB");
  if (!csirs_rbs) return csirs_rbs.error();
  const auto resources = c.numbers("coreset_FrequencyResources");
  if (!resources) return resources.error();
  struct Field {
    const char* object;
    const char* key;
    int value;
  };
  Field fields[] = {{"csirs", "k0", 0},
                    {"csirs", "l0", 0},
                    {"csirs", "start_rb", 0},
                    {"csirs", "period_slots", 0},
                    {"csirs", "offset_slots", 0},
                    {"pdcch", "first_symbol", 0},
                    {"pdcch", "duration", 0},
                    {"pdcch", "monitoring_period_slots", 0},
                    {"pdcch", "monitoring_offset_slots", 0}};
  for (Field& field : fields) {
    const auto value = member(c, field.object, field.key);
    if (!value) return value.error();
    field.value = *value;
  }
  const auto& [k0, l0, start, period, offset, symbol, duration, monitoring, monitored] = fields;
  if (period.value < 1 || monitoring.value < 1) return Error{"a period is not above 0"};
  if (slot % period.value == offset.value) {
    const nr::ReservedElements csirs{blocks_of(12 * start.value, 12 * *csirs_rbs),
                                     static_cast<std::uint16_t>(1 << l0.value),
                                     static_cast<std::uint16_t>(1 << k0.value)};
    others.reserved.push_back(csirs);
    others.foreign.push_back(csirs);
  }
  if (slot % monitoring.value == monitored.value) {
    nr::ReservedElements coreset;
    for (std::size_t i = 0; i < resources->size(); ++i)
      if ((*resources)[i] != 0) coreset.rbs |= blocks_of(72 * static_cast<int>(i), 72);
    coreset.symbol_mask = static_cast<std::uint16_t>(((1 << duration.value) - 1) << symbol.value);
    others.foreign.push_back(coreset);
  }
  return others;
}

// Elements of other signals, which nobody here sends, are taken from the expected grid.
void borrow(const std::vector<nr::ReservedElements>& foreign, const cf64* expected,
            SlotGrid& grid) {
  for (const nr::ReservedElements& at : foreign)
    for (std::size_t l = 0; l < nr::symbols_per_slot; ++l)
      for (std::size_t k = 0; k < grid.subcarriers; ++k)
        if ((at.symbol_mask >> l & 1) != 0 && at.rbs[k / 12] &&
            (at.subcarrier_mask >> (k % 12) & 1) != 0)
          grid.values[l * grid.subcarriers + k] = cf32(expected[l * grid.subcarriers + k]);
}

// A slot of samples without an SS/PBCH block.
std::string waveform_difference(const VectorCase& c, int rbs, int scs_khz, int slot,
                                const SlotGrid& grid) {
  const auto waveform = c.array("waveform");
  const auto rate_hz = c.number("SampleRate");
  if (!waveform || !rate_hz) return "waveform or SampleRate is missing";
  nr::Carrier carrier = carrier_of(rbs, scs_khz);
  carrier.fft_size = static_cast<int>(std::lround(*rate_hz / (1000.0 * scs_khz)));
  carrier.center_frequency_hz = 0;
  if (carrier.fft_size < 128 || carrier.fft_size > 4096 ||
      (carrier.fft_size & (carrier.fft_size - 1)) != 0)
    return "an FFT size that is no power of two up to 4096";
  std::size_t first = 0;
  const int in_subframe = slot % noroshi::slots_per_subframe(scs_khz);
  for (int before = 0; before < slot; ++before)
    first += static_cast<std::size_t>(
        nr::slot_samples(carrier, before % noroshi::slots_per_subframe(scs_khz)));
  std::vector<cf32> samples(static_cast<std::size_t>(nr::slot_samples(carrier, in_subframe)));
  if ((*waveform)->complex.size() < first + samples.size()) return "the waveform is too short";
  phy::OfdmPlan plan(carrier);
  phy::ofdm_modulate(
      plan, in_subframe, 1.0f,
      View<const cf32, 2>(grid.values.data(), nr::symbols_per_slot, grid.subcarriers), samples);
  return difference(samples, (*waveform)->complex.data() + first, samples.size(), 1e-6);
}

}  // namespace

// Codewords of every slot; grids, but for the elements of PDCCH and CSI-RS; and the samples of the
// slots without an SS/PBCH block, the elements of PDCCH and CSI-RS as expected.
Outcome check_dl_mixed(const VectorCase& c) {
  NOROSHI_CASE_VALUE(base, pdsch_of(c));
  NOROSHI_CASE_VALUE(rbs, c.integer("n_prb"));
  NOROSHI_CASE_VALUE(scs_khz, c.integer("scs"));
  NOROSHI_CASE_VALUE(sizes, c.numbers("G_out"));
  NOROSHI_CASE_VALUE(versions, c.numbers("rv_out"));
  NOROSHI_CASE_VALUE(grid, c.array("fd_slot_data"));
  NOROSHI_CASE_VALUE(tb_bits, c.array("trblk_out"));
  if (const std::string wrong = size_difference(base); !wrong.empty()) return failed(wrong);
  if (const Outcome coded = check_dlsch(c); !coded.why.empty()) return coded;
  if (grid->shape.size() != 4 || grid->shape[1] != 1) return failed("not one port");
  const nr::Carrier carrier = carrier_of(rbs, scs_khz);
  const std::vector<std::uint8_t> tb = packed(bits_of(*tb_bits, 0, tb_bits->size()));
  phy::TransmitWorkspace workspace(carrier);
  for (std::size_t i = 0; i < grid->slots.size(); ++i) {
    const int slot = grid->slots[i];
    const std::string where = "slot " + std::to_string(slot) + ": ";
    if (slot < 0 || static_cast<std::size_t>(slot) >= versions.size() ||
        static_cast<std::size_t>(slot) >= sizes.size())
      return failed(where + "no redundancy version or G");
    NOROSHI_CASE_VALUE(others, other_signals(c, scs_khz, slot));
    nr::SharedChannel pdsch = base;
    pdsch.rv = static_cast<int>(versions[static_cast<std::size_t>(slot)]);
    if (others.reserved.size() > nr::reserved_max) return failed(where + "too many signals");
    for (const nr::ReservedElements& reserved : others.reserved)
      pdsch.reserved[static_cast<std::size_t>(pdsch.reserved_count++)] = reserved;
    if (const auto allowed = phy::check_pdsch(carrier, pdsch); !allowed)
      return failed(where + allowed.error().message);
    if (nr::coded_bits(pdsch) != static_cast<int>(sizes[static_cast<std::size_t>(slot)]))
      return failed(where + "G is " + std::to_string(nr::coded_bits(pdsch)));
    SlotGrid ours(1, carrier);
    phy::pdsch_transmit(carrier, slot, pdsch, tb, ours.view(), workspace);
    if (grid->complex.size() < (i + 1) * ours.values.size()) return failed("grid is too small");
    borrow(others.foreign, grid->complex.data() + i * ours.values.size(), ours);
    std::string wrong = grid_difference(ours, *grid, i);
    const bool ssb = pdsch.reserved_count > 0 && pdsch.reserved[0].subcarrier_mask == 0xfff;
    if (wrong.empty() && !ssb) wrong = waveform_difference(c, rbs, scs_khz, slot, ours);
    if (!wrong.empty()) return failed(where + wrong);
  }
  return passed();
}

namespace {

// One PDSCH of a test model: blocks first ... first + count - 1 from a symbol on.
nr::SharedChannel test_model_pdsch(int rnti, int first, int count, int symbol, int symbols, int id,
                                   nr::Mcs mcs) {
  nr::SharedChannel pdsch;
  pdsch.rnti = static_cast<std::uint16_t>(rnti);
  pdsch.scrambling_id = static_cast<std::uint16_t>(id);
  for (int rb = first; rb < first + count; ++rb) pdsch.rbs.set(static_cast<std::size_t>(rb));
  pdsch.symbol_start = symbol;
  pdsch.symbol_count = symbols - symbol;
  pdsch.modulation = mcs.modulation;
  pdsch.code_rate_x10240 = mcs.code_rate_x10240;
  pdsch.dmrs.cdm_groups_without_data = 1;
  pdsch.dmrs.scrambling_id = static_cast<std::uint16_t>(id);
  pdsch.dmrs.symbol_mask =
      nr::pdsch_dmrs_symbols(symbol, symbols - symbol, {.additional_positions = 1});
  pdsch.tb_bits = nr::transport_block_bits(pdsch);
  return pdsch;
}

// Bits that repeat a pattern.
std::vector<std::uint8_t> pattern_block(const std::vector<double>& pattern, int bits) {
  std::vector<std::uint8_t> out(static_cast<std::size_t>(bits));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = pattern[i % pattern.size()] != 0 ? 1 : 0;
  return packed(out);
}

}  // namespace

// The PDSCHs of NR-FR1 test models in every element but those of the PDCCH: blocks 0 to 2 in
// symbols 0 and 1.
Outcome check_test_model(const VectorCase& c) {
  NOROSHI_CASE_VALUE(model, c.text("dlnrref"));
  NOROSHI_CASE_VALUE(duplex, c.text("dm"));
  NOROSHI_CASE_VALUE(rbs, c.integer("n_prb"));
  NOROSHI_CASE_VALUE(scs_khz, c.integer("Scs"));
  NOROSHI_CASE_VALUE(id, c.integer("ncellid"));
  NOROSHI_CASE_VALUE(mcs_indices, c.numbers("imcs_list"));
  NOROSHI_CASE_VALUE(pattern, c.numbers("pdsch_data_pattern"));
  NOROSHI_CASE_VALUE(grid, c.array("fd_slot_data"));
  if (mcs_indices.empty() || pattern.empty()) return failed("no MCS or no data pattern");
  const auto mcs = nr::mcs(nr::McsTable::qam256, static_cast<int>(mcs_indices[0]));
  if (!mcs) return failed("no such MCS index");
  const bool one_block = model.find("TM2") != std::string::npos;
  const nr::Carrier carrier = carrier_of(rbs, scs_khz);
  phy::TransmitWorkspace workspace(carrier);
  for (std::size_t i = 0; i < grid->slots.size(); ++i) {
    const int slot = grid->slots[i];
    // TS 38.141-1 table 4.9.2.2-1: the special slot of each 5 ms.
    const bool special =
        duplex == "TDD" && slot % (scs_khz == 15 ? 5 : 10) == (scs_khz == 15 ? 3 : 7);
    const int symbols = !special ? nr::symbols_per_slot : scs_khz == 15 ? 10 : 6;
    std::vector<nr::SharedChannel> channels;
    if (one_block) {
      const int blocks[] = {0, rbs / 2, rbs - 1};
      channels.push_back(test_model_pdsch(2, blocks[slot % 3], 1, 0, symbols, id, *mcs));
      if (channels[0].rbs[0])  // the PDCCH is there
        channels[0] = test_model_pdsch(2, 0, 1, 2, symbols, id, *mcs);
    } else {
      channels.push_back(test_model_pdsch(0, 3, rbs - 3, 0, symbols, id, *mcs));
      channels.push_back(test_model_pdsch(2, 0, 3, 2, symbols, id, *mcs));
    }
    SlotGrid ours(1, carrier);
    for (const nr::SharedChannel& pdsch : channels) {
      if (const auto allowed = phy::check_pdsch(carrier, pdsch); !allowed)
        return failed(allowed.error().message);
      const std::vector<std::uint8_t> tb = pattern_block(pattern, pdsch.tb_bits);
      phy::pdsch_transmit(carrier, slot, pdsch, tb, ours.view(), workspace);
    }
    if (!grid->is_complex || grid->complex.size() < (i + 1) * ours.values.size())
      return failed("grid is too small");
    const nr::ReservedElements pdcch{blocks_of(0, 36), 3};
    borrow({pdcch}, grid->complex.data() + i * ours.values.size(), ours);
    const std::string wrong = grid_difference(ours, *grid, i);
    if (!wrong.empty()) return failed("slot " + std::to_string(slot) + ": " + wrong);
  }
  return passed();
}

}  // namespace noroshi::conformance
