#pragma once

// The built-in scheduler that stands where an L2 would: proportional fair over handsets, outer-loop
// link adaptation, 16 HARQ processes a handset and direction. It speaks FAPI to the cell. Pure in
// the slot: no clock, no allocation, no I/O; chance comes from its seed.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/refusal.h"
#include "base/slot.h"
#include "fapi/messages.h"
#include "nr/carrier.h"
#include "nr/mcs.h"

namespace noroshi::mac {

// Offered traffic of one handset and direction.
struct Traffic {
  enum class Kind : std::uint8_t { none, full_buffer, poisson, replay };
  Kind kind = Kind::full_buffer;
  double mbps = 10;                                       // poisson: mean offered rate
  int packet_bytes = 1500;                                // poisson
  std::vector<std::pair<double, std::int64_t>> arrivals;  // replay: (seconds, bytes), ascending
  bool loop = true;                                       // replay: start again at the end
};

// CSV with a header line "time_s,bytes" and ascending times. Errors: file, line and column.
Result<std::vector<std::pair<double, std::int64_t>>> read_traffic_csv(const std::string& path);

struct HandsetConfig {
  std::uint16_t rnti = 0;
  int transmit_antennas = 1;
  int receive_antennas = 1;
  Traffic downlink;
  Traffic uplink;
};

inline constexpr int unanswered_factor = 4;

// Of PUSCH (TS 38.214 6.3).
enum class Hopping : std::uint8_t { none, intra_slot, inter_slot };

struct MacConfig {
  nr::Carrier carrier;
  nr::DuplexPattern pattern;
  int transmit_antennas = 1;
  int receive_antennas = 2;
  // Layers of one handset: as many as these, its antennas and the cell's allow; each slot as many
  // as carry most. Downlink up to 8, uplink up to 4.
  int downlink_layers_max = 1;
  int uplink_layers_max = 1;
  // Handsets that send on the same blocks (uplink MU-MIMO) have at most so many layers together,
  // up to 4; 1: they never do.
  int uplink_group_layers = 1;
  int precoding_group_rbs = 0;  // blocks of a downlink precoding matrix; 0: one for all
  // HARQ-ACK and the downlink's SINR come as UCI on PUSCH, beside data or alone; else by on_uci().
  bool uci_on_pusch = false;
  // Frequency resources of both links: 1, neighbouring blocks; 0, a bitmap of whole resource block
  // groups, of which a handset gets every other one.
  int allocation_type = 1;
  Hopping hopping = Hopping::none;
  int hopping_offset_rbs = 0;        // 0: half of the carrier
  bool transform_precoding = false;  // DFT-s-OFDM uplink: one layer, 2^a 3^b 5^c blocks
  bool downlink_ptrs = false, uplink_ptrs = false;
  int ptrs_time_density = 1;       // a PT-RS each so many symbols: 1, 2, 4
  int ptrs_frequency_density = 2;  // each so many blocks: 2, 4; not with transform precoding
  nr::McsTable mcs_table = nr::McsTable::qam256;
  int dmrs_additional_positions = 1;
  int dmrs_type_a_position = 2;
  // Of one transport block, HARQ: those that were answered. With unanswered ones (a slot that the
  // site lost) it starts afresh, up to unanswered_factor times as many in all.
  int transmissions_max = 8;
  double target_bler = 0.1;       // of the first transmission
  int handsets_per_slot_max = 4;  // that have blocks of their own for data
  std::vector<HandsetConfig> handsets;
  std::uint64_t seed = 1;
};

// Features that the standard, or this MAC, does not have together; by the name of the key in the
// site's configuration.
Refusal refuse_combination(const MacConfig& config);

inline constexpr int acks_max = 16;  // of one PUSCH: as many as there are HARQ processes

// Stands in for the DCI until PDCCH exists: what a handset must know of its PDU.
struct Grant {
  std::uint16_t rnti = 0;
  bool uplink = false;
  int pdu = 0;  // index in DL_TTI.request or UL_TTI.request of the slot
  std::uint8_t harq_id = 0;
  bool new_data = true;
  int tpmi = 0;  // uplink
  // Uplink with UCI: the PDSCH processes whose HARQ-ACK it carries, in this order, each of so many
  // bits.
  int n_acks = 0;
  struct Ack {
    std::uint8_t harq_id = 0;
    std::uint8_t codewords = 1;
    SlotCount slot = 0;  // of the PDSCH
  };
  std::array<Ack, acks_max> acks{};
  int csi_layers = 1;  // of the PDSCH whose SINR it is to report
};

// CSI part 1 as the built-in MAC and its handsets understand it: the SINR of the last PDSCH that
// had as many layers as the grant asks for, in steps of 0.5 dB from -11.5 dB on; 0: none was heard.
inline constexpr int csi_bits = 7;
int sinr_to_csi(std::optional<double> sinr_db);
std::optional<double> csi_to_sinr_db(int csi);

// All of one slot's requests. Large: made once, filled again and again.
struct SlotPlan {
  SlotCount slot = 0;
  fapi::DlTtiRequest dl_tti;
  fapi::TxDataRequest tx_data;  // its bytes live in the MAC until that HARQ process ends
  fapi::UlTtiRequest ul_tti;
  int n_grants = 0;
  Grant grants[2 * fapi::pdus_per_slot_max];
};

// Two codewords of one PDSCH count as one transport block.
struct MacCounters {           // since the start, a direction
  std::uint64_t tb_first = 0;  // first transmissions
  std::uint64_t tb_first_failed = 0;
  std::uint64_t tb_retransmissions = 0;
  std::uint64_t tb_lost = 0;  // failed after transmissions_max
  std::uint64_t tb_ok = 0;
  std::uint64_t bits_ok = 0;
  std::uint64_t bits_delivered = 0;     // uplink: of RX_DATA.indication
  std::uint64_t feedback_timeouts = 0;  // transmissions whose feedback never came
  std::uint64_t feedback_stale = 0;     // feedback that answers nothing in flight; ignored
  std::uint64_t layers = 0;             // of all transmissions, summed
  std::uint64_t uci_pdus = 0;           // uplink: PUSCH that carry UCI ...
  std::uint64_t uci_lost = 0;           // ... and whose HARQ-ACK was not detected
  std::uint64_t paired = 0;             // transmissions on blocks that another handset had first
};

// A transmission whose feedback has not come after this many slots is sent again, as new data and
// with rv 0: whether its receiver kept anything of it is unknown.
inline constexpr int feedback_timeout_slots = 40;

class Mac {
 public:
  // Preconditions: rntis differ; nothing that refuse_combination refuses; transmissions_max >= 1; 0
  // < target_bler < 1; 1 <= handsets_per_slot_max <= fapi::pdus_per_slot_max.
  explicit Mac(MacConfig config);
  ~Mac();
  Mac(Mac&&) noexcept;
  Mac& operator=(Mac&&) noexcept;

  fapi::ConfigRequest config_request() const;

  // Fills the requests of this slot; slots ascend, some may be left out.
  void on_slot(SlotCount slot, SlotPlan& plan);

  // Feedback may come in any later slot. CRC is matched by handle; UCI by rnti and harq_id, and its
  // sfn and slot must name the slot of the PDSCH that it answers.
  void on_crc(const fapi::CrcIndication& indication);
  void on_rx_data(const fapi::RxDataIndication& indication);
  void on_uci(const fapi::UciIndication& indication);
  void on_pusch_uci(const fapi::PuschUciIndication& indication);

  const MacCounters& downlink() const;
  const MacCounters& uplink() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::mac
