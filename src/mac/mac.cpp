#include "mac/mac.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "mac/harq.h"
#include "mac/link_adaptation.h"
#include "mac/split.h"
#include "mac/traffic.h"
#include "nr/dmrs_symbols.h"

namespace noroshi::mac {
namespace {

// PDSCH leaves symbols 0 and 1 to PDCCH; PUSCH has the whole slot.
constexpr int pdsch_symbol_start = 2;

// Time constant of the average rate that proportional fairness divides by.
constexpr double average_slots = 200;
constexpr double average_bits_min = 1;

// A handset with data to send that was not served for so long gets a few blocks, for the report;
// where handsets take turns it gets a whole slot, later.
constexpr int probe_slots = 8;
constexpr int probe_slots_alone = 20;

// What a slot of one kind offers to PDSCH or PUSCH.
struct Shape {
  int symbol_start = 0;
  int symbol_count = 0;  // 0: nothing
  std::uint16_t dmrs_mask = 0;
  int re_per_rb = 0;                // N'_RE
  std::vector<std::int32_t> bytes;  // [mcs, rbs - 1] transport block size
};

struct Direction {
  Harq harq;
  Link link;
  TrafficQueue traffic;
  double average_bits = average_bits_min;  // a slot
  SlotCount last_sent = -1000;
  bool served = false;    // in this slot
  std::int64_t bits = 0;  // new ones of this slot

  explicit Direction(TrafficQueue queue) : traffic(std::move(queue)) {}
};

struct Handset {
  std::uint16_t rnti;
  Direction downlink;
  Direction uplink;
};

Shape make_shape(const MacConfig& config, const McsLadder& ladder, int start, int count) {
  Shape shape;
  if (count <= 0) return shape;
  shape.dmrs_mask = nr::pdsch_dmrs_symbols(  // with mapping type A both links are alike
      start, count,
      {.type_a_position = config.dmrs_type_a_position,
       .additional_positions = config.dmrs_additional_positions});
  if (shape.dmrs_mask == 0) return shape;  // too short for mapping type A
  shape.symbol_start = start;
  shape.symbol_count = count;
  const int dmrs_symbols = __builtin_popcount(shape.dmrs_mask);  // no data beside DM-RS
  shape.re_per_rb = nr::subcarriers_per_rb * (count - dmrs_symbols);
  for (int index = 0; index < ladder.count; ++index) {
    for (int rbs = 1; rbs <= config.carrier.rb_count; ++rbs) {
      const nr::Mcs mcs = *nr::mcs(config.mcs_table, index);
      shape.bytes.push_back(nr::transport_block_bits(shape.re_per_rb, rbs, mcs, 1) / 8);
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
  return nr::transport_block_bits(156, *size, highest, 1) / 8;
}

// MCS index that names only the modulation (TS 38.214 5.1.3.1): the transport block keeps the size
// of its first transmission though the allocation has changed.
int reserved_mcs(const McsLadder& ladder, nr::Modulation modulation) {
  return ladder.count - 1 + nr::bits_per_symbol(modulation) / 2;
}

void fill_random(Prng& prng, std::uint8_t* bytes, int count) {
  for (int i = 0; i < count; i += 8) {
    const std::uint64_t word = prng();
    std::memcpy(bytes + i, &word, static_cast<std::size_t>(std::min(8, count - i)));
  }
}

enum ShapeIndex { shape_downlink, shape_special, shape_uplink, shape_count };

}  // namespace

struct Mac::State {
  MacConfig config;
  McsLadder ladder;
  Shape shapes[shape_count];
  int lbrm_bytes = 0;
  std::vector<Handset> handsets;
  std::vector<Claim> claims;  // scratch, one a handset
  Prng payload;
  std::uint32_t next_handle = 1;
  MacCounters downlink, uplink;

  explicit State(MacConfig from);

  Direction& direction(Handset& handset, bool is_uplink) {
    return is_uplink ? handset.uplink : handset.downlink;
  }
  MacCounters& counters(bool is_uplink) { return is_uplink ? uplink : downlink; }
  Handset* find(std::uint16_t rnti);

  void schedule(bool is_uplink, int shape_index, SlotPlan& plan);
  int schedule_failed(bool is_uplink, int shape_index, int& pdus, SlotPlan& plan);
  void schedule_new(bool is_uplink, int shape_index, int rb_first, int pdus, SlotPlan& plan);
  void expire(bool is_uplink, SlotCount slot);
  void feedback(bool is_uplink, Direction& from, HarqProcess& process, bool ok, double sinr_db);
  void fail(bool is_uplink, HarqProcess& process, SlotCount slot);
  void send(bool is_uplink, Handset& handset, int harq_id, int shape_index, int rb_start, int rbs,
            SlotPlan& plan);
  void fill(fapi::SharedChannelPdu& pdu, const Handset& handset, const HarqProcess& process,
            int shape_index, int rb_start, int rbs) const;
};

Mac::State::State(MacConfig from)
    : config(std::move(from)), ladder(mcs_ladder(config.mcs_table)), payload(config.seed, 1) {
  assert(config.transmissions_max >= 1);
  assert(config.target_bler > 0 && config.target_bler < 1);
  assert(config.handsets_per_slot_max >= 1 &&
         config.handsets_per_slot_max <= fapi::pdus_per_slot_max);
  const int special = config.pattern.special_downlink_symbols - pdsch_symbol_start;
  shapes[shape_downlink] =
      make_shape(config, ladder, pdsch_symbol_start, nr::symbols_per_slot - pdsch_symbol_start);
  shapes[shape_special] = make_shape(config, ladder, pdsch_symbol_start, special);
  shapes[shape_uplink] = make_shape(config, ladder, 0, nr::symbols_per_slot);
  lbrm_bytes = limited_buffer_tb_bytes(config);

  const auto tb_bytes_max = static_cast<std::size_t>(shapes[shape_downlink].bytes.back());
  for (const HandsetConfig& handset : config.handsets) {
    assert(find(handset.rnti) == nullptr);
    const std::uint64_t stream = 2 * std::uint64_t{handset.rnti} + 16;
    handsets.push_back({handset.rnti,
                        Direction(TrafficQueue(handset.downlink, config.seed, stream)),
                        Direction(TrafficQueue(handset.uplink, config.seed, stream + 1))});
    for (auto& process : handsets.back().downlink.harq.processes) process.data.resize(tb_bytes_max);
  }
  claims.resize(handsets.size());
}

Handset* Mac::State::find(std::uint16_t rnti) {
  for (Handset& handset : handsets) {
    if (handset.rnti == rnti) return &handset;
  }
  return nullptr;
}

void Mac::State::schedule(bool is_uplink, int shape_index, SlotPlan& plan) {
  if (shapes[shape_index].symbol_count == 0) return;
  for (Handset& handset : handsets) {
    direction(handset, is_uplink).served = false;
    direction(handset, is_uplink).bits = 0;
  }
  int pdus = 0;
  const int rb_first = schedule_failed(is_uplink, shape_index, pdus, plan);
  schedule_new(is_uplink, shape_index, rb_first, pdus, plan);
  for (Handset& handset : handsets) {
    Direction& from = direction(handset, is_uplink);
    from.average_bits += (static_cast<double>(from.bits) - from.average_bits) / average_slots;
    from.average_bits = std::max(from.average_bits, average_bits_min);
  }
}

// What has failed goes first, the oldest before all others. Returns the first free resource block.
int Mac::State::schedule_failed(bool is_uplink, int shape_index, int& pdus, SlotPlan& plan) {
  int rb_first = 0;
  while (pdus < config.handsets_per_slot_max) {
    Handset* oldest = nullptr;
    int harq_id = -1;
    SlotCount oldest_slot = 0;
    for (Handset& handset : handsets) {
      const Direction& from = direction(handset, is_uplink);
      if (from.served) continue;
      const int due = due_process(from.harq, plan.slot, effective_sinr_db(from.link, plan.slot),
                                  config.transmissions_max);
      if (due < 0) continue;
      const SlotCount first_slot = from.harq.processes[due].first_slot;
      if (oldest != nullptr && oldest_slot <= first_slot) continue;
      oldest = &handset;
      harq_id = due;
      oldest_slot = first_slot;
    }
    if (oldest == nullptr) break;
    // In a slot of another shape as many blocks as give the first transmission's resource elements.
    const HarqProcess& process = direction(*oldest, is_uplink).harq.processes[harq_id];
    const int elements = process.rbs * shapes[process.shape].re_per_rb;
    const int here = shapes[shape_index].re_per_rb;
    const int rbs = std::min((elements + here - 1) / here, config.carrier.rb_count);
    if (rbs > config.carrier.rb_count - rb_first) break;
    send(is_uplink, *oldest, harq_id, shape_index, rb_first, rbs, plan);
    rb_first += rbs;
    ++pdus;
  }
  return rb_first;
}

void Mac::State::schedule_new(bool is_uplink, int shape_index, int rb_first, int pdus,
                              SlotPlan& plan) {
  const int rbs = config.carrier.rb_count - rb_first;
  if (rbs == 0 || pdus == config.handsets_per_slot_max) return;
  const Shape& shape = shapes[shape_index];
  const auto row = [&](const Direction& from) {
    const int mcs = choose_mcs(ladder, effective_sinr_db(from.link, plan.slot));
    return View<const std::int32_t, 1>(shape.bytes.data() + mcs * config.carrier.rb_count,
                                       config.carrier.rb_count);
  };
  std::size_t count = 0;
  for (std::size_t i = 0; i < handsets.size(); ++i) {
    const Direction& from = direction(handsets[i], is_uplink);
    if (from.served || from.traffic.backlog_bytes == 0 || free_process(from.harq) < 0) continue;
    const auto bytes = row(from);
    const auto enough = std::lower_bound(bytes.begin(), bytes.end(), from.traffic.backlog_bytes);
    Claim& claim = claims[count++];
    claim.handset = static_cast<int>(i);
    claim.probe = plan.slot - from.last_sent >=
                  (config.handsets_per_slot_max > 1 ? probe_slots : probe_slots_alone);
    claim.metric = bytes[bytes.size() - 1] * 8.0 / from.average_bits;
    claim.rbs_wanted =
        std::min(static_cast<int>(enough - bytes.begin()) + 1, config.carrier.rb_count);
  }
  if (count == 0) return;
  const int served =
      split_rbs(View<Claim, 1>(claims.data(), count), config.handsets_per_slot_max - pdus, rbs);
  for (int i = 0; i < served; ++i) {
    Handset& handset = handsets[claims[i].handset];
    Direction& from = direction(handset, is_uplink);
    const int mcs = choose_mcs(ladder, effective_sinr_db(from.link, plan.slot));
    const int harq_id = free_process(from.harq);
    from.harq.next = (harq_id + 1) % harq_processes;
    HarqProcess& process = from.harq.processes[harq_id];
    process.mcs_index = mcs;
    process.mcs_at_lowest = mcs == 0;
    process.mcs_at_highest = mcs == ladder.count - 1;
    process.required_sinr_db = ladder.required_sinr_db[mcs];
    process.rbs = claims[i].rbs;
    process.shape = shape_index;
    process.tb_bytes = row(from)[claims[i].rbs - 1];
    process.transmissions = 0;
    process.restart = true;
    process.first_slot = plan.slot;
    if (!is_uplink) fill_random(payload, process.data.data(), process.tb_bytes);
    depart(from.traffic, process.tb_bytes);
    from.bits = std::int64_t{8} * process.tb_bytes;
    send(is_uplink, handset, harq_id, shape_index, rb_first, process.rbs, plan);
    rb_first += process.rbs;
  }
}

void Mac::State::fill(fapi::SharedChannelPdu& pdu, const Handset& handset,
                      const HarqProcess& process, int shape_index, int rb_start, int rbs) const {
  const Shape& shape = shapes[shape_index];
  const nr::Mcs mcs = *nr::mcs(config.mcs_table, process.mcs_index);
  const bool same = rbs == process.rbs && shape.re_per_rb == shapes[process.shape].re_per_rb;
  const auto cell_id = static_cast<std::uint16_t>(config.carrier.cell_id);
  pdu.rnti = handset.rnti;
  pdu.target_code_rate = static_cast<std::uint16_t>(mcs.code_rate_x10240);
  pdu.qam_mod_order = static_cast<std::uint8_t>(nr::bits_per_symbol(mcs.modulation));
  pdu.mcs_index =
      static_cast<std::uint8_t>(same ? process.mcs_index : reserved_mcs(ladder, mcs.modulation));
  pdu.mcs_table = static_cast<std::uint8_t>(static_cast<int>(config.mcs_table) - 1);
  pdu.data_scrambling_id = cell_id;
  pdu.num_layers = 1;
  pdu.dmrs_symb_pos = shape.dmrs_mask;
  pdu.dmrs_config_type = 0;
  pdu.dmrs_scrambling_id = cell_id;
  pdu.scid = 0;
  pdu.num_dmrs_cdm_grps_no_data = 2;
  pdu.dmrs_ports = 1;
  pdu.rb_start = static_cast<std::uint16_t>(rb_start);
  pdu.rb_size = static_cast<std::uint16_t>(rbs);
  pdu.start_symbol_index = static_cast<std::uint8_t>(shape.symbol_start);
  pdu.nr_of_symbols = static_cast<std::uint8_t>(shape.symbol_count);
  pdu.rv_index = static_cast<std::uint8_t>(rv_order[process.transmissions_combined % 4]);
  pdu.tb_size = static_cast<std::uint32_t>(process.tb_bytes);
  pdu.tb_size_lbrm_bytes_valid = 0;
  pdu.tb_size_lbrm_bytes = 0;
}

// Puts one transmission of the process into the plan.
void Mac::State::send(bool is_uplink, Handset& handset, int harq_id, int shape_index, int rb_start,
                      int rbs, SlotPlan& plan) {
  Direction& from = direction(handset, is_uplink);
  HarqProcess& process = from.harq.processes[harq_id];
  const bool new_data = process.restart;
  if (new_data) {
    process.transmissions_combined = 0;
    process.sinr_combined = 0;
  }
  // Every other slot is filled from the top, so that a retransmission rarely meets the same fade.
  const int start = plan.slot % 2 == 0 ? rb_start : config.carrier.rb_count - rb_start - rbs;

  Grant& grant = plan.grants[plan.n_grants++];
  grant.rnti = handset.rnti;
  grant.uplink = is_uplink;
  grant.harq_id = static_cast<std::uint8_t>(harq_id);
  grant.new_data = new_data;
  process.handle = next_handle++;
  if (is_uplink) {
    grant.pdu = plan.ul_tti.n_pdus++;
    fapi::PuschPdu& pdu = plan.ul_tti.pdus[grant.pdu];
    fill(pdu, handset, process, shape_index, start, rbs);
    pdu.handle = process.handle;
    pdu.harq_process_id = grant.harq_id;
    pdu.new_data_indicator = new_data ? 1 : 0;
  } else {
    grant.pdu = plan.dl_tti.n_pdus++;
    fapi::PdschPdu& pdu = plan.dl_tti.pdus[grant.pdu];
    fill(pdu, handset, process, shape_index, start, rbs);
    pdu.tb_size_lbrm_bytes_valid = 1;
    pdu.tb_size_lbrm_bytes = static_cast<std::uint32_t>(lbrm_bytes);
    pdu.pdu_index = static_cast<std::uint16_t>(grant.pdu);
    fapi::TxDataRequest::Pdu& data = plan.tx_data.pdus[plan.tx_data.n_pdus++];
    data.pdu_index = pdu.pdu_index;
    data.data = View<const std::uint8_t, 1>(process.data.data(), process.tb_bytes);
  }

  MacCounters& count = counters(is_uplink);
  ++(process.transmissions == 0 ? count.tb_first : count.tb_retransmissions);
  process.state = HarqProcess::State::in_flight;
  process.restart = false;
  process.slot = plan.slot;
  process.expected_sinr_db = recent_sinr_db(from.link, plan.slot);
  ++process.transmissions;
  ++process.transmissions_combined;
  from.served = true;
  from.last_sent = plan.slot;
}

void Mac::State::fail(bool is_uplink, HarqProcess& process, SlotCount slot) {
  if (process.transmissions == 1) ++counters(is_uplink).tb_first_failed;
  // Transmissions that nobody answered say nothing about the channel: they count only against a
  // bound that ends a block whose handset is gone.
  const bool combined_all =
      !process.restart && process.transmissions_combined >= config.transmissions_max;
  if (combined_all || process.transmissions >= unanswered_factor * config.transmissions_max) {
    ++counters(is_uplink).tb_lost;
    process.state = HarqProcess::State::idle;
    return;
  }
  process.state = HarqProcess::State::failed;
  process.failed_slot = slot;
}

void Mac::State::expire(bool is_uplink, SlotCount slot) {
  for (Handset& handset : handsets) {
    for (HarqProcess& process : direction(handset, is_uplink).harq.processes) {
      if (process.state != HarqProcess::State::in_flight) continue;
      if (slot - process.slot < feedback_timeout_slots) continue;
      ++counters(is_uplink).feedback_timeouts;
      process.restart = true;
      fail(is_uplink, process, slot);
    }
  }
}

void Mac::State::feedback(bool is_uplink, Direction& from, HarqProcess& process, bool ok,
                          double sinr_db) {
  on_sinr_report(from.link, process.slot, process.expected_sinr_db, sinr_db);
  if (process.transmissions == 1) {
    on_first_outcome(from.link, config.target_bler,
                     {ok, process.mcs_at_lowest, process.mcs_at_highest});
  }
  MacCounters& count = counters(is_uplink);
  if (ok) {
    ++count.tb_ok;
    count.bits_ok += std::uint64_t{8} * static_cast<std::uint64_t>(process.tb_bytes);
    process.state = HarqProcess::State::idle;
  } else {
    process.sinr_combined += std::pow(10.0, (sinr_db + from.link.offset_db) / 10);
    fail(is_uplink, process, process.slot);
  }
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

void Mac::on_crc(const fapi::CrcIndication& indication) {
  State& state = *state_;
  for (int i = 0; i < indication.n_crcs; ++i) {
    const auto& crc = indication.crcs[i];
    Handset* const handset = state.find(crc.rnti);
    HarqProcess* const process = handset == nullptr || crc.harq_id >= harq_processes
                                     ? nullptr
                                     : &handset->uplink.harq.processes[crc.harq_id];
    if (process == nullptr || process->state != HarqProcess::State::in_flight ||
        process->handle != crc.handle) {
      ++state.uplink.feedback_stale;
      continue;
    }
    state.feedback(true, handset->uplink, *process, crc.tb_crc_status == 0, crc.ul_sinr_db);
  }
}

void Mac::on_uci(const fapi::UciIndication& indication) {
  State& state = *state_;
  const SlotName name{indication.sfn, indication.slot};
  for (int i = 0; i < indication.n_ucis; ++i) {
    const auto& uci = indication.ucis[i];
    Handset* const handset = state.find(uci.rnti);
    HarqProcess* const process = handset == nullptr || uci.harq_id >= harq_processes
                                     ? nullptr
                                     : &handset->downlink.harq.processes[uci.harq_id];
    if (process == nullptr || process->state != HarqProcess::State::in_flight ||
        slot_name(process->slot, state.config.carrier.scs_khz) != name) {
      ++state.downlink.feedback_stale;
      continue;
    }
    state.feedback(false, handset->downlink, *process, uci.harq_value == 1, uci.dl_sinr_db);
  }
}

void Mac::on_rx_data(const fapi::RxDataIndication& indication) {
  for (int i = 0; i < indication.n_pdus; ++i) {
    state_->uplink.bits_delivered += std::uint64_t{8} * indication.pdus[i].data.size();
  }
}

const MacCounters& Mac::downlink() const { return state_->downlink; }
const MacCounters& Mac::uplink() const { return state_->uplink; }

}  // namespace noroshi::mac
