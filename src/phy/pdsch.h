#pragma once

// PDSCH transmit (TS 38.211 7.3.1, 7.4.1; TS 38.212 7.2): transport blocks to resource grid.
//
//   transport block -> crc, segment, ldpc, rate match -> scramble -> modulate, layers -> precode,
//   map, with DM-RS and PT-RS

#include <array>
#include <cstdint>
#include <memory>

#include "base/refusal.h"
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

// y = W x for every element of a precoding resource block group.
struct Precoding {
  // [group, port, layer]; empty: layer i on port i, nothing on further ports.
  View<const cf32, 3> matrices;
  // Blocks of a group; groups are cut at its multiples of CRB 0 (TS 38.214 5.1.2.3), and the first
  // matrix is for the group of the first allocated block. 0: one matrix for all.
  int group_rbs = 0;

  // Matrices that an allocation needs.
  static int groups(const nr::SharedChannel& channel, int group_rbs);
};

// Errors name the field that the standard does not allow for a PDSCH, and its value.
Result<void> check_pdsch(const nr::Carrier& carrier, const nr::SharedChannel& pdsch);
// Errors: not the groups, ports (1 to 8, of a grid) or layers that matrices must have.
Result<void> check_precoding(const nr::SharedChannel& channel, const Precoding& precoding,
                             int ports);
Refusal refuse_precoding(const nr::SharedChannel& channel, const Precoding& precoding, int ports);

// grid: [port, symbol 14, subcarrier], 1 to 8 ports. Elements outside the allocation and reserved
// ones stay as they are; the others are written, with 0 where a CDM group without data has no port.
// slot: in the frame (scrambling of DM-RS). tbs: of codeword 0 and 1, tb_bits / 8 bytes; the second
// empty where there is one codeword. Preconditions: check_pdsch, check_precoding.
void pdsch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pdsch,
                    const std::array<View<const std::uint8_t, 1>, 2>& tbs,
                    const Precoding& precoding, View<cf32, 3> grid, TransmitWorkspace& workspace);

// One codeword, layer i on port i.
inline void pdsch_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& pdsch,
                           View<const std::uint8_t, 1> tb, View<cf32, 3> grid,
                           TransmitWorkspace& workspace) {
  pdsch_transmit(carrier, slot, pdsch, {tb, {}}, {}, grid, workspace);
}

}  // namespace noroshi::phy
