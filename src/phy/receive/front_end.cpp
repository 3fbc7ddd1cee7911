#include "phy/receive/front_end.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "phy/dmrs/dmrs.h"
#include "phy/receive/code_blocks.h"
#include "phy/receive/evm.h"
#include "phy/receive/hop.h"
#include "phy/receive/interference.h"
#include "phy/receive/symbol_data.h"

namespace noroshi::phy {
namespace {

constexpr int receive_parts_max = 4;  // of the subcarriers

constexpr std::size_t chunks_max =
    nr::rb_max * nr::subcarriers_per_rb / (chunk_blocks * cpu::subcarrier_block) + 1;

// Cuts runs at multiples of prg_rbs.
Allocation cut_runs(const Allocation& allocation, int prg_rbs) {
  if (prg_rbs == 0) return allocation;
  Allocation cut;
  cut.rb_count = allocation.rb_count;
  for (const RbRun& run : allocation)
    for (int first = run.first; first < run.first + run.count;) {
      const int next = std::min(run.first + run.count, (first / prg_rbs + 1) * prg_rbs);
      cut.runs[static_cast<std::size_t>(cut.run_count++)] = {first, next - first};
      first = next;
    }
  return cut;
}

Hop make_hop(const nr::SharedChannel& channel, int index, int prg_rbs) {
  Hop hop;
  hop.index = index;
  const int end = channel.symbol_start + channel.symbol_count;
  const int middle = nr::hop_symbol(channel);
  hop.symbol_begin = index == 0 ? channel.symbol_start : middle;
  hop.symbol_end = index == 0 ? middle : end;
  hop.allocation = make_allocation(channel, index);
  hop.smoothed = cut_runs(hop.allocation, prg_rbs);
  std::array<std::uint16_t, nr::rb_max> places{};
  std::uint16_t next = 0;
  for (const RbRun& run : hop.allocation)
    for (int rb = run.first; rb < run.first + run.count; ++rb)
      places[static_cast<std::size_t>(rb)] = next++;
  std::size_t i = 0;
  for (const RbRun& run : mapping_order(channel, index))
    for (int rb = run.first; rb < run.first + run.count; ++rb, ++i) {
      hop.place[i] = places[static_cast<std::size_t>(rb)];
      hop.crb[i] = static_cast<std::uint16_t>(rb);
      hop.ascending = hop.ascending && hop.place[i] == i;
    }
  return hop;
}

// Samples come from outside: silence, and what is not a number or too large for one, must not get
// further.
bool usable(const ChannelInfo& channel) {
  double signal = 0;
  for (int layer = 0; layer < channel.layers; ++layer) {
    const ChannelInfo::Layer& it = channel.layer[static_cast<std::size_t>(layer)];
    signal += static_cast<double>(it.signal_power);
    if (!std::isfinite(it.signal_power) || !std::isfinite(it.delay_cycles)) return false;
  }
  // Powers whose products the equaliser's floats still hold.
  constexpr float power_max = 1e24f;
  return signal > 1e-29 * channel.layers && signal < double{power_max} &&
         channel.noise_power < power_max && channel.error_power < power_max;
}

// No signal is cleaner than the numbers that hold it.
float least_noise(const ChannelInfo& channel) {
  float signal = 0;
  for (int layer = 0; layer < channel.layers; ++layer)
    signal += channel.layer[static_cast<std::size_t>(layer)].signal_power;
  return 1e-9f * signal + 1e-30f;
}

// What the estimate misses of the channel is noise to the data.
float equalizer_noise(const ChannelInfo& channel) {
  return std::max(channel.noise_power + channel.error_power, least_noise(channel));
}

// The channel and, where it is wanted, the covariance of what disturbs it.
ChannelInfo estimate_channel(const ReceiveGroup& group, Hop& hop) {
  const nr::Dmrs& dmrs = group.channel().dmrs;
  EstimateInput input;
  input.grid = group.grid;
  input.allocation = &hop.smoothed;
  for (const int symbol : dmrs_symbols(dmrs))
    if (symbol >= hop.symbol_begin && symbol < hop.symbol_end)
      input.symbols.symbol[static_cast<std::size_t>(input.symbols.count++)] = symbol;
  input.type = dmrs.type;
  input.double_symbol = dmrs.double_symbol;
  input.amplitude = static_cast<float>(nr::dmrs_amplitude(dmrs));
  input.smoothing = group.options.smoothing;
  input.keep_residuals = group.options.equalizer == Equalizer::mmse_irc;
  input.layers = 0;
  for (std::size_t handset = 0; handset < group.receptions.size(); ++handset)
    for (std::uint32_t ports = group.receptions[handset].channel->dmrs.port_mask; ports != 0;
         ports &= ports - 1) {
      const std::size_t layer = static_cast<std::size_t>(input.layers);
      input.port[layer] = static_cast<std::int8_t>(std::countr_zero(ports));
      input.handset[layer] = static_cast<std::int8_t>(handset);
      ++input.layers;
    }
  const std::size_t count =
      static_cast<std::size_t>(dmrs_pilots_per_rb(dmrs.type) * hop.allocation.rb_count);
  const View<cf32, 2> pilots(group.state.pilots.data(), input.symbols.count, count);
  group.options.workers.for_each(input.symbols.count, [&](int d) {
    const std::size_t i = static_cast<std::size_t>(d);
    if (group.channel().transform_precoding) {
      dmrs_low_papr(dmrs, group.slot, input.symbols.symbol[i], pilots[i]);
    } else {
      cpu::dmrs_pilots(dmrs, 0, group.slot, input.symbols.symbol[i], hop.allocation, pilots[i]);
    }
  });
  input.pilots = pilots;
  const ChannelInfo channel = cpu::estimate(input, group.state.estimate, group.options.workers);
  if (input.keep_residuals && usable(channel))
    hop.inverse_covariance =
        measure_interference(input, channel, least_noise(channel), equalizer_noise(channel),
                             group.state, group.options.workers);
  return channel;
}

// Streams in memory for `plane` subcarriers of every layer, from a subcarrier on.
template <class T>
cpu::LayerStreams<T> streams_at(const ReceiveGroup& group, T* memory, std::size_t plane,
                                std::size_t subcarrier) {
  cpu::LayerStreams<T> out;
  out.count = group.stream_count;
  for (std::size_t s = 0; s < static_cast<std::size_t>(out.count); ++s) {
    const Stream& stream = group.streams[s];
    out.layers[s] = stream.layers;
    out.out[s] = memory + static_cast<std::size_t>(stream.first_layer) * plane +
                 subcarrier * static_cast<std::size_t>(stream.layers);
  }
  return out;
}

View<float, 5> weights_view(const ReceiveGroup& group, LineVector<float>& memory,
                            std::size_t first_block, std::size_t blocks) {
  const std::size_t antennas = group.grid.extent(0);
  const std::size_t layers = static_cast<std::size_t>(group.layers);
  const std::size_t size = antennas * layers * 2 * cpu::subcarrier_block;
  return {memory.data() + first_block * size, blocks, antennas, layers, 2, cpu::subcarrier_block};
}

// Weights for one symbol of some blocks of subcarriers; adds to the sums of 1 / noise.
void make_weights(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel, int symbol,
                  std::size_t first_block, View<float, 5> weights,
                  const cpu::LayerStreams<float>& noise, cpu::InverseNoiseSums& sums) {
  const std::size_t first = first_block * cpu::subcarrier_block;
  const std::size_t all = static_cast<std::size_t>(hop.allocation.subcarriers());
  cpu::channel_at(channel, group.state.estimate, symbol, first_block, weights);
  cpu::equalizer_weights(
      group.options.equalizer, equalizer_noise(channel), {hop.inverse_covariance, first},
      std::min(all - first, weights.extent(0) * cpu::subcarrier_block), weights, noise, sums);
}

// The weights of a channel that stands still.
void make_all_weights(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel,
                      cpu::InverseNoiseSums& sums) {
  ReceiveWorkspace::State& state = group.state;
  const std::size_t blocks =
      cpu::subcarrier_blocks(static_cast<std::size_t>(hop.allocation.subcarriers()));
  const std::size_t chunks = (blocks + chunk_blocks - 1) / chunk_blocks;
  const std::size_t shares = static_cast<std::size_t>(group.shares());
  // By chunk, so that sums do not depend on who made which.
  std::array<cpu::InverseNoiseSums, chunks_max> parts{};
  group.options.workers.for_each(static_cast<int>(shares), [&](int share) {
    const std::size_t w = static_cast<std::size_t>(share);
    for (std::size_t chunk = chunks * w / shares; chunk < chunks * (w + 1) / shares; ++chunk) {
      const std::size_t first = chunk * chunk_blocks;
      make_weights(
          group, hop, channel, hop.symbol_begin, first,
          weights_view(group, state.weights, first, std::min(chunk_blocks, blocks - first)),
          streams_at(group, state.noise.data(), state.plane, first * cpu::subcarrier_block),
          parts[chunk]);
    }
  });
  for (const cpu::InverseNoiseSums& part : parts)
    for (std::size_t i = 0; i < part.size(); ++i) sums[i] += part[i];
}

// Equalised symbols of all streams in scratch.symbols, and where their 1 / noise lies.
const float* equalize_symbol(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel,
                             int symbol, ReceiveScratch& scratch, cpu::InverseNoiseSums& sums) {
  ReceiveWorkspace::State& state = group.state;
  const std::size_t antennas = group.grid.extent(0);
  const std::size_t subcarriers = static_cast<std::size_t>(hop.allocation.subcarriers());
  std::array<const cf32*, nr::receive_antennas_max> received{};
  for (std::size_t a = 0; a < antennas; ++a) {
    const View<const cf32, 1> row = group.grid[a][static_cast<std::size_t>(symbol)];
    received[a] = &row[static_cast<std::size_t>(hop.allocation.runs[0].first) * 12];
    if (hop.allocation.run_count == 1) continue;
    cf32* const closed = scratch.rows.data() + a * state.plane;
    std::size_t at = 0;
    for (const RbRun& run : hop.allocation) {
      const std::size_t count = static_cast<std::size_t>(run.count) * nr::subcarriers_per_rb;
      std::memcpy(closed + at, &row[static_cast<std::size_t>(run.first) * 12],
                  count * sizeof(cf32));
      at += count;
    }
    received[a] = closed;
  }
  const std::size_t blocks = cpu::subcarrier_blocks(subcarriers);
  if (channel.constant) {
    cpu::combine(weights_view(group, state.weights, 0, blocks), received, subcarriers,
                 streams_at(group, scratch.symbols.data(), state.plane, 0));
    return state.noise.data();
  }
  for (std::size_t first = 0; first < blocks; first += chunk_blocks) {
    const std::size_t k = first * cpu::subcarrier_block;
    const View<float, 5> weights =
        weights_view(group, scratch.weights, 0, std::min(chunk_blocks, blocks - first));
    make_weights(group, hop, channel, symbol, first, weights,
                 streams_at(group, scratch.noise.data(), state.plane, k), sums);
    cpu::combine(weights, received, std::min(subcarriers - k, chunk_blocks * cpu::subcarrier_block),
                 streams_at(group, scratch.symbols.data(), state.plane, k));
    for (std::size_t a = 0; a < antennas; ++a) received[a] += chunk_blocks * cpu::subcarrier_block;
  }
  return scratch.noise.data();
}

// What one symbol tells.
struct SymbolSums {
  cpu::InverseNoiseSums inverse_noise{};
  std::array<double, nr::layers_max> evm_sums{}, evm_counts{};
};

// Soft bits of one symbol, whatever it holds.
void receive_symbol(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel,
                    int symbol, bool measure, ReceiveScratch& scratch, SymbolSums& sums) {
  const bool dft = group.channel().transform_precoding;
  const float* const inverse_noise =
      equalize_symbol(group, hop, channel, symbol, scratch, sums.inverse_noise);
  if (!dft) correct_phase(group, hop, symbol, inverse_noise, scratch);
  for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s) {
    const Stream& stream = group.streams[s];
    const View<SoftBit, 1> soft_bits = symbols_soft_bits(stream, symbol, symbol, scratch);
    if (soft_bits.empty()) continue;
    const StreamSymbol data = dft ? invert_dft(group, hop, stream, symbol, inverse_noise, scratch)
                                  : pick_data(group, hop, stream, symbol, inverse_noise, scratch);
    cpu::demap(stream.modulation, data.symbols, data.inverse_noise,
               make_masks(stream, stream.first_bit[static_cast<std::size_t>(symbol)],
                          soft_bits.size(), 0, scratch),
               0, soft_bits);
    if (!measure) continue;
    sums.evm_sums[s] += cpu::error_vector_sum(stream.modulation, data.symbols);
    sums.evm_counts[s] += static_cast<double>(data.symbols.size());
  }
}

// Whether a symbol goes straight from antennas to soft bits, a chunk of subcarriers at a time: its
// weights are there, and nothing between concerns the symbol as a whole.
bool straight(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel, int symbol) {
  if (!channel.constant || group.channel().transform_precoding || !hop.ascending ||
      hop.allocation.run_count != 1)
    return false;
  for (const Stream& stream : View<const Stream, 1>(group.streams.data(), group.stream_count)) {
    const nr::SymbolElements& here = group.state.elements[static_cast<std::size_t>(stream.handset)]
                                         .symbols[static_cast<std::size_t>(symbol)];
    if (!here.uniform || here.mask != all_subcarriers) return false;  // PT-RS are not uniform
  }
  return true;
}

// Bytes of weights that stay in the nearest cache while the symbols share them.
constexpr std::size_t straight_bytes = 16 * 1024;

// Blocks of subcarriers whose weights are so many.
std::size_t straight_blocks(const ReceiveGroup& group) {
  const std::size_t block_bytes = group.grid.extent(0) * static_cast<std::size_t>(group.layers) *
                                  2 * cpu::subcarrier_block * sizeof(float);
  return std::max(chunk_blocks, straight_bytes / block_bytes);
}

// A part of the subcarriers: whole chunks.
struct Part {
  std::size_t first_chunk = 0, end_chunk = 0, first_subcarrier = 0, end_subcarrier = 0;
  bool whole = true;
};

Part cut_part(const ReceiveGroup& group, const Hop& hop, int part, int parts) {
  const std::size_t all = static_cast<std::size_t>(hop.allocation.subcarriers());
  const std::size_t size = straight_blocks(group) * cpu::subcarrier_block;
  const std::size_t chunks = (all + size - 1) / size;
  Part cut;
  cut.first_chunk = chunks * static_cast<std::size_t>(part) / static_cast<std::size_t>(parts);
  cut.end_chunk = chunks * static_cast<std::size_t>(part + 1) / static_cast<std::size_t>(parts);
  cut.first_subcarrier = std::min(all, cut.first_chunk * size);
  cut.end_subcarrier = std::min(all, cut.end_chunk * size);
  cut.whole = parts == 1;
  return cut;
}

// Of the measured symbol, by chunk, so that sums do not depend on who made which.
struct ChunkSums {
  std::array<double, nr::layers_max> evm{}, count{};  // by stream
};
struct HopSums {
  std::array<SymbolSums, nr::symbols_per_slot> symbol{};
  std::array<ChunkSums, chunks_max> chunk{};
};

// The part of straight symbols that follow one another. Both a chunk's weights, which the symbols
// share, and its equalised symbols stay in the nearest cache. measured: which of them, if any.
// targets: of every symbol and stream.
void receive_straight(const ReceiveGroup& group, const Hop& hop, const Part& part,
                      View<const int, 1> symbols, int measured, const SoftBitTargets* targets,
                      ReceiveScratch& scratch, HopSums& sums) {
  ReceiveWorkspace::State& state = group.state;
  const std::size_t antennas = group.grid.extent(0);
  const std::size_t blocks =
      cpu::subcarrier_blocks(static_cast<std::size_t>(hop.allocation.subcarriers()));
  const std::size_t step = straight_blocks(group);
  for (std::size_t chunk = part.first_chunk; chunk < part.end_chunk; ++chunk) {
    const std::size_t k = chunk * step * cpu::subcarrier_block;
    const std::size_t count = std::min(part.end_subcarrier - k, step * cpu::subcarrier_block);
    const View<float, 5> weights =
        weights_view(group, state.weights, chunk * step, std::min(step, blocks - chunk * step));
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      std::array<const cf32*, nr::receive_antennas_max> received{};
      for (std::size_t a = 0; a < antennas; ++a)
        received[a] = &group.grid[a][static_cast<std::size_t>(symbols[i])]
                                 [static_cast<std::size_t>(hop.allocation.runs[0].first) * 12 + k];
      // Stream after stream, as close as the chunk allows.
      cpu::combine(
          weights, received, count,
          streams_at(group, scratch.symbols.data(), weights.extent(0) * cpu::subcarrier_block, 0));
      for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s) {
        const Stream& stream = group.streams[s];
        const std::size_t layers = static_cast<std::size_t>(stream.layers);
        const std::size_t first_layer = static_cast<std::size_t>(stream.first_layer);
        const View<const cf32, 1> data(
            scratch.symbols.data() + first_layer * weights.extent(0) * cpu::subcarrier_block,
            count * layers);
        const View<const float, 1> noise(
            state.noise.data() + first_layer * state.plane + k * layers, count * layers);
        const SoftBitTarget& to = targets[i][s];
        const std::size_t bits =
            static_cast<std::size_t>(nr::bits_per_symbol(stream.modulation)) * layers;
        const std::size_t in_part = (k - part.first_subcarrier) * bits;
        cpu::demap(stream.modulation, data, noise, to.masks, to.first_mask + in_part,
                   to.soft_bits.subview(in_part, count * bits));
        if (static_cast<int>(i) != measured) continue;
        sums.chunk[chunk].evm[s] = cpu::error_vector_sum(stream.modulation, data);
        sums.chunk[chunk].count[s] = static_cast<double>(data.size());
      }
    }
  }
}

struct Symbols {
  std::array<int, nr::symbols_per_slot> symbol{};
  int count = 0;
};

// Pieces of the symbols: begin[i], ..., begin[i + 1] - 1. One worker decodes nearly all blocks as
// they come. Of several each takes the next piece, and the last ones are small unless subcarriers
// are in parts, so that all end at about the same time.
struct Pieces {
  std::array<int, nr::symbols_per_slot + 1> begin{};
  int count = 0;
};

Pieces cut_pieces(int symbols, int shares, int parts) {
  Pieces pieces;
  for (int first = 0; first < symbols; ++pieces.count) {
    const int left = symbols - first;
    const int together = parts > 1 || left > 2 * shares ? symbols_together : 1;
    first += shares == 1 ? left : std::min(left, together);
    pieces.begin[static_cast<std::size_t>(pieces.count) + 1] = first;
  }
  return pieces;
}

// A part of symbols first, ..., end - 1 of `symbols`, whose code blocks are decoded on the way. The
// symbol in the slot's middle is measured. Precondition: the part is the whole, or these are at
// most symbols_together straight symbols.
void receive_piece(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel,
                   const Symbols& symbols, int first, int end, const Part& part, std::size_t worker,
                   const std::atomic<int>* idle, HopSums& sums) {
  ReceiveScratch& scratch = group.state.scratch[worker];
  const int* const symbol = symbols.symbol.data();
  const int middle = symbols.count / 2;
  BlockWalk walk(group, symbol[first], idle);
  for (int i = first; i < end;) {
    int next = i + 1;
    if (straight(group, hop, channel, symbol[i])) {
      while (next < end && next - i < symbols_together &&
             straight(group, hop, channel, symbol[next]))
        ++next;
      const View<const int, 1> together(symbol + i, next - i);
      std::array<SoftBitTargets, symbols_together> targets;
      make_targets(group, together, part.first_subcarrier, part.end_subcarrier, part.whole, scratch,
                   targets.data());
      receive_straight(group, hop, part, together, middle - i, targets.data(), scratch, sums);
      if (!part.whole) return decode_parts(group, together, targets.data(), worker, walk);
    } else {
      receive_symbol(group, hop, channel, symbol[i], i == middle, scratch,
                     sums.symbol[static_cast<std::size_t>(i)]);
    }
    for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s)
      decode_symbols(group, s, symbol[i], symbol[next - 1], next == end, worker, walk);
    i = next;
  }
}

// Takes pieces until there are no more. Of straight symbols each of several workers begins with a
// part of the subcarriers of its own: the weights there, which it has made itself for the most, and
// which are more than all else that would go from one processor's cache to another's.
void receive_pieces(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel,
                    const Symbols& symbols, bool last_hop, HopSums& sums) {
  const int shares = group.shares();
  bool all_straight = true;
  for (int i = 0; i < symbols.count; ++i)
    all_straight =
        all_straight && straight(group, hop, channel, symbols.symbol[static_cast<std::size_t>(i)]);
  // Enough chunks to a part that all are about as long.
  const int chunks = static_cast<int>(cut_part(group, hop, 0, 1).end_chunk);
  const int parts =
      all_straight ? std::clamp(chunks / 4, 1, std::min(shares, receive_parts_max)) : 1;
  const Pieces pieces = cut_pieces(symbols.count, shares, parts);
  std::array<std::atomic<int>, receive_parts_max> taken{};
  std::atomic<int> idle = 0;
  group.options.workers.for_each(shares, [&](int share) {
    for (int turn = 0; turn < parts; ++turn) {
      const int own = (share + turn) % parts;
      const Part part = cut_part(group, hop, own, parts);
      std::atomic<int>& next = taken[static_cast<std::size_t>(own)];
      for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < pieces.count;)
        receive_piece(group, hop, channel, symbols, pieces.begin[static_cast<std::size_t>(i)],
                      pieces.begin[static_cast<std::size_t>(i) + 1], part,
                      static_cast<std::size_t>(share), last_hop ? &idle : nullptr, sums);
    }
    idle.fetch_add(1, std::memory_order_relaxed);
  });
}

}  // namespace

HopReport receive_hop(const ReceiveGroup& group, int index) {
  Hop hop = make_hop(group.channel(), index, group.options.prg_rbs);
  HopReport report;
  report.channel = estimate_channel(group, hop);
  report.usable = usable(report.channel);
  const auto symbol_bits = [&](int symbol) {
    std::size_t bits = 0;
    for (const Stream& stream : group.streams)
      bits += stream.first_bit[static_cast<std::size_t>(symbol) + 1] -
              stream.first_bit[static_cast<std::size_t>(symbol)];
    return bits;
  };
  Symbols symbols;
  for (int l = hop.symbol_begin; l < hop.symbol_end; ++l)
    if (symbol_bits(l) != 0) symbols.symbol[static_cast<std::size_t>(symbols.count++)] = l;
  if (!report.usable) {  // every bit unknown
    for (const Stream& stream : group.streams)
      std::fill(
          stream.soft_bits.begin() + stream.first_bit[static_cast<std::size_t>(hop.symbol_begin)],
          stream.soft_bits.begin() + stream.first_bit[static_cast<std::size_t>(hop.symbol_end)],
          SoftBit{0});
    return report;
  }

  if (report.channel.constant) make_all_weights(group, hop, report.channel, report.inverse_noise);
  const bool last_hop =
      hop.symbol_end == group.channel().symbol_start + group.channel().symbol_count;
  HopSums sums;
  receive_pieces(group, hop, report.channel, symbols, last_hop, sums);
  for (std::size_t i = 0; i < nr::layers_max; ++i) {
    for (const SymbolSums& part : sums.symbol) {
      report.inverse_noise[i] += part.inverse_noise[i];
      report.evm_sums[i] += part.evm_sums[i];
      report.evm_counts[i] += part.evm_counts[i];
    }
    for (const ChunkSums& part : sums.chunk) {
      report.evm_sums[i] += part.evm[i];
      report.evm_counts[i] += part.count[i];
    }
    report.inverse_noise[i] /= hop.allocation.subcarriers() *
                               static_cast<double>(report.channel.constant ? 1 : symbols.count);
  }
  return report;
}

}  // namespace noroshi::phy
