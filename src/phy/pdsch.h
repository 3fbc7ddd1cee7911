#pragma once

// PDSCH transmit (TS 38.211 7.3.1, 7.4.1.1; TS 38.212 7.2): transport block to resource grid.
//
//   transport block -> crc, segment, ldpc, rate match -> scramble -> modulate -> map, with DM-RS

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/view.h"
#include "fec/sch/sch.h"
#include "nr/shared_channel.h"

namespace noroshi::phy {

// What PDSCH and PUSCH transmission need besides the grid; for the carrier's largest allocation.
class TransmitWorkspace {
 public:
  explicit TransmitWorkspace(const nr::Carrier& carrier);
  ~TransmitWorkspace();
  TransmitWorkspace(TransmitWorkspace&&) noexcept;
  TransmitWorkspace& operator=(TransmitWorkspace&&) noexcept;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// Errors name the field that the standard or this version does not allow.
Result<void> check_pdsch(const nr::Carrier& carrier, const nr::SharedChannel& pdsch);

// grid: [port, symbol 14, subcarrier]; layer i goes to port i. Elements outside the allocation
// are left as they are. slot: in the frame (scrambling of DM-RS). tb: tb_bits / 8 bytes.
// Precondition: check_pdsch.
void pdsch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pdsch,
                    View<const std::uint8_t, 1> tb, View<cf32, 3> grid,
                    TransmitWorkspace& workspace);

}  // namespace noroshi::phy
