#include "site/slot_loop.h"

#include <algorithm>
#include <bit>
#include <initializer_list>

#include "site/slot_guard.h"

namespace noroshi::site {
namespace {

// Half of a mean SINR is this many reports old.
constexpr double sinr_weight = 0.05;

std::vector<std::uint16_t> rntis(const mac::MacConfig& mac) {
  std::vector<std::uint16_t> list;
  for (const mac::HandsetConfig& handset : mac.handsets) list.push_back(handset.rnti);
  return list;
}

void add_relaxed(std::atomic<std::uint64_t>& counter, std::uint64_t count = 1) {
  counter.fetch_add(count, std::memory_order_relaxed);
}

// The first of the first ring that has one.
template <class T>
bool take(std::initializer_list<Ring<T>*> rings, T& out) {
  for (Ring<T>* ring : rings) {
    if (const T* next = ring->front(); next != nullptr) {
      out = *next;
      ring->pop();
      return true;
    }
  }
  return false;
}

// FNV-1a, a word at a time.
void mix(std::uint64_t& hash, std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3u; }

void mix(std::uint64_t& hash, View<const std::uint8_t, 1> bytes) {
  for (const std::uint8_t byte : bytes) mix(hash, std::uint64_t{byte});
}

// As the handset must know it.
void add_grant(const mac::Grant& from, int prg_rbs, const nr::SharedChannel& channel,
               Grants& grants) {
  grants.grants[grants.count++] = {.rnti = from.rnti,
                                   .harq_id = from.harq_id,
                                   .new_data = from.new_data,
                                   .tpmi = from.tpmi,
                                   .prg_rbs = prg_rbs,
                                   .n_acks = from.n_acks,
                                   .acks = from.acks,
                                   .csi_layers = from.csi_layers,
                                   .channel = channel};
}

}  // namespace

SlotLoop::SlotLoop(const SiteConfig& site, const CellConfig& cell, const mac::MacConfig& mac,
                   Emulation emulation, const Surroundings& surroundings, int radio_processors,
                   int downlink_processor, int uplink_processor)
    : carrier_(cell.carrier),
      pattern_(cell.pattern),
      limits_(limits_of(cell)),
      slot_ns_(slot_duration_ns(carrier_.scs_khz)),
      downlink_deadline_ns_(std::int64_t{site.downlink_deadline_us} * 1000),
      uplink_deadline_ns_(site.uplink_deadline_slots * slot_ns_),
      clock_(surroundings.clock),
      stopwatch_(surroundings.stopwatch),
      counters_(surroundings.counters),
      downlink_processor_(downlink_processor),
      uplink_processor_(uplink_processor),
      lease_early_ns_(site.lease.early_ns),
      uci_on_pusch_(cell.uci_on_pusch),
      mac_(mac),
      downlink_(limits_, PrecodingTable::make(mac_.config_request()).value()),
      lease_(site.lease, radio_processors),
      board_(surroundings.board),
      cell_(surroundings.cell),
      uplink_(limits_, rntis(mac), {cell.ldpc_iterations_max, cell.equalizer}),
      recorder_(surroundings.recorder),
      emulation_(std::move(emulation)),
      replay_(surroundings.replay) {
  const auto samples = static_cast<std::size_t>(nr::slot_samples_max(carrier_));
  const auto prepare_downlink = [&](DownlinkSlot& slot) {
    slot.samples.resize(samples * static_cast<std::size_t>(limits_.transmit_antennas));
    slot.sent.reserve(slot_payload_bytes(carrier_, limits_.downlink_layers_max));
  };
  const std::size_t uplink_bytes = slot_payload_bytes(
      carrier_, std::max(limits_.uplink_layers_max, limits_.uplink_group_layers));
  const auto prepare_report = [&](UplinkReport& report) { report.bytes.resize(uplink_bytes); };
  prepare_downlink(spare_downlink_);
  prepare_report(spare_report_);
  prepare_ring(downlink_slots_, prepare_downlink);
  prepare_ring(reports_, prepare_report);
  prepare_ring(uplink_slots_, [&](UplinkSlot& slot) {
    slot.samples.resize(samples * static_cast<std::size_t>(limits_.receive_antennas));
    slot.sent.reserve(uplink_bytes);
  });
  for (auto& plan : plans_) {
    plan = std::make_unique<mac::SlotPlan>();
    plan->slot = -1;
  }
  for (auto& mark : late_marks_) mark.store(-1, std::memory_order_relaxed);
}

void SlotLoop::mark_late(Ring<LateSlot>& ring, LateSlot late, std::int64_t busy_since_ns) {
  late.from_ns = std::min(late.from_ns, busy_since_ns);
  auto& mark = late_marks_[static_cast<std::size_t>(late.slot) % late_window];
  if (mark.exchange(late.slot, std::memory_order_relaxed) != late.slot)
    add_relaxed(counters_.late_slots);
  (void)ring.push(late);  // full: nobody looks
}

void SlotLoop::note_refused(const RefusedPdus& refused, Ring<RefusedPdu>& ring) {
  if (refused.count == 0) return;
  add_relaxed(counters_.refused_pdus, static_cast<std::uint64_t>(refused.count));
  for (int i = 0; i < refused.count; ++i)
    (void)ring.push(refused.list[static_cast<std::size_t>(i)]);  // full: nobody looks
}

bool SlotLoop::take_refused(RefusedPdu& refused) {
  return take({&refused_downlink_, &refused_uplink_}, refused);
}

bool SlotLoop::take_late(LateSlot& late) { return take({&late_downlink_, &late_uplink_}, late); }

void SlotLoop::downlink_tick(SlotCount now) {
  const SlotScope scope;
  if (pattern_.kind(now) != nr::SlotKind::uplink) {
    const Stopwatch::Start begin = stopwatch_.start();
    transmit(now);
    const Elapsed took = stopwatch_.since(begin);
    counters_.downlink_ns.add(static_cast<std::uint64_t>(took.took_ns));
    const PlannedCost& planned = planned_cost(now);
    if (planned.slot == now) cost_model_.downlink.learn(planned.downlink_work, took);
  }
  take_feedback();
  plan(now + plan_ahead);
  lend(now);
  publish();
}

void SlotLoop::transmit(SlotCount now) {
  mac::SlotPlan& plan = *plans_[static_cast<std::size_t>(now) % plans_.size()];
  if (plan.slot != now) {  // the first slots, and those after lost ones: silence
    const SlotName name = slot_name(now, carrier_.scs_khz);
    plan.dl_tti.sfn = static_cast<std::uint16_t>(name.sfn);
    plan.dl_tti.slot = static_cast<std::uint16_t>(name.slot);
    plan.dl_tti.n_pdus = plan.tx_data.n_pdus = plan.n_grants = 0;
    plan.dl_tti.n_ssbs = plan.dl_tti.n_csi_rs = 0;
  }
  const bool to_air = plan.dl_tti.n_pdus > 0;
  DownlinkSlot* item = to_air ? downlink_slots_.push_slot() : nullptr;
  DownlinkSlot& out = item != nullptr ? *item : spare_downlink_;
  const auto samples = static_cast<std::size_t>(nr::slot_samples_max(carrier_));
  downlink_.transmit(plan.dl_tti, plan.tx_data,
                     View<cf32, 2>(out.samples.data(), limits_.transmit_antennas, samples));
  const std::int64_t ready = clock_.now_ns() - tick_ns(now);
  counters_.downlink_ready_ns.add(static_cast<std::uint64_t>(std::max<std::int64_t>(ready, 0)));
  if (ready > downlink_deadline_ns_) {
    add_relaxed(counters_.late_downlink);
    mark_late(
        late_downlink_,
        {now, false, tick_ns(now), tick_ns(now) + downlink_deadline_ns_, tick_ns(now) + ready},
        downlink_busy_since_ns_);
  }
  note_refused(downlink_.refused(), refused_downlink_);
  if (!to_air) return;
  if (item == nullptr) return add_relaxed(counters_.dropped_reports);
  out.grants.slot = now;
  out.grants.count = 0;
  out.sent.clear();
  for (int i = 0; i < plan.n_grants; ++i) {
    const mac::Grant& grant = plan.grants[i];
    if (grant.uplink) continue;
    const fapi::PdschPdu& pdu = plan.dl_tti.pdus[static_cast<std::size_t>(grant.pdu)];
    const nr::SharedChannel* pdsch = downlink_.sent(grant.pdu);
    if (pdsch == nullptr) continue;  // the handset hears nothing
    const fapi::TxPrecodingAndBeamforming& precoding = pdu.precoding_and_beamforming;
    add_grant(grant, precoding.num_prgs > 1 ? precoding.prg_size : 0, *pdsch, out.grants);
    for (int d = 0; d < plan.tx_data.n_pdus; ++d) {
      const auto& data = plan.tx_data.pdus[static_cast<std::size_t>(d)];
      if (data.pdu_index != pdu.pdu_index) continue;
      for (int q = 0; q < pdu.nr_of_codewords; ++q)
        out.sent.add(grant.rnti, grant.harq_id, q, data.data[static_cast<std::size_t>(q)]);
    }
  }
  downlink_slots_.push_done();
}

void SlotLoop::take_feedback() {
  // Bounded: a producer adds at most a few while we look.
  for (std::size_t i = 0; i < ucis_.capacity(); ++i) {
    const fapi::UciIndication* uci = ucis_.front();
    if (uci == nullptr) break;
    mac_.on_uci(*uci);
    mix(hash_, std::uint64_t{uci->sfn} << 16 | uci->slot);
    for (int u = 0; u < uci->n_ucis; ++u) {
      const auto& item = uci->ucis[static_cast<std::size_t>(u)];
      mix(hash_,
          std::uint64_t{item.rnti} << 16 | std::uint64_t{item.harq_id} << 8 | item.harq_value);
      mix(hash_, std::bit_cast<std::uint32_t>(item.dl_sinr_db));
      downlink_sinr_db_ += sinr_weight * (double{item.dl_sinr_db} - downlink_sinr_db_);
    }
    ucis_.pop();
  }
  for (std::size_t i = 0; i < reports_.capacity(); ++i) {
    const UplinkReport* report = reports_.front();
    if (report == nullptr) break;
    if (const PlannedCost& planned = planned_cost(report->slot); planned.slot == report->slot)
      cost_model_.uplink.learn(planned.uplink_work, report->took);
    mac_.on_crc(report->crc);
    mac_.on_rx_data(report->rx_data);
    mix(hash_, std::uint64_t{report->crc.sfn} << 16 | report->crc.slot);
    for (int c = 0; c < report->crc.n_crcs; ++c) {
      const auto& crc = report->crc.crcs[static_cast<std::size_t>(c)];
      mix(hash_, std::uint64_t{crc.handle} << 32 | std::uint64_t{crc.rnti} << 16 |
                     std::uint64_t{crc.harq_id} << 8 | crc.tb_crc_status);
      mix(hash_, std::bit_cast<std::uint32_t>(crc.ul_sinr_db));
      uplink_sinr_db_ += sinr_weight * (double{crc.ul_sinr_db} - uplink_sinr_db_);
    }
    mac_.on_pusch_uci(report->uci);
    for (int u = 0; u < report->uci.n_ucis; ++u) {
      const auto& uci = report->uci.ucis[static_cast<std::size_t>(u)];
      mix(hash_, std::uint64_t{uci.handle} << 16 | uci.rnti);
      mix(hash_, View<const std::uint8_t, 1>(uci.harq.payload.data(), 4));
      if (uci.csi_part1.bit_len != mac::csi_bits) continue;
      const auto sinr_db = mac::csi_to_sinr_db(uci.csi_part1.payload[0] >> (8 - mac::csi_bits));
      if (sinr_db) downlink_sinr_db_ += sinr_weight * (*sinr_db - downlink_sinr_db_);
    }
    for (int p = 0; p < report->rx_data.n_pdus; ++p)
      mix(hash_, report->rx_data.pdus[static_cast<std::size_t>(p)].data);
    reports_.pop();
  }
}

void SlotLoop::plan(SlotCount slot) {
  mac::SlotPlan& plan = *plans_[static_cast<std::size_t>(slot) % plans_.size()];
  mac_.on_slot(slot, plan);
  plan.slot = slot;
  PlannedCost& cost = planned_cost(slot);
  cost = PlannedCost();
  cost.slot = slot;
  if (pattern_.kind(slot) != nr::SlotKind::uplink) {
    cost.downlink_work = downlink_work(limits_, plan.dl_tti);
    cost.downlink = cost_model_.downlink.predict(cost.downlink_work);
  }
  cost.uplink_work = uplink_work(limits_, plan.ul_tti);
  cost.uplink = cost_model_.uplink.predict(cost.uplink_work);
  if (plan.ul_tti.n_pdus == 0) return;
  Grants* grants = grants_.push_slot();
  UplinkPlan* uplink = uplink_plans_.push_slot();
  if (grants == nullptr || uplink == nullptr) return add_relaxed(counters_.dropped_reports);
  grants->slot = uplink->slot = slot;
  uplink->request = plan.ul_tti;
  grants->count = 0;
  for (int i = 0; i < plan.n_grants; ++i) {
    const mac::Grant& grant = plan.grants[i];
    if (!grant.uplink) continue;
    nr::SharedChannel pusch;
    if (read_pusch(limits_, plan.ul_tti.pdus[static_cast<std::size_t>(grant.pdu)], pusch)) continue;
    add_grant(grant, 0, pusch, *grants);
  }
  uplink_plans_.push_done();
  grants_.push_done();
}

// All that is known after the plan of slot now + plan_ahead, in the order in which it is done: at
// each tick the downlink of its slot, then the uplink of the slot before.
void SlotLoop::lend(SlotCount now) {
  constexpr std::size_t own_max = 2 * plan_ahead + 1;
  static_assert(own_max <= LeaseBoard::pieces_max);
  std::array<RadioWork, own_max + LeaseBoard::cells_max * LeaseBoard::pieces_max> work;
  std::size_t count = 0;
  for (SlotCount tick = now; tick <= now + plan_ahead; ++tick) {
    if (const PlannedCost& cost = planned_cost(tick);
        tick > now && cost.slot == tick && cost.downlink.p50_ns > 0) {
      work[count++] = {
          downlink_processor_,  tick_ns(tick),         tick_ns(tick) + downlink_deadline_ns_,
          cost.downlink.p50_ns, &cost_model_.downlink, &cost.downlink_work};
    }
    if (const PlannedCost& cost = planned_cost(tick - 1);
        cost.slot == tick - 1 && cost.uplink.p50_ns > 0) {
      work[count++] = {
          uplink_processor_,  tick_ns(tick),       tick_ns(tick - 1) + uplink_deadline_ns_,
          cost.uplink.p50_ns, &cost_model_.uplink, &cost.uplink_work};
    }
  }
  std::array<RadioWork, own_max> own;
  const std::size_t own_count = count;
  std::copy_n(work.begin(), own_count, own.begin());
  count = board_.gather(cell_, {work.data(), work.size()}, count);
  const LeaseDecision decision = lease_.decide(clock_.now_ns(), tick_ns(now + 1),
                                               tick_ns(now + plan_ahead + 1), {work.data(), count});
  board_.publish(cell_, {own.data(), own_count}, decision.taken);
  Early& early = early_[static_cast<std::size_t>(now + 1) % early_.size()];
  early.processors.store(decision.early, std::memory_order_relaxed);
  early.slot.store(now + 1, std::memory_order_release);
  counters_.left.store(decision.left, std::memory_order_relaxed);
  if (decision.taken != 0) add_relaxed(counters_.taken_slots);
  if (keeper_ != nullptr) keeper_->decide(board_.taken());
}

void SlotLoop::publish() {
  constexpr auto relaxed = std::memory_order_relaxed;
  const mac::MacCounters& downlink = mac_.downlink();
  const mac::MacCounters& uplink = mac_.uplink();
  add_relaxed(counters_.slots);
  counters_.dl_bits.store(downlink.bits_ok, relaxed);
  counters_.dl_tb.store(downlink.tb_first, relaxed);
  counters_.dl_tb_failed.store(downlink.tb_first_failed, relaxed);
  counters_.dl_tb_lost.store(downlink.tb_lost, relaxed);
  counters_.ul_bits.store(uplink.bits_ok, relaxed);
  counters_.ul_tb.store(uplink.tb_first, relaxed);
  counters_.ul_tb_failed.store(uplink.tb_first_failed, relaxed);
  counters_.ul_tb_lost.store(uplink.tb_lost, relaxed);
  counters_.dl_layers.store(downlink.layers, relaxed);
  counters_.ul_layers.store(uplink.layers, relaxed);
  counters_.ul_paired.store(uplink.paired, relaxed);
  counters_.ul_uci.store(uplink.uci_pdus, relaxed);
  counters_.ul_uci_lost.store(uplink.uci_lost, relaxed);
  counters_.dl_sinr_db.store(downlink_sinr_db_, relaxed);
  counters_.ul_sinr_db.store(uplink_sinr_db_, relaxed);
  counters_.result_hash.store(hash_, relaxed);
  const CostModelError& dl = cost_model_.downlink.error();
  const CostModelError& ul = cost_model_.uplink.error();
  counters_.cost_slots.store(dl.slots + ul.slots, relaxed);
  counters_.cost_stalled.store(dl.stalled + ul.stalled, relaxed);
  counters_.cost_over_p9999.store(dl.over_p9999 + ul.over_p9999, relaxed);
  counters_.cost_p50_error.store(std::max(dl.p50_error, ul.p50_error), relaxed);
}

void SlotLoop::uplink_tick(SlotCount now) {
  const SlotScope scope;
  for (int done = 0; done < catch_up;) {
    const UplinkSlot* slot = uplink_slots_.front();
    if (slot == nullptr || slot->slot >= now) break;
    if (now - slot->slot > 2 * behind_slots_max) {
      add_relaxed(counters_.lost_slots);
      LateSlot lost = late_uplink(*slot);
      lost.lost = true;
      lost.from_ns = std::min(lost.from_ns, uplink_busy_since_ns_);
      (void)late_uplink_.push(lost);  // full: nobody looks
    } else {
      done += receive(*slot) ? 1 : 0;
    }
    uplink_slots_.pop();
  }
}

bool SlotLoop::receive(const UplinkSlot& slot) {
  const UplinkPlan* plan = uplink_plans_.front();
  while (plan != nullptr && plan->slot < slot.slot) {
    uplink_plans_.pop();
    plan = uplink_plans_.front();
  }
  if (plan == nullptr || plan->slot != slot.slot) return false;
  const Stopwatch::Start begin = stopwatch_.start();
  UplinkReport* item = reports_.push_slot();
  UplinkReport& report = item != nullptr ? *item : spare_report_;
  const auto samples = static_cast<std::size_t>(nr::slot_samples_max(carrier_));
  uplink_.receive(plan->request,
                  View<const cf32, 2>(slot.samples.data(), slot.samples.size() / samples, samples),
                  report);
  note_refused(uplink_.refused(), refused_uplink_);
  finish_uplink(slot, report);
  report.slot = slot.slot;
  report.took = stopwatch_.since(begin);
  counters_.uplink_ns.add(static_cast<std::uint64_t>(report.took.took_ns));
  if (item != nullptr) {
    reports_.push_done();
  } else {
    add_relaxed(counters_.dropped_reports);
  }
  uplink_plans_.pop();
  if (recorder_ != nullptr) {
    const bool kept = recorder_->offer(slot.slot, slot.samples);
    add_relaxed(kept ? counters_.recorded_slots : counters_.unrecorded_slots);
  }
  return true;
}

// A slot whose deadline has passed, as it is now.
LateSlot SlotLoop::late_uplink(const UplinkSlot& slot) const {
  const std::int64_t tick = tick_ns(slot.slot), end = tick_ns(slot.slot + 1);
  LateSlot late{.slot = slot.slot, .uplink = true, .from_ns = end};
  late.deadline_ns = tick + uplink_deadline_ns_;
  late.ready_ns = clock_.now_ns();
  const std::int64_t air_delay = slot.ready_ns - end;
  late.by_air = air_delay > 0 && late.ready_ns - air_delay <= late.deadline_ns;
  return late;
}

void SlotLoop::finish_uplink(const UplinkSlot& slot, const UplinkReport& report) {
  const LateSlot late = late_uplink(slot);
  const std::int64_t ready = late.ready_ns - tick_ns(slot.slot);
  counters_.uplink_ready_ns.add(static_cast<std::uint64_t>(std::max<std::int64_t>(ready, 0)));
  if (ready > uplink_deadline_ns_) {
    add_relaxed(counters_.late_uplink);
    if (late.by_air) add_relaxed(counters_.late_uplink_by_air);
    mark_late(late_uplink_, late, uplink_busy_since_ns_);
  }
  if (!slot.compare) return;
  for (int i = 0; i < report.rx_data.n_pdus; ++i) {
    const auto& pdu = report.rx_data.pdus[static_cast<std::size_t>(i)];
    if (!std::ranges::equal(pdu.data, slot.sent.find(pdu.rnti, pdu.harq_id)))
      add_relaxed(counters_.payload_mismatches);
  }
}

void SlotLoop::air_tick(SlotCount now) {
  const SlotScope scope;
  const Stopwatch::Start begin = stopwatch_.start();
  while (grants_.front() != nullptr && grants_.front()->slot < now) grants_.pop();
  if (const Grants* grants = grants_.front(); grants != nullptr && grants->slot == now) {
    UplinkSlot* out = uplink_slots_.push_slot();
    bool made = out != nullptr;
    if (out == nullptr) {
      add_relaxed(counters_.dropped_reports);
    } else if (replay_ == nullptr) {
      emulation_.uplink(*grants, *out);
    } else {
      out->slot = now;
      out->compare = false;
      made = replay_->take(now, out->samples);
    }
    if (made) {
      out->ready_ns = clock_.now_ns();
      uplink_slots_.push_done();
    }
    grants_.pop();
  }
  for (int done = 0; done < catch_up;) {
    const DownlinkSlot* slot = downlink_slots_.front();
    if (slot == nullptr || slot->grants.slot >= now) break;
    if (now - slot->grants.slot <= behind_slots_max) {
      ++done;
      fapi::UciIndication* uci = ucis_.push_slot();
      if (uci == nullptr) {
        add_relaxed(counters_.dropped_reports);
      } else {
        const int mismatches = emulation_.downlink(*slot, *uci);
        add_relaxed(counters_.payload_mismatches, static_cast<std::uint64_t>(mismatches));
        if (!uci_on_pusch_) ucis_.push_done();
      }
    }
    downlink_slots_.pop();
  }
  counters_.air_ns.add(static_cast<std::uint64_t>(stopwatch_.since(begin).took_ns));
}

void SlotLoop::set_busy_since(int processor, std::int64_t time_ns) {
  if (processor == downlink_processor_) downlink_busy_since_ns_ = time_ns;
  if (processor == uplink_processor_) uplink_busy_since_ns_ = time_ns;
}

std::int64_t SlotLoop::early_ns(int processor, SlotCount now) const {
  // An uplink worker may look before the downlink's has decided: then by nothing.
  const Early& early = early_[static_cast<std::size_t>(now) % early_.size()];
  if (early.slot.load(std::memory_order_acquire) != now) return 0;
  return (early.processors.load(std::memory_order_relaxed) >> processor & 1) != 0 ? lease_early_ns_
                                                                                  : 0;
}

void SlotLoop::warm_uplink(SlotCount now) {
  const SlotScope scope;
  const UplinkSlot* slot = uplink_slots_.front();
  if (slot == nullptr || slot->slot >= now) return;
  prefetch(slot->samples);
  uplink_.prefetch();
}

void SlotLoop::forget() {
  const auto empty = [](auto& ring) {
    while (ring.front() != nullptr) ring.pop();
  };
  empty(grants_);
  empty(uplink_plans_);
  empty(reports_);
  empty(ucis_);
  empty(downlink_slots_);
  empty(uplink_slots_);
  board_.withdraw(cell_);
}

}  // namespace noroshi::site
