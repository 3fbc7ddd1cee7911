#include "site/cell.h"

#include <algorithm>
#include <cmath>

#include "phy/shared_channel/allocation.h"

namespace noroshi::site {
namespace {

const fapi::TxDataRequest::Pdu* find_data(const fapi::TxDataRequest& tx_data, int pdu_index) {
  const int count = std::clamp(tx_data.n_pdus, 0, fapi::pdus_per_slot_max);
  for (int i = 0; i < count; ++i) {
    const fapi::TxDataRequest::Pdu& pdu = tx_data.pdus[static_cast<std::size_t>(i)];
    if (pdu.pdu_index == pdu_index) return &pdu;
  }
  return nullptr;
}

}  // namespace

CellLimits limits_of(const CellConfig& cell) {
  return {.carrier = cell.carrier,
          .transmit_antennas = cell.transmit_antennas,
          .receive_antennas = cell.receive_antennas,
          .downlink_layers_max = cell.downlink_layers_max,
          .uplink_layers_max = cell.uplink_layers_max,
          .uplink_group_layers = cell.uplink_group_layers};
}

CellDownlink::CellDownlink(const CellLimits& limits, PrecodingTable table)
    : limits_(limits),
      table_(std::move(table)),
      ofdm_(limits.carrier),
      workspace_(limits.carrier),
      grid_(static_cast<std::size_t>(limits.transmit_antennas) * nr::symbols_per_slot *
            limits.carrier.subcarriers()),
      weights_(precoding_values_max) {}

void CellDownlink::transmit(const fapi::DlTtiRequest& dl_tti, const fapi::TxDataRequest& tx_data,
                            View<cf32, 2> samples) {
  const nr::Carrier& carrier = limits_.carrier;
  const View<cf32, 3> grid(grid_.data(), limits_.transmit_antennas, nr::symbols_per_slot,
                           carrier.subcarriers());
  std::ranges::fill(grid_, cf32{});
  taken_.clear();
  was_sent_ = {};
  refused_.count = 0;
  const SlotName name{dl_tti.sfn, dl_tti.slot};
  if (dl_tti.n_pdus < 0 || dl_tti.n_pdus > fapi::pdus_per_slot_max)
    refused_.add({name,
                  fapi::message_dl_tti_request,
                  -1,
                  0,
                  {"n_pdus", double(dl_tti.n_pdus), "0..16; those behind are not sent"}});
  int count = std::clamp(dl_tti.n_pdus, 0, fapi::pdus_per_slot_max);
  if (const Refusal no = refuse_time(limits_, dl_tti.sfn, dl_tti.slot)) {
    refused_.add({name, fapi::message_dl_tti_request, -1, 0, no});
    count = 0;
  } else {
    take_signals(dl_tti);
  }
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const fapi::PdschPdu& pdu = dl_tti.pdus[at];
    if (const Refusal no = transmit(dl_tti, pdu, tx_data, grid, channels_[at])) {
      refused_.add({name, fapi::message_dl_tti_request, i, pdu.rnti, no});
    } else {
      was_sent_[at] = true;
    }
  }
  const float scale = std::sqrt(static_cast<float>(carrier.fft_size));
  const int slot_in_subframe = dl_tti.slot % slots_per_subframe(carrier.scs_khz);
  for (std::size_t antenna = 0; antenna < grid.extent(0); ++antenna)
    phy::ofdm_modulate(ofdm_, slot_in_subframe, scale, grid[antenna], samples[antenna]);
}

// No PDSCH gets the blocks of an SSB. A CSI-RS lies between the elements of those that name it, and
// takes away from those that do not.
void CellDownlink::take_signals(const fapi::DlTtiRequest& dl_tti) {
  const auto refuse = [&](Refusal no, int index = -1) {
    no.index = index;
    refused_.add({{dl_tti.sfn, dl_tti.slot}, fapi::message_dl_tti_request, -1, 0, no});
  };
  if (dl_tti.n_ssbs < 0 || dl_tti.n_ssbs > fapi::ssb_pdus_max)
    refuse({"n_ssbs", double(dl_tti.n_ssbs), "0..2; those behind are not there"});
  if (dl_tti.n_csi_rs < 0 || dl_tti.n_csi_rs > fapi::csi_rs_pdus_max)
    refuse({"n_csi_rs", double(dl_tti.n_csi_rs), "0..16; those behind are not there"});
  nr::ReservedElements elements;
  for (int i = 0; i < std::clamp(dl_tti.n_ssbs, 0, fapi::ssb_pdus_max); ++i) {
    if (const Refusal no =
            read_ssb(limits_, dl_tti.slot, dl_tti.ssbs[static_cast<std::size_t>(i)], elements)) {
      refuse(no, i);
    } else {
      taken_.take(elements);
    }
  }
  for (int i = 0; i < std::clamp(dl_tti.n_csi_rs, 0, fapi::csi_rs_pdus_max); ++i)
    if (const Refusal no =
            read_csi_rs(limits_, dl_tti.csi_rs[static_cast<std::size_t>(i)], elements))
      refuse(no, i);
}

Refusal CellDownlink::transmit(const fapi::DlTtiRequest& dl_tti, const fapi::PdschPdu& pdu,
                               const fapi::TxDataRequest& tx_data, View<cf32, 3> grid,
                               nr::SharedChannel& pdsch) {
  const nr::Carrier& carrier = limits_.carrier;
  if (const Refusal no = read_pdsch(limits_, pdu, pdsch, &dl_tti)) return no;
  if (const Refusal no = phy::refuse_downlink(carrier, pdsch)) return no;
  phy::Precoding precoding;
  if (const Refusal no = read_precoding(limits_, table_, pdu, pdsch, weights_, precoding))
    return no;
  const fapi::TxDataRequest::Pdu* data = find_data(tx_data, pdu.pdu_index);
  if (data == nullptr)
    return {"pdu_index", double(pdu.pdu_index), "that of a PDU in TX_DATA.request"};
  for (std::size_t q = 0; q < pdu.nr_of_codewords; ++q) {
    if (data->data[q].size() != pdu.codewords[q].tb_size)
      return {"codewords[#].tb_size", double(pdu.codewords[q].tb_size),
              "the bytes that TX_DATA.request has for it", static_cast<int>(q)};
  }
  if (const Refusal no = taken_.take(pdsch)) return no;
  std::array<View<const std::uint8_t, 1>, 2> tbs = data->data;
  if (pdu.nr_of_codewords == 1) tbs[1] = {};
  phy::pdsch_transmit(carrier, dl_tti.slot, pdsch, tbs, precoding, grid, workspace_);
  return {};
}

}  // namespace noroshi::site
