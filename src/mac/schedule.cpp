// Who sends what in a slot: what has failed first, then new data by proportional fairness, then
// handsets that may send on blocks that another one has.

#include <algorithm>
#include <cmath>

#include "mac/state.h"

namespace noroshi::mac {
namespace {

// Time constant of the average rate that proportional fairness divides by.
constexpr double average_slots = 200;

// A handset with data to send that was not served for so long gets a few blocks, for the report;
// where handsets take turns it gets a whole slot, later.
constexpr int probe_slots = 8;
constexpr int probe_slots_alone = 20;

}  // namespace

void Mac::State::schedule(bool is_uplink, int shape_index, SlotPlan& plan) {
  if (shapes[shape_index].symbol_count == 0) return;
  for (Handset& handset : handsets) {
    direction(handset, is_uplink).served = false;
    direction(handset, is_uplink).bits = 0;
  }
  int pdus = 0;
  int rb_first = schedule_failed(is_uplink, shape_index, pdus, plan);
  if (is_uplink && config.uci_on_pusch) rb_first = schedule_uci(shape_index, rb_first, plan);
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
      std::array<double, fapi::layers_max> sinr{};
      for (int layers = 1; layers <= from.layers_max; ++layers)
        sinr[static_cast<std::size_t>(layers - 1)] = sinr_db(from, layers, plan.slot);
      const int due = due_process(from.harq, plan.slot, sinr, config.transmissions_max);
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
    const int shape = shape_of(shape_index, process.layers);
    if (shapes[shape].symbol_count == 0) break;  // no room for these DM-RS in such a slot
    const int here = shapes[shape].re_per_rb;
    int rbs = std::min((elements + here - 1) / here, config.carrier.rb_count);
    rb_first = first_block(is_uplink, rb_first, rbs, plan.slot);
    if (rbs > config.carrier.rb_count - rb_first) break;
    rbs = lawful_rbs(is_uplink, rb_first, rbs, plan.slot);
    send(is_uplink, *oldest, harq_id, {.shape = shape, .rb_start = rb_first, .rbs = rbs}, plan);
    rb_first += rbs;
    ++pdus;
  }
  return rb_first;
}

// Of all codewords.
std::int32_t Mac::State::bytes(int shape_index, const Choice& choice, int rbs) const {
  const Shape& shape = shapes[static_cast<std::size_t>(shape_of(shape_index, choice.layers))];
  const auto at = static_cast<std::size_t>(choice.mcs * config.carrier.rb_count + rbs - 1);
  const auto of = [&](int layers) { return shape.bytes[static_cast<std::size_t>(layers - 1)][at]; };
  if (choice.layers <= codeword_layers_max) return of(choice.layers);
  return of(choice.layers / 2) + of((choice.layers + 1) / 2);
}

void Mac::State::schedule_new(bool is_uplink, int shape_index, int rb_first, int pdus,
                              SlotPlan& plan) {
  const int rbs = config.carrier.rb_count - rb_first;
  const int places =
      std::min(config.handsets_per_slot_max - pdus,
               fapi::pdus_per_slot_max - (is_uplink ? plan.ul_tti.n_pdus : plan.dl_tti.n_pdus));
  if (rbs == 0 || places == 0) return;
  // Two-symbol DM-RS may not fit into a short slot.
  const int layers_max =
      shapes[static_cast<std::size_t>(shape_of(shape_index, fapi::layers_max))].symbol_count > 0
          ? fapi::layers_max
          : codeword_layers_max;
  std::size_t count = 0;
  for (std::size_t i = 0; i < handsets.size(); ++i) {
    const Direction& from = direction(handsets[i], is_uplink);
    if (from.served || from.traffic.backlog_bytes == 0 || free_process(from.harq) < 0) continue;
    const Choice choice = choose(from, layers_max, plan.slot);
    int fewest = 1, most = config.carrier.rb_count;  // that empty the queue
    while (fewest < most) {
      const int middle = (fewest + most) / 2;
      if (bytes(shape_index, choice, middle) >= from.traffic.backlog_bytes) {
        most = middle;
      } else {
        fewest = middle + 1;
      }
    }
    Claim& claim = claims[count++];
    claim.handset = static_cast<int>(i);
    claim.probe = plan.slot - from.last_sent >=
                  (config.handsets_per_slot_max > 1 ? probe_slots : probe_slots_alone);
    claim.metric = bytes(shape_index, choice, config.carrier.rb_count) * 8.0 / from.average_bits;
    claim.rbs_wanted = fewest;
  }
  if (count == 0) return;
  const int served = split_rbs(View<Claim, 1>(claims.data(), count), places, rbs);
  for (int i = 0; i < served; ++i) {
    const Claim& claim = claims[static_cast<std::size_t>(i)];
    Handset& handset = handsets[static_cast<std::size_t>(claim.handset)];
    const Choice choice = choose(direction(handset, is_uplink), layers_max, plan.slot);
    const int rbs_left = config.carrier.rb_count - rb_first;
    if (rbs_left == 0) break;  // groups of blocks: those before had their ends
    const int own = lawful_rbs(is_uplink, rb_first, std::min(claim.rbs, rbs_left), plan.slot);
    Place place{.shape = shape_of(shape_index, choice.layers), .rb_start = rb_first, .rbs = own};
    rb_first += own;
    PairChoice pair;
    Handset* second = nullptr;
    if (is_uplink && config.uplink_group_layers > 1 &&
        plan.ul_tti.n_pdus + served - i < fapi::pdus_per_slot_max) {
      const auto rest = static_cast<std::size_t>(served);
      pair = find_pair({claims.data() + rest, count - rest}, handset.uplink, choice.rate, plan.slot,
                       second);
    }
    if (second == nullptr) {
      send_new(is_uplink, handset, choice, place, plan);
      continue;
    }
    place.group = plan.ul_tti.n_groups;
    place.group_layers = pair.first.group_layers;
    send_new(true, handset, pair.first, place, plan);
    place.first_port = pair.first.layers;
    send_new(true, *second, pair.second, place, plan);
    ++uplink.paired;
  }
}

// The best of the claims that got no blocks of their own with which these blocks carry more.
PairChoice Mac::State::find_pair(View<const Claim, 1> others, const Direction& first,
                                 double rate_alone, SlotCount slot, Handset*& second) {
  PairChoice best;
  double best_metric = 0;
  for (const Claim& claim : others) {
    Handset& handset = handsets[static_cast<std::size_t>(claim.handset)];
    if (handset.uplink.served || claim.metric <= best_metric) continue;
    const PairChoice pair = choose_pair(first, handset.uplink, config.uplink_group_layers, slot);
    if (pair.rate <= rate_alone) continue;
    best = pair;
    best_metric = claim.metric;
    second = &handset;
  }
  return best;
}

void Mac::State::send_new(bool is_uplink, Handset& handset, const Choice& choice,
                          const Place& place, SlotPlan& plan) {
  Direction& from = direction(handset, is_uplink);
  begin(from, choice);
  const int harq_id = free_process(from.harq);
  from.harq.next = (harq_id + 1) % harq_processes;
  HarqProcess& process = from.harq.processes[static_cast<std::size_t>(harq_id)];
  const Shape& shape = shapes[static_cast<std::size_t>(place.shape)];
  const McsLadder& ladder = *from.ladder;
  const bool two = choice.layers > codeword_layers_max;
  const auto bytes_of = [&](int layers, int index) {
    const auto at = static_cast<std::size_t>(index * config.carrier.rb_count + place.rbs - 1);
    return shape.bytes[static_cast<std::size_t>(layers - 1)][at];
  };
  const auto second_bytes = [&](int index) {
    return two ? bytes_of((choice.layers + 1) / 2, index) : 0;
  };
  const auto all_bytes = [&](int index) {
    return bytes_of(two ? choice.layers / 2 : choice.layers, index) + second_bytes(index);
  };
  // What takes elements from the data makes the code rate grow: the MCS whose rate, CRC included,
  // is then the one that was chosen, or a fiftieth above it.
  const int elements = place.rbs * shape.re_per_rb;
  const double taken = taken_by_ptrs(is_uplink, place.rbs) +
                       (is_uplink ? taken_by_uci(handset, elements, plan.slot) : 0);
  const double most = 1.02 * (1 - std::min(taken, 0.8)) * elements * choice.layers *
                      ladder.spectral_efficiency[static_cast<std::size_t>(choice.mcs)];
  constexpr int crc_bits = 24;
  int mcs = choice.mcs;
  while (mcs > 0 && taken > 0 && 8 * all_bytes(mcs) + crc_bits > most) --mcs;
  process.mcs_index = mcs;
  process.layers = choice.layers;
  process.mcs_at_lowest = mcs == 0;
  process.mcs_at_highest = choice.mcs == ladder.count - 1;
  process.required_sinr_db = ladder.required_sinr_db[static_cast<std::size_t>(choice.mcs)];
  process.rbs = place.rbs;
  process.shape = place.shape;
  process.second_tb_bytes = second_bytes(mcs);
  process.tb_bytes = all_bytes(mcs);
  process.transmissions = 0;
  process.restart = true;
  process.first_slot = plan.slot;
  if (!is_uplink) fill_random(payload, process.data.data(), process.tb_bytes);
  depart(from.traffic, process.tb_bytes);
  from.bits = std::int64_t{8} * process.tb_bytes;
  send(is_uplink, handset, harq_id, place, plan);
}

}  // namespace noroshi::mac
