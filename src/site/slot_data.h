#pragma once

// What the threads of a site hand to each other, each kind through one ring of its own. All memory
// is made with the ring; in the slot only contents change.
//
//   mac  -> air   Grants         of an uplink slot, when it is planned (two slots ahead)
//   mac  -> cell  UplinkPlan     the same as UL_TTI.request, where uplink has a worker of its own
//   cell -> air   DownlinkSlot   samples, grants, and the bytes sent, to compare
//   air  -> cell  UplinkSlot     samples, and the bytes sent, to compare
//   cell -> mac   UplinkReport   CRC.indication, RX_DATA.indication, UCI.indication
//   air  -> mac   UCI.indication

#include <array>
#include <cstdint>
#include <vector>

#include "base/ring.h"
#include "base/slot.h"
#include "base/units.h"
#include "base/view.h"
#include "fapi/messages.h"
#include "mac/mac.h"
#include "nr/carrier.h"
#include "nr/shared_channel.h"
#include "site/lease/stall.h"

namespace noroshi::site {

// One PDSCH or PUSCH as its handset must know it.
struct Grant {
  std::uint16_t rnti = 0;
  std::uint8_t harq_id = 0;
  bool new_data = true;
  int tpmi = 0;     // uplink: of TS 38.211 6.3.1.5
  int prg_rbs = 0;  // downlink: blocks that one precoding matrix serves; 0: all
  // Uplink: whose HARQ-ACK it carries, and of which PDSCH the SINR (mac::Grant).
  int n_acks = 0;
  std::array<mac::Grant::Ack, mac::acks_max> acks{};
  int csi_layers = 1;
  nr::SharedChannel channel;
};

struct Grants {
  SlotCount slot = -1;
  int count = 0;
  Grant grants[fapi::pdus_per_slot_max];
};

// Transport blocks of one slot, copied: their owner may go on meanwhile.
class PayloadStore {
 public:
  void reserve(std::size_t bytes) { bytes_.resize(bytes); }
  void clear() { count_ = used_ = 0; }
  void add(std::uint16_t rnti, int harq_id, int codeword, View<const std::uint8_t, 1> bytes);
  // Empty when this slot has none.
  View<const std::uint8_t, 1> find(std::uint16_t rnti, int harq_id, int codeword = 0) const;

 private:
  struct Item {
    std::uint16_t rnti;
    int harq_id, codeword;
    std::size_t offset, bytes;
  };
  std::vector<std::uint8_t> bytes_;
  Item items_[2 * fapi::pdus_per_slot_max];
  int count_ = 0;
  std::size_t used_ = 0;
};

struct DownlinkSlot {
  Grants grants;
  PayloadStore sent;
  std::vector<cf32> samples;  // [transmit antenna, sample]
};

struct UplinkSlot {
  SlotCount slot = -1;
  std::int64_t ready_ns = 0;  // when the air had finished it
  bool compare = false;       // `sent` holds what the handsets sent (not so in a replay)
  PayloadStore sent;
  std::vector<cf32> samples;  // [receive antenna, sample]
};

struct UplinkPlan {
  SlotCount slot = -1;
  fapi::UlTtiRequest request;
};

struct UplinkReport {
  SlotCount slot = -1;
  Elapsed took;  // from samples to payload
  fapi::CrcIndication crc;
  fapi::RxDataIndication rx_data;
  fapi::PuschUciIndication uci;
  std::vector<std::uint8_t> bytes;  // that rx_data looks at
};

// Bytes that hold the transport blocks of any one slot of so many layers on the same blocks.
std::size_t slot_payload_bytes(const nr::Carrier& carrier, int layers);

// Asks for what is there to be in this processor's caches soon; does not wait for it.
template <class T>
void prefetch(const std::vector<T>& values) {
  constexpr std::size_t line = 64;
  const char* bytes = reinterpret_cast<const char*>(values.data());
  for (std::size_t at = 0; at < values.size() * sizeof(T); at += line)
    __builtin_prefetch(bytes + at);
}

// Calls make(item) for every place of a ring that has not been used yet.
template <class T, class Make>
void prepare_ring(Ring<T>& ring, Make make) {
  for (std::size_t i = 0; i < ring.capacity(); ++i) {
    make(*ring.push_slot());
    ring.push_done();
  }
  while (ring.front() != nullptr) ring.pop();
}

}  // namespace noroshi::site
