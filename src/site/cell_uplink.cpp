#include <algorithm>
#include <cmath>

#include "nr/mcs.h"
#include "phy/shared_channel/allocation.h"
#include "site/cell.h"

namespace noroshi::site {
namespace {

constexpr int harq_processes = 16;

// The largest transport block that so many layers of this carrier can carry.
int tb_bits_max(const nr::Carrier& carrier, int layers) {
  return nr::transport_block_bits(156, carrier.rb_count, {nr::Modulation::qam256, 9480}, layers);
}

float decibels(float power) { return 10 * std::log10(std::max(power, 1e-20f)); }

// T_A of TS 38.213 4.2: steps of 16 * 64 Tc / 2^mu, 31 changes nothing.
std::uint16_t timing_advance(float offset_s, int scs_khz) {
  const float step_s = 16.0f * 64 / (480e3f * 4096) / (static_cast<float>(scs_khz) / 15);
  return static_cast<std::uint16_t>(std::clamp(31 + std::lround(offset_s / step_s), 0L, 63L));
}

void measure(const phy::ReceiveResult& result, int scs_khz, fapi::UplinkMeasurement& to) {
  to.ul_sinr_db = effective_sinr_db(result);
  to.timing_advance_offset_ns = result.timing_offset_s * 1e9f;
  to.timing_advance_offset = timing_advance(result.timing_offset_s, scs_khz);
  to.rssi_dbfs = decibels(result.rssi);
  to.rsrp_dbfs = decibels(result.rsrp);
}

void write_part(const phy::UciPart& from, int bits_asked, fapi::UciPart& to) {
  to.bit_len = static_cast<std::uint16_t>(bits_asked);
  if (bits_asked == 0) return;
  const bool small = from.bits <= 11;  // told from noise, without a CRC
  to.detection = from.ok ? (small ? fapi::UciDetection::no_dtx : fapi::UciDetection::crc_pass)
                         : (small ? fapi::UciDetection::dtx : fapi::UciDetection::crc_failure);
  std::copy_n(from.message.begin(), bytes_for_bits(static_cast<std::size_t>(bits_asked)),
              to.payload.begin());
}

}  // namespace

float effective_sinr_db(const phy::ReceiveResult& result) {
  return std::min(result.sinr_db, -2 * decibels(result.evm));
}

CellUplink::CellUplink(const CellLimits& limits, std::vector<std::uint16_t> rntis,
                       const ReceiverConfig& receiver)
    : limits_(limits),
      ofdm_(limits.carrier),
      workspace_(limits.carrier, std::max(limits.uplink_group_layers, limits.uplink_layers_max),
                 limits.receive_antennas),
      rntis_(std::move(rntis)),
      grid_(static_cast<std::size_t>(limits.receive_antennas) * nr::symbols_per_slot *
            limits.carrier.subcarriers()),
      jobs_(fapi::pdus_per_slot_max) {
  options_.decode = {.iterations_max = receiver.ldpc_iterations_max, .early_stop = true};
  options_.equalizer = receiver.equalizer;
  harq_.reserve(rntis_.size() * harq_processes);
  for (std::size_t i = 0; i < rntis_.size() * harq_processes; ++i)
    harq_.emplace_back(tb_bits_max(limits.carrier, limits.uplink_layers_max));
}

fec::HarqBuffer* CellUplink::harq_buffer(std::uint16_t rnti, int process) {
  const auto found = std::ranges::find(rntis_, rnti);
  if (found == rntis_.end()) return nullptr;
  return &harq_[static_cast<std::size_t>(found - rntis_.begin()) * harq_processes +
                static_cast<std::size_t>(process)];
}

void CellUplink::demodulate(int slot, View<const cf32, 2> samples, View<cf32, 3> grid) {
  const nr::Carrier& carrier = limits_.carrier;
  const float scale = 1 / std::sqrt(static_cast<float>(carrier.fft_size));
  const int slot_in_subframe = slot % slots_per_subframe(carrier.scs_khz);
  // A quarter of the prefix early: room for what a fractional delay rings before its tap, while
  // three quarters are left for the channel's spread.
  const int window_offset = nr::cyclic_prefix_samples(carrier, slot_in_subframe, 1) / 4;
  for (std::size_t antenna = 0; antenna < grid.extent(0); ++antenna) {
    phy::ofdm_demodulate(ofdm_, slot_in_subframe, window_offset, scale, samples[antenna],
                         grid[antenna]);
  }
}

void CellUplink::refuse(const fapi::UlTtiRequest& ul_tti, int pdu, const Refusal& why) {
  const std::uint16_t rnti =
      pdu < 0 ? std::uint16_t{0} : ul_tti.pdus[static_cast<std::size_t>(pdu)].rnti;
  refused_.add({{ul_tti.sfn, ul_tti.slot}, fapi::message_ul_tti_request, pdu, rnti, why});
}

Refusal CellUplink::read(const fapi::PuschPdu& pdu, View<std::uint8_t, 1> bytes, std::size_t& used,
                         Job& job) {
  job.result = {};
  job.uci.harq.bits = job.uci.csi1.bits = job.uci.csi2.bits = 0;
  job.uci.harq.ok = job.uci.csi1.ok = job.uci.csi2.ok = false;
  job.harq = nullptr;
  job.tb = {};
  if (const Refusal no = read_pusch(limits_, pdu, job.channel)) return no;
  if (const Refusal no = phy::refuse_pusch(limits_.carrier, job.channel, uci_layout_)) return no;
  if (job.channel.tb_bits == 0) return {};
  if (pdu.data.harq_process_id >= harq_processes)
    return {"data.harq_process_id", double(pdu.data.harq_process_id), "0..15"};
  job.harq = harq_buffer(pdu.rnti, pdu.data.harq_process_id);
  if (job.harq == nullptr) return {"rnti", double(pdu.rnti), "of a handset that the cell knows"};
  for (const Job* other = jobs_.data(); other < &job; ++other)
    if (other->good && other->harq == job.harq)
      return {"data.harq_process_id", double(pdu.data.harq_process_id),
              "one that no PDU before it has"};
  if (const Refusal no =
          fec::refuse_harq(phy::sch_config(job.channel), *job.harq, pdu.data.new_data != 0))
    return no;
  if (pdu.data.tb_size > bytes.size() - used)
    return {"data.tb_size", double(pdu.data.tb_size), "what the slot's other PDUs leave room for"};
  job.tb = bytes.subview(used, pdu.data.tb_size);
  used += pdu.data.tb_size;
  return {};
}

// Members go one after the other into a group; one that does not fit is refused, the others stay.
void CellUplink::receive_group(const fapi::UlTtiRequest& ul_tti,
                               View<const std::uint8_t, 1> members, View<const cf32, 3> grid) {
  std::array<const nr::SharedChannel*, fapi::ues_per_group_max> channels{};
  std::array<phy::Reception, fapi::ues_per_group_max> receptions{};
  std::array<phy::ReceiveResult, fapi::ues_per_group_max> results{};
  std::array<std::uint8_t, fapi::ues_per_group_max> pdus{};
  std::size_t count = 0;
  int layers = 0;
  for (const std::uint8_t pdu : members) {
    Job& job = jobs_[pdu];
    if (!job.good) continue;
    channels[count] = &job.channel;
    Refusal no = phy::refuse_together({channels.data(), count + 1});
    const int most = std::max(limits_.uplink_group_layers, limits_.uplink_layers_max);
    if (!no && layers + job.channel.layers > most)
      no = {"layers of all handsets on the same blocks", double(layers + job.channel.layers),
            "as many as the cell has"};
    if (!no && count == 0) no = taken_.take(job.channel);
    if (no) {
      job.good = false;
      refuse(ul_tti, pdu, no);
      continue;
    }
    layers += job.channel.layers;
    phy::Reception& reception = receptions[count];
    reception.channel = &job.channel;
    reception.new_data = ul_tti.pdus[pdu].data.new_data != 0;
    reception.harq = job.harq;
    reception.tb = job.tb;
    reception.uci = &job.uci;
    pdus[count++] = pdu;
  }
  if (count == 0) return;
  phy::shared_channel_receive(limits_.carrier, ul_tti.slot, {receptions.data(), count}, grid,
                              options_, {results.data(), count}, workspace_);
  for (std::size_t i = 0; i < count; ++i) jobs_[pdus[i]].result = results[i];
}

void CellUplink::write(const fapi::UlTtiRequest& ul_tti, UplinkReport& report) const {
  report.crc.sfn = report.rx_data.sfn = report.uci.sfn = ul_tti.sfn;
  report.crc.slot = report.rx_data.slot = report.uci.slot = ul_tti.slot;
  report.crc.n_crcs = report.rx_data.n_pdus = report.uci.n_ucis = 0;
  const int count = std::clamp(ul_tti.n_pdus, 0, fapi::pdus_per_slot_max);
  for (int i = 0; i < count; ++i) {
    const fapi::PuschPdu& pdu = ul_tti.pdus[static_cast<std::size_t>(i)];
    const Job& job = jobs_[static_cast<std::size_t>(i)];
    if ((pdu.pdu_bitmap & fapi::pusch_bitmap_data) != 0) {
      fapi::CrcIndication::Crc& crc =
          report.crc.crcs[static_cast<std::size_t>(report.crc.n_crcs++)];
      crc = {};
      crc.handle = pdu.handle;
      crc.rnti = pdu.rnti;
      crc.harq_id = pdu.data.harq_process_id;
      crc.tb_crc_status = job.good && job.result.crc_ok ? 0 : 1;
      if (job.good) measure(job.result, limits_.carrier.scs_khz, crc);
      if (crc.tb_crc_status == 0)
        report.rx_data.pdus[static_cast<std::size_t>(report.rx_data.n_pdus++)] = {
            pdu.handle, pdu.rnti, pdu.data.harq_process_id, job.tb};
    }
    if ((pdu.pdu_bitmap & fapi::pusch_bitmap_uci) != 0) {
      fapi::PuschUciIndication::Uci& uci =
          report.uci.ucis[static_cast<std::size_t>(report.uci.n_ucis++)];
      uci = {};
      uci.handle = pdu.handle;
      uci.rnti = pdu.rnti;
      if (!job.good) continue;
      measure(job.result, limits_.carrier.scs_khz, uci);
      write_part(job.uci.harq, job.channel.uci.harq_bits, uci.harq);
      write_part(job.uci.csi1, job.channel.uci.csi1_bits, uci.csi_part1);
      write_part(job.uci.csi2, job.channel.uci.csi2_bits, uci.csi_part2);
    }
  }
}

void CellUplink::receive(const fapi::UlTtiRequest& ul_tti, View<const cf32, 2> samples,
                         UplinkReport& report) {
  const View<cf32, 3> grid(grid_.data(), limits_.receive_antennas, nr::symbols_per_slot,
                           limits_.carrier.subcarriers());
  demodulate(ul_tti.slot, samples, grid);
  taken_.clear();
  refused_.count = 0;
  if (ul_tti.n_pdus < 0 || ul_tti.n_pdus > fapi::pdus_per_slot_max)
    refuse(ul_tti, -1, {"n_pdus", double(ul_tti.n_pdus), "0..16; those behind are not received"});
  if (const Refusal no = refuse_time(limits_, ul_tti.sfn, ul_tti.slot)) {
    refuse(ul_tti, -1, no);
    for (Job& job : jobs_) job.good = false;
    return write(ul_tti, report);
  }
  const int count = std::clamp(ul_tti.n_pdus, 0, fapi::pdus_per_slot_max);
  std::size_t used = 0;
  for (int i = 0; i < count; ++i) {
    Job& job = jobs_[static_cast<std::size_t>(i)];
    const Refusal no = read(ul_tti.pdus[static_cast<std::size_t>(i)], report.bytes, used, job);
    job.good = !no;
    if (no) refuse(ul_tti, i, no);
  }
  std::uint32_t grouped = 0;  // bit i: PDU i has had its turn
  const int groups = std::clamp(ul_tti.n_groups, 0, fapi::groups_per_slot_max);
  if (ul_tti.n_groups != groups) refuse(ul_tti, -1, {"n_groups", double(ul_tti.n_groups), "0..16"});
  for (int g = 0; g < groups; ++g) {
    const fapi::UlTtiRequest::Group& group = ul_tti.groups[static_cast<std::size_t>(g)];
    std::array<std::uint8_t, fapi::ues_per_group_max> members{};
    std::size_t size = 0;
    if (group.n_ue > members.size())
      refuse(ul_tti, -1, {"groups[#].n_ue", double(group.n_ue), "0..8", g});
    for (std::size_t u = 0; u < std::min<std::size_t>(group.n_ue, members.size()); ++u) {
      const std::uint8_t pdu = group.pdu_idx[u];
      if (pdu >= count || (grouped >> pdu & 1) != 0) {
        refuse(ul_tti, -1, {"groups[#].pdu_idx", double(pdu), "each PDU of the message once", g});
        continue;
      }
      grouped |= 1u << pdu;
      members[size++] = pdu;
    }
    receive_group(ul_tti, {members.data(), size}, grid);
  }
  for (int i = 0; i < count; ++i) {
    const auto alone = static_cast<std::uint8_t>(i);
    if ((grouped >> i & 1) == 0) receive_group(ul_tti, {&alone, 1}, grid);
  }
  write(ul_tti, report);
}

}  // namespace noroshi::site
