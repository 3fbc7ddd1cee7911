#pragma once

// The cell's physical layer as FAPI sees it: DL_TTI.request and TX_DATA.request become a slot of
// samples; a slot of samples and UL_TTI.request become CRC.indication and RX_DATA.indication.
// Pure: no thread, no clock; nothing allocates after construction.
//
// Samples are a unitary transform of the grid: a resource element of power 1 has power 1 in its
// share of the samples, and white noise has the same power a sample as a resource element.

#include <vector>

#include "fapi/messages.h"
#include "phy/ofdm/ofdm.h"
#include "phy/pdsch.h"
#include "phy/pusch.h"
#include "site/slot_data.h"

namespace noroshi::site {

// The PDU in the terms of TS 38.211/212. Precondition: rb_start + rb_size <= nr::rb_max.
nr::SharedChannel shared_channel(const fapi::SharedChannelPdu& pdu);

// N_ref of TS 38.212 5.4.2.1 (R_LBRM = 2/3) for a transport block of tb_bits.
int limited_buffer_bits(int tb_bits, int code_rate_x10240, std::int64_t lbrm_tb_bits);

class CellDownlink {
 public:
  explicit CellDownlink(const nr::Carrier& carrier, int transmit_antennas);

  // samples: [transmit antenna, sample]. Returns how many PDUs could not be sent: without data in
  // TX_DATA.request, of another length, or refused by phy::check_pdsch.
  int transmit(const fapi::DlTtiRequest& dl_tti, const fapi::TxDataRequest& tx_data,
               View<cf32, 2> samples);

 private:
  phy::OfdmPlan ofdm_;
  phy::TransmitWorkspace workspace_;
  int antennas_;
  std::vector<cf32> grid_;  // [antenna, symbol, subcarrier]
};

class CellUplink {
 public:
  // rntis: whom the cell keeps HARQ buffers for.
  CellUplink(const nr::Carrier& carrier, int receive_antennas, std::vector<std::uint16_t> rntis,
             int ldpc_iterations_max);

  // Overwrites report; its RX_DATA looks at report.bytes (slot_payload_bytes long) and holds only
  // transport blocks whose CRC passed. Returns how many PDUs were refused: of an unknown rnti, or
  // by phy::check_pusch; their CRC is reported as failed.
  int receive(const fapi::UlTtiRequest& ul_tti, View<const cf32, 2> samples, UplinkReport& report);

  // What receive() will write is on its way into the caches.
  void prefetch() const { site::prefetch(grid_); }

 private:
  fec::HarqBuffer* harq_buffer(const fapi::PuschPdu& pdu);

  phy::OfdmPlan ofdm_;
  phy::ReceiveWorkspace workspace_;
  int antennas_;
  fec::SchDecodeOptions options_;
  std::vector<std::uint16_t> rntis_;
  std::vector<fec::HarqBuffer> harq_;  // [handset, process]
  std::vector<cf32> grid_;             // [antenna, symbol, subcarrier]
};

}  // namespace noroshi::site
