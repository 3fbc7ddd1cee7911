#pragma once

// What the files of the transmitter share.

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "fec/uci/pusch_uci.h"
#include "fec/uci/uci.h"
#include "phy/dft/dft.h"
#include "phy/precode/precode.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::phy {

struct TransmitWorkspace::State {
  explicit State(const nr::Carrier& carrier);

  std::size_t subcarriers;
  std::size_t level_stride;

  // Of the transmission at hand.
  nr::DataElements elements;
  int elements_count = 0;            // of all symbols
  std::array<Allocation, 2> blocks;  // by hop, ascending
  std::array<Allocation, 2> order;   // by hop, in mapping order
  std::array<std::size_t, 2> sent_bits{};
  std::vector<SpreadWeight> weights;  // [group, port, layer], where there are matrices
  LayerUnits units{};                 // of the data

  std::array<std::vector<std::uint8_t>, 2> codeword;  // packed and scrambled
  std::vector<std::uint8_t> symbol_bits;              // of one symbol, from a byte's start
  std::vector<std::int8_t> levels;                    // [layer, level_stride]
  std::vector<cf32> compact;                          // [port, subcarrier], data without gaps
  std::vector<std::uint8_t> pilot_bits;               // c of the DM-RS in one run of blocks
  std::vector<std::int8_t> signs;                     // r at every subcarrier, as levels
  std::vector<cf32> pilots;                           // r of one symbol with transform precoding
  std::vector<cf32> sequence;                         // the same at every subcarrier
  std::vector<cf32> samples;                          // before and after the DFT
  std::vector<cf32> spectrum;
  fec::SchWorkspace sch;
  fec::PuschUciLayout layout;
  fec::UciCode uci_code;
  std::array<std::vector<std::uint8_t>, fec::pusch_parts> parts;  // coded, packed
  DftPlans dft;
};

// One transmission on its way; the leaves get this instead of eight arguments.
struct Transmission {
  int slot;
  const nr::SharedChannel& channel;
  const Precoding& precoding;
  View<cf32, 3> grid;
  TransmitWorkspace::State& state;
  int first_rb;  // the lowest block allocated

  std::size_t ports() const { return grid.extent(0); }
  std::size_t layers() const { return static_cast<std::size_t>(channel.layers); }
  int group_of(int rb) const {
    return precoding.group_rbs == 0 ? 0 : rb / precoding.group_rbs - first_rb / precoding.group_rbs;
  }
  cf32 weight(int group, std::size_t port, std::size_t layer) const {
    if (precoding.matrices.empty()) return port == layer ? 1.0f : 0.0f;
    return precoding.matrices(group, port, layer);
  }
};

// Levels first ... first + count - 1 of every layer, to rows of every port.
void fill_rows(const Transmission& t, View<const std::int8_t, 2> levels, std::size_t first,
               std::size_t count, const LayerUnits& units, int group, const PortRows& rows);

// Codeword q of the transmission into state.codeword[q], scrambled.
void make_codeword(const nr::SharedChannel& channel, int codeword, const Payload& payload,
                   TransmitWorkspace::State& state);

// One symbol's DM-RS, PT-RS without transform precoding, data of either kind. Data come after
// DM-RS, whose zeros they overwrite.
void write_dmrs_symbol(const Transmission& t, int symbol);
void write_ptrs_symbol(const Transmission& t, int symbol);
void write_data_symbol(const Transmission& t, int symbol);
void write_dft_symbol(const Transmission& t, int symbol);

// The symbol's bits of a codeword, from a byte's start on; counts them as sent.
View<const std::uint8_t, 1> take_bits(const Transmission& t, int codeword, std::size_t bits);

// Visits stretches of neighbouring blocks that one matrix serves: visit(blocks, group).
template <class Visit>
void for_each_piece(const Transmission& t, const Allocation& blocks, Visit visit) {
  const int size = t.precoding.group_rbs;
  for (const RbRun& run : blocks) {
    const int end = run.first + run.count;
    for (int rb = run.first; rb < end;) {
      const int stop = size == 0 ? end : std::min(end, (rb / size + 1) * size);
      visit(RbRun{rb, stop - rb}, t.group_of(rb));
      rb = stop;
    }
  }
}

}  // namespace noroshi::phy
