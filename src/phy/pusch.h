#pragma once

// PUSCH receive (TS 38.211 6.3.1, 6.4.1.1; TS 38.212 6.2): resource grid to transport block.
//
//   grid -> estimate -> equalize -> demap -> descramble -> rate recover -> ldpc -> transport block

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/view.h"
#include "fec/sch/sch.h"
#include "nr/shared_channel.h"

namespace noroshi::phy {

// What PUSCH and PDSCH reception need besides the grid; for the carrier's largest allocation.
class ReceiveWorkspace {
 public:
  explicit ReceiveWorkspace(const nr::Carrier& carrier);
  ~ReceiveWorkspace();
  ReceiveWorkspace(ReceiveWorkspace&&) noexcept;
  ReceiveWorkspace& operator=(ReceiveWorkspace&&) noexcept;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

struct ReceiveResult {
  bool crc_ok = false;
  float sinr_db = 0;          // after equalisation, averaged over the allocation
  float noise_power = 0;      // a resource element and antenna, linear, in the grid's scale
  float rsrp = 0;             // of DM-RS, a resource element and antenna, linear
  float timing_offset_s = 0;  // positive: the signal comes late
  int code_blocks = 0;
  int code_blocks_ok = 0;
  int iterations = 0;  // of LDPC, summed over code blocks
};

// Errors name the field that the standard or this version does not allow.
Result<void> check_pusch(const nr::Carrier& carrier, const nr::SharedChannel& pusch);

// grid: [antenna 1..4, symbol 14, subcarrier]. slot: in the frame. tb: tb_bits / 8 bytes, written
// in full. new_data = false combines with what the HARQ buffer holds. Precondition: check_pusch.
ReceiveResult pusch_receive(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pusch,
                            View<const cf32, 3> grid, bool new_data,
                            const fec::SchDecodeOptions& options, fec::HarqBuffer& harq,
                            View<std::uint8_t, 1> tb, ReceiveWorkspace& workspace);

}  // namespace noroshi::phy
