#include "site/cell.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "nr/mcs.h"

namespace noroshi::site {
namespace {

constexpr int harq_processes = 16;

// The largest transport block that one layer of this carrier can carry.
int tb_bits_max(const nr::Carrier& carrier) {
  return nr::transport_block_bits(156, carrier.rb_count, {nr::Modulation::qam256, 9480}, 1);
}

const fapi::TxDataRequest::Pdu* find_data(const fapi::TxDataRequest& tx_data, int pdu_index) {
  for (int i = 0; i < tx_data.n_pdus; ++i) {
    if (tx_data.pdus[i].pdu_index == pdu_index) return &tx_data.pdus[i];
  }
  return nullptr;
}

bool fits(const nr::Carrier& carrier, const fapi::SharedChannelPdu& pdu) {
  return pdu.rb_start + pdu.rb_size <= carrier.rb_count;
}

float decibels(float power) { return 10 * std::log10(std::max(power, 1e-20f)); }

}  // namespace

int limited_buffer_bits(int tb_bits, int code_rate_x10240, std::int64_t lbrm_tb_bits) {
  // Base graph 2: TS 38.212 6.2.2, 7.2.2; rates 0.67 and 0.25. Code blocks: 5.2.2.
  const bool base_graph_2 =
      tb_bits <= 292 || (tb_bits <= 3824 && code_rate_x10240 <= 6860) || code_rate_x10240 <= 2560;
  const int with_crc = tb_bits + (tb_bits > 3824 ? 24 : 16);
  const int block_bits_max = base_graph_2 ? 3840 : 8448;
  const int payload_max = block_bits_max - 24;
  const int blocks = with_crc <= block_bits_max ? 1 : (with_crc + payload_max - 1) / payload_max;
  return static_cast<int>(lbrm_tb_bits * 3 / (2 * std::int64_t{blocks}));
}

nr::SharedChannel shared_channel(const fapi::SharedChannelPdu& pdu) {
  nr::SharedChannel channel;
  assert(pdu.rb_start + pdu.rb_size <= nr::rb_max);
  channel.rnti = pdu.rnti;
  channel.scrambling_id = pdu.data_scrambling_id;
  for (int rb = pdu.rb_start; rb < pdu.rb_start + pdu.rb_size; ++rb)
    channel.rbs.set(static_cast<std::size_t>(rb));
  channel.symbol_start = pdu.start_symbol_index;
  channel.symbol_count = pdu.nr_of_symbols;
  channel.modulation = static_cast<nr::Modulation>(pdu.qam_mod_order);
  channel.code_rate_x10240 = pdu.target_code_rate;
  channel.layers = pdu.num_layers;
  channel.rv = pdu.rv_index;
  channel.tb_bits = static_cast<int>(pdu.tb_size) * 8;
  if (pdu.tb_size_lbrm_bytes_valid != 0) {
    channel.limited_buffer_bits = limited_buffer_bits(channel.tb_bits, channel.code_rate_x10240,
                                                      std::int64_t{8} * pdu.tb_size_lbrm_bytes);
  }
  channel.dmrs.type = pdu.dmrs_config_type + 1;
  channel.dmrs.symbol_mask = pdu.dmrs_symb_pos;
  channel.dmrs.cdm_groups_without_data = pdu.num_dmrs_cdm_grps_no_data;
  channel.dmrs.port_mask = pdu.dmrs_ports;
  channel.dmrs.scrambling_id = pdu.dmrs_scrambling_id;
  channel.dmrs.n_scid = pdu.scid;
  return channel;
}

CellDownlink::CellDownlink(const nr::Carrier& carrier, int transmit_antennas)
    : ofdm_(carrier),
      workspace_(carrier),
      antennas_(transmit_antennas),
      grid_(static_cast<std::size_t>(transmit_antennas) * nr::symbols_per_slot *
            carrier.subcarriers()) {}

int CellDownlink::transmit(const fapi::DlTtiRequest& dl_tti, const fapi::TxDataRequest& tx_data,
                           View<cf32, 2> samples) {
  const nr::Carrier& carrier = ofdm_.carrier();
  const View<cf32, 3> grid(grid_.data(), antennas_, nr::symbols_per_slot, carrier.subcarriers());
  std::ranges::fill(grid_, cf32{});
  int refused = 0;
  for (int i = 0; i < dl_tti.n_pdus; ++i) {
    const fapi::PdschPdu& pdu = dl_tti.pdus[i];
    const fapi::TxDataRequest::Pdu* data = find_data(tx_data, pdu.pdu_index);
    if (data == nullptr || data->data.size() != pdu.tb_size || !fits(carrier, pdu)) {
      ++refused;
      continue;
    }
    const nr::SharedChannel pdsch = shared_channel(pdu);
    if (!phy::check_pdsch(carrier, pdsch)) {
      ++refused;
      continue;
    }
    phy::pdsch_transmit(carrier, dl_tti.slot, pdsch, data->data, grid, workspace_);
  }
  const float scale = std::sqrt(static_cast<float>(carrier.fft_size));
  const int slot_in_subframe = dl_tti.slot % slots_per_subframe(carrier.scs_khz);
  for (int antenna = 0; antenna < antennas_; ++antenna)
    phy::ofdm_modulate(ofdm_, slot_in_subframe, scale, grid[antenna], samples[antenna]);
  return refused;
}

CellUplink::CellUplink(const nr::Carrier& carrier, int receive_antennas,
                       std::vector<std::uint16_t> rntis, int ldpc_iterations_max)
    : ofdm_(carrier),
      workspace_(carrier),
      antennas_(receive_antennas),
      options_{.iterations_max = ldpc_iterations_max, .early_stop = true},
      rntis_(std::move(rntis)),
      grid_(static_cast<std::size_t>(receive_antennas) * nr::symbols_per_slot *
            carrier.subcarriers()) {
  harq_.reserve(rntis_.size() * harq_processes);
  for (std::size_t i = 0; i < rntis_.size() * harq_processes; ++i)
    harq_.emplace_back(tb_bits_max(carrier));
}

fec::HarqBuffer* CellUplink::harq_buffer(const fapi::PuschPdu& pdu) {
  const auto found = std::ranges::find(rntis_, pdu.rnti);
  if (found == rntis_.end() || pdu.harq_process_id >= harq_processes) return nullptr;
  return &harq_[static_cast<std::size_t>(found - rntis_.begin()) * harq_processes +
                pdu.harq_process_id];
}

int CellUplink::receive(const fapi::UlTtiRequest& ul_tti, View<const cf32, 2> samples,
                        UplinkReport& report) {
  const nr::Carrier& carrier = ofdm_.carrier();
  const View<cf32, 3> grid(grid_.data(), antennas_, nr::symbols_per_slot, carrier.subcarriers());
  const float scale = 1 / std::sqrt(static_cast<float>(carrier.fft_size));
  const int slot_in_subframe = ul_tti.slot % slots_per_subframe(carrier.scs_khz);
  // A quarter of the prefix early: room for what a fractional delay rings before its tap, while
  // three quarters are left for the channel's spread.
  const int window_offset = nr::cyclic_prefix_samples(carrier, slot_in_subframe, 1) / 4;
  for (int antenna = 0; antenna < antennas_; ++antenna) {
    phy::ofdm_demodulate(ofdm_, slot_in_subframe, window_offset, scale, samples[antenna],
                         grid[antenna]);
  }

  report.crc.sfn = report.rx_data.sfn = ul_tti.sfn;
  report.crc.slot = report.rx_data.slot = ul_tti.slot;
  report.crc.n_crcs = ul_tti.n_pdus;
  report.rx_data.n_pdus = 0;
  std::size_t used = 0;
  int refused = 0;
  for (int i = 0; i < ul_tti.n_pdus; ++i) {
    const fapi::PuschPdu& pdu = ul_tti.pdus[i];
    fapi::CrcIndication::Crc& crc = report.crc.crcs[i];
    crc = {
        .handle = pdu.handle, .rnti = pdu.rnti, .harq_id = pdu.harq_process_id, .tb_crc_status = 1};
    fec::HarqBuffer* harq = harq_buffer(pdu);
    if (harq == nullptr || !fits(carrier, pdu) || pdu.tb_size > report.bytes.size() - used) {
      ++refused;
      continue;
    }
    const nr::SharedChannel pusch = shared_channel(pdu);
    if (!phy::check_pusch(carrier, pusch)) {
      ++refused;
      continue;
    }
    const View<std::uint8_t, 1> tb(report.bytes.data() + used, pdu.tb_size);
    const phy::ReceiveResult result =
        phy::pusch_receive(carrier, ul_tti.slot, pusch, grid, pdu.new_data_indicator != 0, options_,
                           *harq, tb, workspace_);
    crc.ul_sinr_db = result.sinr_db;
    crc.timing_advance_offset_ns = result.timing_offset_s * 1e9f;
    crc.rssi_dbfs = decibels(result.rsrp + result.noise_power);
    if (!result.crc_ok) continue;
    crc.tb_crc_status = 0;
    report.rx_data.pdus[report.rx_data.n_pdus++] = {pdu.handle, pdu.rnti, pdu.harq_process_id, tb};
    used += pdu.tb_size;
  }
  return refused;
}

}  // namespace noroshi::site
