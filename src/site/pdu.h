#pragma once

// FAPI's PDUs in the terms of TS 38.211/212/214: the one place where PDSCH and PUSCH PDUs become
// what phy is asked to do. A PDU outside of the standard's range or of what this cell has is
// refused whole, by field and value; what one field alone cannot tell (blocks that fit a transport
// block, ports, UCI that has room) phy's own refusals say afterwards.
//
// Fields that FAPI has twice (version 2 and the maintenance parameters of version 3) must not
// contradict. Resource blocks count from CRB 0 of the carrier. Nothing here allocates.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/refusal.h"
#include "base/slot.h"
#include "base/units.h"
#include "fapi/messages.h"
#include "nr/shared_channel.h"
#include "phy/pdsch.h"

namespace noroshi::site {

// What a cell can carry out.
struct CellLimits {
  nr::Carrier carrier;
  int transmit_antennas = 1;
  int receive_antennas = 2;
  int downlink_layers_max = 1;
  int uplink_layers_max = 1;    // of one handset
  int uplink_group_layers = 1;  // of all handsets on the same blocks
};

// The matrices of CONFIG.request.
class PrecodingTable {
 public:
  // Errors: an index that is 0 or there twice, layers or ports that do not exist, more layers than
  // ports.
  static Result<PrecodingTable> make(const fapi::ConfigRequest& config);

  // [port, layer]; empty where there is no such matrix.
  View<const cf32, 2> find(int pm_idx) const;

 private:
  struct Entry {
    int pm_idx;
    std::size_t ports, layers, first;
  };
  std::vector<Entry> entries_;
  std::vector<cf32> weights_;
};

// The values that read_precoding may write: blocks times ports times layers.
inline constexpr std::size_t precoding_values_max =
    std::size_t{nr::rb_max} * fapi::ports_max * fapi::layers_max;

// Of a message: sfn and slot.
Refusal refuse_time(const CellLimits& cell, std::uint16_t sfn, std::uint16_t slot);

// beside: the message with the SSB and CSI-RS PDUs that the PDU names for rate matching; nullptr:
// none.
Refusal read_pdsch(const CellLimits& cell, const fapi::PdschPdu& pdu, nr::SharedChannel& channel,
                   const fapi::DlTtiRequest* beside = nullptr);
Refusal read_pusch(const CellLimits& cell, const fapi::PuschPdu& pdu, nr::SharedChannel& channel);

// The elements of an SSB or CSI-RS PDU. slot: in the frame. A refusal's index is the caller's to
// fill in.
Refusal read_ssb(const CellLimits& cell, int slot, const fapi::SsbPdu& pdu,
                 nr::ReservedElements& elements);
Refusal read_csi_rs(const CellLimits& cell, const fapi::CsiRsPdu& pdu,
                    nr::ReservedElements& elements);

// The PDU's matrices with its power: y = 10^(dB / 20) W x. They lie in `values`. Precondition:
// channel is what read_pdsch made of the PDU.
Refusal read_precoding(const CellLimits& cell, const PrecodingTable& table,
                       const fapi::PdschPdu& pdu, const nr::SharedChannel& channel,
                       View<cf32, 1> values, phy::Precoding& precoding);

// N_ref of TS 38.212 5.4.2.1 (R_LBRM = 2/3) for a transport block of tb_bits.
int limited_buffer_bits(int tb_bits, int code_rate_x10240, std::int64_t lbrm_tb_bits);

// Which blocks of which symbols the PDUs of a slot have.
class TakenBlocks {
 public:
  void clear() { blocks_ = {}; }
  // Refuses what another PDU has already, else takes it: not what it goes around whole.
  Refusal take(const nr::SharedChannel& channel);
  void take(const nr::ReservedElements& elements);

 private:
  std::array<std::bitset<nr::rb_max>, nr::symbols_per_slot> blocks_{};
};

// A PDU that the cell does not carry out, for ERROR.indication and for whoever reads logs.
struct RefusedPdu {
  SlotName name;
  std::uint8_t message = 0;  // fapi::message_...
  int pdu = 0;               // its place in the message; -1: the message itself
  std::uint16_t rnti = 0;
  Refusal why;
};
// "UL_TTI.request 12.4, PDU 1 of RNTI 17921: nr_of_layers is 5, allowed: 1..4"
std::string words_of(const RefusedPdu& refused);

// Of one message: room for each PDU, and for three faults of the message itself.
struct RefusedPdus {
  static constexpr int most =
      fapi::pdus_per_slot_max + fapi::ssb_pdus_max + fapi::csi_rs_pdus_max + 3;
  int count = 0;
  std::array<RefusedPdu, most> list{};

  void add(const RefusedPdu& refused) {
    if (count < static_cast<int>(list.size())) list[static_cast<std::size_t>(count++)] = refused;
  }
};

}  // namespace noroshi::site
