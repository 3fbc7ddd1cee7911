#include "mac/mac.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "mac/precoding.h"
#include "mac/state.h"
#include "nr/dmrs_symbols.h"

namespace noroshi::mac {
namespace {

// PDSCH leaves symbols 0 and 1 to PDCCH; PUSCH has the whole slot.
constexpr int pdsch_symbol_start = 2;

// Up to 4 layers have DM-RS of one symbol, more of two.
Shape make_shape(const MacConfig& config, nr::McsTable table, bool hops, int start, int count,
                 int layers_max) {
  Shape shape;
  if (count <= 0 || layers_max == 0) return shape;
  const bool wide = layers_max > codeword_layers_max;
  const nr::DmrsPlacement placement{
      .type_a_position = config.dmrs_type_a_position,
      .additional_positions =
          wide ? std::min(config.dmrs_additional_positions, 1) : config.dmrs_additional_positions,
      .double_symbol = wide};
  shape.dmrs_mask =  // with mapping type A and without hopping both links are alike
      hops ? nr::pusch_dmrs_symbols(start, count, placement, true)
           : nr::pdsch_dmrs_symbols(start, count, placement);
  if (shape.dmrs_mask == 0) return shape;  // too short for mapping type A
  shape.symbol_start = start;
  shape.symbol_count = count;
  const int dmrs_symbols = __builtin_popcount(shape.dmrs_mask);  // no data beside DM-RS
  shape.re_per_rb = nr::subcarriers_per_rb * (count - dmrs_symbols);
  for (int layers = 1; layers <= std::min(layers_max, codeword_layers_max); ++layers) {
    std::vector<std::int32_t>& bytes = shape.bytes[static_cast<std::size_t>(layers - 1)];
    for (int index = 0; index <= nr::mcs_index_max(table); ++index) {
      for (int rbs = 1; rbs <= config.carrier.rb_count; ++rbs) {
        const nr::Mcs mcs = *nr::mcs(table, index);
        bytes.push_back(nr::transport_block_bits(shape.re_per_rb, rbs, mcs, layers) / 8);
      }
    }
  }
  return shape;
}

// TBS_LBRM in bytes (TS 38.212 5.4.2.1): DL-SCH always limits its buffer to it.
int limited_buffer_tb_bytes(const MacConfig& config) {
  constexpr int sizes[] = {32, 66, 107, 135, 162, 217, 273};
  const int* size = std::begin(sizes);
  while (size != std::end(sizes) - 1 && *size < config.carrier.rb_count) ++size;
  const bool qam256 = config.mcs_table == nr::McsTable::qam256;
  const nr::Mcs highest{qam256 ? nr::Modulation::qam256 : nr::Modulation::qam64, 9480};
  const int layers = std::min(config.downlink_layers_max, codeword_layers_max);
  return nr::transport_block_bits(156, *size, highest, layers) / 8;
}

}  // namespace

void fill_random(Prng& prng, std::uint8_t* bytes, int count) {
  for (int i = 0; i < count; i += 8) {
    const std::uint64_t word = prng();
    std::memcpy(bytes + i, &word, static_cast<std::size_t>(std::min(8, count - i)));
  }
}

Mac::State::State(MacConfig from)
    : config(std::move(from)),
      ladders{mcs_ladder(table(false)), mcs_ladder(table(true))},
      payload(config.seed, 1) {
  assert(config.transmissions_max >= 1);
  assert(config.target_bler > 0 && config.target_bler < 1);
  assert(!refuse_combination(config));
  assert(config.handsets_per_slot_max >= 1 &&
         config.handsets_per_slot_max <= fapi::pdus_per_slot_max);
  const int down = std::min(config.downlink_layers_max, config.transmit_antennas);
  const int up = std::min({std::max(config.uplink_layers_max, config.uplink_group_layers),
                           config.receive_antennas, codeword_layers_max});
  const int wide = down > codeword_layers_max ? down : 0;
  const int all = nr::symbols_per_slot - pdsch_symbol_start;
  const int special = config.pattern.special_downlink_symbols - pdsch_symbol_start;
  const int narrow = std::min(down, codeword_layers_max);
  const nr::McsTable down_table = table(false);
  const auto pdsch = [&](int count, int layers_max) {
    return make_shape(config, down_table, false, pdsch_symbol_start, count, layers_max);
  };
  shapes[shape_downlink] = pdsch(all, narrow);
  shapes[shape_special] = pdsch(special, narrow);
  shapes[shape_uplink] = make_shape(config, table(true), config.hopping == Hopping::intra_slot, 0,
                                    nr::symbols_per_slot, up);
  shapes[shape_wide + shape_downlink] = pdsch(all, wide);
  shapes[shape_wide + shape_special] = pdsch(special, wide);
  lbrm_bytes = limited_buffer_tb_bytes(config);

  for (const HandsetConfig& handset : config.handsets) {
    assert(find(handset.rnti) == nullptr);
    const std::uint64_t stream = 2 * std::uint64_t{handset.rnti} + 16;
    handsets.push_back(
        {.rnti = handset.rnti,
         .transmit_antennas = handset.transmit_antennas,
         .downlink = Direction(TrafficQueue(handset.downlink, config.seed, stream)),
         .uplink = Direction(TrafficQueue(handset.uplink, config.seed, stream + 1))});
    Handset& made = handsets.back();
    made.downlink.ladder = &ladders[0];
    made.uplink.ladder = &ladders[1];
    made.downlink.layers_max = std::min(down, handset.receive_antennas);
    made.uplink.layers_max =
        std::min({config.uplink_layers_max, handset.transmit_antennas, config.receive_antennas});
    const int codewords = made.downlink.layers_max > codeword_layers_max ? 2 : 1;
    const int layers = std::min(made.downlink.layers_max, codeword_layers_max);
    const std::size_t tb_bytes_max =
        static_cast<std::size_t>(
            shapes[shape_downlink].bytes[static_cast<std::size_t>(layers - 1)].back()) *
        static_cast<std::size_t>(codewords);
    for (auto& process : made.downlink.harq.processes) process.data.resize(tb_bytes_max);
    for (Direction* one : {&made.downlink, &made.uplink}) {
      for (Link& link : one->links) link.offset_db = start_offset_db(config.target_bler);
      for (Link& link : one->paired_links) link.offset_db = start_offset_db(config.target_bler);
    }
  }
  claims.resize(handsets.size());
}

Handset* Mac::State::find(std::uint16_t rnti) {
  for (Handset& handset : handsets) {
    if (handset.rnti == rnti) return &handset;
  }
  return nullptr;
}

Mac::Mac(MacConfig config) : state_(std::make_unique<State>(std::move(config))) {}
Mac::~Mac() = default;
Mac::Mac(Mac&&) noexcept = default;
Mac& Mac::operator=(Mac&&) noexcept = default;

fapi::ConfigRequest Mac::config_request() const {
  const MacConfig& config = state_->config;
  fapi::ConfigRequest request;
  request.dl_bandwidth_mhz = static_cast<std::uint16_t>(config.carrier.bandwidth_mhz);
  request.ul_bandwidth_mhz = request.dl_bandwidth_mhz;
  request.dl_frequency_khz =
      static_cast<std::uint32_t>(std::llround(config.carrier.center_frequency_hz / 1000));
  request.dl_grid_size = static_cast<std::uint16_t>(config.carrier.rb_count);
  request.ul_grid_size = request.dl_grid_size;
  request.num_tx_ant = static_cast<std::uint8_t>(config.transmit_antennas);
  request.num_rx_ant = static_cast<std::uint8_t>(config.receive_antennas);
  request.phy_cell_id = static_cast<std::uint16_t>(config.carrier.cell_id);
  make_precoding_matrices(config.transmit_antennas, config.downlink_layers_max, request);
  request.frame_duplex_type = config.pattern.fdd ? 0 : 1;
  request.scs_common = config.carrier.scs_khz == 30 ? 1 : 0;
  if (config.pattern.fdd) {
    request.tdd_period_slots = 0;
    return request;
  }
  request.tdd_period_slots = static_cast<std::uint8_t>(config.pattern.period_slots);
  for (int slot = 0; slot < config.pattern.period_slots; ++slot) {
    const nr::SlotKind kind = config.pattern.kind(slot);
    for (int symbol = 0; symbol < nr::symbols_per_slot; ++symbol) {
      const bool is_downlink =
          kind == nr::SlotKind::downlink ||
          (kind == nr::SlotKind::special && symbol < config.pattern.special_downlink_symbols);
      const bool is_uplink =
          kind == nr::SlotKind::uplink ||
          (kind == nr::SlotKind::special &&
           symbol >= nr::symbols_per_slot - config.pattern.special_uplink_symbols);
      request.slot_config[slot][symbol] = is_downlink ? 0 : is_uplink ? 1 : 2;
    }
  }
  return request;
}

void Mac::on_slot(SlotCount slot, SlotPlan& plan) {
  State& state = *state_;
  const SlotName name = slot_name(slot, state.config.carrier.scs_khz);
  const auto stamp = [&](auto& message) {
    message.sfn = static_cast<std::uint16_t>(name.sfn);
    message.slot = static_cast<std::uint16_t>(name.slot);
    message.n_pdus = 0;
  };
  plan.slot = slot;
  plan.n_grants = 0;
  stamp(plan.dl_tti);
  stamp(plan.tx_data);
  stamp(plan.ul_tti);
  plan.ul_tti.n_groups = 0;
  plan.dl_tti.n_ssbs = plan.dl_tti.n_csi_rs = 0;

  const double time_s = static_cast<double>(slot) *
                        static_cast<double>(slot_duration_ns(state.config.carrier.scs_khz)) * 1e-9;
  for (Handset& handset : state.handsets) {
    arrive(handset.downlink.traffic, time_s);
    arrive(handset.uplink.traffic, time_s);
  }
  state.expire(false, slot);
  state.expire(true, slot);

  const nr::SlotKind kind = state.config.pattern.kind(slot);
  if (kind == nr::SlotKind::special) {
    state.schedule(false, shape_special, plan);
  } else if (kind != nr::SlotKind::uplink) {
    state.schedule(false, shape_downlink, plan);
  }
  if (kind == nr::SlotKind::uplink || kind == nr::SlotKind::both) {
    state.schedule(true, shape_uplink, plan);
  }
}

const MacCounters& Mac::downlink() const { return state_->downlink; }
const MacCounters& Mac::uplink() const { return state_->uplink; }

}  // namespace noroshi::mac
