#pragma once

// The cell's physical layer as FAPI sees it: DL_TTI.request and TX_DATA.request become a slot of
// samples; a slot of samples and UL_TTI.request become CRC.indication, RX_DATA.indication and
// UCI.indication. Pure: no thread, no clock; nothing allocates after construction.
//
// A PDU that the cell cannot carry out is refused whole, with field and value, and the others of
// the slot go on: what pdu.h and phy refuse, blocks that an earlier PDU has, missing data.
//
// Samples are a unitary transform of the grid: a resource element of power 1 has power 1 in its
// share of the samples, and white noise has the same power a sample as a resource element.

#include <vector>

#include "fapi/messages.h"
#include "phy/ofdm/ofdm.h"
#include "phy/pdsch.h"
#include "phy/pusch.h"
#include "site/pdu.h"
#include "site/site.h"
#include "site/slot_data.h"

namespace noroshi::site {

class CellDownlink {
 public:
  CellDownlink(const CellLimits& limits, PrecodingTable table);

  // samples: [transmit antenna, sample].
  void transmit(const fapi::DlTtiRequest& dl_tti, const fapi::TxDataRequest& tx_data,
                View<cf32, 2> samples);

  // Of the last transmit(): what PDU i became, or nullptr where it was refused; and why.
  const nr::SharedChannel* sent(int pdu) const {
    const auto i = static_cast<std::size_t>(pdu);
    return pdu < fapi::pdus_per_slot_max && was_sent_[i] ? &channels_[i] : nullptr;
  }
  const RefusedPdus& refused() const { return refused_; }

 private:
  Refusal transmit(const fapi::DlTtiRequest& dl_tti, const fapi::PdschPdu& pdu,
                   const fapi::TxDataRequest& tx_data, View<cf32, 3> grid,
                   nr::SharedChannel& pdsch);
  void take_signals(const fapi::DlTtiRequest& dl_tti);

  CellLimits limits_;
  PrecodingTable table_;
  phy::OfdmPlan ofdm_;
  phy::TransmitWorkspace workspace_;
  std::vector<cf32> grid_;     // [antenna, symbol, subcarrier]
  std::vector<cf32> weights_;  // of one PDU, [group, port, layer]
  TakenBlocks taken_;
  std::array<nr::SharedChannel, fapi::pdus_per_slot_max> channels_;
  std::array<bool, fapi::pdus_per_slot_max> was_sent_{};
  RefusedPdus refused_;
};

struct ReceiverConfig {
  int ldpc_iterations_max = 8;
  phy::Equalizer equalizer = phy::Equalizer::mmse;
};

// What link adaptation can count on: the mean SINR over the elements says little of a channel that
// is good here and bad there, whose code blocks fail where it is bad; the error vectors, which add
// up noise and not SINR, say more. At low SINR they are measured to wrong points and too small.
float effective_sinr_db(const phy::ReceiveResult& result);

// Of a cell of this configuration.
CellLimits limits_of(const CellConfig& cell);

class CellUplink {
 public:
  // rntis: whom the cell keeps HARQ buffers for.
  CellUplink(const CellLimits& limits, std::vector<std::uint16_t> rntis,
             const ReceiverConfig& receiver);

  // Overwrites report; its RX_DATA looks at report.bytes (slot_payload_bytes long) and holds only
  // transport blocks whose CRC passed. The CRC of a refused PDU with data is reported as failed,
  // its UCI as not detected.
  void receive(const fapi::UlTtiRequest& ul_tti, View<const cf32, 2> samples, UplinkReport& report);

  const RefusedPdus& refused() const { return refused_; }  // of the last receive()

  // What receive() will write is on its way into the caches.
  void prefetch() const { site::prefetch(grid_); }

 private:
  // One PDU on its way.
  struct Job {
    bool good = false;
    nr::SharedChannel channel;
    fec::HarqBuffer* harq = nullptr;
    View<std::uint8_t, 1> tb;
    phy::ReceiveResult result;
    phy::UciResult uci;
  };

  void demodulate(int slot, View<const cf32, 2> samples, View<cf32, 3> grid);
  Refusal read(const fapi::PuschPdu& pdu, View<std::uint8_t, 1> bytes, std::size_t& used, Job& job);
  void receive_group(const fapi::UlTtiRequest& ul_tti, View<const std::uint8_t, 1> members,
                     View<const cf32, 3> grid);
  void write(const fapi::UlTtiRequest& ul_tti, UplinkReport& report) const;
  void refuse(const fapi::UlTtiRequest& ul_tti, int pdu, const Refusal& why);
  fec::HarqBuffer* harq_buffer(std::uint16_t rnti, int process);

  CellLimits limits_;
  phy::OfdmPlan ofdm_;
  phy::ReceiveWorkspace workspace_;
  phy::ReceiveOptions options_;
  std::vector<std::uint16_t> rntis_;
  std::vector<fec::HarqBuffer> harq_;  // [handset, process]
  std::vector<cf32> grid_;             // [antenna, symbol, subcarrier]
  fec::PuschUciLayout uci_layout_;     // scratch
  TakenBlocks taken_;
  std::vector<Job> jobs_;  // [PDU]
  RefusedPdus refused_;
};

}  // namespace noroshi::site
