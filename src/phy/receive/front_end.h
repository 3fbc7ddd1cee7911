#pragma once

// The front half of reception: from the grid to descrambled soft bits of every codeword, one hop at
// a time, and on to the code blocks that they complete. What pusch.cpp shows on one screen, with
// all the cases that the standard has.

#include <array>
#include <memory>
#include <vector>

#include "base/line_vector.h"
#include "fec/polar/polar.h"
#include "fec/uci/pusch_uci.h"
#include "fec/uci/uci.h"
#include "phy/covariance/covariance.h"
#include "phy/demap/demap.h"
#include "phy/dft/dft.h"
#include "phy/equalize/equalize.h"
#include "phy/estimate/estimate.h"
#include "phy/pusch.h"

namespace noroshi::phy {

inline constexpr int receive_shares_max = 16;  // of workers

// Blocks of subcarriers whose channel, weights and symbols stay in the nearest cache while the
// channel moves.
inline constexpr std::size_t chunk_blocks = 8;
inline constexpr int symbols_together = 2;  // whose soft bits are made at a time

// Memory of one worker, in cache lines of its own: others write theirs at the same time.
struct alignas(64) ReceiveScratch {
  explicit ReceiveScratch(int rb_count) : dft(rb_count) {}

  LineVector<cf32> rows;         // [antenna, subcarrier]: an allocation with gaps, closed
  LineVector<cf32> symbols;      // equalised, stream after stream, [subcarrier, layer]
  LineVector<cf32> data;         // of one stream, in mapping order
  LineVector<float> data_noise;  // 1 / noise, the same
  LineVector<float> weights;     // of a few blocks of subcarriers, where the channel moves
  LineVector<float> noise;       // 1 / noise as symbols, where the channel moves
  std::vector<cf32> ptrs;        // of one symbol
  DftPlans dft;

  // Soft bits that only pass through (code_blocks.h), stream after stream.
  LineVector<SoftBit> soft_bits;
  std::size_t soft_bits_a_layer = 0;
  // Their scrambling bits, made by nr::prbs_masks, stream after stream.
  LineVector<std::uint8_t> masks;
  std::size_t masks_a_layer = 0;
  std::array<int, nr::layers_max> iterations{};  // of LDPC, by stream
};

// Where the soft bits of a code block lie that has not been decoded with its symbols, on a cache
// line of its own: workers write neighbours at the same time.
struct alignas(64) BlockPlace {
  std::uint64_t slot = 0;  // of ReceiveWorkspace::State::slots; an older one: in Stream::soft_bits
  const SoftBit* soft_bits = nullptr;  // null: decoded
};

struct ReceiveWorkspace::State {
  State(const nr::Carrier& carrier, int layers, int antennas, int workers);

  int layers_max, antennas_max;
  cpu::EstimateWorkspace estimate;
  cpu::CovarianceWorkspace covariance;
  LineVector<float> inverse_covariance;    // planes over blocks
  std::vector<float> freedom;              // of each block: see phy/estimate
  std::size_t plane;                       // subcarriers of the carrier, padded
  LineVector<cf32> pilots;                 // [DM-RS symbol, pilot]
  LineVector<float> weights;               // [block, antenna, layer, re / im, subcarrier]
  LineVector<float> noise;                 // 1 / noise, stream after stream, [subcarrier, layer]
  LineVector<SoftBit> soft_bits;           // codeword after codeword
  std::uint64_t slots = 0;                 // received so far
  std::vector<BlockPlace> blocks;          // of every code block, codeword after codeword
  std::vector<nr::DataElements> elements;  // of each handset
  std::vector<ReceiveScratch> scratch;     // of each worker
  std::vector<fec::SchWorkspace> sch;      // of each worker

  // UCI on PUSCH.
  fec::PuschUciLayout layout;
  std::vector<std::uint8_t> scrambling;  // packed
  std::array<std::vector<SoftBit>, fec::pusch_parts> parts;
  fec::UciCode uci_code;
  fec::PolarWorkspace polar;
};

// One codeword on its way.
struct Stream {
  int handset = 0;
  int codeword = 0;
  int first_layer = 0;  // of all that are received together
  int layers = 0;
  nr::Modulation modulation = nr::Modulation::qpsk;
  std::uint32_t c_init = 0;
  View<SoftBit, 1> soft_bits;  // those that do not just pass through (code_blocks.h)
  std::array<std::size_t, nr::symbols_per_slot + 1> first_bit{};  // of each symbol
  // All of the soft bits are a transport block's: its decoding, and where its code blocks lie.
  bool has_blocks = false;
  fec::SchDecode decode;
  BlockPlace* blocks = nullptr;
  std::uint64_t slot = 0;  // see BlockPlace
};

struct ReceiveGroup {
  const nr::Carrier& carrier;
  int slot;
  View<const Reception, 1> receptions;
  View<const cf32, 3> grid;
  const ReceiveOptions& options;
  ReceiveWorkspace::State& state;
  int layers = 0;
  int stream_count = 0;
  std::array<Stream, nr::layers_max> streams{};

  const nr::SharedChannel& channel() const { return *receptions[0].channel; }
  int shares() const {
    return std::min(
        {options.workers.count, receive_shares_max, static_cast<int>(state.scratch.size())});
  }
};

// Finds the streams and where their bits lie.
ReceiveGroup make_receive_group(const nr::Carrier& carrier, int slot,
                                View<const Reception, 1> receptions, View<const cf32, 3> grid,
                                const ReceiveOptions& options, ReceiveWorkspace::State& state);

// What one hop tells about the channel.
struct HopReport {
  bool usable = false;  // there is a signal, and all numbers are numbers
  ChannelInfo channel;
  cpu::InverseNoiseSums inverse_noise{};            // mean by layer
  std::array<double, nr::layers_max> evm_sums{};    // by stream: sum of squared distances,
  std::array<double, nr::layers_max> evm_counts{};  // and symbols
};

// Soft bits of the hop's symbols (0, 1); all unknown when not usable. Decodes what code_blocks.h
// says.
HopReport receive_hop(const ReceiveGroup& group, int hop);

}  // namespace noroshi::phy
