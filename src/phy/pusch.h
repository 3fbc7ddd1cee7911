#pragma once

// PUSCH receive (TS 38.211 6.3.1, 6.4.1; TS 38.212 6.2): resource grid to transport block; and, as
// the two channels are one format up to precoding, PDSCH receive of the emulated handset.
//
//   grid -> estimate -> equalize -> demap -> descramble -> rate recover -> ldpc -> transport block
//
// Handsets on the same blocks (uplink MU-MIMO) are received together: one estimate of all their
// DM-RS ports, one equaliser of all their layers, then every codeword by itself.

#include <array>
#include <cstdint>
#include <memory>

#include "base/refusal.h"
#include "base/result.h"
#include "base/view.h"
#include "base/workers.h"
#include "fec/sch/sch.h"
#include "fec/uci/pusch_uci.h"
#include "fec/uci/uci.h"
#include "nr/shared_channel.h"
#include "phy/equalize/equalize.h"
#include "phy/estimate/estimate.h"

namespace noroshi::phy {

// What PUSCH and PDSCH reception need besides the grid; for the carrier's largest allocation, so
// many layers (of all handsets together), receive antennas and workers.
class ReceiveWorkspace {
 public:
  explicit ReceiveWorkspace(const nr::Carrier& carrier, int layers_max = nr::codeword_layers_max,
                            int antennas_max = nr::receive_antennas_max, int workers_max = 1);
  ~ReceiveWorkspace();
  ReceiveWorkspace(ReceiveWorkspace&&) noexcept;
  ReceiveWorkspace& operator=(ReceiveWorkspace&&) noexcept;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

struct ReceiveOptions {
  // mmse_irc rejects what the antennas hear of other cells, for a few microseconds more.
  Equalizer equalizer = Equalizer::mmse;
  Smoothing smoothing = Smoothing::wiener;
  // Blocks of a precoding resource block group, counted from CRB 0: the channel may jump at its
  // borders. 0: precoded alike over the whole allocation.
  int prg_rbs = 0;
  fec::SchDecodeOptions decode;
  Workers workers;
};

struct CodewordResult {
  bool crc_ok = false;
  int code_blocks = 0;
  int code_blocks_ok = 0;
  int iterations = 0;  // of LDPC, summed over code blocks
};

// One part of UCI on PUSCH. ok: its CRC is right or, up to 11 bits, it is told from noise.
struct UciPart {
  bool ok = false;
  int bits = 0;                                                     // 0: not sent
  std::array<std::uint8_t, (fec::uci_bits_max + 7) / 8> message{};  // packed; a guess where not ok
};
struct UciResult {
  UciPart harq, csi1, csi2;
};

// Of one handset.
struct ReceiveResult {
  bool crc_ok = false;        // of the first codeword, as the next fields
  float sinr_db = 0;          // after equalisation, in dB averaged over layers
  float noise_power = 0;      // a resource element and antenna, linear, in the grid's scale
  float rsrp = 0;             // of DM-RS, a resource element, antenna and layer, linear
  float timing_offset_s = 0;  // positive: the signal comes late
  int code_blocks = 0;
  int code_blocks_ok = 0;
  int iterations = 0;
  float rssi = 0;                 // a resource element and antenna of data: all layers and noise
  float frequency_offset_hz = 0;  // positive: the signal comes too high; 0: none can be told
  float evm = 0;  // rms distance of equalised symbols to the nearest point, over the rms
                  // point; at most 100
  CodewordResult second;
};

// What one handset sent, and where it goes.
struct Reception {
  const nr::SharedChannel* channel = nullptr;
  // new_data = false combines with what the HARQ buffer holds. tb: tb_bits / 8 bytes, written in
  // full. Neither with UCI alone.
  bool new_data = true;
  fec::HarqBuffer* harq = nullptr;
  View<std::uint8_t, 1> tb;
  // The second codeword, with 5 layers or more.
  bool second_new_data = true;
  fec::HarqBuffer* second_harq = nullptr;
  View<std::uint8_t, 1> second_tb;
  UciResult* uci = nullptr;  // must be there when the channel has UCI
};

// Errors name the field that the standard or this version does not allow.
Result<void> check_pusch(const nr::Carrier& carrier, const nr::SharedChannel& pusch);
// The same for PDSCH as a handset receives it.
Result<void> check_pdsch_receive(const nr::Carrier& carrier, const nr::SharedChannel& pdsch);
// Handsets that are received together: check_pusch of each; the same blocks, symbols, hops and
// DM-RS but for ports, and no port twice; at most nr::layers_max layers.
Result<void> check_pusch_group(const nr::Carrier& carrier,
                               View<const nr::SharedChannel* const, 1> group);

// The same without allocating, for the slot: each handset by itself, and whether the last of a
// group goes with those before it.
Refusal refuse_pusch(const nr::Carrier& carrier, const nr::SharedChannel& pusch,
                     fec::PuschUciLayout& scratch);
Refusal refuse_together(View<const nr::SharedChannel* const, 1> group);

// grid: [antenna 1..8, symbol 14, subcarrier]. slot: in the frame. One result a reception.
// Precondition: check_pusch_group (check_pdsch_receive).
void shared_channel_receive(const nr::Carrier& carrier, int slot,
                            View<const Reception, 1> receptions, View<const cf32, 3> grid,
                            const ReceiveOptions& options, View<ReceiveResult, 1> results,
                            ReceiveWorkspace& workspace);

// One handset of one codeword. Precondition: check_pusch.
ReceiveResult pusch_receive(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pusch,
                            View<const cf32, 3> grid, bool new_data,
                            const fec::SchDecodeOptions& options, fec::HarqBuffer& harq,
                            View<std::uint8_t, 1> tb, ReceiveWorkspace& workspace);

}  // namespace noroshi::phy
