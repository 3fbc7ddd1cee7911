#pragma once

// For the tests of this room: a cell without samples. It answers each PDU as a receiver would whose
// block errors are a logistic function of the SINR that HARQ has gathered, with Rayleigh fading of
// one tap (no diversity of any kind: harder than every real channel) and a feedback delay.

#include <cmath>
#include <complex>
#include <deque>
#include <memory>
#include <numbers>
#include <vector>

#include "base/prng.h"
#include "mac/mac.h"

namespace noroshi::mac::toy {

struct Radio {
  std::uint16_t rnti = 0;
  double sinr_db = 20;          // mean
  double doppler_hz = 0;        // 0: no fading
  int branches = 1;             // of maximum-ratio combining; the mean stays
  double mixing_db = 0;         // that each layer beyond the first takes from all
  double receiver_loss_db = 0;  // block errors come at this much more SINR than Shannon and 3 dB
};

// What PDSCH and PUSCH PDUs have in common.
struct Block {
  std::uint16_t rate = 0;
  std::uint8_t order = 0;
  std::uint8_t mcs_index = 0, mcs_table = 0, rv_index = 0;
  std::uint32_t tb_size = 0;  // of all codewords
  int layers = 1, codewords = 1;
  fapi::DmrsFields dmrs;
  fapi::Allocation allocation;
};

inline Block block_of(const SlotPlan& plan, const Grant& grant) {
  const auto at = static_cast<std::size_t>(grant.pdu);
  if (grant.uplink) {
    const fapi::PuschPdu& pdu = plan.ul_tti.pdus[at];
    return {pdu.target_code_rate,
            pdu.qam_mod_order,
            pdu.mcs_index,
            pdu.mcs_table,
            pdu.data.rv_index,
            pdu.data.tb_size,
            pdu.nr_of_layers,
            1,
            pdu.dmrs,
            pdu.allocation};
  }
  const fapi::PdschPdu& pdu = plan.dl_tti.pdus[at];
  const fapi::CodewordFields& first = pdu.codewords[0];
  return {first.target_code_rate, first.qam_mod_order, first.mcs_index,
          first.mcs_table,        first.rv_index,      first.tb_size + pdu.codewords[1].tb_size,
          pdu.nr_of_layers,       pdu.nr_of_codewords, pdu.dmrs,
          pdu.allocation};
}

class Cell {
 public:
  Cell(MacConfig config, std::vector<Radio> radios, std::uint64_t seed)
      : mac(config),
        plan(std::make_unique<SlotPlan>()),
        config_(std::move(config)),
        radios_(std::move(radios)),
        prng_(seed, 99) {
    for (std::size_t i = 0; i < radios_.size(); ++i) {
      ok_bits.push_back(0);
      rbs.push_back(0);
      for (int k = 0; k < 4 * sinusoids; ++k) {
        angles_.push_back(2 * std::numbers::pi * prng_.uniform());
        phases_.push_back(2 * std::numbers::pi * prng_.uniform());
      }
      gathered_.emplace_back(2 * 16);
    }
  }

  double sinr_db(std::size_t handset, SlotCount slot) const {
    const Radio& radio = radios_[handset];
    if (radio.doppler_hz == 0) return radio.sinr_db;
    const double time_s =
        static_cast<double>(slot * slot_duration_ns(config_.carrier.scs_khz)) * 1e-9;
    double power = 0;
    for (int b = 0; b < radio.branches; ++b) {
      std::complex<double> sum = 0;
      for (int k = 0; k < sinusoids; ++k) {
        const std::size_t at = (handset * 4 + b) * sinusoids + k;
        const double turn = 2 * std::numbers::pi * radio.doppler_hz * std::cos(angles_[at]);
        sum += std::polar(1.0, turn * time_s + phases_[at]);
      }
      power += std::norm(sum) / sinusoids / radio.branches;
    }
    return radio.sinr_db + 10 * std::log10(std::max(power, 1e-6));
  }

  // One slot: requests, transmission, and the feedback that is due.
  void step(SlotCount slot) {
    deliver(slot);
    mac.on_slot(slot, *plan);
    for (int g = 0; g < plan->n_grants; ++g) transmit(slot, plan->grants[g]);
  }

  void run(SlotCount slots) {
    for (SlotCount end = now_ + slots; now_ < end; ++now_) step(now_);
  }

  Mac mac;
  std::unique_ptr<SlotPlan> plan;
  int feedback_delay_slots = 4;
  std::vector<double> ok_bits;    // a handset, downlink
  std::vector<std::int64_t> rbs;  // a handset, downlink, granted

 private:
  static constexpr int sinusoids = 16;

  struct Answer {
    SlotCount due = 0;
    bool uplink = false;
    fapi::CrcIndication::Crc crc;
    fapi::UciIndication::Uci uci;
    SlotName name;
  };

  void transmit(SlotCount slot, const Grant& grant) {
    const Block pdu = block_of(*plan, grant);
    std::size_t handset = 0;
    while (radios_[handset].rnti != grant.rnti) ++handset;
    // Layers share the power, and each further one costs what their mixing costs a receiver.
    const double sinr = sinr_db(handset, slot) - 10 * std::log10(pdu.layers) -
                        radios_[handset].mixing_db * (pdu.layers - 1);
    double& gathered = gathered_[handset][grant.harq_id + (grant.uplink ? 16 : 0)];
    if (grant.new_data) gathered = 0;
    gathered += std::pow(10.0, sinr / 10);
    const double efficiency = pdu.order * pdu.rate / 10240.0;
    const double needed_db =
        10 * std::log10(std::exp2(efficiency) - 1) + 3 + radios_[handset].receiver_loss_db;
    const double excess_db = 10 * std::log10(gathered) - needed_db;
    const bool ok = prng_.uniform() > 1 / (1 + std::exp(excess_db / 0.25));
    const double report = sinr + 0.3 * prng_.normal();

    Answer answer;
    answer.due = slot + feedback_delay_slots;
    answer.uplink = grant.uplink;
    answer.name = slot_name(slot, config_.carrier.scs_khz);
    if (grant.uplink) {
      answer.crc.handle = plan->ul_tti.pdus[grant.pdu].handle;
      answer.crc.rnti = grant.rnti;
      answer.crc.harq_id = grant.harq_id;
      answer.crc.tb_crc_status = ok ? 0 : 1;
      answer.crc.ul_sinr_db = static_cast<float>(report);
    } else {
      answer.uci.rnti = grant.rnti;
      answer.uci.harq_id = grant.harq_id;
      answer.uci.harq_value = ok ? static_cast<std::uint8_t>((1 << pdu.codewords) - 1) : 0;
      answer.uci.dl_sinr_db = static_cast<float>(report);
      ok_bits[handset] += ok ? 8.0 * pdu.tb_size : 0.0;
      rbs[handset] += pdu.allocation.rb_size;
    }
    answers_.push_back(answer);
  }

  void deliver(SlotCount slot) {
    for (; !answers_.empty() && answers_.front().due <= slot; answers_.pop_front()) {
      const Answer& answer = answers_.front();
      if (answer.uplink) {
        fapi::CrcIndication indication;
        indication.n_crcs = 1;
        indication.crcs[0] = answer.crc;
        mac.on_crc(indication);
      } else {
        fapi::UciIndication indication;
        indication.sfn = static_cast<std::uint16_t>(answer.name.sfn);
        indication.slot = static_cast<std::uint16_t>(answer.name.slot);
        indication.n_ucis = 1;
        indication.ucis[0] = answer.uci;
        mac.on_uci(indication);
      }
    }
  }

  MacConfig config_;
  std::vector<Radio> radios_;
  Prng prng_;
  std::vector<double> angles_, phases_;
  std::vector<std::vector<double>> gathered_;  // [handset][process], linear SINR
  std::deque<Answer> answers_;
  SlotCount now_ = 0;
};

inline MacConfig config(int handsets) {
  MacConfig config;
  config.carrier = nr::make_carrier(30, 20).value();
  config.pattern = nr::make_duplex_pattern("DDDSU", 30).value();
  for (int i = 0; i < handsets; ++i) {
    HandsetConfig handset;
    handset.rnti = static_cast<std::uint16_t>(100 + i);
    config.handsets.push_back(handset);
  }
  return config;
}

}  // namespace noroshi::mac::toy
